#include "formats/tf_graph/node_record.h"

#include <algorithm>
#include <utility>

#include "ckpt/serving.h"
#include "formats/tf_bundle/tf_dtype.h"
#include "formats/tf_graph/op_attributes.h"

namespace ckpt::formats {
namespace {

using tf_proto::AttrValue;
using tf_proto::DataType;

void SetShape(const OpShape& shape, tf_proto::TensorShapeProto& out) {
  if (!shape) {
    out.set_unknown_rank(true);
    return;
  }
  for (const std::int64_t dim : *shape) out.add_dim()->set_size(dim);
}

// False for what this library has no value of.
bool SetValue(const OpAttr& attr, AttrValue& out) {
  if (const auto* b = std::get_if<bool>(&attr)) {
    out.set_b(*b);
  } else if (const auto* i = std::get_if<std::int64_t>(&attr)) {
    out.set_i(*i);
  } else if (const auto* f = std::get_if<double>(&attr)) {
    out.set_f(static_cast<float>(*f));
  } else if (const auto* s = std::get_if<std::string>(&attr)) {
    out.set_s(*s);
  } else if (const auto* type = std::get_if<OpDtype>(&attr)) {
    out.set_type(static_cast<DataType>(type->number));
  } else if (const auto* shape = std::get_if<OpShape>(&attr)) {
    SetShape(*shape, *out.mutable_shape());
  } else if (const auto* name = std::get_if<OpFunctionName>(&attr)) {
    out.mutable_func()->set_name(name->name);
  } else if (const auto* integers = std::get_if<std::vector<std::int64_t>>(&attr)) {
    auto& list = *out.mutable_list();
    for (const std::int64_t one : *integers) list.add_i(one);
  } else if (const auto* numbers = std::get_if<std::vector<double>>(&attr)) {
    auto& list = *out.mutable_list();
    for (const double one : *numbers) list.add_f(static_cast<float>(one));
  } else if (const auto* strings = std::get_if<std::vector<std::string>>(&attr)) {
    auto& list = *out.mutable_list();
    for (const std::string& one : *strings) list.add_s(one);
  } else if (const auto* types = std::get_if<std::vector<OpDtype>>(&attr)) {
    auto& list = *out.mutable_list();
    for (const OpDtype& one : *types) list.add_type(static_cast<DataType>(one.number));
  } else if (const auto* names = std::get_if<std::vector<OpFunctionName>>(&attr)) {
    auto& list = *out.mutable_list();
    for (const OpFunctionName& one : *names) list.add_func()->set_name(one.name);
  } else if (const auto* shapes = std::get_if<std::vector<OpShape>>(&attr)) {
    auto& list = *out.mutable_list();
    for (const OpShape& one : *shapes) SetShape(one, *list.add_shape());
  } else {
    return false;
  }
  return true;
}

// The simple values that a rewrite changes; a record keeps all others as they are.
bool Differs(const OpAttr& attr, const AttrValue& recorded) {
  const OpAttr was = ToOpAttr(recorded);
  if (attr.index() != was.index()) return true;
  if (const auto* b = std::get_if<bool>(&attr)) return *b != std::get<bool>(was);
  if (const auto* i = std::get_if<std::int64_t>(&attr)) return *i != std::get<std::int64_t>(was);
  if (const auto* s = std::get_if<std::string>(&attr)) return *s != std::get<std::string>(was);
  if (const auto* type = std::get_if<OpDtype>(&attr)) return !(*type == std::get<OpDtype>(was));
  if (const auto* types = std::get_if<std::vector<OpDtype>>(&attr))
    return *types != std::get<std::vector<OpDtype>>(was);
  if (const auto* name = std::get_if<OpFunctionName>(&attr))
    return name->name != std::get<OpFunctionName>(was).name;
  if (const auto* names = std::get_if<std::vector<OpFunctionName>>(&attr)) {
    const auto& before = std::get<std::vector<OpFunctionName>>(was);
    return !std::equal(names->begin(), names->end(), before.begin(), before.end(),
                       [](const auto& a, const auto& b) { return a.name == b.name; });
  }
  return false;
}

Status SetConstant(const Op& op, tf_proto::NodeDef& node) {
  const OpConstant& constant = *op.constant;
  const TfDtype* const dtype = FindTfDtype(constant.dtype);
  if (dtype == nullptr || dtype->packed()) {
    return Fail(ErrorCode::kUnsupported, "the constant \"" + op.name + "\" is of type " +
                                             std::string(Name(constant.dtype)) +
                                             ", which a graph cannot hold here");
  }
  tf_proto::TensorProto& value = *AttrOf(node, "value").mutable_tensor();
  value.set_dtype(static_cast<DataType>(dtype->number));
  for (const std::int64_t dim : constant.shape.dims())
    value.mutable_tensor_shape()->add_dim()->set_size(dim);
  value.mutable_tensor_shape();
  for (const std::string& one : constant.strings) value.add_string_val(one);
  if (constant.strings.empty()) {
    value.set_tensor_content(reinterpret_cast<const char*>(constant.bytes.data()),
                             constant.bytes.size());
  }
  AttrOf(node, "dtype").set_type(static_cast<DataType>(dtype->number));
  return {};
}

}  // namespace

const tf_proto::NodeDef* NodeOf(const OpGraph& graph, const Op& op) {
  if (!op.record || graph.file_record == nullptr) return nullptr;
  const TfGraphRecord& record = RecordOf(graph);
  const auto index = static_cast<int>(*op.record);
  const auto* body = FindAttr<std::string>(op, kRecordFunction);
  if (body == nullptr) {
    return index < record.graph().node_size() ? &record.graph().node(index) : nullptr;
  }
  const tf_proto::FunctionDef* function = record.FindFunction(*body);
  if (function == nullptr || index >= function->node_def_size()) return nullptr;
  return &function->node_def(index);
}

tf_proto::AttrValue& AttrOf(tf_proto::NodeDef& node, const std::string& name) {
  for (auto& entry : *node.mutable_attr()) {
    if (entry.key() == name) return *entry.mutable_value();
  }
  auto* entry = node.add_attr();
  entry->set_key(name);
  return *entry->mutable_value();
}

Result<tf_proto::NodeDef> ToNodeDef(const OpGraph& graph, const Op& op, NodePlace place) {
  tf_proto::NodeDef node;
  if (const tf_proto::NodeDef* recorded = NodeOf(graph, op)) node = *recorded;
  node.set_name(op.name);
  node.set_op(op.type);
  node.clear_input();
  node.clear_device();
  google::protobuf::RepeatedPtrField<tf_proto::AttrEntry> kept;
  for (auto& entry : *node.mutable_attr()) {
    const bool stays = op.attrs.find(entry.key()) != op.attrs.end();
    if (!stays || (entry.key() == "value" && op.tensor)) continue;
    if (entry.value().has_placeholder() && place == NodePlace::kGraph) {
      return Fail(ErrorCode::kUnsupported, "the operation \"" + op.name +
                                               "\" takes its attribute \"" + entry.key() +
                                               "\" from the function that it stood in");
    }
    kept.Add()->Swap(&entry);
  }
  node.mutable_attr()->Swap(&kept);
  for (const auto& [name, attr] : op.attrs) {
    if (IsServingMark(name)) continue;
    const auto recorded = std::find_if(
        node.attr().begin(), node.attr().end(),
        [&, key = std::string_view(name)](const auto& entry) { return entry.key() == key; });
    if (recorded != node.attr().end() && !Differs(attr, recorded->value())) continue;
    AttrValue value;
    if (SetValue(attr, value)) AttrOf(node, name) = std::move(value);
  }
  if (op.constant && !op.tensor && NodeOf(graph, op) == nullptr)
    CKPT_RETURN_IF_ERROR(SetConstant(op, node));
  return node;
}

}  // namespace ckpt::formats
