#include "formats/tf_graph/graph_variables.h"

#include <algorithm>
#include <array>
#include <deque>
#include <map>
#include <string>
#include <string_view>
#include <unordered_map>
#include <utility>
#include <vector>

namespace ckpt::formats {
namespace {

using tf_proto::SavedObjectGraph;
using tf_proto::VariableDef;

// Collections of VariableDef. Optimizers and estimators have more of their own.
constexpr std::array<std::string_view, 6> kVariableCollections = {
    "variables",       "trainable_variables",      "model_variables",
    "local_variables", "moving_average_variables", "metric_variables"};

std::string WithoutOutput(const std::string& tensor) {
  return tensor.ends_with(":0") ? tensor.substr(0, tensor.size() - 2) : tensor;
}

bool HoldsVariable(std::string_view type) {
  return type == "VariableV2" || type == "Variable" || type == "VarHandleOp" ||
         type == "AutoReloadVariable";
}

class VariableReader {
 public:
  VariableReader(const tf_proto::MetaGraphDef& meta, OpGraph& graph) : meta_(meta), graph_(graph) {}

  Status Read() {
    CKPT_RETURN_IF_ERROR(ReadCollections());
    ReadOperations();
    return ReadObjects();
  }

 private:
  Status ReadCollections();
  void ReadOperations();
  Status ReadObjects();
  std::vector<std::string> ObjectPaths() const;
  std::unordered_map<int, std::string> BoundHandles() const;
  OpVariable& Named(const std::string& name) {
    const auto [it, is_new] = by_name_.emplace(name, graph_.variables.size());
    if (is_new) graph_.variables.push_back({name});
    return graph_.variables[it->second];
  }
  static std::vector<std::int64_t> Numbers(
      const google::protobuf::RepeatedField<std::int64_t>& list) {
    return {list.begin(), list.end()};
  }

