#include "calibration/grouped_moments.h"

#include <algorithm>
#include <cmath>
#include <limits>

namespace ckpt {
namespace {

// n elements with their mean and the sum of squared deviations from it.
struct Sums {
  double n = 0, mean = 0, squares = 0;

  void Add(const Sums& more) {
    if (more.n == 0) return;
    const double delta = more.mean - mean, all = n + more.n;
    mean += delta * more.n / all;
    squares += more.squares + delta * delta * n * more.n / all;
    n = all;
  }
  Sums Without(const Sums& part) const {
    Sums rest{n - part.n};
    rest.mean = mean + (mean - part.mean) * part.n / rest.n;
    const double delta = part.mean - rest.mean;
    rest.squares = std::max(squares - part.squares - delta * delta * rest.n * part.n / n, 0.0);
    return rest;
  }
  double Variance() const { return squares / n; }
};

EstimatedMoments EstimateOf(const std::vector<Sums>& groups, double epsilon) {
  Sums all;
  for (const Sums& group : groups) all.Add(group);
  EstimatedMoments moments{all.mean, all.Variance()};
  if (groups.size() < 2) {
    moments.mean_error = moments.log2_variance_error = std::numeric_limits<double>::infinity();
    return moments;
  }
  double of_mean = 0, of_variance = 0;
  for (const Sums& group : groups) {
    const Sums rest = all.Without(group);
    const double change =
        std::log2(rest.Variance() + epsilon) - std::log2(all.Variance() + epsilon);
    of_mean += (rest.mean - all.mean) * (rest.mean - all.mean);
    if (!std::isnan(change)) of_variance += change * change;  // a constant channel, no epsilon
  }
  const double count = static_cast<double>(groups.size());
  moments.mean_error = std::sqrt((count - 1) / count * of_mean);
  moments.log2_variance_error = std::sqrt((count - 1) / count * of_variance);
  return moments;
}

}  // namespace

GroupedMoments::GroupedMoments(std::uint64_t examples, std::int64_t channels, std::int64_t axis)
    : groups_(std::min(examples, kMostGroups), ChannelMoments(channels, axis)) {}

void GroupedMoments::Add(const execution::Array& data) {
  const auto count = static_cast<std::size_t>(data.shape[0]);
  if (count == 0) return;
  const std::size_t of_one = data.elements.size() / count;
  execution::Array example{data.shape, {}, data.kind};
  example.shape[0] = 1;
  for (std::size_t i = 0; i < count; ++i) {
    const auto from = data.elements.begin() + static_cast<std::ptrdiff_t>(i * of_one);
    example.elements.assign(from, from + static_cast<std::ptrdiff_t>(of_one));
    groups_[added_++ % groups_.size()].Add(example);
  }
}

std::uint64_t GroupedMoments::elements() const noexcept {
  std::uint64_t all = 0;
  for (const ChannelMoments& group : groups_) all += group.elements();
  return all;
}

std::vector<EstimatedMoments> GroupedMoments::Estimate(double epsilon) const {
  std::vector<std::vector<double>> variances;
  for (const ChannelMoments& group : groups_) variances.push_back(group.Variance());
  std::vector<EstimatedMoments> estimates;
  std::vector<Sums> groups(groups_.size());
  for (std::size_t channel = 0; channel < variances.front().size(); ++channel) {
    for (std::size_t g = 0; g < groups.size(); ++g) {
      const double n = static_cast<double>(groups_[g].elements());
      groups[g] = {n, groups_[g].mean()[channel], variances[g][channel] * n};
    }
    estimates.push_back(EstimateOf(groups, epsilon));
  }
  return estimates;
}

}  // namespace ckpt
