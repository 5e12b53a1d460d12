// Walks over the elements of a value with the place of each in a result that lacks some axes.
#pragma once

#include <cstdint>

#include "execution/strided.h"

namespace ckpt::execution {

// The strides of a result in which the listed axes (sorted, counted from the front) are gone.
network::Sizes StridesWithout(const network::Sizes& shape, const network::Sizes& axes);

// Calls take(place, element) for each element in C order.
template <class Take>
void ForEachPlace(const Array& x, const network::Sizes& strides, Take take) {
  if (x.elements.empty()) return;
  const double* element = x.elements.data();
  if (x.shape.empty()) {
    take(std::int64_t{0}, *element);
    return;
  }
  network::Sizes rows = x.shape, row_strides = strides;
  std::int64_t count = rows.back(), step = row_strides.back();
  rows.pop_back();
  row_strides.pop_back();
  while (!rows.empty() && row_strides.back() == step * count) {
    count *= rows.back();
    rows.pop_back();
    row_strides.pop_back();
  }
  Counter counter(rows);
  do {
    const std::int64_t place = OffsetOf(counter.index(), row_strides);
    for (std::int64_t i = 0; i < count; ++i) take(place + i * step, *element++);
  } while (counter.Next());
}

}  // namespace ckpt::execution
