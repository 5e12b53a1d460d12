// Layers evaluated the slow and obvious way, in double: the reference that folds are held against.
// Nothing here is shared with the library; a kernel element is looked up by its axes, in words of
// the layout's definition.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <functional>
#include <numeric>
#include <optional>
#include <stdexcept>
#include <vector>

#include "ckpt/model_graph.h"

namespace ckpt::testing {

using Index = std::vector<std::int64_t>;

struct Array {
  Index shape;
  std::vector<double> data;

  explicit Array(Index dims = {}, double fill = 0)
      : shape(std::move(dims)),
        data(static_cast<std::size_t>(
                 std::accumulate(shape.begin(), shape.end(), std::int64_t{1}, std::multiplies<>())),
             fill) {}
  Array(Index dims, std::vector<double> values) : shape(std::move(dims)), data(std::move(values)) {}

  std::size_t Flat(const Index& index) const {
    std::int64_t flat = 0;
    for (std::size_t axis = 0; axis < shape.size(); ++axis) {
      if (index.at(axis) < 0 || index[axis] >= shape[axis]) throw std::out_of_range("index");
      flat = flat * shape[axis] + index[axis];
    }
    return static_cast<std::size_t>(flat);
  }
  double& operator[](const Index& index) { return data[Flat(index)]; }
  double operator[](const Index& index) const { return data[Flat(index)]; }
};

// Calls f with every index of an array of this shape, in C order.
inline void ForEachIndex(const Index& shape, const std::function<void(const Index&)>& f) {
  if (std::find(shape.begin(), shape.end(), 0) != shape.end()) return;
  Index index(shape.size(), 0);
  while (true) {
    f(index);
    std::size_t axis = shape.size();
    while (axis > 0 && ++index[axis - 1] == shape[axis - 1]) index[--axis] = 0;
    if (axis == 0) return;
  }
}

inline Index Joined(Index a, const Index& b) {
  a.insert(a.end(), b.begin(), b.end());
  return a;
}

inline Array MovedAxis(const Array& x, std::size_t from, std::size_t to) {
  Index order(x.shape.size());
  std::iota(order.begin(), order.end(), 0);
  order.erase(order.begin() + static_cast<std::ptrdiff_t>(from));
  order.insert(order.begin() + static_cast<std::ptrdiff_t>(to), static_cast<std::int64_t>(from));
  Index shape;
  for (const auto axis : order) shape.push_back(x.shape[static_cast<std::size_t>(axis)]);
  Array y(shape);
  ForEachIndex(shape, [&](const Index& index) {
    Index at(index.size());
    for (std::size_t i = 0; i < index.size(); ++i)
      at[static_cast<std::size_t>(order[i])] = index[i];
    y[index] = x[at];
  });
  return y;
}

// The kernel of a convolution, or of a dense layer with no spatial axis.
struct Kernel {
  Array weights;
  KernelLayout layout;
  std::int64_t groups = 1;

  bool SpatialFirst() const {
    return layout == KernelLayout::kSpatialInOut || layout == KernelLayout::kSpatialOutIn ||
           layout == KernelLayout::kSpatialInMultiplier;
  }
  Index Spatial() const {
    const auto& s = weights.shape;
    return SpatialFirst() ? Index(s.begin(), s.end() - 2) : Index(s.begin() + 2, s.end());
  }
  // The two axes that are not spatial, in the order in which they stand.
  std::int64_t First() const {
    return weights.shape[SpatialFirst() ? weights.shape.size() - 2 : 0];
  }
  std::int64_t Second() const {
    return weights.shape[SpatialFirst() ? weights.shape.size() - 1 : 1];
  }

