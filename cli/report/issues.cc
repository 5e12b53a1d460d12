#include "cli/report/issues.h"

#include <algorithm>

#include "cli/report/advice.h"
#include "cli/report/error_text.h"
#include "cli/report/fingerprint.h"
#include "cli/report/text_pieces.h"
#include "cli/report/text_table.h"

namespace ckpt::cli {
namespace {

constexpr std::size_t kNames = 50, kTextBytes = 1000;

Issue IssueOf(const Finding& finding, const Analysis* analysis) {
  Issue issue{finding.severity, finding.rule, std::string(finding.rule->id),
              ForPeople(finding.message)};
  issue.subject = ForPeople(finding.subject);
  issue.fix = ForPeople(FixOf(finding));
  issue.names = NamesOf(finding, analysis);
  issue.fingerprint = FingerprintOf(issue.rule, issue.names);
  issue.names.resize(std::min(issue.names.size(), kNames));
  return issue;
}

std::string HeadOf(const InputReport& input) {
  if (!input.opened()) return {};
  return std::string(input.format) + ", " +
         Plural(input.analysis->batch_norms.size(), "batch norm");
}

// A place in `text` at or before `at` where a code point begins.
std::size_t Boundary(std::string_view text, std::size_t at) {
  while (at > 0 && (static_cast<unsigned char>(text[at]) & 0xC0U) == 0x80U) --at;
  return at;
}

}  // namespace

std::string ForPeople(std::string_view text) {
  std::string escaped = EscapeForDisplay(text);
  if (escaped.size() <= kTextBytes) return escaped;
  const std::size_t head = Boundary(escaped, kTextBytes / 2);
  const std::size_t tail = Boundary(escaped, escaped.size() - kTextBytes / 2);
  return escaped.substr(0, head) + " ... " + escaped.substr(tail);
}

void AddError(Checked& checked, const Error& error, std::string_view rule, const Wanted& wanted) {
  if (!wanted(Severity::kError)) {
    checked.unreadable_left_out = checked.unreadable_left_out || rule == kUnreadable;
    return;
  }
  Error what = error;
  if (what.file == checked.path) what.file.clear();
  // Describe escapes.
  Issue issue{Severity::kError, nullptr, std::string(rule), Describe(what)};
  issue.fingerprint = FingerprintOf(rule, {});
  checked.issues.push_back(std::move(issue));
}

std::string_view LevelOf(Severity severity) noexcept {
  return severity == Severity::kInfo ? "note" : Name(severity);
}

std::string TitleOf(const Issue& issue) {
  if (issue.entry == nullptr) return issue.rule;
  return issue.rule + " " + std::string(issue.entry->name);
}

std::string SentenceOf(const Issue& issue) {
  std::string out = issue.subject.empty() ? "" : issue.subject + ": ";
  out += issue.message;
  if (!issue.fix.empty()) out += ". Fix: " + issue.fix;
  return out;
}

std::string CountsInWords(const SeverityCounts& counts) {
  std::string out;
  const auto add = [&](std::uint64_t count, const char* what) {
    if (count > 0) out += (out.empty() ? "" : ", ") + Plural(count, what);
  };
  add(counts.errors, "error");
  add(counts.warnings, "warning");
  add(counts.infos, "note");
  return out;
}

bool IssueReport::FailsLeftOut(const Checked& input) const {
  const auto& [errors, warnings, infos] = input.left_out;
  return input.unreadable_left_out || (errors > 0 && Fails(Severity::kError)) ||
         (warnings > 0 && Fails(Severity::kWarning)) || (infos > 0 && Fails(Severity::kInfo));
}

std::string IssueReport::LeftOut() const {
  std::string out = CountsInWords(left_out);
  if (known_left_out > 0)
    out += (out.empty() ? "" : ", ") + Plural(known_left_out, "known finding");
  if (out.empty()) return {};
  return out + " more: too many for this report; --format json lists all";
}

Checked CheckedOf(const InspectedInput& inspected, const Wanted& wanted) {
  const InputReport& input = inspected.input;
  Checked checked{input.path, HeadOf(input), {}};
  if (input.opened()) checked.verdict += ", " + Plural(input.manifest->tensors.size(), "tensor");
  if (input.error) AddError(checked, *input.error, kUnreadable, wanted);
  return checked;
}

Checked CheckedOf(const AuditedInput& audited, const Wanted& wanted) {
  const InputReport& input = audited.input;
  Checked checked{input.path, HeadOf(input), {}};
  if (input.error) AddError(checked, *input.error, kUnreadable, wanted);
  for (const Finding& finding : audited.findings) {
    if (wanted(finding.severity)) checked.issues.push_back(IssueOf(finding, input.analysis));
  }
  return checked;
}

Checked CheckedOf(const FollowedRun& run, const Wanted& wanted) {
  Checked checked{
      run.path,
      Plural(run.steps.size(), "checkpoint") + ": " + std::string(Name(run.trend.verdict)),
      {}};
  for (const FollowedStep& step : run.steps) {
    if (step.error) AddError(checked, *step.error, kUnreadable, wanted);
  }
  for (const Finding& finding : run.trend.findings) {
    if (wanted(finding.severity)) checked.issues.push_back(IssueOf(finding, nullptr));
  }
  return checked;
}

void IssueForm::LeaveOutErrors() {
  const auto told = std::erase_if(report_.checked.back().issues, [](const Issue& issue) {
    return issue.entry == nullptr && issue.rule == kUnreadable;
  });
  kept_[static_cast<std::size_t>(Severity::kError)] -= told;
}

bool IssueForm::Wants(Severity severity, SeverityCounts& left_out) {
  std::size_t& count = kept_[static_cast<std::size_t>(severity)];
  if (!kind_.all && severity < report_.options.ListedFrom()) {
    report_.not_shown.Add(severity);
  } else if (count < kind_.most) {
    ++count;
    return true;
  } else {
    left_out.Add(severity);
  }
  return false;
}

std::string IssueForm::Print(std::string_view command) {
  report_.command = command;
  std::array<std::size_t, 3> room = {};  // the gravest first
  std::size_t left = kind_.most;
  for (std::size_t severity = room.size(); severity-- > 0;) {
    room[severity] = std::min(left, kept_[severity]);
    left -= room[severity];
  }
  for (Checked& checked : report_.checked) {
    std::erase_if(checked.issues, [&](const Issue& issue) {
      std::size_t& more = room[static_cast<std::size_t>(issue.severity)];
      if (more > 0) {
        --more;
        return false;
      }
      report_.left_out.Add(issue.severity);
      checked.left_out.Add(issue.severity);
      return true;
    });
  }
  return kind_.print(report_);
}

std::string IssueForm::Add(const InspectedInput& inspected) {
  Take(inspected);
  return {};
}
std::string IssueForm::End(const InspectSummary&) { return Print("inspect"); }

std::string IssueForm::Add(const AuditedInput& audited) {
  Take(audited);
  TakeKnown(audited.known, audited.input.analysis);
  return {};
}

void IssueForm::TakeKnown(const std::vector<KnownFinding>& all, const Analysis* analysis) {
  if (!kind_.all) return;
  for (const KnownFinding& known : all) {
    if (known_kept_ == kind_.most) {
      ++report_.known_left_out;
      continue;
    }
    ++known_kept_;
    report_.checked.back().known.emplace_back(IssueOf(known.finding, analysis),
                                              ForPeople(known.reason));
  }
}
std::string IssueForm::End(const AuditSummary& summary) {
  report_.summary = InWords(summary);
  report_.remarks = RemarksOf(summary);
  report_.has_baseline = summary.baseline.has_value();
  return Print("audit");
}

std::string IssueForm::Add(const Conversion& conversion) {
  Take(conversion);
  return Print(conversion.calibration ? "calibrate" : "convert");
}
std::string IssueForm::Add(const Comparison& comparison) {
  Take(comparison);
  return comparison.of_several ? std::string() : Print("diff");
}
std::string IssueForm::Add(const ReplicaComparison&) { return Print("diff"); }
std::string IssueForm::Add(const VerifiedPair& verified) {
  Take(verified);
  return Print("verify");
}
std::string IssueForm::Add(const FollowedRun& run) {
  Take(run);
  TakeKnown(run.known, nullptr);
  return {};
}
std::string IssueForm::End(const TrendSummary& summary) {
  report_.remarks = RemarksOf(summary.policy);
  report_.has_baseline = summary.policy.baseline.has_value();
  return Print("trend");
}

}  // namespace ckpt::cli
