#include "audit/initial_weight.h"

#include <algorithm>
#include <cmath>
#include <utility>

namespace ckpt::audit {
namespace {

std::optional<InitialWeight> WeightOf(const Subject& subject, std::size_t i) {
  const BatchNorm& layer = subject.layers()[i];
  const LayerValues& values = subject.values[i];
  if (layer.cumulative || !layer.momentum || !values.mean || !values.spread ||
      StatisticsInitial(values)) {
    return std::nullopt;
  }
  // Averaged weights get statistics of their own by a cumulative average (update_bn), whose count
  // is no exponent of a decay.
  const bool is_default = layer.momentum->evidence.source == EvidenceSource::kDefault;
  if (subject.analysis.averaged && is_default) return std::nullopt;
  const double decay = layer.momentum->value;
  if (!(decay > 0 && decay < 1) || FullyDebiased(subject, layer)) return std::nullopt;
  std::optional<UpdateCount> count = UpdatesOf(subject, layer);
  if (!count) return std::nullopt;
  const double weight = std::pow(decay, count->updates);
  return InitialWeight{weight, *std::move(count), *layer.momentum};
}

// An average that starts at 1 and takes in nothing negative is never below the weight of that 1.
// A smaller variance proves that there were more updates than the counter says: statistics that
// came from another run, as in fine-tuning.
bool Refuted(const LayerValues& values, double weight) {
  return std::any_of(values.spread->begin(), values.spread->end(),
                     [&](double variance) { return variance < weight * (1 - 1e-3); });
}

}  // namespace

std::optional<double> InitialShare(const Subject& subject, std::size_t layer) {
  const std::optional<InitialWeight> weight = WeightOf(subject, layer);
  if (!weight || Refuted(subject.values[layer], weight->weight)) return std::nullopt;
  return weight->weight;
}

std::vector<std::optional<InitialWeight>> InitialWeights(const Subject& subject) {
  std::vector<std::optional<InitialWeight>> weights(subject.layers().size());
  bool step_refuted = false;
  for (std::size_t i = 0; i < weights.size(); ++i) {
    if (subject.calibrated.contains(i)) continue;
    weights[i] = WeightOf(subject, i);
    if (!weights[i] || weights[i]->weight <= kSlightWeight) continue;
    if (!Refuted(subject.values[i], weights[i]->weight)) continue;
    step_refuted = step_refuted || weights[i]->count.of_file;
    weights[i].reset();
  }
  for (std::optional<InitialWeight>& weight : weights) {
    if (step_refuted && weight && weight->count.of_file) weight.reset();
  }
  return weights;
}

}  // namespace ckpt::audit