  std::int64_t Out() const {
    switch (layout) {
      case KernelLayout::kSpatialInOut:
        return Second();
      case KernelLayout::kSpatialOutIn:
        return First();
      case KernelLayout::kSpatialInMultiplier:
        return First() * Second();
      case KernelLayout::kOutInSpatial:
        return First();
      case KernelLayout::kInOutSpatial:
        return Second() * groups;
    }
    return 0;
  }
  std::int64_t In() const {
    switch (layout) {
      case KernelLayout::kSpatialInOut:
        return First() * groups;
      case KernelLayout::kSpatialOutIn:
        return Second();
      case KernelLayout::kSpatialInMultiplier:
        return First();
      case KernelLayout::kOutInSpatial:
        return Second() * groups;
      case KernelLayout::kInOutSpatial:
        return First();
    }
    return 0;
  }
  // The weight from in channel i to out channel o at spatial position k; 0 where no weight joins
  // them.
  double At(std::int64_t o, std::int64_t i, const Index& k) const {
    const std::int64_t group_of_o = o / (Out() / groups), group_of_i = i / (In() / groups);
    if (group_of_o != group_of_i) return 0;
    switch (layout) {
      case KernelLayout::kSpatialInOut:
        return weights[Joined(k, {i % (In() / groups), o})];
      case KernelLayout::kSpatialOutIn:
        return weights[Joined(k, {o, i})];
      case KernelLayout::kSpatialInMultiplier:
        return o / Second() == i ? weights[Joined(k, {i, o % Second()})] : 0;
      case KernelLayout::kOutInSpatial:
        return weights[Joined({o, i % (In() / groups)}, k)];
      case KernelLayout::kInOutSpatial:
        return weights[Joined({i, o % (Out() / groups)}, k)];
    }
    return 0;
  }
};

enum class Border { kValid, kSame };

struct Window {
  Index output, before;  // size of the output, padding at the start
};
inline Window WindowOf(const Index& spatial, const Index& kernel, const Index& stride,
                       Border border) {
  Window window;
  for (std::size_t d = 0; d < spatial.size(); ++d) {
    if (border == Border::kValid) {
      window.output.push_back((spatial[d] - kernel[d]) / stride[d] + 1);
      window.before.push_back(0);
    } else {
      const std::int64_t out = (spatial[d] + stride[d] - 1) / stride[d];
      const std::int64_t total =
          std::max<std::int64_t>((out - 1) * stride[d] + kernel[d] - spatial[d], 0);
      window.output.push_back(out);
      window.before.push_back(total / 2);
    }
  }
  return window;
}

inline Index SpatialOf(const Array& x) { return Index(x.shape.begin() + 1, x.shape.end() - 1); }

// x is [N, spatial..., C], as in all that follows.
inline Array Conv(const Array& x, const Kernel& kernel, const std::vector<double>& bias,
                  const Index& stride, Border border) {
  const Index spatial = SpatialOf(x);
  const Window window = WindowOf(spatial, kernel.Spatial(), stride, border);
  Array y(Joined(Joined({x.shape[0]}, window.output), {kernel.Out()}));
  ForEachIndex(y.shape, [&](const Index& at) {
    const std::int64_t o = at.back();
    double sum = bias.empty() ? 0 : bias[static_cast<std::size_t>(o)];
    ForEachIndex(kernel.Spatial(), [&](const Index& k) {
      Index from = {at[0]};
      for (std::size_t d = 0; d < spatial.size(); ++d) {
        const std::int64_t p = at[d + 1] * stride[d] + k[d] - window.before[d];
        if (p < 0 || p >= spatial[d]) return;
        from.push_back(p);
      }
      for (std::int64_t i = 0; i < kernel.In(); ++i) {
        sum += kernel.At(o, i, k) * x[Joined(from, {i})];
      }
    });
    y[at] = sum;
  });
  return y;
}

// With `extra` elements added at the end of every spatial axis (output_padding).
inline Array ConvTranspose(const Array& x, const Kernel& kernel, const std::vector<double>& bias,
                           const Index& stride, std::int64_t extra) {
  const Index spatial = SpatialOf(x), size = kernel.Spatial();
  Index output;
  for (std::size_t d = 0; d < spatial.size(); ++d) {
    output.push_back((spatial[d] - 1) * stride[d] + size[d] + extra);
  }
  Array y(Joined(Joined({x.shape[0]}, output), {kernel.Out()}));
  ForEachIndex(y.shape, [&](const Index& at) {
    y[at] = bias.empty() ? 0 : bias[static_cast<std::size_t>(at.back())];
  });
  ForEachIndex(x.shape, [&](const Index& from) {
    ForEachIndex(size, [&](const Index& k) {
      Index to = {from[0]};
      for (std::size_t d = 0; d < size.size(); ++d) to.push_back(from[d + 1] * stride[d] + k[d]);
      for (std::int64_t o = 0; o < kernel.Out(); ++o) {
        y[Joined(to, {o})] += kernel.At(o, from.back(), k) * x[from];
      }
    });
  });
  return y;
}

// On the last axis of x, whatever its rank.
inline Array Dense(const Array& x, const Kernel& kernel, const std::vector<double>& bias) {
  Index shape = x.shape;
  shape.back() = kernel.Out();
  Array y(shape);
  ForEachIndex(shape, [&](const Index& at) {
    double sum = bias.empty() ? 0 : bias[static_cast<std::size_t>(at.back())];
    Index from = at;
    for (std::int64_t i = 0; i < kernel.In(); ++i) {
      from.back() = i;
      sum += kernel.At(at.back(), i, {}) * x[from];
    }
    y[at] = sum;
  });
  return y;
}

inline Array Pool(const Array& x, const Index& size, const Index& stride, Border border,
                  bool maximum) {
  const Index spatial = SpatialOf(x);
  const Window window = WindowOf(spatial, size, stride, border);
  Array y(Joined(Joined({x.shape[0]}, window.output), {x.shape.back()}));
  ForEachIndex(y.shape, [&](const Index& at) {
    std::optional<double> best;
    double sum = 0;
    int count = 0;  // of elements that are not padding
    ForEachIndex(size, [&](const Index& k) {
      Index from = {at[0]};
      for (std::size_t d = 0; d < spatial.size(); ++d) {
        const std::int64_t p = at[d + 1] * stride[d] + k[d] - window.before[d];
        if (p < 0 || p >= spatial[d]) return;
        from.push_back(p);
      }
      from.push_back(at.back());
      best = std::max(best.value_or(x[from]), x[from]);
      sum += x[from];
      ++count;
    });
    y[at] = maximum ? *best : sum / count;
  });
  return y;
}

inline Array ZeroPad(const Array& x, std::int64_t before, std::int64_t after) {
  Index shape = x.shape;
  for (std::size_t d = 1; d + 1 < shape.size(); ++d) shape[d] += before + after;
  Array y(shape);
  ForEachIndex(x.shape, [&](const Index& at) {
    Index to = at;
    for (std::size_t d = 1; d + 1 < to.size(); ++d) to[d] += before;
    y[to] = x[at];
  });
  return y;
}

inline Array Repeat(const Array& x, std::int64_t times) {  // nearest upsampling
  Index shape = x.shape;
  for (std::size_t d = 1; d + 1 < shape.size(); ++d) shape[d] *= times;
  Array y(shape);
  ForEachIndex(shape, [&](const Index& at) {
    Index from = at;
    for (std::size_t d = 1; d + 1 < from.size(); ++d) from[d] /= times;
    y[at] = x[from];
  });
  return y;
}

inline Array Concat(const std::vector<Array>& parts, std::size_t axis) {
  Index shape = parts.front().shape;
  shape[axis] = 0;
  for (const Array& part : parts) shape[axis] += part.shape[axis];
  Array y(shape);
  std::int64_t start = 0;
  for (const Array& part : parts) {
    ForEachIndex(part.shape, [&](const Index& at) {
      Index to = at;
      to[axis] += start;
      y[to] = part[at];
    });
    start += part.shape[axis];
  }
  return y;
}

// gamma * (x - mean) / sqrt(variance + epsilon) + beta along `axis`.
inline Array BatchNormalization(const Array& x, std::size_t axis, const std::vector<double>& gamma,
                                const std::vector<double>& beta, const std::vector<double>& mean,
                                const std::vector<double>& variance, double epsilon) {
  Array y(x.shape);
  ForEachIndex(x.shape, [&](const Index& at) {
    const auto c = static_cast<std::size_t>(at[axis]);
    y[at] = (gamma.empty() ? 1 : gamma.at(c)) * (x[at] - mean.at(c)) /
                std::sqrt(variance.at(c) + epsilon) +
            (beta.empty() ? 0 : beta.at(c));
  });
  return y;
}

}  // namespace ckpt::testing
