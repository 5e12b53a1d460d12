// Mean and variance of each channel with their standard errors.
#pragma once

#include <cstdint>
#include <vector>

#include "calibration/channel_moments.h"

namespace ckpt {

// The moments of one channel, and how uncertain they are.
struct EstimatedMoments {
  double mean = 0, variance = 0;  // over n
  // Standard errors of the mean, and of log2(variance + epsilon).
  double mean_error = 0, log2_variance_error = 0;
};

// Elements of one example are not independent of one another, so that n elements say less than n
// independent ones would. Examples are dealt out to groups in turn; what an estimate becomes
// without one group, for each of the G groups, gives its standard error by the jackknife (Tukey
// 1958): (G - 1) / G times the sum of the squared changes, whatever the dependence within examples.
class GroupedMoments {
 public:
  static constexpr std::uint64_t kMostGroups = 32;

  // `examples`: how many there will be, at least 1; `axis` is the channel axis, not 0.
  GroupedMoments(std::uint64_t examples, std::int64_t channels, std::int64_t axis);

  // The next examples (axis 0) of the set.
  void Add(const execution::Array& data);

  std::uint64_t elements() const noexcept;  // of each channel
  std::vector<EstimatedMoments> Estimate(double epsilon) const;

 private:
  std::vector<ChannelMoments> groups_;
  std::uint64_t added_ = 0;  // examples
};

}  // namespace ckpt
