#include "verification/axis_orders.h"

#include <algorithm>
#include <numeric>

namespace ckpt {

using execution::Array;
using network::Sizes;

std::vector<Sizes> LikelyOrders(std::size_t rank) {
  std::vector<Sizes> orders = {{}};
  if (rank < 3) return orders;
  Sizes last(rank), first(rank);  // [N, C, ...] -> [N, ..., C] and back
  std::iota(last.begin(), last.end(), 0);
  std::rotate(last.begin() + 1, last.begin() + 2, last.end());
  std::iota(first.begin(), first.end(), 0);
  std::rotate(first.begin() + 1, first.end() - 1, first.end());
  orders.push_back(last);
  if (first != last) orders.push_back(first);
  return orders;
}

Sizes Ordered(const Sizes& shape, const Sizes& order) {
  if (order.empty()) return shape;
  Sizes result;
  for (const std::int64_t axis : order) result.push_back(shape[static_cast<std::size_t>(axis)]);
  return result;
}

Array Ordered(const Array& array, const Sizes& order) {
  if (order.empty()) return array;
  const std::size_t rank = array.shape.size();
  Sizes stride(rank, 1);
  for (std::size_t i = rank - 1; i > 0; --i) stride[i - 1] = stride[i] * array.shape[i];
  Array result{Ordered(array.shape, order), {}, array.kind};
  const Sizes step = Ordered(stride, order);
  result.elements.resize(array.elements.size());
  Sizes index(rank, 0);
  std::int64_t at = 0;
  for (double& element : result.elements) {
    element = array.elements[static_cast<std::size_t>(at)];
    for (std::size_t axis = rank; axis-- > 0;) {
      at += step[axis];
      if (++index[axis] < result.shape[axis]) break;
      at -= step[axis] * index[axis];
      index[axis] = 0;
    }
  }
  return result;
}

std::shared_ptr<const Array> Ordered(const std::shared_ptr<const Array>& array,
                                     const Sizes& order) {
  return order.empty() ? array : std::make_shared<const Array>(Ordered(*array, order));
}

Sizes Squeezed(const Sizes& shape) {
  Sizes result;
  std::copy_if(shape.begin(), shape.end(), std::back_inserter(result),
               [](std::int64_t size) { return size != 1; });
  return result;
}

std::vector<std::int64_t> PlaceOf(const Sizes& shape, std::size_t element) {
  std::vector<std::int64_t> place(shape.size());
  for (std::size_t i = shape.size(); i-- > 0;) {
    const auto size = static_cast<std::size_t>(std::max<std::int64_t>(shape[i], 1));
    place[i] = static_cast<std::int64_t>(element % size);
    element /= size;
  }
  return place;
}

}  // namespace ckpt
