// The dimensions of a tensor; the product of a Shape is known to fit.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "ckpt/result.h"

namespace ckpt {

class Shape {
 public:
  Shape() = default;  // a scalar: no dimensions, one element

  // Fails with kCorrupt for a negative dimension, a rank above 254 or a product above 2^63 - 1.
  static Result<Shape> FromDims(std::span<const std::int64_t> dims);
  static Result<Shape> FromDims(std::initializer_list<std::int64_t> dims) {
    return FromDims(std::span(dims.begin(), dims.size()));
  }

  std::span<const std::int64_t> dims() const noexcept { return dims_; }
  std::size_t rank() const noexcept { return dims_.size(); }
  std::int64_t operator[](std::size_t axis) const noexcept { return dims_[axis]; }
  std::uint64_t element_count() const noexcept { return element_count_; }

  bool operator==(const Shape&) const = default;

 private:
  std::vector<std::int64_t> dims_;
  std::uint64_t element_count_ = 1;
};

std::string ToString(const Shape& shape);  // "[3, 3, 16]", "[]" for a scalar

}  // namespace ckpt
