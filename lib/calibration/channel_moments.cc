#include "calibration/channel_moments.h"

namespace ckpt {

ChannelMoments::ChannelMoments(std::int64_t channels, std::int64_t axis)
    : channels_(static_cast<std::size_t>(channels)),
      axis_(axis),
      mean_(channels_, 0.0),
      squares_(channels_, 0.0) {}

void ChannelMoments::Add(const execution::Array& data) {
  const auto rank = static_cast<std::int64_t>(data.shape.size());
  const std::int64_t axis = axis_ < 0 ? axis_ + rank : axis_;
  std::size_t outer = 1, inner = 1;
  for (std::int64_t i = 1; i < rank; ++i) {
    const auto size = static_cast<std::size_t>(data.shape[static_cast<std::size_t>(i)]);
    if (i < axis) outer *= size;
    if (i > axis) inner *= size;
  }
  const std::size_t of_example = outer * channels_ * inner;
  for (std::int64_t example = 0; example < data.shape[0]; ++example) {
    AddExample(data.elements.data() + static_cast<std::size_t>(example) * of_example, outer, inner);
  }
}

// Two passes over the example in the order of its elements, then one merge a channel: d = m' - m;
//   m += d n' / (n + n'),  M += M' + d^2 n n' / (n + n')
void ChannelMoments::AddExample(const double* example, std::size_t outer, std::size_t inner) {
  const std::size_t more = outer * inner;
  if (more == 0) return;
  const double n = static_cast<double>(count_), added = static_cast<double>(more);
  std::vector<double> means(channels_, 0.0), squares(channels_, 0.0);
  const auto each = [&](auto take) {
    const double* element = example;
    for (std::size_t o = 0; o < outer; ++o) {
      for (std::size_t channel = 0; channel < channels_; ++channel) {
        for (std::size_t i = 0; i < inner; ++i) take(channel, *element++);
      }
    }
  };
  each([&](std::size_t channel, double x) { means[channel] += x; });
  for (double& mean : means) mean /= added;
  each([&](std::size_t channel, double x) {
    squares[channel] += (x - means[channel]) * (x - means[channel]);
  });
  for (std::size_t channel = 0; channel < channels_; ++channel) {
    const double delta = means[channel] - mean_[channel];
    mean_[channel] += delta * added / (n + added);
    squares_[channel] += squares[channel] + delta * delta * n * added / (n + added);
  }
  count_ += more;
}

std::vector<double> ChannelMoments::Variance() const {
  std::vector<double> variance = squares_;
  for (double& element : variance) element /= static_cast<double>(count_);
  return variance;
}

}  // namespace ckpt
