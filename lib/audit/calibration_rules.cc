#include "audit/rules.h"

namespace ckpt::audit {

void JudgeCalibration(const Subject& subject, FindingList& findings) {
  Issue calibrated{RuleIndex::kCalibrated, Severity::kInfo,
                   "the statistics were computed from data, and are still those", ""};
  for (const std::size_t i : subject.calibrated) {
    calibrated.layers.push_back({i, StatisticsOf(subject.layers()[i])});
  }
  findings.Add(std::move(calibrated));
}

}  // namespace ckpt::audit
