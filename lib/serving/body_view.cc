#include "serving/body_view.h"

#include <algorithm>
#include <span>

#include "ckpt/elements.h"
#include "serving/op_facts.h"

namespace ckpt {
namespace {

constexpr int kMaxReshapes = 8;
constexpr std::uint64_t kMaxBodyIntegers = 64;

}  // namespace

BodyView::BodyView(const OpBody& body, const std::vector<TensorInfo>& tensors,
                   const std::vector<OpEdge>& outputs, const std::vector<OpId>& computed)
    : ops_(body.ops), tensors_(tensors) {
  constant_.resize(ops_.size(), false);
  output_.resize(ops_.size(), false);
  readers_.resize(ops_.size());
  std::vector<bool> never(ops_.size(), false);
  for (const OpId id : computed) never[id] = true;
  for (OpId id = 0; id < ops_.size(); ++id) {
    const Op& op = ops_[id];
    bool all = !op.inputs.empty() && !IsRandomType(op.type);
    for (const OpEdge& input : op.inputs) {
      readers_[input.op].push_back(id);
      all = all && input.op < id && constant_[input.op];
    }
    constant_[id] = !never[id] && (op.type == "Const" || all);
  }
  for (const OpEdge& edge : outputs) output_[edge.op] = true;
}

std::optional<OpId> BodyView::OnlyReader(OpId id) const {
  if (readers_[id].size() != 1 || IsOutput(id)) return std::nullopt;
  return readers_[id][0];
}

std::vector<std::int64_t> BodyView::Integers(const OpEdge& edge) const {
  std::vector<std::int64_t> integers;
  const Op& op = ops_[edge.op];
  if (!op.constant) return integers;
  const OpConstant& constant = *op.constant;
  if (constant.shape.element_count() > kMaxBodyIntegers || constant.bytes.empty() ||
      (constant.dtype != Dtype::kI32 && constant.dtype != Dtype::kI64)) {
    return integers;
  }
  std::vector<double> values(static_cast<std::size_t>(constant.shape.element_count()));
  if (constant.bytes.size() * 8 != values.size() * BitSize(constant.dtype)) return integers;
  DecodeToDouble(constant.dtype, constant.bytes, values);
  for (const double value : values) integers.push_back(static_cast<std::int64_t>(value));
  return integers;
}

// The shape behind a Reshape, ExpandDims or Squeeze that moves axes of one element alone.
std::optional<std::vector<std::int64_t>> BodyView::Reshaped(const Op& op,
                                                            std::vector<std::int64_t> shape) const {
  std::vector<std::int64_t> wanted;
  if (op.type == "Reshape") {
    if (op.inputs.size() != 2) return std::nullopt;
    wanted = Integers(op.inputs[1]);
    const OpConstant* constant =
        ops_[op.inputs[1].op].constant ? &*ops_[op.inputs[1].op].constant : nullptr;
    if (constant == nullptr || constant->shape.element_count() != wanted.size())
      return std::nullopt;
  } else if (op.type == "ExpandDims") {
    if (op.inputs.size() != 2) return std::nullopt;
    const std::vector<std::int64_t> axis = Integers(op.inputs[1]);
    const auto rank = static_cast<std::int64_t>(shape.size());
    if (axis.size() != 1 || axis[0] < -rank - 1 || axis[0] > rank) return std::nullopt;
    const std::int64_t at = axis[0] < 0 ? axis[0] + rank + 1 : axis[0];
    shape.insert(shape.begin() + at, 1);
    return shape;
  } else {  // Squeeze
    const auto* axes = FindAttr<std::vector<std::int64_t>>(op, "squeeze_dims");
    const auto rank = static_cast<std::int64_t>(shape.size());
    for (std::int64_t i = 0; i < rank; ++i) {
      const auto named = [&](std::int64_t axis) { return (axis < 0 ? axis + rank : axis) == i; };
      const bool gone = axes == nullptr || axes->empty()
                            ? shape[static_cast<std::size_t>(i)] == 1
                            : std::any_of(axes->begin(), axes->end(), named);
      if (!gone) wanted.push_back(shape[static_cast<std::size_t>(i)]);
    }
  }
  // The same wide axes in the same order; -1 stands for one of them.
  std::vector<std::int64_t> wide;
  std::copy_if(shape.begin(), shape.end(), std::back_inserter(wide),
               [](std::int64_t dim) { return dim != 1; });
  std::size_t next = 0;
  for (std::int64_t& dim : wanted) {
    if (dim == 1) continue;
    if (next == wide.size()) {
      if (dim != -1) return std::nullopt;
      dim = 1;
      continue;
    }
    if (dim == -1) dim = wide[next];
    if (dim != wide[next++]) return std::nullopt;
  }
  if (next != wide.size()) return std::nullopt;
  return wanted;
}

std::optional<Weight> BodyView::WeightOf(OpEdge edge) const {
  std::vector<OpId> chain;
  while (ops_[edge.op].type != "Const") {
    const Op& op = ops_[edge.op];
    const bool reshapes = op.type == "ExpandDims" || op.type == "Squeeze" || op.type == "Reshape" ||
                          IsIdentityType(op.type);
    if (!reshapes || op.inputs.empty() || chain.size() == kMaxReshapes) return std::nullopt;
    chain.push_back(edge.op);
    edge = op.inputs[0];
  }
  const Op& constant = ops_[edge.op];
  if (!constant.tensor) return std::nullopt;
  Weight weight{edge.op, *constant.tensor, {}};
  const auto& dims = tensors_[constant.tensor->index].shape.dims();
  weight.shape.assign(dims.begin(), dims.end());
  for (auto id = chain.rbegin(); id != chain.rend(); ++id) {
    if (IsIdentityType(ops_[*id].type)) continue;
    auto shape = Reshaped(ops_[*id], std::move(weight.shape));
    if (!shape) return std::nullopt;
    weight.shape = *std::move(shape);
  }
  return weight;
}

}  // namespace ckpt
