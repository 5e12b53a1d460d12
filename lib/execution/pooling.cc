#include <algorithm>
#include <cmath>
#include <limits>

#include "execution/kernels.h"
#include "execution/spatial_data.h"
#include "execution/strided.h"

namespace ckpt::execution {
namespace {

using network::Pool;

// One place of the result: the taps of its window that lie within the data, and how many elements
// its average is over.
struct Window {
  std::vector<std::int64_t> offsets;
  double divisor = 0;
};

class Pooling {
 public:
  Pooling(const Pool& pool, const Call& call) : pool_(pool), call_(call) {}

  Status Run() {
    x_ = SpatialOf(call_[0].shape, pool_.channel_axis);
    y_ = SpatialOf(call_.result().shape, pool_.channel_axis);
    CKPT_ASSIGN_OR_RETURN(axes_, WindowsOver(x_.sizes, pool_.size, pool_.stride, pool_.dilation,
                                             pool_.padding, pool_.ceil));
    Counter places(y_.sizes);
    for (std::int64_t point = 0; point < y_.points; ++point) {
      const Window window = WindowAt(places.index());
      const std::int64_t offset = OffsetOf(places.index(), y_.strides);
      for (std::int64_t example = 0; example < x_.examples; ++example) {
        const double* x = call_[0].elements.data() + example * x_.example_stride;
        double* y = call_.result().elements.data() + example * y_.example_stride + offset;
        for (std::int64_t c = 0; c < x_.channels; ++c) {
          y[c * y_.channel_stride] = Reduced(window, x + c * x_.channel_stride);
        }
      }
      places.Next();
    }
    return {};
  }

 private:
  Window WindowAt(const Sizes& place) const {
    Window window;
    Counter taps(axes_.size);
    std::int64_t padded = 0;
    do {
      std::int64_t offset = 0;
      bool inside = true, counted = true;
      for (std::size_t i = 0; i < place.size(); ++i) {
        const std::int64_t at =
            place[i] * axes_.stride[i] - axes_.before[i] + taps.index()[i] * axes_.dilation[i];
        inside = inside && at >= 0 && at < x_.sizes[i];
        const std::int64_t after =
            network::Sizes(pool_.padding.after).empty() ? 0 : pool_.padding.after[i];
        counted = counted && at < x_.sizes[i] + after;
        offset += at * x_.strides[i];
      }
      if (inside) window.offsets.push_back(offset);
      if (inside || counted) ++padded;
    } while (taps.Next());
    window.divisor = pool_.count_padding ? static_cast<double>(padded)
                                         : static_cast<double>(window.offsets.size());
    return window;
  }

  double Reduced(const Window& window, const double* x) const {
    if (pool_.kind == Pool::Kind::kMaximum) {
      double largest = -std::numeric_limits<double>::infinity();
      for (const std::int64_t offset : window.offsets) {
        if (x[offset] > largest || std::isnan(x[offset])) largest = x[offset];
      }
      return largest;
    }
    double sum = 0;
    for (const std::int64_t offset : window.offsets) {
      sum += pool_.kind == Pool::Kind::kAverage ? x[offset] : x[offset] * x[offset];
      if (call_.single) sum = static_cast<float>(sum);
    }
    if (pool_.kind == Pool::Kind::kNorm2) return std::sqrt(sum);
    return sum / window.divisor;
  }

  const Pool& pool_;
  const Call& call_;
  SpatialData x_, y_;
  WindowAxes axes_;
};

}  // namespace

Status Compute(const Pool& pool, const Call& call) { return Pooling(pool, call).Run(); }

}  // namespace ckpt::execution
