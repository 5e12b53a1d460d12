#include "formats/tf_graph/variable_nodes.h"

#include "formats/tf_bundle/tf_dtype.h"
#include "formats/tf_graph/node_record.h"

namespace ckpt::formats {
namespace {

using tf_proto::DataType;
using tf_proto::NodeDef;

DataType DtypeOf(const TensorInfo& tensor) {
  return static_cast<DataType>(FindTfDtype(tensor.dtype)->number);
}

NodeDef Node(std::string name, const char* op) {
  NodeDef node;
  node.set_name(std::move(name));
  node.set_op(op);
  return node;
}

NodeDef Strings(std::string name, const std::vector<std::string>& values, bool scalar) {
  NodeDef node = Node(std::move(name), "Const");
  AttrOf(node, "dtype").set_type(tf_proto::DT_STRING);
  auto& tensor = *AttrOf(node, "value").mutable_tensor();
  tensor.set_dtype(tf_proto::DT_STRING);
  tensor.mutable_tensor_shape();
  if (!scalar) {
    tensor.mutable_tensor_shape()->add_dim()->set_size(static_cast<std::int64_t>(values.size()));
  }
  for (const std::string& value : values) tensor.add_string_val(value);
  return node;
}

}  // namespace

std::string VariableRead(const std::string& variable) { return variable + "/Read/ReadVariableOp"; }

std::vector<NodeDef> VariableNodes(const std::string& variable, const TensorInfo& tensor) {
  NodeDef handle = Node(variable, "VarHandleOp");
  AttrOf(handle, "container").set_s("");
  AttrOf(handle, "shared_name").set_s(variable);
  AttrOf(handle, "dtype").set_type(DtypeOf(tensor));
  auto& shape = *AttrOf(handle, "shape").mutable_shape();
  for (const std::int64_t dim : tensor.shape.dims()) shape.add_dim()->set_size(dim);
  NodeDef read = Node(VariableRead(variable), "ReadVariableOp");
  read.add_input(variable);
  AttrOf(read, "dtype").set_type(DtypeOf(tensor));
  return {std::move(handle), std::move(read)};
}

SaverNodes MakeSaver(const std::vector<SavedVariable>& variables, const std::string& scope) {
  SaverNodes made;
  const std::string file = scope + "/Const", restore = scope + "/RestoreV2",
                    save = scope + "/SaveV2", saved = scope + "/control_dependency",
                    all = scope + "/restore_all";
  std::vector<std::string> names, slices;
  for (const SavedVariable& variable : variables) {
    names.push_back(variable.tensor.name);
    slices.emplace_back();
  }
  made.nodes.push_back(Strings(file, {"model"}, true));
  made.nodes.push_back(Strings(restore + "/tensor_names", names, false));
  made.nodes.push_back(Strings(restore + "/shape_and_slices", slices, false));

  NodeDef restoring = Node(restore, "RestoreV2"), saving = Node(save, "SaveV2");
  for (NodeDef* node : {&restoring, &saving}) {
    for (const std::string& input :
         {file, restore + "/tensor_names", restore + "/shape_and_slices"})
      node->add_input(input);
    auto& types = *AttrOf(*node, "dtypes").mutable_list();
    for (const SavedVariable& variable : variables) types.add_type(DtypeOf(variable.tensor));
  }
  for (const SavedVariable& variable : variables) saving.add_input(VariableRead(variable.name));
  made.nodes.push_back(std::move(restoring));
  made.nodes.push_back(std::move(saving));
  NodeDef done = Node(saved, "Identity");
  done.add_input(file);
  done.add_input('^' + save);
  AttrOf(done, "T").set_type(tf_proto::DT_STRING);
  made.nodes.push_back(std::move(done));

  NodeDef restored = Node(all, "NoOp");
  made.variables.set_key("variables");
  auto& list = *made.variables.mutable_value()->mutable_bytes_list();
  for (std::size_t i = 0; i < variables.size(); ++i) {
    const SavedVariable& variable = variables[i];
    NodeDef assign = Node(scope + "/AssignVariableOp" + (i == 0 ? "" : '_' + std::to_string(i)),
                          "AssignVariableOp");
    assign.add_input(variable.name);
    assign.add_input(i == 0 ? restore : restore + ':' + std::to_string(i));
    AttrOf(assign, "dtype").set_type(DtypeOf(variable.tensor));
    restored.add_input('^' + assign.name());
    tf_proto::VariableDef definition;
    definition.set_variable_name(variable.name + ":0");
    definition.set_initializer_name(assign.name());
    definition.set_snapshot_name(VariableRead(variable.name) + ":0");
    definition.set_is_resource(true);
    list.add_value(definition.SerializeAsString());
    made.nodes.push_back(std::move(assign));
  }
  made.nodes.push_back(std::move(restored));
  made.saver.set_filename_tensor_name(file + ":0");
  made.saver.set_save_tensor_name(saved + ":0");
  made.saver.set_restore_op_name(all);
  made.saver.set_max_to_keep(5);
  made.saver.set_keep_checkpoint_every_n_hours(10000);
  made.saver.set_version(tf_proto::SaverDef::V2);
  return made;
}

}  // namespace ckpt::formats
