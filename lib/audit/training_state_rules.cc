#include <cmath>
#include <string>
#include <string_view>

#include "audit/rules.h"
#include "audit/wording.h"

namespace ckpt::audit {
namespace {

void AddPresent(const Subject& subject, RuleIndex rule, Role role, std::string_view what,
                std::string_view consequence, FindingList& findings) {
  FileIssue issue{rule, Severity::kInfo};
  std::uint64_t bytes = 0, all_bytes = 0;
  const std::vector<TensorInfo>& tensors = subject.manifest().tensors;
  for (std::uint32_t i = 0; i < tensors.size(); ++i) {
    all_bytes += tensors[i].byte_size;
    if (subject.analysis.roles[i].role != role) continue;
    issue.tensors.push_back(TensorId{i});
    bytes += tensors[i].byte_size;
  }
  if (issue.tensors.empty()) return;
  const double percent =
      all_bytes == 0 ? 0 : 100 * static_cast<double>(bytes) / static_cast<double>(all_bytes);
  issue.message = "the file holds " + Plural(issue.tensors.size(), "tensor") + " of " +
                  std::string(what) + ", " + Number(std::round(percent)) + " % of its bytes. " +
                  std::string(consequence);
  findings.Add(std::move(issue));
}

}  // namespace

void JudgeTrainingState(const Subject& subject, FindingList& findings) {
  AddPresent(subject, RuleIndex::kOptimizerState, Role::kOptimizerSlot, "optimizer state",
             "Serving does not read them", findings);
  AddPresent(subject, RuleIndex::kEmaShadows, Role::kEmaShadow, "averages over time",
             "A plain restore serves the raw weights, not the averages", findings);
}

}  // namespace ckpt::audit
