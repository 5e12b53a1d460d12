// Operations that only move elements.
#include <algorithm>
#include <numeric>

#include "execution/kernels.h"
#include "execution/strided.h"

namespace ckpt::execution {
namespace {

Status SameElements(const Call& call) {
  call.result().elements = call[0].elements;
  return {};
}

Sizes Integers(const Array& array) {
  Sizes integers;
  for (const double element : array.elements) {
    integers.push_back(element >= 9.2e18    ? network::Slice::kToEnd
                       : element <= -9.2e18 ? -network::Slice::kToEnd
                                            : static_cast<std::int64_t>(element));
  }
  return integers;
}
Sizes ByOperand(const Call& call, std::size_t i, const Sizes& attribute) {
  return call.Given(i) == nullptr ? attribute : Integers(call[i]);
}

// Where a slice begins: an index counted from the front and kept within the axis.
std::int64_t BeginOf(std::int64_t size, std::int64_t begin, std::int64_t step) {
  const std::int64_t lowest = step > 0 ? 0 : -1, highest = step > 0 ? size : size - 1;
  if (begin == network::Slice::kToEnd) return highest;
  if (begin < 0) begin = begin < -size ? lowest : begin + size;
  return std::clamp(begin, lowest, highest);
}

}  // namespace

Status Compute(const network::Reshape&, const Call& call) { return SameElements(call); }
Status Compute(const network::MergeAxes&, const Call& call) { return SameElements(call); }
Status Compute(const network::InsertAxes&, const Call& call) { return SameElements(call); }
Status Compute(const network::DropAxes&, const Call& call) { return SameElements(call); }

Status Compute(const network::Transpose& transpose, const Call& call) {
  const Array& x = call[0];
  Sizes order = transpose.order;
  if (order.empty()) {
    order.resize(x.shape.size());
    std::iota(order.rbegin(), order.rend(), 0);
  }
  const Sizes strides = StridesOf(x.shape);
  Sizes read;
  for (const std::int64_t axis : order)
    read.push_back(strides[Index(axis < 0 ? axis + Rank(x) : axis)]);
  Array& y = call.result();
  CopyStrided(y.shape, x.elements.data(), read, y.elements.data(), StridesOf(y.shape));
  return {};
}

Status Compute(const network::Concatenate& concatenate, const Call& call) {
  Array& y = call.result();
  const std::size_t axis =
      Index(concatenate.axis < 0 ? concatenate.axis + Rank(y) : concatenate.axis);
  const AxisView whole = ViewOf(y.shape, axis);
  std::int64_t begin = 0;
  for (const Array* x : call.operands) {
    const AxisView view = ViewOf(x->shape, axis);
    for (std::int64_t o = 0; o < view.outer; ++o) {
      std::copy_n(x->elements.data() + o * view.size * view.inner, view.size * view.inner,
                  y.elements.data() + (o * whole.size + begin) * whole.inner);
    }
    begin += view.size;
  }
  return {};
}

Status Compute(const network::Split& split, const Call& call) {
  const Array& x = call[0];
  const std::size_t axis = Index(split.axis < 0 ? split.axis + Rank(x) : split.axis);
  const AxisView whole = ViewOf(x.shape, axis);
  std::int64_t begin = 0;
  for (Array& y : call.results) {
    const AxisView view = ViewOf(y.shape, axis);
    for (std::int64_t o = 0; o < view.outer; ++o) {
      std::copy_n(x.elements.data() + (o * whole.size + begin) * whole.inner,
                  view.size * view.inner, y.elements.data() + o * view.size * view.inner);
    }
    begin += view.size;
  }
  return {};
}

Status Compute(const network::Slice& slice, const Call& call) {
  const Array& x = call[0];
  const Sizes begin = ByOperand(call, 1, slice.begin), axes = ByOperand(call, 3, slice.axes);
  const Sizes step = ByOperand(call, 4, slice.step);
  Sizes strides = StridesOf(x.shape);
  std::int64_t offset = 0;
  for (std::size_t i = 0; i < begin.size(); ++i) {
    const std::int64_t named = axes.empty() ? static_cast<std::int64_t>(i) : axes[i];
    const std::size_t axis = Index(named < 0 ? named + Rank(x) : named);
    const std::int64_t pace = step.empty() ? 1 : step[i];
    offset += BeginOf(x.shape[axis], begin[i], pace) * strides[axis];
    // A step beyond the axis takes one element, wherever it would lead.
    strides[axis] *= call.result().shape[axis] > 1 ? pace : 0;
  }
  Array& y = call.result();
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
  const Sizes strides = StridesOf(x.shape);
  Counter counter(y.shape);
  for (double& element : y.elements) {
    std::int64_t offset = 0;
    for (std::size_t i = 0; i < strides.size(); ++i) {
      offset += counter.index()[i] % x.shape[i] * strides[i];
    }
    element = x.elements[Index(offset)];
    counter.Next();
  }
  return {};
}

}  // namespace ckpt::execution
