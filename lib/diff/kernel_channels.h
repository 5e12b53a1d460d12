// Kernels by their output channels: what a batch norm folded into a kernel leaves as it was.
#pragma once

#include <optional>
#include <vector>

#include "ckpt/axis_order.h"
#include "ckpt/batch_norm.h"
#include "fold/channel_view.h"

namespace ckpt {

// The ways in which the elements of a kernel may belong to output channels, by the layouts of its
// framework, the likeliest first; of all, where that is not known.
std::vector<ChannelView> OutViews(const Shape& shape, std::optional<Framework> framework);

// That of a transposed convolution of channels-first layout in as many groups as make of its second
// axis so many output channels; absent where no number of groups does.
std::optional<ChannelView> GroupedOutView(const Shape& shape, std::uint64_t channels);
// How many channels a kernel of so many elements has.
std::uint64_t ChannelsOf(const ChannelView& view, std::uint64_t elements);

// sum |w| / sqrt(sum w^2) of each output channel: a factor per channel does not change it. Empty
// where channels have too few elements for it to tell kernels apart. Reads the tensor once.
Result<std::vector<double>> ChannelProfile(const Checkpoint& checkpoint, TensorId id,
                                           const ChannelView& view);
// Within roundings of a 16-bit type.
bool AreOneProfile(const std::vector<double>& a, const std::vector<double>& b);

// The factors f that take kernel A nearest to kernel B, b = f[channel] * a, channels by the layout
// of A, and how far off that leaves B: |b - f a| / |b|, the largest over channels. Kernels that are
// far off (`off` is 1, and there are no factors) are not read to their end.
struct ChannelFactors {
  std::vector<double> a_to_b, b_to_a;
  double off = 0;
};
Result<ChannelFactors> FactorsBetween(const Checkpoint& a, TensorId id_a, const Checkpoint& b,
                                      TensorId id_b, const std::optional<AxisOrder>& order_of_b,
                                      const ChannelView& view_of_a);

}  // namespace ckpt
