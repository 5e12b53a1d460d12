// Arrays of one content whose axes stand in different orders.
#pragma once

#include <memory>
#include <optional>
#include <vector>

#include "ckpt/execution/array.h"

namespace ckpt {

// Orders in which B may have the axes of A: the same; channels last for channels first, and the
// reverse. For shapes of `rank` axes.
std::vector<network::Sizes> LikelyOrders(std::size_t rank);
// The shape whose axis i is axis order[i] of `shape`.
network::Sizes Ordered(const network::Sizes& shape, const network::Sizes& order);
// Elements in the new order; the array itself where `order` is empty.
execution::Array Ordered(const execution::Array& array, const network::Sizes& order);
std::shared_ptr<const execution::Array> Ordered(
    const std::shared_ptr<const execution::Array>& array, const network::Sizes& order);
// Without axes of size 1.
network::Sizes Squeezed(const network::Sizes& shape);
// The index of an element in C order.
std::vector<std::int64_t> PlaceOf(const network::Sizes& shape, std::size_t element);

}  // namespace ckpt
