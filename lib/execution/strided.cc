#include "execution/strided.h"

#include <algorithm>

namespace ckpt::execution {

using network::Sizes;

Sizes IntegersOf(const Array& array) {
  constexpr double kLargest = 9.2e18;
  Sizes integers;
  for (const double element : array.elements) {
    integers.push_back(element >= kLargest      ? INT64_MAX
                       : !(element > -kLargest) ? -INT64_MAX
                                                : static_cast<std::int64_t>(element));
  }
  return integers;
}

std::int64_t CountOf(std::span<const std::int64_t> sizes) {
  if (std::find(sizes.begin(), sizes.end(), 0) != sizes.end()) return 0;
  std::int64_t count = 1;
  for (const std::int64_t size : sizes) count *= size;
  return count;
}

Sizes StridesOf(std::span<const std::int64_t> shape) {
  Sizes strides(shape.size(), 0);
  if (std::find(shape.begin(), shape.end(), 0) != shape.end()) return strides;
  std::int64_t stride = 1;
  for (std::size_t axis = shape.size(); axis-- > 0;) {
    strides[axis] = stride;
    stride *= shape[axis];
  }
  return strides;
}

Sizes BroadcastStrides(std::span<const std::int64_t> shape, std::span<const std::int64_t> target) {
  const Sizes own = StridesOf(shape);
  Sizes strides(target.size(), 0);
  const std::size_t skipped = target.size() - shape.size();
  for (std::size_t i = 0; i < shape.size(); ++i) {
    if (shape[i] != 1) strides[skipped + i] = own[i];
  }
  return strides;
}

AxisView ViewOf(std::span<const std::int64_t> shape, std::size_t axis) {
  return {CountOf(shape.first(axis)), shape[axis], CountOf(shape.subspan(axis + 1))};
}

namespace {

struct Walk {
  Sizes shape, source, target;
};

// Axes that lie behind one another in both become one; those of size 1 go.
Walk Merged(const Sizes& shape, const Sizes& source, const Sizes& target) {
  Walk walk;
  for (std::size_t i = 0; i < shape.size(); ++i) {
    if (shape[i] == 1) continue;
    if (!walk.shape.empty() && walk.source.back() == source[i] * shape[i] &&
        walk.target.back() == target[i] * shape[i]) {
      walk.shape.back() *= shape[i];
      walk.source.back() = source[i];
      walk.target.back() = target[i];
      continue;
    }
    walk.shape.push_back(shape[i]);
    walk.source.push_back(source[i]);
    walk.target.push_back(target[i]);
  }
  return walk;
}

void CopyRow(std::int64_t count, const double* source, std::int64_t step, double* target,
             std::int64_t target_step) {
  if (step == 1 && target_step == 1) {
    std::copy_n(source, count, target);
  } else if (step == 0 && target_step == 1) {
    std::fill_n(target, count, *source);
  } else {
    for (std::int64_t i = 0; i < count; ++i) target[i * target_step] = source[i * step];
  }
}

}  // namespace

void CopyStrided(const Sizes& shape, const double* source, const Sizes& source_strides,
                 double* target, const Sizes& target_strides) {
  if (CountOf(shape) == 0) return;
  Walk walk = Merged(shape, source_strides, target_strides);
  if (walk.shape.empty()) {
    *target = *source;
    return;
  }
  const std::int64_t count = walk.shape.back(), step = walk.source.back(),
                     target_step = walk.target.back();
  walk.shape.pop_back();
  Counter counter(walk.shape);
  walk.source.pop_back();
  walk.target.pop_back();
  do {
    CopyRow(count, source + OffsetOf(counter.index(), walk.source), step,
            target + OffsetOf(counter.index(), walk.target), target_step);
  } while (counter.Next());
}

}  // namespace ckpt::execution
