// Reductions over axes, and what runs along one axis.
#include <algorithm>
#include <cmath>
#include <limits>

#include "ckpt/network/shape_rules.h"
#include "execution/kernels.h"
#include "execution/reduced_axes.h"
#include "execution/strided.h"

namespace ckpt::execution {

Sizes StridesWithout(const Sizes& shape, const Sizes& axes) {
  Sizes kept = shape;
  for (const std::int64_t axis : axes) kept[Index(axis)] = 1;
  Sizes strides = StridesOf(kept);
  for (const std::int64_t axis : axes) strides[Index(axis)] = 0;
  return strides;
}

namespace {

using network::Reduction;
using Kind = Reduction::Kind;

constexpr double kInfinity = std::numeric_limits<double>::infinity();

double NeutralOf(Kind kind) {
  switch (kind) {
    case Kind::kMaximum:
      return -kInfinity;
    case Kind::kMinimum:
      return kInfinity;
    case Kind::kProduct:
    case Kind::kAll:
      return 1;
    default:
      return 0;
  }
}

struct Reducing {
  const Array& x;
  Sizes strides;
  std::vector<double>& y;
  std::int64_t count = 1;  // elements that become one
  bool single = false;
};

// y[place] = f(y[place], x) over all elements.
template <class Function>
void Fold(const Reducing& r, Function function) {
  double* y = r.y.data();
  if (r.single) {
    ForEachPlace(r.x, r.strides, [=](std::int64_t place, double x) {
      y[place] = static_cast<float>(function(y[place], x));
    });
  } else {
    ForEachPlace(r.x, r.strides,
                 [=](std::int64_t place, double x) { y[place] = function(y[place], x); });
  }
}

template <class Function>
void Finish(const Reducing& r, Function function) {
  for (double& y : r.y) y = function(y);
}

void Mean(const Reducing& r) {
  Fold(r, [](double y, double x) { return y + x; });
  const double count = static_cast<double>(r.count);
  Finish(r, [=](double y) { return y / count; });
}

void Variance(const Reducing& r) {
  Mean(r);
  const std::vector<double> means = r.y;
  std::fill(r.y.begin(), r.y.end(), 0.0);
  double* y = r.y.data();
  const double* mean = means.data();
  ForEachPlace(r.x, r.strides, [=](std::int64_t place, double x) {
    y[place] += (x - mean[place]) * (x - mean[place]);
  });
  const double count = static_cast<double>(r.count);
  Finish(r, [=](double sum) { return sum / count; });
}

void Maximum(const Reducing& r) {
  Fold(r, [](double y, double x) { return x > y || std::isnan(x) ? x : y; });
}

void LogSumExp(const Reducing& r) {
  std::fill(r.y.begin(), r.y.end(), -kInfinity);
  Maximum(r);
  const std::vector<double> largest = r.y;
  std::fill(r.y.begin(), r.y.end(), 0.0);
  double* y = r.y.data();
  const double* shift = largest.data();
  ForEachPlace(r.x, r.strides, [=](std::int64_t place, double x) {
    y[place] += std::isinf(shift[place]) ? (x == shift[place] ? 1 : 0) : std::exp(x - shift[place]);
  });
  for (std::size_t i = 0; i < r.y.size(); ++i) r.y[i] = std::log(r.y[i]) + largest[i];
}

void Reduce(Kind kind, const Reducing& r) {
  std::fill(r.y.begin(), r.y.end(), NeutralOf(kind));
  switch (kind) {
    case Kind::kMean:
      return Mean(r);
    case Kind::kSum:
      return Fold(r, [](double y, double x) { return y + x; });
    case Kind::kMaximum:
      return Maximum(r);
    case Kind::kMinimum:
      return Fold(r, [](double y, double x) { return x < y || std::isnan(x) ? x : y; });
    case Kind::kProduct:
      return Fold(r, [](double y, double x) { return y * x; });
    case Kind::kNorm1:
      return Fold(r, [](double y, double x) { return y + std::abs(x); });
    case Kind::kNorm2:
      Fold(r, [](double y, double x) { return y + x * x; });
      return Finish(r, [](double y) { return std::sqrt(y); });
    case Kind::kSumOfSquares:
      return Fold(r, [](double y, double x) { return y + x * x; });
    case Kind::kLogSum:
      Fold(r, [](double y, double x) { return y + x; });
      return Finish(r, [](double y) { return std::log(y); });
    case Kind::kLogSumExp:
      return LogSumExp(r);
    case Kind::kVariance:
      return Variance(r);
    case Kind::kAll:
      return Fold(r, [](double y, double x) { return y != 0 && x != 0 ? 1 : 0; });
    case Kind::kAny:
      return Fold(r, [](double y, double x) { return y != 0 || x != 0 ? 1 : 0; });
  }
}

}  // namespace

Status Compute(const Reduction& reduction, const Call& call) {
  const Array& x = call[0];
  network::Axes axes = reduction.axes;
  if (const Array* given = call.Given(1)) {
    axes = {network::Axes::Which::kListed, IntegersOf(*given)};
  }
  const bool none = axes.which == network::Axes::Which::kListed && axes.listed.empty();
  if (none && reduction.none_is_identity) {
    call.result().elements = x.elements;
    return {};
  }
  if (none) axes.which = network::Axes::Which::kAll;
  CKPT_ASSIGN_OR_RETURN(const Sizes listed, network::AxesIn(axes, Rank(x)));
  Reducing reducing{x, StridesWithout(x.shape, listed), call.result().elements, 1, call.single};
  for (const std::int64_t axis : listed) reducing.count *= x.shape[Index(axis)];
  Reduce(reduction.kind, reducing);
  return {};
}

Status Compute(const network::ArgExtreme& extreme, const Call& call) {
  const Array& x = call[0];
  CKPT_ASSIGN_OR_RETURN(const std::int64_t axis, network::AxisIn(extreme.axis, Rank(x)));
  const AxisView view = ViewOf(x.shape, Index(axis));
  if (view.size == 0) return Contradicts("the place of the largest of no elements");
  for (std::int64_t outer = 0; outer < view.outer; ++outer) {
    for (std::int64_t inner = 0; inner < view.inner; ++inner) {
      const double* elements = x.elements.data() + outer * view.size * view.inner + inner;
      std::int64_t best = 0;
      for (std::int64_t i = 1; i < view.size; ++i) {
        const double one = elements[i * view.inner], other = elements[best * view.inner];
        const bool better = extreme.largest ? one > other : one < other;
        if (better || (extreme.last && one == other)) best = i;
      }
      call.result().elements[Index(outer * view.inner + inner)] = static_cast<double>(best);
    }
  }
  return {};
}

namespace {

// Along one line of `count` elements, `step` apart.
void SoftmaxLine(const double* x, double* y, std::int64_t count, std::int64_t step, bool log) {
  double largest = -kInfinity, sum = 0;
  for (std::int64_t i = 0; i < count; ++i) largest = std::max(largest, x[i * step]);
  for (std::int64_t i = 0; i < count; ++i) {
    y[i * step] = x[i * step] - largest;
    sum += std::exp(y[i * step]);
  }
  const double log_sum = std::log(sum);
  for (std::int64_t i = 0; i < count; ++i) {
    y[i * step] = log ? y[i * step] - log_sum : std::exp(y[i * step]) / sum;
  }
}

}  // namespace

Status Compute(const network::Softmax& softmax, const Call& call) {
  const Array& x = call[0];
  CKPT_ASSIGN_OR_RETURN(const std::int64_t axis, network::AxisIn(softmax.axis, Rank(x)));
  AxisView view = ViewOf(x.shape, Index(axis));
  if (softmax.merged) {
    view.size *= view.inner;
    view.inner = 1;
  }
  for (std::int64_t outer = 0; outer < view.outer; ++outer) {
    for (std::int64_t inner = 0; inner < view.inner; ++inner) {
      const std::int64_t at = outer * view.size * view.inner + inner;
      SoftmaxLine(x.elements.data() + at, call.result().elements.data() + at, view.size, view.inner,
                  softmax.log);
    }
  }
  return {};
}

Status Compute(const network::CumulativeSum& cumulative, const Call& call) {
  const Array& x = call[0];
  CKPT_ASSIGN_OR_RETURN(const std::int64_t axis, network::AxisIn(cumulative.axis, Rank(x)));
  const AxisView view = ViewOf(x.shape, Index(axis));
  for (std::int64_t outer = 0; outer < view.outer; ++outer) {
    for (std::int64_t inner = 0; inner < view.inner; ++inner) {
      const std::int64_t at = outer * view.size * view.inner + inner;
      double sum = 0;
      for (std::int64_t i = 0; i < view.size; ++i) {
        const std::int64_t place = cumulative.backward ? view.size - 1 - i : i;
        const std::size_t element = Index(at + place * view.inner);
        const double before = sum;
        sum += x.elements[element];
        if (call.single) sum = static_cast<float>(sum);
        call.result().elements[element] = cumulative.exclusive ? before : sum;
      }
    }
  }
  return {};
}

}  // namespace ckpt::execution
