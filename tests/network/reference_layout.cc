// Padding, resizing, gathering: where the elements of a result stand in the data.
#include <algorithm>
#include <cmath>
#include <numeric>

#include "tests/network/reference_operations.h"

namespace ckpt::network::reference {
namespace {

// Where element `at` of an axis of `size` elements is taken from, `at` lying around it; -1: from
// nowhere.
std::int64_t Around(std::int64_t at, std::int64_t size, Pad::Mode mode) {
  if (at >= 0 && at < size) return at;
  switch (mode) {
    case Pad::Mode::kConstant:
      return -1;
    case Pad::Mode::kReflect:
      return at < 0 ? -at : 2 * (size - 1) - at;
    case Pad::Mode::kSymmetric:
      return at < 0 ? -1 - at : 2 * size - 1 - at;
    case Pad::Mode::kEdge:
      return at < 0 ? 0 : size - 1;
    case Pad::Mode::kWrap:
      return at < 0 ? at + size : at - size;
  }
  return -1;
}

// One axis of a resize by nearest or linear weights, without antialiasing.
Array ResizedAlong(const Resize& c, const Array& x, std::size_t axis, std::int64_t to,
                   double scale) {
  Sizes shape = x.shape;
  shape[axis] = to;
  const auto n = static_cast<double>(x.shape[axis]), m = static_cast<double>(to);
  return Filled(shape, [&](Sizes at) {
    const auto i = static_cast<double>(at[axis]);
    double place = (i + 0.5) / scale - 0.5;
    if (c.place == Resize::Place::kAsymmetric) place = i / scale;
    if (c.place == Resize::Place::kAlignCorners) place = m == 1 ? 0 : i * (n - 1) / (m - 1);
    if (c.place == Resize::Place::kHalfPixelNearest) place = (i + 0.5) / scale;
    const auto element = [&](double k) {
      at[axis] = static_cast<std::int64_t>(std::clamp(k, 0.0, n - 1));
      return At(x, at);
    };
    const double low = std::floor(place), t = place - low;
    switch (c.mode) {
      case Resize::Mode::kNearest:
        switch (c.rounding) {
          case Resize::Rounding::kFloor:
            return element(low);
          case Resize::Rounding::kCeil:
            return element(std::ceil(place));
          case Resize::Rounding::kHalfDown:
            return element(t > 0.5 ? low + 1 : low);
          case Resize::Rounding::kHalfUp:
            return element(t >= 0.5 ? low + 1 : low);
        }
        break;
      case Resize::Mode::kLinear:
        return (1 - t) * element(low) + t * element(low + 1);
      case Resize::Mode::kCubic:
        break;
    }
    // Keys: the weights at distances 1 + t, t, 1 - t, 2 - t.
    const double a = c.cubic;
    const auto near = [&](double d) { return (a + 2) * d * d * d - (a + 3) * d * d + 1; };
    const auto far = [&](double d) { return a * d * d * d - 5 * a * d * d + 8 * a * d - 4 * a; };
    return far(1 + t) * element(low - 1) + near(t) * element(low) + near(1 - t) * element(low + 1) +
           far(2 - t) * element(low + 2);
  });
}

}  // namespace

Array Padded(const Pad& c, const Operands& x) {
  const Array& data = *x[0];
  Sizes before = c.before, after = c.after;
  if (Given(x, 1) != nullptr) {
    const Sizes all = IntegersOf(*x[1]);
    const auto middle = all.begin() + static_cast<std::ptrdiff_t>(all.size() / 2);
    before.assign(all.begin(), middle);
    after.assign(middle, all.end());
  }
  const double value = Given(x, 2) != nullptr ? x[2]->elements[0] : c.value;
  const Sizes axes = Integers(x, 3, c.axes);
  Sizes shape = data.shape, start(shape.size(), 0);
  for (std::size_t i = 0; i < before.size(); ++i) {
    const std::size_t axis = axes.empty() ? i : Front(axes[i], shape.size());
    shape[axis] += before[i] + after[i];
    start[axis] = before[i];
  }
  return Filled(shape, [&](Sizes at) {
    for (std::size_t i = 0; i < at.size(); ++i) {
      at[i] = Around(at[i] - start[i], data.shape[i], c.mode);
      if (at[i] < 0) return value;
    }
    return At(data, at);
  });
}

Array Resized(const Resize& c, const Operands& x) {
  Array y = *x[0];
  Sizes axes = c.axes;
  if (axes.empty()) {
    axes.resize(y.shape.size());
    std::iota(axes.begin(), axes.end(), 0);
  }
  const bool operand = Given(x, 1) != nullptr,
             integers = operand && x[1]->kind == ElementKind::kInteger;
  const Sizes sizes = operand ? (integers ? IntegersOf(*x[1]) : Sizes{}) : c.sizes;
  const std::vector<double> scales = operand ? x[1]->elements : c.scales;
  for (std::size_t i = 0; i < axes.size(); ++i) {
    const std::size_t axis = Front(axes[i], y.shape.size());
    const auto from = static_cast<double>(y.shape[axis]);
    const bool by_size = !sizes.empty();
    const std::int64_t to =
        by_size ? sizes[i] : static_cast<std::int64_t>(std::floor(from * scales[i]));
    const double scale = by_size || c.scale_from_sizes ? static_cast<double>(to) / from : scales[i];
    y = ResizedAlong(c, y, axis, to, scale);
  }
  return y;
}

}  // namespace ckpt::network::reference
