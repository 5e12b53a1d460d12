#include <algorithm>
#include <cmath>
#include <tuple>

#include "ckpt/layer_profile.h"

namespace ckpt {
namespace {

std::vector<double> FiniteOf(std::span<const double> values) {
  std::vector<double> finite;
  finite.reserve(values.size());
  for (const double value : values) {
    if (std::isfinite(value)) finite.push_back(value);
  }
  return finite;
}

double PercentileOf(std::vector<double>& values, std::size_t percent) {
  const std::size_t rank = (values.size() * percent + 99) / 100;
  const auto nth = values.begin() + static_cast<std::ptrdiff_t>(std::max<std::size_t>(rank, 1) - 1);
  std::nth_element(values.begin(), nth, values.end());
  return *nth;
}

// Sums are scaled, so that the squares of large numbers stay finite.
void AddMoments(const std::vector<double>& values, Distribution& out) {
  const double scale = std::max(std::abs(out.least), std::abs(out.most));
  if (scale == 0) return;
  const auto count = static_cast<double>(values.size());
  double sum = 0, squares = 0;
  for (const double value : values) sum += value / scale;
  for (const double value : values) squares += std::pow(value / scale - sum / count, 2);
  out.mean = sum / count * scale;
  out.deviation = std::sqrt(squares / count) * scale;
}

void AddBins(const std::vector<double>& values, Distribution& out) {
  if (!(out.from < out.to)) {
    out.bins = {values.size()};
    return;
  }
  out.bins.assign(kHistogramBins, 0);
  // Halved, so that the width of the widest range is finite.
  const double width = out.to / 2 - out.from / 2;
  for (const double value : values) {
    const double place = std::clamp((value / 2 - out.from / 2) / width, 0.0, 1.0);
    const auto bin = static_cast<std::size_t>(place * static_cast<double>(kHistogramBins));
    ++out.bins[std::min(bin, kHistogramBins - 1)];
  }
}

}  // namespace

std::optional<std::pair<double, double>> RangeOf(std::span<const double> values) {
  std::optional<std::pair<double, double>> range;
  for (const double value : values) {
    if (!std::isfinite(value)) continue;
    if (!range) range.emplace(value, value);
    range->first = std::min(range->first, value);
    range->second = std::max(range->second, value);
  }
  return range;
}

Distribution DistributionOf(std::span<const double> values,
                            std::optional<std::pair<double, double>> over) {
  Distribution out;
  std::vector<double> finite = FiniteOf(values);
  out.finite = finite.size();
  out.not_finite = values.size() - finite.size();
  if (const auto range = RangeOf(finite)) {
    std::tie(out.least, out.most) = *range;
    std::tie(out.from, out.to) = over.value_or(*range);
    AddMoments(finite, out);
    AddBins(finite, out);
    out.low = PercentileOf(finite, 5);
    out.median = PercentileOf(finite, 50);
    out.high = PercentileOf(finite, 95);
  }
  return out;
}

}  // namespace ckpt