  const tf_proto::MetaGraphDef& meta_;
  OpGraph& graph_;
  std::unordered_map<std::string, std::size_t> by_name_;
};

Status VariableReader::ReadCollections() {
  for (const auto& collection : meta_.collection_def()) {
    const std::string& key = collection.key();
    if (std::find(kVariableCollections.begin(), kVariableCollections.end(), key) ==
        kVariableCollections.end()) {
      continue;
    }
    for (const std::string& bytes : collection.value().bytes_list().value()) {
      VariableDef def;
      if (!def.ParseFromString(bytes)) {
        return Fail(ErrorCode::kCorrupt,
                    "the collection \"" + key + "\" holds what is no VariableDef");
      }
      if (def.variable_name().empty()) continue;
      OpVariable& variable = Named(WithoutOutput(def.variable_name()));
      if (key == "variables") variable.in_variables = true;
      if (key == "trainable_variables") variable.in_trainable_variables = true;
      variable.initializer = def.initializer_name();
      if (graph_.top.Find(variable.name)) variable.op = variable.name;
      if (def.trainable()) {
        graph_.records_trainable = true;
        variable.trainable = true;
      }
      if (def.has_save_slice_info_def()) {
        const auto& slice = def.save_slice_info_def();
        variable.full_name = slice.full_name();
        variable.full_shape = Numbers(slice.full_shape());
        variable.offset = Numbers(slice.var_offset());
        variable.extent = Numbers(slice.var_shape());
      }
    }
  }
  return {};
}

// Variables that no collection lists: there are none in a GraphDef or a SavedModel of objects.
void VariableReader::ReadOperations() {
  for (const Op& op : graph_.top.ops) {
    if (!HoldsVariable(op.type)) continue;
    OpVariable& variable = Named(op.name);
    if (variable.op.empty()) variable.op = op.name;
  }
}

std::string EscapeLocalName(std::string_view name) {
  std::string out;
  for (const char c : name) {
    if (c == '.') {
      out += "..";
    } else if (c == '/') {
      out += ".S";
    } else {
      out += c;
    }
  }
  return out;
}

// Breadth first from the root, as TensorFlow makes its keys; empty where nothing leads.
std::vector<std::string> VariableReader::ObjectPaths() const {
  const auto& nodes = meta_.object_graph_def().nodes();
  const auto count = static_cast<std::int64_t>(nodes.size());
  struct Way {
    int parent = -1;
    const std::string* name = nullptr;
  };
  std::vector<Way> ways(static_cast<std::size_t>(count));
  std::vector<bool> reached(static_cast<std::size_t>(count), false);
  std::deque<int> queue;
  const auto reach = [&](std::int64_t child, int parent, const std::string* name) {
    if (child < 0 || child >= count || reached[static_cast<std::size_t>(child)]) return;
    reached[static_cast<std::size_t>(child)] = true;
    ways[static_cast<std::size_t>(child)] = {parent, name};
    queue.push_back(static_cast<int>(child));
  };
  reach(0, -1, nullptr);
  while (!queue.empty()) {
    const int node = queue.front();
    queue.pop_front();
    for (const auto& child : nodes[node].children())
      reach(child.node_id(), node, &child.local_name());
  }
  const auto path_of = [&](int node) {
    constexpr std::size_t kMaxPathBytes = 65536;
    std::vector<const std::string*> names;
    for (int at = node; ways[static_cast<std::size_t>(at)].name != nullptr;
         at = ways[static_cast<std::size_t>(at)].parent) {
      names.push_back(ways[static_cast<std::size_t>(at)].name);
    }
    std::string path;
    for (auto it = names.rbegin(); it != names.rend() && path.size() < kMaxPathBytes; ++it)
      path += (path.empty() ? "" : "/") + EscapeLocalName(**it);
    return path;
  };
  std::vector<std::string> paths(static_cast<std::size_t>(count));
  const auto is_variable = [&](std::int64_t node) {
    return node >= 0 && node < count && nodes[static_cast<int>(node)].has_variable();
  };
  for (int i = 0; i < nodes.size(); ++i) {
    if (is_variable(i) && reached[static_cast<std::size_t>(i)])
      paths[static_cast<std::size_t>(i)] = path_of(i);
  }
  for (int i = 0; i < nodes.size(); ++i) {
    if (nodes[i].slot_variables_size() == 0 || !reached[static_cast<std::size_t>(i)]) continue;
    const std::string optimizer = path_of(i);
    for (const auto& slot : nodes[i].slot_variables()) {
      if (!is_variable(slot.original_variable_node_id()) ||
          !is_variable(slot.slot_variable_node_id())) {
        continue;
      }
      const std::string& original =
          paths[static_cast<std::size_t>(slot.original_variable_node_id())];
      std::string& path = paths[static_cast<std::size_t>(slot.slot_variable_node_id())];
      if (path.empty() && !original.empty()) {
        path = original + "/.OPTIMIZER_SLOT/" + optimizer + "/" + EscapeLocalName(slot.slot_name());
      }
    }
  }
  return paths;
}

// The handles that calls of the main graph pass to functions, by the object that each stands for.
// Keras 3 exports have two handles and two objects of each name, and only this tells them apart.
std::unordered_map<int, std::string> VariableReader::BoundHandles() const {
  const auto& functions = meta_.object_graph_def().concrete_functions();
  std::unordered_map<int, std::string> handles;
  for (const Op& op : graph_.top.ops) {
    const auto* called = FindAttr<OpFunctionName>(op, "f");
    const auto found = called == nullptr ? functions.end() : functions.find(called->name);
    if (found == functions.end()) continue;
    const auto& bound = found->second.bound_inputs();
    const auto count = static_cast<std::size_t>(bound.size());
    if (count > op.inputs.size()) continue;
    for (std::size_t i = 0; i < count; ++i) {
      const OpEdge& input = op.inputs[op.inputs.size() - count + i];
      if (input.op >= graph_.top.ops.size()) continue;
      const Op& handle = graph_.top.ops[input.op];
      if (handle.type == "VarHandleOp") handles.emplace(bound[static_cast<int>(i)], handle.name);
    }
  }
  return handles;
}

Status VariableReader::ReadObjects() {
  const SavedObjectGraph& objects = meta_.object_graph_def();
  if (objects.nodes_size() == 0) return {};
  std::map<std::string, int> times;
  for (const auto& node : objects.nodes()) {
    if (node.has_variable()) ++times[node.variable().name()];
  }
  // Handles by the name that they share: a handle's own name may have gained a number.
  std::unordered_map<std::string, std::vector<std::string>> handles;
  for (const Op& op : graph_.top.ops) {
    if (op.type != "VarHandleOp") continue;
    const std::string* const shared = FindAttr<std::string>(op, "shared_name");
    handles[shared != nullptr && !shared->empty() ? *shared : op.name].push_back(op.name);
  }
  const std::vector<std::string> paths = ObjectPaths();
  const std::unordered_map<int, std::string> bound = BoundHandles();
  for (int i = 0; i < objects.nodes_size(); ++i) {
    if (!objects.nodes(i).has_variable()) continue;
    const auto& saved = objects.nodes(i).variable();
    const std::string& path = paths[static_cast<std::size_t>(i)];
    const std::string name = WithoutOutput(saved.name());
    const bool unique = !name.empty() && times[saved.name()] == 1;
    std::string op;
    if (const auto passed = bound.find(i); passed != bound.end()) {
      op = passed->second;
    } else if (const auto found = handles.find(name);
               unique && found != handles.end() && found->second.size() == 1) {
      op = found->second.front();
    }
    if (!unique && path.empty()) continue;
    OpVariable& variable = Named(!op.empty() ? op : unique ? name : path);
    if (unique) variable.name = name;
    variable.op = op;
    variable.trainable = saved.trainable();
    variable.from_object_graph = true;
    if (!path.empty()) variable.checkpoint_key = path + "/.ATTRIBUTES/VARIABLE_VALUE";
  }
  return {};
}

}  // namespace

Status ReadGraphVariables(const tf_proto::MetaGraphDef& meta, OpGraph& graph) {
  return VariableReader(meta, graph).Read();
}

}  // namespace ckpt::formats
