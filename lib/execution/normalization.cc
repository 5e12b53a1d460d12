#include <algorithm>
#include <cmath>

#include "ckpt/network/shape_rules.h"
#include "execution/kernels.h"
#include "execution/strided.h"

namespace ckpt::execution {
namespace {

Status CheckVectors(const Call& call, std::size_t first, std::size_t last, std::int64_t channels) {
  for (std::size_t i = first; i <= last; ++i) {
    if (call.Given(i) != nullptr && Length(call[i]) != channels) {
      return Contradicts("a vector of " + std::to_string(Length(call[i])) + " for " +
                         std::to_string(channels) + " channels");
    }
  }
  return {};
}

struct Moments {
  double mean = 0, variance = 0;
};

// Of the elements that `each` hands to what it is given, in two passes.
template <class Each>
Moments MomentsOf(std::int64_t count, Each each) {
  Moments moments;
  each([&](double x) { moments.mean += x; });
  moments.mean /= static_cast<double>(count);
  each([&](double x) { moments.variance += (x - moments.mean) * (x - moments.mean); });
  moments.variance /= static_cast<double>(count);
  return moments;
}

double At(const Array* vector, std::int64_t channel, double neutral) {
  return vector == nullptr ? neutral : vector->elements[Index(channel)];
}

}  // namespace

Status Compute(const network::BatchNormalization& norm, const Call& call) {
  const Array& x = call[0];
  const std::size_t axis = Index(norm.axis < 0 ? norm.axis + Rank(x) : norm.axis);
  const AxisView view = ViewOf(x.shape, axis);
  CKPT_RETURN_IF_ERROR(CheckVectors(call, 1, 4, view.size));
  if (!norm.of_batch && (call.Given(3) == nullptr || call.Given(4) == nullptr)) {
    return Contradicts("a batch norm without statistics");
  }
  for (std::int64_t c = 0; c < view.size; ++c) {
    Moments moments{At(call.Given(3), c, 0), At(call.Given(4), c, 1)};
    if (norm.of_batch) {
      moments = MomentsOf(view.outer * view.inner, [&](auto take) {
        for (std::int64_t o = 0; o < view.outer; ++o) {
          const double* row = x.elements.data() + (o * view.size + c) * view.inner;
          for (std::int64_t i = 0; i < view.inner; ++i) take(row[i]);
        }
      });
    }
    const double deviation = std::sqrt(moments.variance + norm.epsilon);
    const double gamma = At(call.Given(1), c, 1), beta = At(call.Given(2), c, 0);
    for (std::int64_t o = 0; o < view.outer; ++o) {
      const std::int64_t row = (o * view.size + c) * view.inner;
      for (std::int64_t i = row; i < row + view.inner; ++i) {
        call.result().elements[Index(i)] =
            gamma * ((x.elements[Index(i)] - moments.mean) / deviation) + beta;
      }
    }
  }
  return {};
}

namespace {

// The strides with which a scale or an offset of a layer norm is read along all axes of x.
Result<Sizes> StridesOfVector(const Array* vector, const Sizes& shape, const Sizes& axes) {
  if (vector == nullptr) return Sizes(shape.size(), 0);
  Sizes listed;
  for (const std::int64_t axis : axes) listed.push_back(shape[Index(axis)]);
  Sizes strides(shape.size(), 0);
  if (vector->shape == listed) {
    const Sizes own = StridesOf(listed);
    for (std::size_t i = 0; i < axes.size(); ++i) strides[Index(axes[i])] = own[i];
    return strides;
  }
  // As it broadcasts.
  const Sizes both[] = {shape, vector->shape};
  CKPT_ASSIGN_OR_RETURN(const Sizes joint, network::Broadcast(both));
  if (joint != shape) return Contradicts("a scale or offset that is larger than the data");
  return BroadcastStrides(vector->shape, shape);
}

}  // namespace

Status Compute(const network::LayerNormalization& norm, const Call& call) {
  const Array& x = call[0];
  CKPT_ASSIGN_OR_RETURN(const Sizes axes,
                        network::AxesIn({network::Axes::Which::kListed, norm.axes}, Rank(x)));
  CKPT_ASSIGN_OR_RETURN(const Sizes scale, StridesOfVector(call.Given(1), x.shape, axes));
  CKPT_ASSIGN_OR_RETURN(const Sizes offset, StridesOfVector(call.Given(2), x.shape, axes));
  Sizes outer = x.shape, inner(x.shape.size(), 1);
  for (const std::int64_t axis : axes) {
    inner[Index(axis)] = x.shape[Index(axis)];
    outer[Index(axis)] = 1;
  }
  if (x.elements.empty()) return {};
  const Sizes strides = StridesOf(x.shape);
  const std::int64_t count = CountOf(inner);
  Counter rows(outer);
  do {
    const std::int64_t base = OffsetOf(rows.index(), strides);
    const auto each = [&](auto take) {
      Counter within(inner);
      do take(x.elements[Index(base + OffsetOf(within.index(), strides))]);
      while (within.Next());
    };
    Moments moments;
    if (norm.root_mean_square) {
      each([&](double element) { moments.variance += element * element; });
      moments.variance /= static_cast<double>(count);
    } else {
      moments = MomentsOf(count, each);
    }
    const double deviation = std::sqrt(moments.variance + norm.epsilon);
    Counter within(inner);
    do {
      const std::int64_t at = base + OffsetOf(within.index(), strides);
      const std::int64_t of_scale = OffsetOf(rows.index(), scale) + OffsetOf(within.index(), scale);
      const std::int64_t of_offset =
          OffsetOf(rows.index(), offset) + OffsetOf(within.index(), offset);
      call.result().elements[Index(at)] =
          (x.elements[Index(at)] - moments.mean) / deviation * At(call.Given(1), of_scale, 1) +
          At(call.Given(2), of_offset, 0);
    } while (within.Next());
  } while (rows.Next());
  return {};
}

Status Compute(const network::GroupNormalization& norm, const Call& call) {
  const Array& x = call[0];
  const std::size_t axis =
      Index(norm.channel_axis < 0 ? norm.channel_axis + Rank(x) : norm.channel_axis);
  if (axis == 0) return Contradicts("channels that are the examples");
  const std::int64_t channels = x.shape[axis];
  const std::int64_t groups = norm.groups == 0 ? channels : norm.groups;
  CKPT_RETURN_IF_ERROR(CheckVectors(call, 1, 2, channels));
  if (groups < 1 || channels % groups != 0) {
    return Contradicts(std::to_string(channels) + " channels in " + std::to_string(groups) +
                       " groups");
  }
  const std::int64_t width = channels / groups;
  // Of one example: [before the channels, channels, behind them].
  const AxisView view = ViewOf(x.shape, axis);
  const std::int64_t outer = x.shape[0] == 0 ? 0 : view.outer / x.shape[0];
  for (std::int64_t example = 0; example < x.shape[0]; ++example) {
    for (std::int64_t group = 0; group < groups; ++group) {
      const auto places = [&](auto take) {
        for (std::int64_t o = 0; o < outer; ++o) {
          for (std::int64_t c = group * width; c < (group + 1) * width; ++c) {
            const std::int64_t row = ((example * outer + o) * channels + c) * view.inner;
            for (std::int64_t i = row; i < row + view.inner; ++i) take(Index(i), c);
          }
        }
      };
      const Moments moments = MomentsOf(outer * width * view.inner, [&](auto take) {
        places([&](std::size_t i, std::int64_t) { take(x.elements[i]); });
      });
      const double deviation = std::sqrt(moments.variance + norm.epsilon);
      places([&](std::size_t i, std::int64_t c) {
        call.result().elements[i] =
            (x.elements[i] - moments.mean) / deviation * At(call.Given(1), c, 1) +
            At(call.Given(2), c, 0);
      });
    }
  }
  return {};
}

Status Compute(const network::LocalResponseNormalization& norm, const Call& call) {
  const Array& x = call[0];
  const std::size_t axis =
      Index(norm.channel_axis < 0 ? norm.channel_axis + Rank(x) : norm.channel_axis);
  const AxisView view = ViewOf(x.shape, axis);
  if (norm.size < 1) return Contradicts("a window of no channels");
  const std::int64_t before = (norm.size - 1) / 2, after = norm.size - 1 - before;
  for (std::int64_t o = 0; o < view.outer; ++o) {
    for (std::int64_t c = 0; c < view.size; ++c) {
      const std::int64_t first = std::max<std::int64_t>(c - before, 0);
      const std::int64_t last = std::min(c + after, view.size - 1);
      for (std::int64_t i = 0; i < view.inner; ++i) {
        double squares = 0;
        for (std::int64_t k = first; k <= last; ++k) {
          const double element = x.elements[Index((o * view.size + k) * view.inner + i)];
          squares += element * element;
        }
        const std::size_t at = Index((o * view.size + c) * view.inner + i);
        call.result().elements[at] =
            x.elements[at] / std::pow(norm.bias + norm.alpha * squares, norm.beta);
      }
    }
  }
  return {};
}

}  // namespace ckpt::execution
