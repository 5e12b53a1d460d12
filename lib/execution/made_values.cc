// Values that are made of shapes and numbers.
#include <algorithm>

#include "execution/kernels.h"
#include "execution/strided.h"

namespace ckpt::execution {

Status Compute(const network::ShapeOf& shape, const Call& call) {
  const Sizes& sizes = call[0].shape;
  const std::int64_t rank = Rank(call[0]);
  const std::int64_t begin =
      std::clamp<std::int64_t>(shape.begin < 0 ? shape.begin + rank : shape.begin, 0, rank);
  std::vector<double>& elements = call.result().elements;
  for (std::size_t i = 0; i < elements.size(); ++i) {
    elements[i] = static_cast<double>(sizes[Index(begin) + i]);
  }
  return {};
}

Status Compute(const network::Fill& fill, const Call& call) {
  const Array* value = call.Given(1);
  if (value != nullptr && value->elements.size() != 1) {
    return Contradicts("several values to fill with");
  }
  std::vector<double>& elements = call.result().elements;
  std::fill(elements.begin(), elements.end(), value == nullptr ? fill.value : value->elements[0]);
  return {};
}

Status Compute(const network::Range&, const Call& call) {
  const double start = call[0].elements[0], delta = call[2].elements[0];
  std::vector<double>& elements = call.result().elements;
  for (std::size_t i = 0; i < elements.size(); ++i) {
    elements[i] = start + static_cast<double>(i) * delta;
  }
  return {};
}

}  // namespace ckpt::execution
