#include <algorithm>
#include <cmath>
#include <string>

#include "audit/initial_weight.h"
#include "audit/rules.h"
#include "audit/update_count.h"
#include "audit/wording.h"

namespace ckpt::audit {
namespace {

constexpr double kHeavy = 0.5;  // a warning where the decay is a fact
constexpr double kSlight = 0.01;

struct InitialWeight {
  double weight;
  UpdateCount count;
  SourcedNumber decay;
};

// decay^n, the weight of the initial value in an average that was updated n times.
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

void JudgeInitialWeight(const Subject& subject, FindingList& findings) {
  const std::string what = "the initial values still weigh in the moving statistics";
  const std::string consequence =
      "Serving normalises with a mixture of the data's statistics and mean 0, variance 1";
  Issue heavy{RuleIndex::kUpdatedTooLittle, Severity::kWarning, what, consequence};
  Issue slight{RuleIndex::kUpdatedTooLittle, Severity::kInfo, what, consequence};
  bool step_refuted = false;
  std::vector<std::pair<std::size_t, InitialWeight>> weights;
  for (std::size_t i = 0; i < subject.layers().size(); ++i) {
    if (subject.calibrated.contains(i)) continue;
    std::optional<InitialWeight> weight = WeightOf(subject, i);
    if (!weight || weight->weight <= kSlight) continue;
    if (Refuted(subject.values[i], weight->weight)) {
      step_refuted = step_refuted || weight->count.of_file;
    } else {
      weights.emplace_back(i, *std::move(weight));
    }
  }
  for (const auto& [i, weight] : weights) {
    if (weight.count.of_file && step_refuted) continue;
    const bool is_default = weight.decay.evidence.source == EvidenceSource::kDefault;
    Issue& issue = weight.weight > kHeavy && !is_default ? heavy : slight;
    issue.layers.push_back({i, StatisticsOf(subject.layers()[i]),
                            Number(weight.weight) + " = " + Number(weight.decay.value) + "^" +
                                Number(weight.count.updates) + ", the decay by " +
                                weight.decay.evidence.detail + " and the updates by " +
                                weight.count.source});
  }
  findings.Add(std::move(heavy));
  findings.Add(std::move(slight));
}

}  // namespace ckpt::audit
