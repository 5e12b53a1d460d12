#include <cmath>
#include <string>
#include <string_view>

#include "audit/rules.h"
#include "audit/wording.h"
#include "averages/ema_weights.h"
#include "roles/averages.h"

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

// What serving gets where the file holds averages beside the model's own weights.
std::string AveragesInWords(const Subject& subject) {
  const std::vector<TensorInfo>& tensors = subject.manifest().tensors;
  for (std::uint32_t i = 0; i < tensors.size(); ++i) {
    const TensorRole& role = subject.analysis.roles[i];
    if (role.role == Role::kEmaShadow && role.of && IsExchangedAtEpochEnd(tensors[i].name)) {
      return "mmcv's EMAHook exchanges the two before it saves at the end of an epoch: then a "
             "plain "
             "restore serves the averages";
    }
  }
  std::string words = "A plain restore serves the raw weights, not the averages";
  const auto shadows = FindShadows(subject.manifest(), subject.analysis);
  const std::size_t raw = shadows ? LayersWithRawStatistics(subject.analysis, *shadows).size() : 0;
  if (raw != 0) {
    words += ". The moving statistics of " + Plural(raw, "batch norm") +
             " have no average: those of the raw model stand beside averaged weights";
  }
  return words;
}

}  // namespace

void JudgeTrainingState(const Subject& subject, FindingList& findings) {
  AddPresent(subject, RuleIndex::kOptimizerState, Role::kOptimizerSlot, "optimizer state",
             "Serving does not read them", findings);
  AddPresent(subject, RuleIndex::kEmaShadows, Role::kEmaShadow, "averages over time",
             AveragesInWords(subject), findings);
}

}  // namespace ckpt::audit
