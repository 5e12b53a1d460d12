// Maxima, averages and norms of windows.
#include <algorithm>
#include <cmath>
#include <limits>

#include "execution/kernels.h"
#include "execution/spatial_data.h"
#include "execution/strided.h"

namespace ckpt::execution {
namespace {

using network::Pool;

// The elements that each window along the last axis sees, for one place along the others.
struct Row {
  std::vector<std::int64_t> offsets;  // in the data
  std::vector<std::size_t> begins;    // of each window in `offsets`, and the end
  std::vector<double> divisors;       // of an average
};

class Windows {
 public:
  Windows(const Pool& pool, const SpatialData& in, const WindowAxes& axes)
      : pool_(pool), in_(in), axes_(axes), rows_(axes.count) {
    if (!rows_.empty()) rows_.pop_back();
  }
  const Sizes& rows() const { return rows_; }

  Row RowAt(const Sizes& row) const {
    Row made;
    const std::int64_t length = axes_.count.empty() ? 1 : axes_.count.back();
    Sizes window = row;
    if (!axes_.count.empty()) window.push_back(0);
    for (std::int64_t i = 0; i < length; ++i) {
      if (!window.empty()) window.back() = i;
      made.begins.push_back(made.offsets.size());
      std::int64_t counted = 0;
      Counter tap(axes_.size);
      do {
        AddTap(window, tap.index(), made, counted);
      } while (tap.Next());
      const auto seen = static_cast<std::int64_t>(made.offsets.size() - made.begins.back());
      made.divisors.push_back(
          static_cast<double>(std::max<std::int64_t>(pool_.count_padding ? counted : seen, 1)));
    }
    made.begins.push_back(made.offsets.size());
    return made;
  }

 private:
  void AddTap(const Sizes& window, const Sizes& tap, Row& row, std::int64_t& counted) const {
    std::int64_t offset = 0;
    bool inside = true;
    for (std::size_t axis = 0; axis < window.size(); ++axis) {
      const std::int64_t place =
          window[axis] * axes_.stride[axis] - axes_.before[axis] + tap[axis] * axes_.dilation[axis];
      if (place < 0 || place >= in_.sizes[axis]) inside = false;
      // Beyond the padding nothing counts.
      const bool is_explicit = pool_.padding.rule == network::PaddingRule::kExplicit;
      const std::int64_t after = axis < pool_.padding.after.size() ? pool_.padding.after[axis] : 0;
      if (is_explicit && place >= in_.sizes[axis] + after) return;
      offset += place * in_.strides[axis];
    }
    ++counted;
    if (inside) row.offsets.push_back(offset);
  }

  const Pool& pool_;
  const SpatialData& in_;
  const WindowAxes& axes_;
  Sizes rows_;
};

struct Pooling {
  const SpatialData &in, &out;
  const double* data;
  double* result;
};

// result[window][c] = f over the window, from `start`; the channels of one row at a time.
template <class Function>
void FoldRow(const Pooling& p, const Row& row, std::int64_t example, std::int64_t first,
             double start, Function function) {
  const std::size_t windows = row.begins.size() - 1;
  const double* data = p.data + example * p.in.example_stride;
  double* result = p.result + example * p.out.example_stride;
  const bool channels_last = p.in.channel_stride == 1;
  const std::int64_t point = channels_last ? p.out.channels : 1;
  result += first * point;
  if (channels_last) {
    for (std::size_t w = 0; w < windows; ++w) {
      double* y = result + static_cast<std::int64_t>(w) * point;
      std::fill_n(y, p.in.channels, start);
      for (std::size_t i = row.begins[w]; i < row.begins[w + 1]; ++i) {
        const double* x = data + row.offsets[i];
        for (std::int64_t c = 0; c < p.in.channels; ++c) y[c] = function(y[c], x[c]);
      }
    }
    return;
  }
  for (std::int64_t c = 0; c < p.in.channels; ++c) {
    const double* x = data + c * p.in.channel_stride;
    double* y = result + c * p.out.channel_stride;
    for (std::size_t w = 0; w < windows; ++w) {
      double sum = start;
      for (std::size_t i = row.begins[w]; i < row.begins[w + 1]; ++i) {
        sum = function(sum, x[row.offsets[i]]);
      }
      y[w] = sum;
    }
  }
}

// Each result of the row through f(result, divisor).
template <class Function>
void FinishRow(const Pooling& p, const Row& row, std::int64_t example, std::int64_t first,
               Function function) {
  const std::int64_t point = p.out.channel_stride == 1 ? p.out.channels : 1;
  double* result = p.result + example * p.out.example_stride + first * point;
  for (std::size_t w = 0; w < row.divisors.size(); ++w) {
    double* y = result + static_cast<std::int64_t>(w) * point;
    for (std::int64_t c = 0; c < p.out.channels; ++c) {
      double& one = y[c * p.out.channel_stride];
      one = function(one, row.divisors[w]);
    }
  }
}

template <class T>
void PoolRow(const Pool& pool, const Pooling& p, const Row& row, std::int64_t example,
             std::int64_t first) {
  switch (pool.kind) {
    case Pool::Kind::kMaximum:
      FoldRow(p, row, example, first, -std::numeric_limits<double>::infinity(),
              [](double y, double x) { return x > y || std::isnan(x) ? x : y; });
      return;
    case Pool::Kind::kAverage:
      FoldRow(p, row, example, first, 0, [](double y, double x) { return static_cast<T>(y + x); });
      FinishRow(p, row, example, first, [](double y, double divisor) { return y / divisor; });
      return;
    case Pool::Kind::kNorm2:
      FoldRow(p, row, example, first, 0,
              [](double y, double x) { return static_cast<T>(y + x * x); });
      FinishRow(p, row, example, first, [](double y, double) { return std::sqrt(y); });
      return;
  }
}

}  // namespace

Status Compute(const Pool& pool, const Call& call) {
  const SpatialData in = SpatialOf(call[0].shape, pool.channel_axis);
  const SpatialData out = SpatialOf(call.result().shape, pool.channel_axis);
  if (call.result().elements.empty()) return {};
  CKPT_ASSIGN_OR_RETURN(const WindowAxes axes, WindowsOver(in.sizes, pool.size, pool.stride,
                                                           pool.dilation, pool.padding, pool.ceil));
  const Windows windows(pool, in, axes);
  const Pooling pooling{in, out, call[0].elements.data(), call.result().elements.data()};
  const std::int64_t length = axes.count.empty() ? 1 : axes.count.back();
  Counter counter(windows.rows());
  std::int64_t first = 0;
  do {
    const Row row = windows.RowAt(counter.index());
    for (std::int64_t n = 0; n < in.examples; ++n) {
      call.single ? PoolRow<float>(pool, pooling, row, n, first)
                  : PoolRow<double>(pool, pooling, row, n, first);
    }
    first += length;
  } while (counter.Next());
  return {};
}

}  // namespace ckpt::execution
