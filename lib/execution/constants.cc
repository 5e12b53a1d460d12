#include "execution/constants.h"

#include <algorithm>
#include <utility>

#include "ckpt/network/element_kind.h"
#include "execution/cost.h"
#include "execution/kernels.h"
#include "execution/strided.h"
#include "network/size_arithmetic.h"

namespace ckpt::execution {
namespace {

using network::ElementKind;
using network::InlineConstant;
using network::StoredConstant;

// The shape before the axes are reordered.
Result<Sizes> ReadShape(const StoredConstant& constant, const TensorInfo& info) {
  const auto dims = info.shape.dims();
  if (!constant.shape) return Sizes(dims.begin(), dims.end());
  for (const std::int64_t size : *constant.shape) {
    if (size < 0) return Contradicts("a constant of a negative size");
  }
  CKPT_ASSIGN_OR_RETURN(const std::int64_t count, network::ProductOf(*constant.shape));
  if (static_cast<std::uint64_t>(count) != info.shape.element_count()) {
    return Fail(Error{ErrorCode::kCorrupt, "is read as another number of elements than it has"}
                    .In(info.data_file)
                    .Of(info.name));
  }
  return *constant.shape;
}

// Refuses an order that is no permutation.
Result<Sizes> Reordered(const Sizes& shape, const Sizes& order) {
  if (order.empty()) return shape;
  Sizes sorted = order, result;
  std::sort(sorted.begin(), sorted.end());
  for (std::size_t i = 0; i < sorted.size(); ++i) {
    if (sorted[i] != static_cast<std::int64_t>(i)) return Contradicts("an order that is none");
  }
  if (order.size() != shape.size()) return Contradicts("an order of another rank");
  for (const std::int64_t axis : order) result.push_back(shape[Index(axis)]);
  return result;
}

}  // namespace

Result<ConstantOutline> OutlineOf(const network::Constant& constant, const Checkpoint& weights) {
  ConstantOutline outline;
  if (const auto* given = std::get_if<InlineConstant>(&constant)) {
    for (const std::int64_t size : given->shape) {
      if (size < 0) return Contradicts("a constant of a negative size");
    }
    CKPT_ASSIGN_OR_RETURN(const std::int64_t count, network::ProductOf(given->shape));
    if (static_cast<std::uint64_t>(count) != given->elements.size()) {
      return Contradicts("a constant whose shape is not its own");
    }
    outline.shape = given->shape;
    outline.kind = given->kind;
  } else {
    const auto& stored = std::get<StoredConstant>(constant);
    if (stored.tensor.index >= weights.manifest().tensors.size()) {
      return Fail(ErrorCode::kInternal, "a constant that is not in the checkpoint");
    }
    const TensorInfo& info = weights.manifest().tensors[stored.tensor.index];
    CKPT_ASSIGN_OR_RETURN(const Sizes shape, ReadShape(stored, info));
    CKPT_ASSIGN_OR_RETURN(outline.shape, Reordered(shape, stored.order));
    outline.kind = network::KindOf(info.dtype);
    if (!stored.order.empty()) outline.reading_bytes = BytesOf(shape);
  }
  if (outline.shape.size() > 254) return Fail(ErrorCode::kLimitExceeded, "more than 254 axes");
  outline.bytes = BytesOf(outline.shape);
  return outline;
}

Result<Array> ReadConstant(const network::Constant& constant, const Checkpoint& weights,
                           const Budget& budget) {
  CKPT_ASSIGN_OR_RETURN(ConstantOutline outline, OutlineOf(constant, weights));
  const std::uint64_t bytes = SaturatingPlus(outline.bytes, outline.reading_bytes);
  if (bytes > budget.memory_bytes) {
    return Fail(ErrorCode::kLimitExceeded,
                "a constant of " + std::to_string(bytes) + " bytes where " +
                    std::to_string(budget.memory_bytes) + " are allowed");
  }
  if (const auto* given = std::get_if<InlineConstant>(&constant)) {
    return Array{given->shape, given->elements, given->kind};
  }
  const auto& stored = std::get<StoredConstant>(constant);
  CKPT_ASSIGN_OR_RETURN(std::vector<double> elements,
                        ReadDoubles(weights, stored.tensor, outline.bytes / sizeof(double)));
  if (stored.order.empty()) return Array{outline.shape, std::move(elements), outline.kind};
  const TensorInfo& info = weights.manifest().tensors[stored.tensor.index];
  CKPT_ASSIGN_OR_RETURN(const Sizes shape, ReadShape(stored, info));
  const Sizes strides = StridesOf(shape);
  Sizes permuted;
  for (const std::int64_t axis : stored.order) permuted.push_back(strides[Index(axis)]);
  Array array{outline.shape, std::vector<double>(elements.size()), outline.kind};
  CopyStrided(array.shape, elements.data(), permuted, array.elements.data(),
              StridesOf(array.shape));
  return array;
}

}  // namespace ckpt::execution
