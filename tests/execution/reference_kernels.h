// Definitions of operations, index by index, as slow and as plain as can be.
//
// Nothing here is shared with the kernels: places are worked out anew for every element.
#pragma once

#include <cmath>
#include <cstdint>
#include <functional>
#include <limits>
#include <random>
#include <vector>

#include "ckpt/execution/array.h"
#include "ckpt/network/operation.h"

namespace ckpt::execution::reference {

using network::Sizes;

inline std::int64_t CountOf(const Sizes& shape) {
  std::int64_t count = 1;
  for (const std::int64_t size : shape) count *= size;
  return count;
}

inline std::int64_t Place(const Sizes& shape, const Sizes& index) {
  std::int64_t place = 0;
  for (std::size_t i = 0; i < shape.size(); ++i) place = place * shape[i] + index[i];
  return place;
}
inline double At(const Array& array, const Sizes& index) {
  return array.elements[static_cast<std::size_t>(Place(array.shape, index))];
}
inline double& At(Array& array, const Sizes& index) {
  return array.elements[static_cast<std::size_t>(Place(array.shape, index))];
}

inline void ForEach(const Sizes& shape, const std::function<void(const Sizes&)>& visit) {
  const std::int64_t count = CountOf(shape);
  for (std::int64_t i = 0; i < count; ++i) {
    Sizes index(shape.size());
    std::int64_t rest = i;
    for (std::size_t axis = shape.size(); axis-- > 0;) {
      index[axis] = rest % shape[axis];
      rest /= shape[axis];
    }
    visit(index);
  }
}

inline Array Zeros(const Sizes& shape) {
  return {shape, std::vector<double>(static_cast<std::size_t>(CountOf(shape)), 0.0)};
}
inline Array Random(const Sizes& shape, std::mt19937& engine) {
  std::normal_distribution<double> normal;
  Array array = Zeros(shape);
  for (double& element : array.elements) element = normal(engine);
  return array;
}

// Index of data by example, channel and spatial place.
inline Sizes DataIndex(std::int64_t n, std::int64_t c, const Sizes& at, bool channels_first) {
  Sizes index = {n};
  if (channels_first) index.push_back(c);
  index.insert(index.end(), at.begin(), at.end());
  if (!channels_first) index.push_back(c);
  return index;
}

// The kernel's element for a tap, an input channel within its group, and an output channel.
inline double KernelAt(const Array& kernel, KernelLayout layout, const Sizes& tap, std::int64_t in,
                       std::int64_t out, std::int64_t groups, std::int64_t outs, bool flipped,
                       const Sizes& size, std::int64_t ins_of_group) {
  Sizes turned = tap;
  for (std::size_t i = 0; flipped && i < tap.size(); ++i) turned[i] = size[i] - 1 - tap[i];
  const std::int64_t of_group = outs / groups, group = out / of_group;
  Sizes index;
  switch (layout) {
    case KernelLayout::kSpatialInOut:
      index = turned;
      index.insert(index.end(), {in, out});
      break;
    case KernelLayout::kSpatialOutIn:
      index = turned;
      index.insert(index.end(), {out % of_group, group * ins_of_group + in});
      break;
    case KernelLayout::kSpatialInMultiplier:
      index = turned;
      index.insert(index.end(), {group, out % of_group});
      break;
    case KernelLayout::kOutInSpatial:
      index = {out, in};
      index.insert(index.end(), turned.begin(), turned.end());
      break;
    case KernelLayout::kInOutSpatial:
      index = {group * ins_of_group + in, out % of_group};
      index.insert(index.end(), turned.begin(), turned.end());
      break;
  }
  return At(kernel, index);
}

inline Sizes KernelShape(KernelLayout layout, const Sizes& size, std::int64_t ins,
                         std::int64_t outs, std::int64_t groups) {
  Sizes shape = size;
  switch (layout) {
    case KernelLayout::kSpatialInOut:
      shape.insert(shape.end(), {ins / groups, outs});
      return shape;
    case KernelLayout::kSpatialOutIn:
      shape.insert(shape.end(), {outs / groups, ins});
      return shape;
    case KernelLayout::kSpatialInMultiplier:
      shape.insert(shape.end(), {ins, outs / ins});
      return shape;
    case KernelLayout::kOutInSpatial:
      shape = {outs, ins / groups};
      break;
    case KernelLayout::kInOutSpatial:
      shape = {ins, outs / groups};
      break;
  }
  shape.insert(shape.end(), size.begin(), size.end());
  return shape;
}

// Along one axis: how many windows, and how much padding stands before, from the definition.
struct Span {
  std::int64_t windows = 0, before = 0, after = 0;
};
inline Span SpanOf(std::int64_t size, std::int64_t k, std::int64_t s, std::int64_t d,
                   const network::Padding& padding, std::size_t axis, bool ceil) {
  const std::int64_t reach = (k - 1) * d + 1;
  Span span;
  if (padding.rule == network::PaddingRule::kExplicit) {
    span.before = axis < padding.before.size() ? padding.before[axis] : 0;
    span.after = axis < padding.after.size() ? padding.after[axis] : 0;
    // Count windows that fit; with `ceil`, also one that starts within data or front padding.
    while (span.windows * s + reach <= size + span.before + span.after) ++span.windows;
    const std::int64_t last_end = (span.windows - 1) * s + reach;
    if (ceil && last_end < size + span.before + span.after &&
        span.windows * s < size + span.before) {
      ++span.windows;
    }
    return span;
  }
  while (span.windows * s < size) ++span.windows;
  const std::int64_t total = std::max<std::int64_t>((span.windows - 1) * s + reach - size, 0);
  const std::int64_t half = total / 2;
  span.before = padding.rule == network::PaddingRule::kSameUpper ? half : total - half;
  span.after = total - span.before;
  return span;
}

}  // namespace ckpt::execution::reference
