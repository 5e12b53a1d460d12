// Elements of arrays by the strides of their axes.
#pragma once

#include <cstdint>
#include <span>

#include "ckpt/execution/array.h"

namespace ckpt::execution {

inline std::size_t Index(std::int64_t i) { return static_cast<std::size_t>(i); }
inline std::int64_t Length(const Array& array) {
  return static_cast<std::int64_t>(array.elements.size());
}
inline std::int64_t Rank(const Array& array) {
  return static_cast<std::int64_t>(array.shape.size());
}

// The elements as integers; those that no integer holds as the nearest one.
network::Sizes IntegersOf(const Array& array);

// The product of sizes that a shape rule counted.
std::int64_t CountOf(std::span<const std::int64_t> sizes);
// Of an array in C order.
network::Sizes StridesOf(std::span<const std::int64_t> shape);
// The strides with which a value of this shape is read as `target`, 0 where it is repeated.
// REQUIRES: `shape` broadcasts to `target`.
network::Sizes BroadcastStrides(std::span<const std::int64_t> shape,
                                std::span<const std::int64_t> target);

// A shape as [before the axis, the axis, behind it].
struct AxisView {
  std::int64_t outer = 1, size = 1, inner = 1;
};
AxisView ViewOf(std::span<const std::int64_t> shape, std::size_t axis);

// target[i] = source[i] for each index i below `shape`, each under its own strides.
void CopyStrided(const network::Sizes& shape, const double* source,
                 const network::Sizes& source_strides, double* target,
                 const network::Sizes& target_strides);

// Counts through all indices below a shape, the last axis fastest.
class Counter {
 public:
  explicit Counter(network::Sizes shape) : shape_(std::move(shape)), index_(shape_.size(), 0) {}
  const network::Sizes& index() const { return index_; }
  // False behind the last one, where the index is all zeros again.
  bool Next() {
    for (std::size_t axis = shape_.size(); axis-- > 0;) {
      if (++index_[axis] < shape_[axis]) return true;
      index_[axis] = 0;
    }
    return false;
  }

 private:
  network::Sizes shape_, index_;
};

// The sum of index[i] * strides[i].
inline std::int64_t OffsetOf(const network::Sizes& index, const network::Sizes& strides) {
  std::int64_t offset = 0;
  for (std::size_t i = 0; i < index.size(); ++i) offset += index[i] * strides[i];
  return offset;
}

}  // namespace ckpt::execution
