// Elements under other shapes and in other places.
#include <algorithm>

#include "ckpt/network/shape_rules.h"
#include "execution/kernels.h"
#include "execution/strided.h"
#include "network/operand_shapes.h"

namespace ckpt::execution {
namespace {

// The same elements in C order; nothing to do where the kernel works in place.
Status Keep(const Call& call) {
  if (&call[0] != &call.result()) call.result().elements = call[0].elements;
  return {};
}

Sizes IntegersOr(const Array* operand, const Sizes& attribute) {
  return operand == nullptr ? attribute : IntegersOf(*operand);
}

}  // namespace

Status Compute(const network::Reshape&, const Call& call) { return Keep(call); }
Status Compute(const network::MergeAxes&, const Call& call) { return Keep(call); }
Status Compute(const network::InsertAxes&, const Call& call) { return Keep(call); }
Status Compute(const network::DropAxes&, const Call& call) { return Keep(call); }

Status Compute(const network::Transpose& transpose, const Call& call) {
  const Array& x = call[0];
  Array& y = call.result();
  const Sizes strides = StridesOf(x.shape);
  Sizes order;
  for (std::int64_t axis : transpose.order) order.push_back(axis < 0 ? axis + Rank(x) : axis);
  if (order.empty()) {
    for (std::int64_t axis = Rank(x); axis-- > 0;) order.push_back(axis);
  }
  Sizes permuted;
  for (const std::int64_t axis : order) permuted.push_back(strides[Index(axis)]);
  CopyStrided(y.shape, x.elements.data(), permuted, y.elements.data(), StridesOf(y.shape));
  return {};
}

Status Compute(const network::Concatenate& concatenate, const Call& call) {
  Array& y = call.result();
  CKPT_ASSIGN_OR_RETURN(const std::int64_t axis, network::AxisIn(concatenate.axis, Rank(y)));
  const AxisView whole = ViewOf(y.shape, Index(axis));
  std::int64_t place = 0;
  for (const Array* part : call.operands) {
    const std::int64_t row = part->shape[Index(axis)] * whole.inner;
    CopyStrided({whole.outer, row}, part->elements.data(), {row, 1}, y.elements.data() + place,
                {whole.size * whole.inner, 1});
    place += row;
  }
  return {};
}

Status Compute(const network::Split& split, const Call& call) {
  const Array& x = call[0];
  CKPT_ASSIGN_OR_RETURN(const std::int64_t axis, network::AxisIn(split.axis, Rank(x)));
  const AxisView whole = ViewOf(x.shape, Index(axis));
  std::int64_t place = 0;
  for (Array& part : call.results) {
    const std::int64_t row = part.shape[Index(axis)] * whole.inner;
    CopyStrided({whole.outer, row}, x.elements.data() + place, {whole.size * whole.inner, 1},
                part.elements.data(), {row, 1});
    place += row;
  }
  return {};
}

Status Compute(const network::Slice& slice, const Call& call) {
  const Array& x = call[0];
  Array& y = call.result();
  const Sizes begin = IntegersOr(call.Given(1), slice.begin),
              end = IntegersOr(call.Given(2), slice.end),
              axes = IntegersOr(call.Given(3), slice.axes),
              step = IntegersOr(call.Given(4), slice.step);
  const std::size_t count = axes.empty() ? begin.size() : axes.size();
  Sizes strides = StridesOf(x.shape);
  Sizes taken(x.shape.size(), 0);
  std::int64_t offset = 0;
  for (std::size_t i = 0; i < count; ++i) {
    const std::int64_t named = axes.empty() ? static_cast<std::int64_t>(i) : axes[i];
    CKPT_ASSIGN_OR_RETURN(const std::int64_t axis, network::AxisIn(named, Rank(x)));
    if (std::exchange(taken[Index(axis)], 1) != 0) return Contradicts("an axis is sliced twice");
    const std::int64_t pace = step.empty() ? 1 : step[i];
    const network::Stretch stretch =
        network::StretchOf(x.shape[Index(axis)], begin[i], end[i], pace);
    std::int64_t& stride = strides[Index(axis)];
    if (stretch.count > 0) offset += stretch.begin * stride;
    // A step past the data is never taken.
    stride = stretch.count > 1 ? stride * pace : 0;
  }
  if (y.elements.empty()) return {};
  CopyStrided(y.shape, x.elements.data() + offset, strides, y.elements.data(), StridesOf(y.shape));
  return {};
}

Status Compute(const network::BroadcastTo&, const Call& call) {
  Array& y = call.result();
  CopyStrided(y.shape, call[0].elements.data(), BroadcastStrides(call[0].shape, y.shape),
              y.elements.data(), StridesOf(y.shape));
  return {};
}

Status Compute(const network::Tile&, const Call& call) {
  const Array& x = call[0];
  Array& y = call.result();
  if (y.elements.empty()) return {};
  // As [counts[0], x[0], counts[1], x[1], ...].
  const Sizes own = StridesOf(x.shape);
  Sizes shape, strides;
  for (std::size_t i = 0; i < x.shape.size(); ++i) {
    shape.push_back(y.shape[i] / x.shape[i]);
    shape.push_back(x.shape[i]);
    strides.push_back(0);
    strides.push_back(own[i]);
  }
  CopyStrided(shape, x.elements.data(), strides, y.elements.data(), StridesOf(shape));
  return {};
}

}  // namespace ckpt::execution
