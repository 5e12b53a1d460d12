// Mean and variance of each channel, gathered example by example.
#pragma once

#include <cstdint>
#include <vector>

#include "ckpt/execution/array.h"

namespace ckpt {

class ChannelMoments {
 public:
  // `axis` is the channel axis of the arrays, not 0.
  ChannelMoments(std::int64_t channels, std::int64_t axis);

  // All examples (axis 0) of the array. REQUIRES: its channel axis has the right size.
  void Add(const execution::Array& data);

  std::uint64_t elements() const noexcept { return count_; }  // of each channel
  const std::vector<double>& mean() const noexcept { return mean_; }
  // Over n.
  std::vector<double> Variance() const;

 private:
  void AddExample(const double* example, std::size_t outer, std::size_t inner);

  std::size_t channels_;
  std::int64_t axis_;
  std::uint64_t count_ = 0;
  std::vector<double> mean_, squares_;  // squares: the sum of squared deviations
};

}  // namespace ckpt
