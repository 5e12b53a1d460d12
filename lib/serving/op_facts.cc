#include "serving/op_facts.h"

#include <algorithm>
#include <array>
#include <utility>

#include "ckpt/elements.h"

namespace ckpt {
namespace {

constexpr int kMaxIdentities = 10000;
constexpr std::size_t kMaxIntegers = 1024;

template <std::size_t kSize>
bool IsOneOf(std::string_view type, const std::array<std::string_view, kSize>& types) noexcept {
  return std::find(types.begin(), types.end(), type) != types.end();
}

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

bool IsTableType(std::string_view type) noexcept {
  return type.find("HashTable") != std::string_view::npos ||
         type.find("LookupTable") != std::string_view::npos;
}

bool IsTraining(const Op& op) {
  const bool* recorded = FindAttr<bool>(op, "is_training");
  return recorded == nullptr || *recorded;
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

}  // namespace ckpt
