#include <algorithm>
#include <cmath>
#include <limits>

#include "ckpt/network/shape_rules.h"
#include "execution/kernels.h"
#include "execution/strided.h"

namespace ckpt::execution {
namespace {

using network::Reduction;
using Kind = Reduction::Kind;

double Start(Kind kind) {
  switch (kind) {
    case Kind::kMaximum:
    case Kind::kLogSumExp:
      return -std::numeric_limits<double>::infinity();
    case Kind::kMinimum:
      return std::numeric_limits<double>::infinity();
    case Kind::kProduct:
    case Kind::kAll:
      return 1;
    default:
      return 0;
  }
}

double Next(Kind kind, double sum, double x) {
  switch (kind) {
    case Kind::kMaximum:
      return x > sum || std::isnan(x) ? x : sum;
    case Kind::kMinimum:
      return x < sum || std::isnan(x) ? x : sum;
    case Kind::kProduct:
      return sum * x;
    case Kind::kNorm1:
      return sum + std::abs(x);
    case Kind::kNorm2:
    case Kind::kSumOfSquares:
      return sum + x * x;
    case Kind::kAll:
      return sum != 0 && x != 0;
    case Kind::kAny:
      return sum != 0 || x != 0;
    case Kind::kLogSumExp: {
      const double largest = std::max(sum, x);
      if (std::isinf(largest)) return largest;
      return largest + std::log(std::exp(sum - largest) + std::exp(x - largest));
    }
    default:
      return sum + x;
  }
}

double End(Kind kind, double sum, double count) {
  if (kind == Kind::kMean) return sum / count;
  if (kind == Kind::kNorm2) return std::sqrt(sum);
  if (kind == Kind::kLogSum) return std::log(sum);
  return sum;
}

Result<Sizes> AxesOf(const Reduction& reduction, const Call& call) {
  network::Axes axes = reduction.axes;
  if (const Array* given = call.Given(1)) {
    axes = {};
    for (const double axis : given->elements)
      axes.listed.push_back(static_cast<std::int64_t>(axis));
  }
  if (axes.which == network::Axes::Which::kListed && axes.listed.empty()) {
    if (reduction.none_is_identity) return Sizes{};
    axes.which = network::Axes::Which::kAll;
  }
  return network::AxesIn(axes, Rank(call[0]));
}

}  // namespace

Status Compute(const Reduction& reduction, const Call& call) {
  const Array& x = call[0];
  CKPT_ASSIGN_OR_RETURN(const Sizes axes, AxesOf(reduction, call));
  Sizes kept = x.shape;
  double count = 1;
  for (const std::int64_t axis : axes) {
    count *= static_cast<double>(x.shape[Index(axis)]);
    kept[Index(axis)] = 1;
  }
  const Sizes strides = BroadcastStrides(kept, x.shape);
  std::vector<double>& y = call.result().elements;
  const auto over = [&](auto take) {
    Counter counter(x.shape);
    for (const double element : x.elements) {
      take(Index(OffsetOf(counter.index(), strides)), element);
      counter.Next();
    }
  };
  if (reduction.kind == Kind::kVariance) {
    std::vector<double> mean(y.size(), 0.0);
    over([&](std::size_t at, double element) { mean[at] += element / count; });
    over([&](std::size_t at, double element) {
      y[at] += (element - mean[at]) * (element - mean[at]) / count;
    });
    return {};
  }
  std::fill(y.begin(), y.end(), Start(reduction.kind));
  over([&](std::size_t at, double element) {
    y[at] = Next(reduction.kind, y[at], element);
    if (call.single) y[at] = static_cast<float>(y[at]);
  });
  for (double& element : y) element = End(reduction.kind, element, count);
  return {};
}

Status Compute(const network::ArgExtreme& extreme, const Call& call) {
  const Array& x = call[0];
  const std::size_t axis = Index(extreme.axis < 0 ? extreme.axis + Rank(x) : extreme.axis);
  const AxisView view = ViewOf(x.shape, axis);
  if (view.size == 0) return Contradicts("the extreme of nothing");
  for (std::int64_t o = 0; o < view.outer; ++o) {
    for (std::int64_t i = 0; i < view.inner; ++i) {
      std::int64_t best = 0;
      const double* row = x.elements.data() + o * view.size * view.inner + i;
      for (std::int64_t k = 1; k < view.size; ++k) {
        const double mine = row[k * view.inner], other = row[best * view.inner];
        const bool better = extreme.largest ? mine > other : mine < other;
        if (better || (extreme.last && mine == other)) best = k;
      }
      call.result().elements[Index(o * view.inner + i)] = static_cast<double>(best);
    }
  }
  return {};
}

Status Compute(const network::Softmax& softmax, const Call& call) {
  const Array& x = call[0];
  const std::size_t axis = Index(softmax.axis < 0 ? softmax.axis + Rank(x) : softmax.axis);
  AxisView view = ViewOf(x.shape, axis);
  if (softmax.merged) {
    view.size *= view.inner;
    view.inner = 1;
  }
  for (std::int64_t o = 0; o < view.outer; ++o) {
    for (std::int64_t i = 0; i < view.inner; ++i) {
      const std::int64_t row = o * view.size * view.inner + i;
      double largest = -std::numeric_limits<double>::infinity(), sum = 0;
      for (std::int64_t k = 0; k < view.size; ++k) {
        largest = std::max(largest, x.elements[Index(row + k * view.inner)]);
      }
      for (std::int64_t k = 0; k < view.size; ++k) {
        sum += std::exp(x.elements[Index(row + k * view.inner)] - largest);
      }
      for (std::int64_t k = 0; k < view.size; ++k) {
        const std::size_t at = Index(row + k * view.inner);
        const double moved = x.elements[at] - largest;
        call.result().elements[at] = softmax.log ? moved - std::log(sum) : std::exp(moved) / sum;
      }
    }
  }
  return {};
}

Status Compute(const network::CumulativeSum& cumulative, const Call& call) {
  const Array& x = call[0];
  const std::size_t axis = Index(cumulative.axis < 0 ? cumulative.axis + Rank(x) : cumulative.axis);
  const AxisView view = ViewOf(x.shape, axis);
  for (std::int64_t o = 0; o < view.outer; ++o) {
    for (std::int64_t i = 0; i < view.inner; ++i) {
      double sum = 0;
      for (std::int64_t k = 0; k < view.size; ++k) {
        const std::int64_t step = cumulative.backward ? view.size - 1 - k : k;
        const std::size_t at = Index((o * view.size + step) * view.inner + i);
        if (cumulative.exclusive) call.result().elements[at] = sum;
        sum += x.elements[at];
        if (!cumulative.exclusive) call.result().elements[at] = sum;
      }
    }
  }
  return {};
}

}  // namespace ckpt::execution
