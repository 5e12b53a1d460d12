#include <string>
#include <string_view>

#include "audit/rules.h"
#include "audit/wording.h"

namespace ckpt::audit {
namespace {

std::string CountsOf(const ElementCounts& counts) {
  std::string text;
  const auto add = [&](std::uint64_t count, std::string_view what) {
    if (count == 0) return;
    text += (text.empty() ? "" : ", ") + std::to_string(count) + " " + std::string(what);
  };
  add(counts.nan, "NaN");
  add(counts.positive_infinity, "infinite");
  add(counts.negative_infinity, "minus infinite");
  return text;
}

bool IsTrainingState(Role role) { return role == Role::kOptimizerSlot || role == Role::kEmaShadow; }

// What attention adds to its scores: 0 where it may look, minus infinity where not.
bool IsMask(const ElementCounts& counts) {
  return counts.nan == 0 && counts.positive_infinity == 0 && counts.finite_non_zero == 0;
}

std::vector<bool> JudgedAsBatchNorm(const Subject& subject) {
  std::vector<bool> judged(subject.manifest().tensors.size());
  for (std::size_t i = 0; i < subject.layers().size(); ++i) {
    const LayerValues& values = subject.values[i];
    const BatchNorm& layer = subject.layers()[i];
    const auto mark = [&](const std::optional<TensorId>& id, const auto& vector) {
      if (id && vector) judged[id->index] = true;
    };
    mark(layer.gamma, values.gamma);
    mark(layer.beta, values.beta);
    mark(layer.moving_mean, values.mean);
    mark(layer.moving_variance, values.spread);
  }
  return judged;
}

void AddNonFinite(const Subject& subject, TensorId id, const ElementCounts& counts,
                  FindingList& findings) {
  const TensorInfo& info = subject.manifest().tensors[id.index];
  const std::string found =
      CountsOf(counts) + " of " + Plural(info.shape.element_count(), "element");
  FileIssue issue{RuleIndex::kNonFiniteTensor,
                  Severity::kError,
                  info.name,
                  {id},
                  found + ". It spreads to every output that depends on it"};
  if (IsMask(counts)) {
    issue = {RuleIndex::kNonFiniteElsewhere,
             Severity::kInfo,
             info.name,
             {id},
             found + " and the rest 0, as in an attention mask"};
  } else if (IsTrainingState(subject.analysis.roles[id.index].role)) {
    issue = {RuleIndex::kNonFiniteElsewhere,
             Severity::kWarning,
             info.name,
             {id},
             found + " in training state. Serving does not read it, but training was in trouble"};
  }
  findings.Add(std::move(issue));
}

}  // namespace

void JudgeAllData(const Subject& subject, FindingList& findings) {
  const std::vector<bool> judged = JudgedAsBatchNorm(subject);
  const std::vector<TensorInfo>& tensors = subject.manifest().tensors;
  for (std::uint32_t i = 0; i < tensors.size(); ++i) {
    if (judged[i] || tensors[i].alias_of) continue;
    const std::optional<ElementCounts> counts = subject.reader.Scan(TensorId{i});
    if (subject.reader.interrupted()) return;
    if (counts && counts->NonFinite() != 0) AddNonFinite(subject, TensorId{i}, *counts, findings);
  }
}

}  // namespace ckpt::audit
