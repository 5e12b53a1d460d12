#include "ckpt/shape.h"

#include <limits>

namespace ckpt {

Result<Shape> Shape::FromDims(std::span<const std::int64_t> dims) {
  constexpr std::size_t kMaxRank = 254;
  constexpr auto kMaxCount = static_cast<std::uint64_t>(std::numeric_limits<std::int64_t>::max());
  if (dims.size() > kMaxRank) {
    return Fail(ErrorCode::kCorrupt, "shape has " + std::to_string(dims.size()) + " dimensions");
  }
  Shape shape;
  shape.dims_.assign(dims.begin(), dims.end());
  bool empty = false;
  for (const std::int64_t dim : dims) {
    if (dim < 0)
      return Fail(ErrorCode::kCorrupt, "shape has the negative dimension " + std::to_string(dim));
    if (dim == 0) empty = true;
  }
  if (empty) {
    shape.element_count_ = 0;
    return shape;
  }
  for (const std::int64_t dim : dims) {
    if (shape.element_count_ > kMaxCount / static_cast<std::uint64_t>(dim)) {
      return Fail(ErrorCode::kCorrupt,
                  "shape " + ToString(shape) + " has more elements than 2^63 - 1");
    }
    shape.element_count_ *= static_cast<std::uint64_t>(dim);
  }
  return shape;
}

std::string ToString(const Shape& shape) {
  std::string out = "[";
  for (std::size_t i = 0; i < shape.rank(); ++i) {
    if (i > 0) out += ", ";
    out += std::to_string(shape[i]);
  }
  return out + "]";
}

}  // namespace ckpt
