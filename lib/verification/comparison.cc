#include "verification/comparison.h"

#include <algorithm>
#include <cmath>

namespace ckpt {

using execution::Array;

namespace {

// What float64 may add to a sum, over its largest element.
constexpr double kArithmetic = 1e-12;

}  // namespace

double LargestOf(const Array& array) {
  double largest = 0;
  for (const double element : array.elements) largest = std::max(largest, std::abs(element));
  return largest;
}

Comparison Compare(const Array& a, const Array& y, const Array* bound, double factor) {
  Comparison found;
  const double arithmetic = kArithmetic * std::max(LargestOf(a), 1e-290);
  for (std::size_t i = 0; i < a.elements.size() && i < y.elements.size(); ++i) {
    const double difference = std::abs(y.elements[i] - a.elements[i]);
    const double allowed = factor * (bound == nullptr ? 0 : bound->elements[i]);
    const double ratio = std::isnan(difference) ? HUGE_VAL
                         : difference == 0      ? 0
                                                : difference / (allowed + arithmetic);
    found.largest = std::max(found.largest, std::isnan(difference) ? HUGE_VAL : difference);
    if (ratio > found.ratio) {
      found.ratio = ratio;
      found.element = i;
      found.bound = allowed;
    }
  }
  return found;
}

}  // namespace ckpt
