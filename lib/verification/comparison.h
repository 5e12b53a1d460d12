// How two arrays of one content compare.
#pragma once

#include "ckpt/execution/array.h"

namespace ckpt {

struct Comparison {
  double ratio = 0;  // the largest |y - a| / (factor * bound)
  std::size_t element = 0;
  double bound = 0;    // factor * bound, there
  double largest = 0;  // |y - a| anywhere
};
// `bound` is by element; null: exact. What float64 itself rounds is allowed on top of it.
Comparison Compare(const execution::Array& a, const execution::Array& y,
                   const execution::Array* bound, double factor);

double LargestOf(const execution::Array& array);  // the largest absolute value

}  // namespace ckpt
