#include "serving/op_facts.h"

#include <algorithm>
#include <array>
#include <utility>

#include "ckpt/elements.h"

namespace ckpt {
namespace {

constexpr int kMaxIdentities = 10000;
constexpr std::size_t kMaxIntegers = 1024;

const OpConstant* ConstantOf(const WorkingGraph& graph, OpEdge edge) {
  edge = graph.Resolve(std::move(edge));
  for (int i = 0; i < kMaxIdentities; ++i) {
    const Op& op = graph.op(edge.op);
    if (op.constant) return &*op.constant;
    if (!IsIdentityType(op.type) || op.inputs.empty()) return nullptr;
    edge = graph.Resolve(op.inputs[0]);
  }
  return nullptr;
}

std::vector<double> Decoded(const OpConstant& constant) {
  std::vector<double> values(static_cast<std::size_t>(constant.shape.element_count()));
  if (!IsReal(constant.dtype) ||
      constant.bytes.size() * 8 != values.size() * BitSize(constant.dtype)) {
    return {};
  }
  DecodeToDouble(constant.dtype, constant.bytes, values);
  return values;
}

}  // namespace

bool IsPlaceholderType(std::string_view type) noexcept {
  return type == "Placeholder" || type == "PlaceholderV2";
}

bool IsFusedBatchNormType(std::string_view type) noexcept {
  return IsOneOf(type, std::array<std::string_view, 3>{"FusedBatchNorm", "FusedBatchNormV2",
                                                       "FusedBatchNormV3"});
}

bool IsSwitchType(std::string_view type) noexcept {
  return type == "Switch" || type == "RefSwitch";
}

bool IsMergeType(std::string_view type) noexcept { return type == "Merge" || type == "RefMerge"; }

bool IsIdentityType(std::string_view type) noexcept {
  return IsOneOf(type, std::array<std::string_view, 5>{"Identity", "RefIdentity", "StopGradient",
                                                       "PreventGradient", "Snapshot"});
}

bool IsRandomType(std::string_view type) noexcept {
  return type.starts_with("Random") || type.starts_with("StatelessRandom") ||
         type.starts_with("TruncatedNormal") || type == "Dropout";
}

bool IsExampleSourceType(std::string_view type) noexcept {
  return type.starts_with("IteratorGetNext") || type.starts_with("QueueDequeue") ||
         type.starts_with("ReaderRead") || type == "RecordInput" || type == "InfeedDequeue" ||
         type == "InfeedDequeueTuple";
}

bool IsTableType(std::string_view type) noexcept {
  return type.find("HashTable") != std::string_view::npos ||
         type.find("LookupTable") != std::string_view::npos;
}

bool IsTableHandleType(std::string_view type) noexcept {
  return type == "HashTable" || type == "HashTableV2";
}

bool IsTableLookupType(std::string_view type) noexcept {
  return IsOneOf(type, std::array<std::string_view, 4>{"LookupTableFind", "LookupTableFindV2",
                                                       "LookupTableSize", "LookupTableSizeV2"});
}

bool IsTraining(const Op& op) {
  const bool* recorded = FindAttr<bool>(op, "is_training");
  return recorded == nullptr || *recorded;
}

OpTensorType RecordedType(const Op& op, std::uint32_t output) {
  OpTensorType type{OutputDtype(op, output), {}};
  for (const char* name : {"_output_shapes", "output_shapes"}) {
    const auto* shapes = FindAttr<std::vector<OpShape>>(op, name);
    if (shapes != nullptr && output < shapes->size() && (*shapes)[output])
      type.shape = (*shapes)[output];
  }
  const auto* shape = FindAttr<OpShape>(op, "shape");
  const bool placeholder = IsPlaceholderType(op.type) || op.type == "PlaceholderWithDefault";
  if (placeholder && shape != nullptr && *shape) type.shape = *shape;
  return type;
}

std::string ToText(const OpTensorType& type) {
  // By the numbers of types.proto.
  constexpr std::array<std::string_view, 24> kNames = {
      "",          "float32", "float64",    "int32",   "uint8",    "int16",   "int8",     "string",
      "complex64", "int64",   "bool",       "qint8",   "quint8",   "qint32",  "bfloat16", "qint16",
      "quint16",   "uint16",  "complex128", "float16", "resource", "variant", "uint32",   "uint64"};
  const std::size_t number = type.dtype ? static_cast<std::size_t>(type.dtype->number) : 0;
  std::string text(number > 0 && number < kNames.size() ? kNames[number] : "type not known");
  if (!type.shape) return text;
  std::string dims;
  for (const std::int64_t dim : *type.shape)
    dims += (dims.empty() ? "" : ", ") + (dim < 0 ? "?" : std::to_string(dim));
  return text + " [" + dims + "]";
}

std::optional<double> ConstantScalar(const WorkingGraph& graph, OpEdge edge) {
  const OpConstant* constant = ConstantOf(graph, std::move(edge));
  if (constant == nullptr || constant->shape.element_count() != 1) return std::nullopt;
  const std::vector<double> values = Decoded(*constant);
  if (values.empty()) return std::nullopt;
  return values[0];
}

std::optional<std::vector<std::int64_t>> ConstantIntegers(const WorkingGraph& graph, OpEdge edge) {
  const OpConstant* constant = ConstantOf(graph, std::move(edge));
  if (constant == nullptr || constant->shape.element_count() > kMaxIntegers ||
      (constant->dtype != Dtype::kI32 && constant->dtype != Dtype::kI64)) {
    return std::nullopt;
  }
  std::vector<std::int64_t> values;
  for (const double value : Decoded(*constant)) values.push_back(static_cast<std::int64_t>(value));
  if (values.size() != constant->shape.element_count()) return std::nullopt;
  return values;
}

std::optional<OpId> VariableOf(const WorkingGraph& graph, OpEdge edge) {
  edge = graph.Resolve(std::move(edge));
  for (int i = 0; i < kMaxIdentities; ++i) {
    const Op& op = graph.op(edge.op);
    if (IsVariableOp(op.type)) return edge.op;
    const bool reads = IsIdentityType(op.type) || IsSwitchType(op.type) ||
                       op.type == "ReadVariableOp" || op.type == "Enter" || op.type == "RefEnter";
    if (!reads || op.inputs.empty()) return std::nullopt;
    edge = graph.Resolve(op.inputs[0]);
  }
  return std::nullopt;
}

Op MakeConstant(std::string name, std::int32_t tf_dtype, OpConstant value) {
  Op op;
  op.name = std::move(name);
  op.type = "Const";
  op.attrs["dtype"] = OpDtype{tf_dtype};
  op.constant = std::move(value);
  return op;
}

bool IsOneOf(std::string_view type, std::span<const std::string_view> types) noexcept {
  return std::find(types.begin(), types.end(), type) != types.end();
}

}  // namespace ckpt
