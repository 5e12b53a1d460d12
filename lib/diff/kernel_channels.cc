#include "diff/kernel_channels.h"

#include <algorithm>
#include <cmath>
#include <utility>

#include "ckpt/elements.h"
#include "fold/element_stream.h"

namespace ckpt {
namespace {

constexpr std::uint64_t kFewestElements = 4;  // of a channel

std::uint64_t ChannelsOf(const ChannelView& view) { return view.channels_per_group; }

// Elements of a stream as doubles, piece by piece.
class Doubles {
 public:
  Doubles(std::unique_ptr<TensorStream> stream, Dtype dtype)
      : stream_(std::move(stream)), dtype_(dtype), size_(BitSize(dtype) / 8) {}

  Status Refill() {
    if (!rest_.empty()) return {};
    CKPT_ASSIGN_OR_RETURN(rest_, stream_->Next());
    return {};
  }
  std::size_t available() const { return rest_.size() / size_; }
  const std::vector<double>& Take(std::size_t count) {
    values_.resize(count);
    DecodeToDouble(dtype_, rest_.first(count * size_), values_);
    rest_ = rest_.subspan(count * size_);
    return values_;
  }

 private:
  std::unique_ptr<TensorStream> stream_;
  Dtype dtype_;
  std::size_t size_;
  std::span<const std::byte> rest_;
  std::vector<double> values_;
};

}  // namespace

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
  const std::uint64_t channels = ChannelsOf(view);
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
  const Dtype dtype_a = a.manifest().tensors[id_a.index].dtype;
  const Dtype dtype_b = b.manifest().tensors[id_b.index].dtype;
  const OpenStream open_b = [&b, id_b] { return b.Open(id_b); };
  CKPT_ASSIGN_OR_RETURN(auto stream_a, a.Open(id_a));
  std::unique_ptr<TensorStream> stream_b;
  if (order_of_b && !IsIdentity(*order_of_b)) {
    stream_b = Permute(open_b, BitSize(dtype_b) / 8, *order_of_b);
  } else {
    CKPT_ASSIGN_OR_RETURN(stream_b, open_b());
  }
  Doubles left(std::move(stream_a), dtype_a), right(std::move(stream_b), dtype_b);
  const std::uint64_t channels = ChannelsOf(view_of_a);
  std::vector<double> aa(channels, 0), ab(channels, 0), bb(channels, 0);
  ChannelCursor cursor(view_of_a);
  std::uint64_t seen = 0, judged = kFewestElements * channels;
  while (true) {
    CKPT_RETURN_IF_ERROR(left.Refill());
    CKPT_RETURN_IF_ERROR(right.Refill());
    const std::size_t count =
        std::min({left.available(), right.available(), ElementStream::kPiece});
    if (count == 0) break;
    const auto& x = left.Take(count);
    const auto& y = right.Take(count);
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
