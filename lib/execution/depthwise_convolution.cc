#include "execution/depthwise_convolution.h"

#include <algorithm>

#include "execution/strided.h"

namespace ckpt::execution {
namespace {

using network::Sizes;

// [taps, O] of the kernel, channel out = group * outs + out.
std::vector<double> TapsByChannel(const KernelView& kernel) {
  std::vector<double> weights;
  for (const std::int64_t tap : kernel.tap_offsets) {
    for (std::int64_t g = 0; g < kernel.groups; ++g) {
      for (std::int64_t o = 0; o < kernel.outs; ++o) {
        weights.push_back(kernel.base[g * kernel.group + tap + o * kernel.out]);
      }
    }
  }
  return weights;
}

// sums[c] += data[c] * weights[c], `outs` results for each channel of the data.
template <class T>
void AddChannels(const double* data, std::int64_t channels, std::int64_t outs,
                 const double* weights, double* sums) {
  if (outs == 1) {
    for (std::int64_t c = 0; c < channels; ++c) {
      sums[c] = static_cast<T>(static_cast<T>(sums[c]) +
                               static_cast<T>(data[c]) * static_cast<T>(weights[c]));
    }
    return;
  }
  for (std::int64_t c = 0; c < channels; ++c) {
    for (std::int64_t o = c * outs; o < (c + 1) * outs; ++o) {
      sums[o] = static_cast<T>(static_cast<T>(sums[o]) +
                               static_cast<T>(data[c]) * static_cast<T>(weights[o]));
    }
  }
}

// Where in the data a tap of a window is; false outside.
bool PlaceOf(const Sizes& window, const Sizes& tap, const WindowAxes& windows,
             const SpatialData& in, std::int64_t& at) {
  at = 0;
  for (std::size_t axis = 0; axis < window.size(); ++axis) {
    const std::int64_t place = window[axis] * windows.stride[axis] - windows.before[axis] +
                               tap[axis] * windows.dilation[axis];
    if (place < 0 || place >= in.sizes[axis]) return false;
    at += place * in.strides[axis];
  }
  return true;
}

template <class T>
void ChannelsLast(const double* data, const std::vector<double>& weights, const KernelView& kernel,
                  const SpatialData& in, const SpatialData& out, const WindowAxes& windows,
                  double* result) {
  for (std::int64_t n = 0; n < in.examples; ++n) {
    Counter window(windows.count);
    do {
      Counter tap(windows.size);
      const double* tap_weights = weights.data();
      do {
        std::int64_t at = 0;
        if (PlaceOf(window.index(), tap.index(), windows, in, at)) {
          AddChannels<T>(data + n * in.example_stride + at, in.channels, kernel.outs, tap_weights,
                         result);
        }
        tap_weights += out.channels;
      } while (tap.Next());
      result += out.channels;
    } while (window.Next());
  }
}

// The windows along the last axis that find their tap within the data: [first, last).
struct Inside {
  std::int64_t first = 0, last = 0;
};
Inside InsideAlong(std::int64_t size, std::int64_t count, std::int64_t stride,
                   std::int64_t origin) {
  Inside inside;
  inside.first = origin >= 0 ? 0 : std::min(count, (-origin + stride - 1) / stride);
  inside.last = origin >= size ? 0 : std::min(count, (size - 1 - origin) / stride + 1);
  inside.last = std::max(inside.first, inside.last);
  return inside;
}

template <class T>
void AddRow(const double* data, std::int64_t step, T weight, std::int64_t count, double* sums) {
  for (std::int64_t i = 0; i < count; ++i) {
    sums[i] = static_cast<T>(static_cast<T>(sums[i]) + static_cast<T>(data[i * step]) * weight);
  }
}

// One plane of the result: all taps, row by row along the last axis.
template <class T>
void Plane(const double* data, const double* weights, std::int64_t weight_step,
           const SpatialData& in, const WindowAxes& windows, double* result) {
  const std::size_t last = windows.count.size() - 1;
  const std::int64_t length = windows.count[last], stride = windows.stride[last];
  const Sizes rows(windows.count.begin(), windows.count.end() - 1);
  Counter row(rows);
  Sizes window(windows.count.size(), 0);
  do {
    std::copy(row.index().begin(), row.index().end(), window.begin());
    Counter tap(windows.size);
    const double* weight = weights;
    do {
      const std::int64_t origin = tap.index()[last] * windows.dilation[last] - windows.before[last];
      const Inside inside = InsideAlong(in.sizes[last], length, stride, origin);
      window[last] = inside.first;
      std::int64_t at = 0;
      if (inside.first < inside.last && PlaceOf(window, tap.index(), windows, in, at)) {
        const std::int64_t step = stride * in.strides[last];
        AddRow<T>(data + at, step, static_cast<T>(*weight), inside.last - inside.first,
                  result + inside.first);
      }
      weight += weight_step;
    } while (tap.Next());
    result += length;
  } while (row.Next());
}

template <class T>
void Convolve(const double* data, const KernelView& kernel, const SpatialData& in,
              const SpatialData& out, const WindowAxes& windows, double* result) {
  const std::vector<double> weights = TapsByChannel(kernel);
  const bool has_axes = !windows.count.empty();
  if (in.channel_stride == 1 || !has_axes) {
    ChannelsLast<T>(data, weights, kernel, in, out, windows, result);
    return;
  }
  for (std::int64_t n = 0; n < in.examples; ++n) {
    for (std::int64_t o = 0; o < out.channels; ++o) {
      Plane<T>(data + n * in.example_stride + o / kernel.outs * in.channel_stride,
               weights.data() + o, out.channels, in, windows,
               result + n * out.example_stride + o * out.channel_stride);
    }
  }
}

}  // namespace

void ConvolveDepthwise(const Array& data, const KernelView& kernel, const SpatialData& in,
                       const SpatialData& out, const WindowAxes& windows, bool single,
                       Array& result) {
  single ? Convolve<float>(data.elements.data(), kernel, in, out, windows, result.elements.data())
         : Convolve<double>(data.elements.data(), kernel, in, out, windows, result.elements.data());
}

}  // namespace ckpt::execution
