#include "trend/norm_step.h"

#include <algorithm>
#include <cmath>

#include "audit/initial_weight.h"
#include "audit/same_tensor.h"

namespace ckpt::trend {
namespace {

using audit::Change;
using audit::LayerValues;

std::uint64_t NonFiniteOf(const LayerValues& values) {
  std::uint64_t count = 0;
  for (const auto* vector : {&values.gamma, &values.beta, &values.mean, &values.spread}) {
    if (!*vector) continue;
    count += static_cast<std::uint64_t>(std::count_if(
        (*vector)->begin(), (*vector)->end(), [](double value) { return !std::isfinite(value); }));
  }
  return count;
}

// sqrt(mean over channels of ((now - then) / sigma of then)^2), of channels where that is finite.
std::optional<double> MeanShift(SpreadKind kind, double epsilon, const LayerValues& now,
                                const LayerValues& then) {
  double sum = 0;
  std::size_t counted = 0;
  const std::size_t channels = std::min({now.mean->size(), then.mean->size(), then.spread->size()});
  for (std::size_t c = 0; c < channels; ++c) {
    const double sigma = audit::Denominator(kind, (*then.spread)[c], epsilon);
    const double shift = ((*now.mean)[c] - (*then.mean)[c]) / sigma;
    if (!(sigma > 0) || !std::isfinite(shift)) continue;
    sum += shift * shift;
    ++counted;
  }
  if (counted == 0) return std::nullopt;
  return std::sqrt(sum / static_cast<double>(counted));
}

// exp(mean over channels of log(now / then)), of channels where both are above 0.
std::optional<double> VarianceRatio(SpreadKind kind, const LayerValues& now,
                                    const LayerValues& then) {
  double sum = 0;
  std::size_t counted = 0;
  for (std::size_t c = 0; c < std::min(now.spread->size(), then.spread->size()); ++c) {
    const double logarithm = std::log((*now.spread)[c]) - std::log((*then.spread)[c]);
    if (!std::isfinite(logarithm)) continue;
    sum += logarithm;
    ++counted;
  }
  if (counted == 0) return std::nullopt;
  const double powers = kind == SpreadKind::kVariance ? 1 : 2;
  return std::exp(powers * sum / static_cast<double>(counted));
}

Movement MovementOf(Change change) {
  if (change == Change::kUnknown) return Movement::kUnknown;
  return change == Change::kSame ? Movement::kSame : Movement::kMoved;
}

Movement WeightsOf(const BatchNorm& layer, audit::CheckpointChange& change) {
  if (layer.gamma || layer.beta) return MovementOf(change.OfAffine(layer));
  return change.AnyWeightMoved() ? Movement::kMoved : Movement::kSame;
}

}  // namespace

NormAtStep StepOf(const audit::Subject& subject, std::size_t layer,
                  audit::CheckpointChange* change) {
  const BatchNorm& norm = subject.layers()[layer];
  const LayerValues& now = subject.values[layer];
  NormAtStep step;
  step.non_finite = NonFiniteOf(now);
  if (!now.mean || !now.spread) return step;
  step.present = true;
  step.initial = audit::StatisticsInitial(now);
  step.initial_share = step.initial ? std::optional(1.0) : audit::InitialShare(subject, layer);
  if (change == nullptr) return step;
  const LayerValues then = change->OlderStatistics(norm);
  if (!then.mean || !then.spread) return step;
  step.statistics =
      audit::SameValues(*now.mean, *then.mean) && audit::SameValues(*now.spread, *then.spread)
          ? Movement::kSame
          : Movement::kMoved;
  step.weights = WeightsOf(norm, *change);
  if (step.weights == Movement::kSame) step.kernels = MovementOf(change->OfKernels(norm));
  if (step.statistics == Movement::kMoved && step.kernels == Movement::kSame) {
    step.model_moved = change->AnyWeightMoved();
  }
  step.mean_shift = MeanShift(norm.spread, norm.epsilon ? norm.epsilon->value : 0, now, then);
  step.variance_ratio = VarianceRatio(norm.spread, now, then);
  return step;
}

}  // namespace ckpt::trend
