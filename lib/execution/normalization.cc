// Normalisations by statistics of training, of the batch, of an example and of neighbours.
#include <algorithm>
#include <cmath>

#include "ckpt/network/shape_rules.h"
#include "execution/kernels.h"
#include "execution/reduced_axes.h"
#include "execution/spatial_data.h"
#include "execution/strided.h"

namespace ckpt::execution {
namespace {

// The mean and the variance over n of the elements at each place.
struct Moments {
  std::vector<double> mean, variance;
};

// `strides` as for ForEachPlace; `count` elements have each place.
Moments MomentsOf(const Array& x, const Sizes& strides, std::int64_t places, std::int64_t count,
                  bool single) {
  Moments moments{std::vector<double>(Index(places), 0.0), std::vector<double>(Index(places), 0.0)};
  double *mean = moments.mean.data(), *variance = moments.variance.data();
  ForEachPlace(x, strides, [=](std::int64_t place, double element) {
    mean[place] += element;
    if (single) mean[place] = static_cast<float>(mean[place]);
  });
  for (double& sum : moments.mean) sum /= static_cast<double>(count);
  ForEachPlace(x, strides, [=](std::int64_t place, double element) {
    variance[place] += (element - mean[place]) * (element - mean[place]);
    if (single) variance[place] = static_cast<float>(variance[place]);
  });
  for (double& sum : moments.variance) sum /= static_cast<double>(count);
  return moments;
}

Status CheckLength(const Array* vector, std::int64_t channels) {
  if (vector == nullptr || Length(*vector) == channels) return {};
  return Contradicts("a vector of " + std::to_string(Length(*vector)) + " elements for " +
                     std::to_string(channels) + " channels");
}

double ElementOr(const Array* vector, std::size_t i, double neutral) {
  return vector == nullptr ? neutral : vector->elements[i];
}

}  // namespace

Status Compute(const network::BatchNormalization& norm, const Call& call) {
  const Array& x = call[0];
  CKPT_ASSIGN_OR_RETURN(const std::int64_t axis, network::AxisIn(norm.axis, Rank(x)));
  const AxisView view = ViewOf(x.shape, Index(axis));
  for (std::size_t i = 1; i < 5; ++i) CKPT_RETURN_IF_ERROR(CheckLength(call.Given(i), view.size));
  Moments moments;
  if (norm.of_batch) {
    const std::int64_t count = view.outer * view.inner;
    Sizes strides(x.shape.size(), 0);
    strides[Index(axis)] = 1;
    moments = MomentsOf(x, strides, view.size, count, call.single);
  } else if (call.Given(3) == nullptr || call.Given(4) == nullptr) {
    return Fail(ErrorCode::kUnfit, "its mean or its variance is missing");
  } else {
    moments = {call[3].elements, call[4].elements};
  }
  std::vector<double>& scale = moments.variance;  // becomes it
  std::vector<double> shift(scale.size(), 0.0);
  for (std::size_t c = 0; c < scale.size(); ++c) {
    scale[c] = ElementOr(call.Given(1), c, 1) / std::sqrt(scale[c] + norm.epsilon);
    shift[c] = ElementOr(call.Given(2), c, 0);
  }
  const double* source = x.elements.data();
  double* target = call.result().elements.data();
  for (std::int64_t outer = 0; outer < view.outer; ++outer) {
    for (std::size_t c = 0; c < scale.size(); ++c) {
      const double s = scale[c], mean = moments.mean[c], b = shift[c];
      for (std::int64_t i = 0; i < view.inner; ++i) *target++ = (*source++ - mean) * s + b;
    }
  }
  return {};
}

namespace {

// How a scale or an offset of a layer norm is read over x.
Result<Sizes> StridesOver(const Array& vector, const Array& x, const Sizes& listed) {
  Sizes sizes;
  for (const std::int64_t axis : listed) sizes.push_back(x.shape[Index(axis)]);
  if (vector.shape == sizes) {
    const Sizes own = StridesOf(vector.shape);
    Sizes strides(x.shape.size(), 0);
    for (std::size_t i = 0; i < listed.size(); ++i) strides[Index(listed[i])] = own[i];
    return strides;
  }
  const Sizes both[] = {x.shape, vector.shape};
  CKPT_ASSIGN_OR_RETURN(const Sizes shape, network::Broadcast(both));
  if (shape != x.shape) return Contradicts("a scale of more elements than the data");
  return BroadcastStrides(vector.shape, x.shape);
}

}  // namespace

Status Compute(const network::LayerNormalization& norm, const Call& call) {
  const Array& x = call[0];
  Array& y = call.result();
  Sizes listed;
  for (const std::int64_t named : norm.axes) {
    CKPT_ASSIGN_OR_RETURN(const std::int64_t axis, network::AxisIn(named, Rank(x)));
    listed.push_back(axis);
  }
  Sizes sorted = listed;
  std::sort(sorted.begin(), sorted.end());
  sorted.erase(std::unique(sorted.begin(), sorted.end()), sorted.end());
  if (sorted.size() != listed.size()) return Contradicts("an axis is listed twice");
  std::int64_t count = 1;
  for (const std::int64_t axis : sorted) count *= x.shape[Index(axis)];
  if (count == 0 || y.elements.empty()) return {};
  const Sizes strides = StridesWithout(x.shape, sorted);
  Moments moments = MomentsOf(x, strides, Length(x) / count, count, call.single);
  for (std::size_t i = 0; i < moments.mean.size(); ++i) {
    double& mean = moments.mean[i];
    if (norm.root_mean_square) {
      moments.variance[i] += mean * mean;
      mean = 0;
    }
    moments.variance[i] = 1 / std::sqrt(moments.variance[i] + norm.epsilon);
  }
  double* target = y.elements.data();
  ForEachPlace(x, strides, [&](std::int64_t place, double element) {
    *target++ = (element - moments.mean[Index(place)]) * moments.variance[Index(place)];
  });
  for (const std::size_t operand : {std::size_t{1}, std::size_t{2}}) {
    const Array* vector = call.Given(operand);
    if (vector == nullptr) continue;
    CKPT_ASSIGN_OR_RETURN(const Sizes over, StridesOver(*vector, x, listed));
    Counter counter(x.shape);
    for (double& element : y.elements) {
      const double one = vector->elements[Index(OffsetOf(counter.index(), over))];
      element = operand == 1 ? element * one : element + one;
      counter.Next();
    }
  }
  return {};
}

Status Compute(const network::GroupNormalization& norm, const Call& call) {
  const Array& x = call[0];
  if (Rank(x) < 2) return Contradicts("data without channels");
  const SpatialData data = SpatialOf(x.shape, norm.channel_axis);
  const std::int64_t groups = norm.groups == 0 ? data.channels : norm.groups;
  if (groups < 1 || data.channels % groups != 0) {
    return Contradicts(std::to_string(data.channels) + " channels in " + std::to_string(groups) +
                       " groups");
  }
  for (const std::size_t i : {std::size_t{1}, std::size_t{2}}) {
    CKPT_RETURN_IF_ERROR(CheckLength(call.Given(i), data.channels));
  }
  if (x.elements.empty()) return {};
  // As [examples, groups, channels of a group, points], wherever the channels stand.
  const std::int64_t in_group = data.channels / groups;
  const std::int64_t point = data.channel_stride == 1 ? data.channels : 1;
  Array grouped{{data.examples, groups, in_group, data.points},
                std::vector<double>(x.elements.size()),
                x.kind};
  const Sizes strides = {data.example_stride, in_group * data.channel_stride, data.channel_stride,
                         point};
  const Sizes own = StridesOf(grouped.shape);
  CopyStrided(grouped.shape, x.elements.data(), strides, grouped.elements.data(), own);
  const Moments moments = MomentsOf(grouped, StridesWithout(grouped.shape, {2, 3}),
                                    data.examples * groups, in_group * data.points, call.single);
  double* element = grouped.elements.data();
  for (std::int64_t i = 0; i < data.examples * data.channels; ++i) {
    const std::size_t group = Index(i / in_group), channel = Index(i % data.channels);
    const double scale =
        ElementOr(call.Given(1), channel, 1) / std::sqrt(moments.variance[group] + norm.epsilon);
    const double offset = ElementOr(call.Given(2), channel, 0);
    for (std::int64_t k = 0; k < data.points; ++k, ++element) {
      *element = (*element - moments.mean[group]) * scale + offset;
    }
  }
  CopyStrided(grouped.shape, grouped.elements.data(), own, call.result().elements.data(), strides);
  return {};
}

Status Compute(const network::LocalResponseNormalization& norm, const Call& call) {
  const Array& x = call[0];
  CKPT_ASSIGN_OR_RETURN(const std::int64_t axis, network::AxisIn(norm.channel_axis, Rank(x)));
  if (norm.size < 1) return Contradicts("a window of " + std::to_string(norm.size) + " channels");
  const AxisView view = ViewOf(x.shape, Index(axis));
  const std::int64_t size = std::min(norm.size, 2 * view.size + 1);
  const std::int64_t before = std::min((norm.size - 1) / 2, size);
  const std::int64_t after = std::min(norm.size - 1 - (norm.size - 1) / 2, size);
  for (std::int64_t outer = 0; outer < view.outer; ++outer) {
    for (std::int64_t c = 0; c < view.size; ++c) {
      const std::int64_t first = std::max<std::int64_t>(c - before, 0),
                         last = std::min(c + after, view.size - 1);
      for (std::int64_t inner = 0; inner < view.inner; ++inner) {
        const double* line = x.elements.data() + outer * view.size * view.inner + inner;
        double sum = 0;
        for (std::int64_t k = first; k <= last; ++k) {
          sum += line[k * view.inner] * line[k * view.inner];
          if (call.single) sum = static_cast<float>(sum);
        }
        call.result().elements[Index((outer * view.size + c) * view.inner + inner)] =
            line[c * view.inner] / std::pow(norm.bias + norm.alpha * sum, norm.beta);
      }
    }
  }
  return {};
}

}  // namespace ckpt::execution
