#include <string>

#include "audit/initial_weight.h"
#include "audit/rules.h"
#include "audit/wording.h"

namespace ckpt::audit {
namespace {

constexpr double kHeavy = 0.5;  // a warning where the decay is a fact

}  // namespace

void JudgeInitialWeight(const Subject& subject, FindingList& findings) {
  const std::string what = "the initial values still weigh in the moving statistics";
  const std::string consequence =
      "Serving normalises with a mixture of the data's statistics and mean 0, variance 1";
  Issue heavy{RuleIndex::kUpdatedTooLittle, Severity::kWarning, what, consequence};
  Issue slight{RuleIndex::kUpdatedTooLittle, Severity::kInfo, what, consequence};
  const auto weights = InitialWeights(subject);
  for (std::size_t i = 0; i < weights.size(); ++i) {
    if (!weights[i] || weights[i]->weight <= kSlightWeight) continue;
    const InitialWeight& weight = *weights[i];
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
