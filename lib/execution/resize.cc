// Resizing along each axis in turn: nearest, linear and cubic interpolation.
//
// Sources: the operator documentation of ONNX (Resize); TensorFlow's resize kernels
// (tensorflow/core/util/image_resizer_state.h).
#include <algorithm>
#include <cmath>
#include <optional>
#include <utility>

#include "execution/kernels.h"
#include "execution/strided.h"

namespace ckpt::execution {
namespace {

using network::Resize;

// One axis: sizes before and after, and the scale that places are counted with.
struct AxisResize {
  std::int64_t from = 0, to = 0;
  double scale = 1;
};

// Elements of x and their weights, for one element of y.
struct Taps {
  std::vector<std::int64_t> places;
  std::vector<double> weights;
};

double PlaceIn(const Resize& resize, const AxisResize& axis, std::int64_t i) {
  const double at = static_cast<double>(i), n = static_cast<double>(axis.from),
               m = static_cast<double>(axis.to);
  switch (resize.place) {
    case Resize::Place::kAsymmetric:
      return at / axis.scale;
    case Resize::Place::kHalfPixel:
      return (at + 0.5) / axis.scale - 0.5;
    case Resize::Place::kPytorchHalfPixel:
      return axis.to == 1 ? 0 : (at + 0.5) / axis.scale - 0.5;
    case Resize::Place::kAlignCorners:
      return axis.to == 1 ? 0 : at * (n - 1) / (m - 1);
    case Resize::Place::kHalfPixelSymmetric:
      return n / 2 * (1 - m / (n * axis.scale)) + (at + 0.5) / axis.scale - 0.5;
    case Resize::Place::kHalfPixelNearest:
      return (at + 0.5) / axis.scale;
  }
  return 0;
}

Taps NearestOf(const Resize& resize, double place, std::int64_t size) {
  double rounded = 0;
  switch (resize.rounding) {
    case Resize::Rounding::kFloor:
      rounded = std::floor(place);
      break;
    case Resize::Rounding::kCeil:
      rounded = std::ceil(place);
      break;
    case Resize::Rounding::kHalfDown:
      rounded = std::ceil(place - 0.5);
      break;
    case Resize::Rounding::kHalfUp:
      rounded = std::floor(place + 0.5);
      break;
  }
  const double last = static_cast<double>(size - 1);
  return {{static_cast<std::int64_t>(std::clamp(rounded, 0.0, last))}, {1}};
}

double LinearWeight(double distance) { return std::max(0.0, 1 - std::abs(distance)); }

// Keys' kernel with the coefficient a.
double CubicWeight(double distance, double a) {
  const double x = std::abs(distance);
  if (x < 1) return ((a + 2) * x - (a + 3)) * x * x + 1;
  if (x < 2) return ((a * x - 5 * a) * x + 8 * a) * x - 4 * a;
  return 0;
}

// The kernel, stretched where antialiasing makes it cover what one element of y stands for.
Taps WeightedOf(const Resize& resize, double place, const AxisResize& axis) {
  const bool cubic = resize.mode == Resize::Mode::kCubic;
  const double stretch = resize.antialias ? std::max(1.0, 1 / axis.scale) : 1;
  const double reach = (cubic ? 2 : 1) * stretch;
  Taps taps;
  double sum = 0;
  const double last = static_cast<double>(axis.from - 1);
  // A stretched kernel may reach any distance outside, where it weighs nothing.
  const double begin = std::floor(place - reach) + 1;
  const double first = resize.antialias ? std::max(begin, 0.0) : begin;
  const double end = resize.antialias ? std::min(place + reach, last + 1) : place + reach;
  for (double at = first; at < end; ++at) {
    const double distance = (at - place) / stretch;
    double weight = cubic ? CubicWeight(distance, resize.cubic) : LinearWeight(distance);
    if (resize.exclude_outside && (at < 0 || at > last)) weight = 0;
    taps.places.push_back(static_cast<std::int64_t>(std::clamp(at, 0.0, last)));
    taps.weights.push_back(weight);
    sum += weight;
  }
  if (sum != 0) {
    for (double& weight : taps.weights) weight /= sum;
  }
  return taps;
}

Taps TapsOf(const Resize& resize, const AxisResize& axis, std::int64_t i) {
  const double place = PlaceIn(resize, axis, i);
  if (resize.mode == Resize::Mode::kNearest) return NearestOf(resize, place, axis.from);
  return WeightedOf(resize, place, axis);
}

Array AlongAxis(const Resize& resize, const Array& x, std::size_t at, const AxisResize& axis) {
  Array y{x.shape, {}, x.kind};
  y.shape[at] = axis.to;
  const AxisView view = ViewOf(x.shape, at);
  y.elements.assign(Index(view.outer * axis.to * view.inner), 0.0);
  for (std::int64_t i = 0; i < axis.to; ++i) {
    const Taps taps = TapsOf(resize, axis, i);
    for (std::int64_t outer = 0; outer < view.outer; ++outer) {
      double* target = y.elements.data() + (outer * axis.to + i) * view.inner;
      for (std::size_t tap = 0; tap < taps.places.size(); ++tap) {
        const double* source =
            x.elements.data() + (outer * view.size + taps.places[tap]) * view.inner;
        for (std::int64_t k = 0; k < view.inner; ++k) target[k] += taps.weights[tap] * source[k];
      }
    }
  }
  return y;
}

// The scale of each axis of x that is given as one; nothing where sizes are.
std::optional<double> GivenScale(const Resize& resize, const Call& call, std::size_t i) {
  if (resize.scale_from_sizes) return std::nullopt;
  const Array* operand = call.Given(1);
  if (operand != nullptr) {
    if (operand->kind == network::ElementKind::kInteger || i >= operand->elements.size()) {
      return std::nullopt;
    }
    return operand->elements[i];
  }
  return i < resize.scales.size() ? std::optional(resize.scales[i]) : std::nullopt;
}

}  // namespace

Status Compute(const Resize& resize, const Call& call) {
  const Array& x = call[0];
  const Sizes target = call.result().shape;
  std::optional<Array> made;
  const std::size_t count = resize.axes.empty() ? x.shape.size() : resize.axes.size();
  for (std::size_t i = 0; i < count; ++i) {
    const std::int64_t named = resize.axes.empty() ? static_cast<std::int64_t>(i) : resize.axes[i];
    const std::size_t at = Index(named < 0 ? named + Rank(x) : named);
    AxisResize axis{x.shape[at], target[at], 1};
    if (axis.from == 0 && axis.to > 0) return Contradicts("a resize of nothing");
    const auto scale = GivenScale(resize, call, i);
    axis.scale = scale ? *scale : static_cast<double>(axis.to) / static_cast<double>(axis.from);
    if (!(axis.scale > 0) && axis.to > 0)
      return Contradicts("a resize by a scale that is not positive");
    if (axis.from == axis.to && axis.scale == 1) continue;
    made = AlongAxis(resize, made ? *made : x, at, axis);
  }
  call.result().elements = made ? std::move(made->elements) : x.elements;
  return {};
}

}  // namespace ckpt::execution
