#include "diff/kernel_channels.h"

#include <algorithm>
#include <cmath>
#include <utility>

#include "diff/permuted_elements.h"
#include "fold/element_stream.h"

namespace ckpt {
namespace {

constexpr std::uint64_t kFewestElements = 4;  // of a channel

}  // namespace

std::uint64_t ChannelsOf(const ChannelView& view, std::uint64_t elements) {
  if (view.rows_per_group == 0) return view.channels_per_group;
  const std::uint64_t row = view.inner * view.channels_per_group;
  return elements / row / view.rows_per_group * view.channels_per_group;
}

std::optional<ChannelView> GroupedOutView(const Shape& shape, std::uint64_t channels) {
  if (shape.rank() < 3 || shape[1] <= 0) return std::nullopt;
  const auto per_group = static_cast<std::uint64_t>(shape[1]);
  const std::uint64_t groups = channels / per_group;
  if (groups < 2 || channels % per_group != 0 || groups > kMaxChannels) return std::nullopt;
  const auto views = ViewsOf(shape, KernelLayout::kInOutSpatial, static_cast<std::int64_t>(groups));
  return views ? std::optional(views->out) : std::nullopt;
}

std::vector<ChannelView> OutViews(const Shape& shape, std::optional<Framework> framework) {
  using enum KernelLayout;
  std::vector<KernelLayout> layouts;
  if (!framework || !IsChannelsFirst(*framework)) {
    layouts = {kSpatialInOut, kSpatialInMultiplier, kSpatialOutIn};
  }
  if (!framework || IsChannelsFirst(*framework)) {
    layouts.push_back(kOutInSpatial);
    layouts.push_back(kInOutSpatial);
  }
  std::vector<ChannelView> views;
  for (const KernelLayout layout : layouts) {
    const auto view = ViewsOf(shape, layout, 1);
    if (!view || view->out.rows_per_group != 0 || view->out.inner_per_group != 0) continue;
    if (std::find(views.begin(), views.end(), view->out) == views.end()) {
      views.push_back(view->out);
    }
  }
  return views;
}

Result<std::vector<double>> ChannelProfile(const Checkpoint& checkpoint, TensorId id,
                                           const ChannelView& view) {
  const std::uint64_t count = checkpoint.manifest().tensors[id.index].shape.element_count();
  const std::uint64_t channels = ChannelsOf(view, count);
  if (channels < 2 || count / channels < kFewestElements) return std::vector<double>{};
  std::vector<double> sums(channels, 0), squares(channels, 0);
  CKPT_ASSIGN_OR_RETURN(auto elements, ElementStream::Open(checkpoint, id));
  ChannelCursor cursor(view);
  while (true) {
    CKPT_ASSIGN_OR_RETURN(const auto piece, elements.Next());
    if (piece.empty()) break;
    for (const double value : piece) {
      sums[cursor.channel()] += std::fabs(value);
      squares[cursor.channel()] += value * value;
      cursor.Next();
    }
  }
  for (std::size_t c = 0; c < sums.size(); ++c) {
    sums[c] = squares[c] > 0 ? sums[c] / std::sqrt(squares[c]) : 0;
  }
  return sums;
}

bool AreOneProfile(const std::vector<double>& a, const std::vector<double>& b) {
  constexpr double kRounding = 2e-3;
  if (a.empty() || a.size() != b.size()) return false;
  for (std::size_t c = 0; c < a.size(); ++c) {
    if (!(std::fabs(a[c] - b[c]) <= kRounding * std::max(a[c], b[c]))) return false;
  }
  return true;
}

static ChannelFactors FactorsOf(const std::vector<double>& aa, const std::vector<double>& ab,
                                const std::vector<double>& bb) {
  const std::size_t channels = aa.size();
  ChannelFactors factors{std::vector<double>(channels, 0), std::vector<double>(channels, 0)};
  for (std::size_t c = 0; c < channels; ++c) {
    if (aa[c] > 0) factors.a_to_b[c] = ab[c] / aa[c];
    if (bb[c] > 0) factors.b_to_a[c] = ab[c] / bb[c];
    if (aa[c] > 0 && bb[c] > 0) {
      const double left_over = std::max(0.0, 1 - ab[c] * ab[c] / (aa[c] * bb[c]));
      factors.off = std::max(factors.off, std::sqrt(left_over));
    } else if (aa[c] != bb[c]) {
      factors.off = std::max(factors.off, bb[c] > 0 ? 1.0 : 0.0);
    }
  }
  return factors;
}

// No pair that a fold has scaled, however the rest of it is: tiny numbers, rounded to a 16-bit
// type, are some channels' alone.
static bool MostAreFarOff(const std::vector<double>& aa, const std::vector<double>& ab,
                          const std::vector<double>& bb) {
  constexpr double kNear = 0.9;  // the square of a cosine
  std::size_t far = 0;
  for (std::size_t c = 0; c < aa.size(); ++c) {
    if (aa[c] > 0 && bb[c] > 0 && ab[c] * ab[c] < kNear * aa[c] * bb[c]) ++far;
  }
  return far > aa.size() / 2;
}

Result<ChannelFactors> FactorsBetween(const Checkpoint& a, TensorId id_a, const Checkpoint& b,
                                      TensorId id_b, const std::optional<AxisOrder>& order_of_b,
                                      const ChannelView& view_of_a) {
  CKPT_ASSIGN_OR_RETURN(auto left, ElementStream::Open(a, id_a));
  CKPT_ASSIGN_OR_RETURN(auto right,
                        PermutedElements::Open(b, id_b, order_of_b ? &*order_of_b : nullptr));
  const std::uint64_t channels =
      ChannelsOf(view_of_a, a.manifest().tensors[id_a.index].shape.element_count());
  std::vector<double> aa(channels, 0), ab(channels, 0), bb(channels, 0);
  ChannelCursor cursor(view_of_a);
  std::uint64_t seen = 0, judged = kFewestElements * channels;
  while (true) {
    CKPT_ASSIGN_OR_RETURN(const auto x, left.Next());
    const std::size_t count = x.size();
    if (count == 0) break;
    CKPT_ASSIGN_OR_RETURN(const std::vector<double>* const values, right.Take(count));
    const std::vector<double>& y = *values;
    for (std::size_t i = 0; i < count; ++i) {
      const std::uint64_t c = cursor.channel();
      aa[c] += x[i] * x[i];
      ab[c] += x[i] * y[i];
      bb[c] += y[i] * y[i];
      cursor.Next();
    }
    seen += count;
    if (seen < judged) continue;
    if (MostAreFarOff(aa, ab, bb)) return ChannelFactors{{}, {}, 1};
    judged = 2 * seen;
  }
  return FactorsOf(aa, ab, bb);
}

}  // namespace ckpt
