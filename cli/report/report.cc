#include "cli/report/report.h"

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
  ++inputs;
  for (const Finding& finding : audited.findings) counts.Add(finding.severity);
  const InputState state = StateOf(audited);
  ++states[static_cast<std::size_t>(state)];
  if (state != InputState::kClean) not_clean.push_back({audited.input.path, state});
  if (config) {
    config->hidden.Add(audited.hidden);
    config->other_severity += audited.other_severity;
  }
  if (!baseline) return;
  for (const KnownFinding& known : audited.known) baseline->known.Add(known.finding.severity);
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
  for (const Finding& finding : run.trend.findings) counts.Add(finding.severity);
}

PlanReport ReportOf(const ConversionPlan& plan) {
  return {plan.tensors.size(), plan.folded, plan.kept,      plan.changed,     plan.dropped,
          plan.renamed,        plan.names,  plan.reordered, plan.batch_norms, plan.notes};
}

}  // namespace ckpt::cli
