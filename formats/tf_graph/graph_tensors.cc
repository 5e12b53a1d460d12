#include "formats/tf_graph/graph_tensors.h"

#include <algorithm>
#include <set>
#include <string>
#include <utility>

#include "formats/tf_bundle/tf_dtype.h"
#include "formats/tf_graph/op_body.h"
#include "formats/tf_graph/tensor_value.h"

namespace ckpt::formats {
namespace {

using Nodes = google::protobuf::RepeatedPtrField<tf_proto::NodeDef>;

bool HoldsVariable(const Op& op) {
  return op.type == "VariableV2" || op.type == "Variable" || op.type == "VarHandleOp";
}

std::uint64_t SizeOf(const TfDtype& dtype, const Shape& shape) {
  const std::uint64_t count = shape.element_count();
  return dtype.packed() ? count / 2 + count % 2 : count * dtype.stored_bytes;
}

struct Constant {
  TensorInfo info;
  const tf_proto::TensorProto* value;
  Op* op;
};

enum class Which : std::uint8_t { kAll, kLeftInFile };

Status Collect(const TfGraphRecord& record, const Nodes& nodes, const std::string& function,
               const Limits& limits, Which which, OpBody& body, std::vector<Constant>* found) {
  for (Op& op : body.ops) {
    if (!op.record || (which == Which::kLeftInFile && op.constant)) continue;
    const auto* const value = ConstantValue(nodes[static_cast<int>(*op.record)]);
    if (value == nullptr || !IsWeightLike(*value)) continue;
    CKPT_ASSIGN_OR_RETURN(const GraphTensor tensor, DescribeGraphTensor(record, *value, limits));
    TensorInfo info;
    info.name = function.empty() ? op.name : function + "/" + op.name;
    info.stored_as = info.name;
    info.dtype = tensor.dtype->dtype;
    info.shape = tensor.shape;
    info.byte_size = tensor.byte_size;
    info.data_file = record.file->path();
    found->push_back({std::move(info), value, &op});
  }
  return {};
}

Result<GraphTensors> List(OpGraph& graph, const Limits& limits, Which which) {
  const TfGraphRecord& record = RecordOf(graph);
  std::vector<Constant> found;
  CKPT_RETURN_IF_ERROR(
      Collect(record, record.graph().node(), {}, limits, which, graph.top, &found));
  for (const auto& function : record.graph().library().function()) {
    const auto built = graph.functions.find(function.signature().name());
    if (built == graph.functions.end()) continue;
    CKPT_RETURN_IF_ERROR(Collect(record, function.node_def(), built->first, limits, which,
                                 built->second.body, &found));
  }
  std::stable_sort(found.begin(), found.end(),
                   [](const Constant& a, const Constant& b) { return a.info.name < b.info.name; });
  GraphTensors listed;
  for (Constant& constant : found) {
    // An operation "f/x" beside the function f with an x: the first is listed.
    if (!listed.tensors.empty() && listed.tensors.back().name == constant.info.name) continue;
    constant.op->tensor = TensorId{static_cast<std::uint32_t>(listed.tensors.size())};
    listed.tensors.push_back(std::move(constant.info));
    listed.values.push_back(constant.value);
  }
  return listed;
}

}  // namespace

bool HasVariables(const OpGraph& graph) {
  const auto any = [](const OpBody& body) {
    return std::any_of(body.ops.begin(), body.ops.end(), HoldsVariable);
  };
  return any(graph.top) || std::any_of(graph.functions.begin(), graph.functions.end(),
                                       [&](const auto& entry) { return any(entry.second.body); });
}

Result<GraphTensors> ListConstants(OpGraph& graph, const Limits& limits) {
  return List(graph, limits, Which::kAll);
}

Result<GraphTensors> ListConstantsLeftInFile(OpGraph& graph, const Limits& limits) {
  return List(graph, limits, Which::kLeftInFile);
}

GraphTensors ListVariables(const OpGraph& graph) {
  const bool collected = std::any_of(graph.variables.begin(), graph.variables.end(),
                                     [](const OpVariable& v) { return v.in_variables; });
  GraphTensors listed;
  std::set<std::string> names;
  for (const OpVariable& variable : graph.variables) {
    if (collected && !variable.in_variables) continue;
    const auto id = graph.top.Find(variable.op);
    if (!id) continue;
    const Op& op = graph.top.ops[*id];
    const auto* const type = FindAttr<OpDtype>(op, "dtype");
    const auto* const shape = FindAttr<OpShape>(op, "shape");
    const TfDtype* const dtype = type == nullptr ? nullptr : FindTfDtype(type->number % 100);
    const bool part = !variable.full_name.empty();
    const bool known = dtype != nullptr && dtype->stored_bytes > 0 &&
                       (part || (shape != nullptr && shape->has_value()));
    const auto full = !known ? Result<Shape>(Fail(ErrorCode::kUnsupported, ""))
                      : part ? Shape::FromDims(variable.full_shape)
                             : Shape::FromDims(**shape);
    if (!full || full->element_count() > std::uint64_t{1} << 56) {
      ++listed.without_shape;
      continue;
    }
    TensorInfo info;
    info.name = part ? variable.full_name : variable.name;
    info.stored_as = info.name;
    info.dtype = dtype->dtype;
    info.shape = *full;
    info.byte_size = SizeOf(*dtype, info.shape);
    info.data_present = false;
    if (variable.in_trainable_variables) {
      info.trainable = true;
    } else if (variable.from_object_graph) {
      info.trainable = variable.trainable;
    }
    if (names.insert(info.name).second) listed.tensors.push_back(std::move(info));
  }
  std::sort(listed.tensors.begin(), listed.tensors.end(),
            [](const TensorInfo& a, const TensorInfo& b) { return a.name < b.name; });
  listed.values.resize(listed.tensors.size(), nullptr);
  return listed;
}

}  // namespace ckpt::formats
