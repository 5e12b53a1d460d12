#include "cli/report/report.h"

#include <algorithm>
#include <utility>

#include "ckpt/name_glob.h"
#include "ckpt/natural_order.h"
#include "cli/report/advice.h"

namespace ckpt::cli {

void SeverityCounts::Add(Severity severity) noexcept {
  ++(severity == Severity::kError ? errors : severity == Severity::kWarning ? warnings : infos);
}

void SeverityCounts::Add(const SeverityCounts& other) noexcept {
  errors += other.errors;
  warnings += other.warnings;
  infos += other.infos;
}

std::string_view Name(InputState state) noexcept {
  switch (state) {
    case InputState::kClean:
      return "clean";
    case InputState::kWarnings:
      return "warnings";
    case InputState::kErrors:
      return "errors";
    case InputState::kUnreadable:
      break;
  }
  return "unreadable";
}

InputState StateOf(const AuditedInput& audited) {
  if (audited.input.error) return InputState::kUnreadable;
  InputState state = InputState::kClean;
  for (const Finding& finding : audited.findings) {
    if (finding.severity == Severity::kError) return InputState::kErrors;
    if (finding.severity == Severity::kWarning) state = InputState::kWarnings;
  }
  return state;
}

void AuditSummary::Add(const AuditedInput& audited) {
  SeverityCounts findings;
  for (const Finding& finding : audited.findings) findings.Add(finding.severity);
  Add(audited.input.path, StateOf(audited), findings);
  if (config) {
    config->hidden.Add(audited.hidden);
    config->other_severity += audited.other_severity;
  }
  if (!baseline) return;
  for (const KnownFinding& known : audited.known) baseline->known.Add(known.finding.severity);
}

void AuditSummary::Add(const std::string& path, InputState state, const SeverityCounts& findings) {
  ++inputs;
  counts.Add(findings);
  ++states[static_cast<std::size_t>(state)];
  if (state != InputState::kClean) not_clean.push_back({path, state});
}

std::optional<double> FollowedRun::StepOf(const FollowedStep& step) const {
  if (step.place && trend.recorded_steps[*step.place]) return trend.recorded_steps[*step.place];
  if (!step.number) return std::nullopt;
  return static_cast<double>(*step.number);
}

std::size_t FollowedRun::CountUnreadable() const {
  std::size_t count = 0;
  for (const FollowedStep& step : steps) count += step.error ? 1 : 0;
  return count;
}

void TrendSummary::Add(const FollowedRun& run) {
  ++runs;
  checkpoints += run.steps.size();
  unreadable += run.CountUnreadable();
  SeverityCounts found;
  for (const Finding& finding : run.trend.findings) found.Add(finding.severity);
  counts.Add(found);
  ++verdicts[static_cast<std::size_t>(run.trend.verdict)];
  if (found.errors + found.warnings + run.CountUnreadable() > 0)
    not_clean.push_back({run.path, run.trend.verdict, run.CountUnreadable()});
  AuditedInput as_input{InputReport{run.path}, run.trend.findings};
  as_input.known = run.known;
  as_input.hidden = run.hidden;
  as_input.other_severity = run.other_severity;
  policy.Add(as_input);
}

InspectedInput Inspected(InputReport input, const std::vector<std::string>& only) {
  InspectedInput inspected{std::move(input)};
  if (!inspected.input.opened()) return inspected;
  const Manifest& manifest = *inspected.input.manifest;
  const std::vector<BatchNorm>& layers = inspected.input.analysis->batch_norms;
  std::vector<bool> listed(manifest.tensors.size());
  for (std::size_t i = 0; i < manifest.tensors.size(); ++i) {
    listed[i] = only.empty() || MatchesAny(only, manifest.tensors[i]);
    if (listed[i]) inspected.tensors.push_back(i);
  }
  for (std::size_t i = 0; i < layers.size(); ++i) {
    const BatchNorm& layer = layers[i];
    const auto vectors = {layer.gamma, layer.beta, layer.moving_mean, layer.moving_variance};
    const bool owns = std::any_of(vectors.begin(), vectors.end(),
                                  [&](const auto& id) { return id && listed[id->index]; });
    if (only.empty() || owns) inspected.batch_norms.push_back(i);
  }
  std::sort(inspected.tensors.begin(), inspected.tensors.end(), [&](std::size_t a, std::size_t b) {
    return NaturalLess(manifest.tensors[a].name, manifest.tensors[b].name);
  });
  std::stable_sort(
      inspected.batch_norms.begin(), inspected.batch_norms.end(),
      [&](std::size_t a, std::size_t b) { return NaturalLess(layers[a].scope, layers[b].scope); });
  return inspected;
}

PlanReport ReportOf(const ConversionPlan& plan) {
  PlanReport report{plan.tensors.size(), plan.folded,  plan.kept,  plan.changed,
                    plan.dropped,        plan.renamed, plan.names, plan.reordered,
                    plan.batch_norms,    plan.notes};
  for (Kept& kept : report.kept) kept.reason = WithAdvice(std::move(kept.reason), kept.remedy);
  for (Changed& changed : report.changed)
    changed.reason = WithAdvice(std::move(changed.reason), changed.remedy);
  if (plan.proof != Remedy::kNone) report.notes.push_back(AdviceOf(plan.proof));
  return report;
}

}  // namespace ckpt::cli
