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
  double size = 1e-290;
  for (const double element : a.elements) {
    if (std::isfinite(element)) size = std::max(size, std::abs(element));
  }
  const double arithmetic = kArithmetic * size;
  for (std::size_t i = 0; i < a.elements.size() && i < y.elements.size(); ++i) {
    // Infinities of one sign are equal.
    const bool equal = y.elements[i] == a.elements[i];
    const double difference = equal ? 0 : std::abs(y.elements[i] - a.elements[i]);
    double allowed = factor * (bound == nullptr ? 0 : bound->elements[i]);
    if (!std::isfinite(allowed)) allowed = 0;  // a bound that bounds nothing
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
