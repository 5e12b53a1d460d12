#include <algorithm>
#include <cstdio>
#include <map>
#include <utility>

#include "cli/report/advice.h"
#include "cli/report/error_text.h"
#include "cli/report/issues.h"
#include "cli/report/remarks.h"
#include "cli/report/text_pieces.h"
#include "cli/report/text_table.h"

namespace ckpt::cli {
namespace {

constexpr std::size_t kMostOfOneReason = 5;  // files that were not read, listed

std::string_view ColorOf(Severity severity, const Style& style) {
  switch (severity) {
    case Severity::kError:
      return style.red;
    case Severity::kWarning:
      return style.yellow;
    case Severity::kInfo:
      break;
  }
  return style.dim;
}

std::string FindingToText(const Finding& finding, const Style& style) {
  std::string out =
      "  " + Painted(Name(finding.severity), ColorOf(finding.severity, style), style) + " " +
      std::string(finding.rule->id) + " " + std::string(finding.rule->name) + ": " +
      EscapeForDisplay(finding.subject) + "\n    " + EscapeForDisplay(finding.message) + "\n";
  const std::string fix = FixOf(finding);
  if (!fix.empty()) out += "    fix: " + EscapeForDisplay(fix) + "\n";
  return out;
}

// "  known, not counted: BN011 (retrained in March), BN015 twice (...)"
}  // namespace

std::string KnownToText(const std::vector<KnownFinding>& known) {
  std::map<std::pair<std::string_view, std::string_view>, std::uint64_t> counts;
  for (const KnownFinding& one : known) ++counts[{one.finding.rule->id, one.reason}];
  std::string out = "  known, not counted:";
  constexpr std::size_t kListed = 5;
  std::size_t listed = 0;
  for (const auto& [what, count] : counts) {
    if (listed == kListed)
      return out + " and " + std::to_string(counts.size() - listed) + " more\n";
    out += (listed++ == 0 ? " " : ", ") + std::string(what.first);
    if (count > 1) out += " " + std::to_string(count) + " times";
    out += " (" + ForPeople(what.second) + ")";
  }
  return out + "\n";
}

namespace {

std::string Short(double value) {
  char text[32];
  std::snprintf(text, sizeof text, "%.2g", value);
  return text;
}

// "0.52 (noise 0.03), 2^1.4 (noise 2^0.06)"
std::string DriftToText(const Drift& drift) {
  const auto& [shift, spread, effective] = drift;
  return Short(shift.typical) + " (noise " + Short(shift.noise) + "), 2^" + Short(spread.typical) +
         " (noise 2^" + Short(spread.noise) + ")";
}

std::string DriftToText(const DriftReport& report, const Analysis& analysis,
                        std::size_t most_lines) {
  std::string out;
  for (const DataRange& range : report.inputs) out += ToText(range);
  out += "  " + Plural(report.drift.examples, "example") +
         ": how far the statistics are from the data's (median channel: mean in deviations, "
         "variance as a factor)\n";
  TextTable table("    ");
  table.AddRow({"", "as served", "alone"});
  const auto scope = [&](std::size_t layer) {
    return EscapeForDisplay(analysis.batch_norms[layer].scope);
  };
  const std::size_t listed = std::min(most_lines, report.drift.layers.size());
  for (std::size_t i = 0; i < listed; ++i) {
    const LayerDrift& layer = report.drift.layers[i];
    table.AddRow({scope(layer.layer), DriftToText(layer.as_served), DriftToText(layer.alone)});
  }
  out += table.ToString() + More(listed, report.drift.layers.size(), "batch norm");
  const auto& left_out = report.drift.left_out;
  const std::size_t named = std::min(most_lines, left_out.size());
  for (std::size_t i = 0; i < named; ++i) {
    out += "    " + scope(left_out[i].layer) + ": not measured, " + left_out[i].why + "\n";
  }
  out += More(named, left_out.size(), "batch norm");
  if (!report.judged()) {
    out += "  too few examples to judge by: " + std::to_string(kFewestJudgedExamples) +
           " are needed\n";
  }
  return out;
}

}  // namespace

bool HasListed(const std::vector<Finding>& findings, const FormOptions& options) {
  return std::any_of(findings.begin(), findings.end(), [&](const Finding& finding) {
    return finding.severity >= options.ListedFrom();
  });
}

std::string ToText(const std::vector<Finding>& findings, const FormOptions& options) {
  std::string out;
  std::size_t listed = 0, all = 0;
  for (const Finding& finding : findings) {
    if (finding.severity < options.ListedFrom() || ++all > options.MostLines()) continue;
    out += FindingToText(finding, options.style);
    ++listed;
  }
  return out + More(listed, all, "finding");
}

std::string ToText(const AuditedInput& audited, const FormOptions& options) {
  const InputReport& input = audited.input;
  const Style& style = options.style;
  std::string out = Heading(input, style);
  std::string error;  // why it was not read, or not to its end
  if (input.error) {
    error = "  " + (options.errors_told ? "not audited to the end" : Describe(*input.error)) + "\n";
  }
  if (!input.opened()) {
    if (options.errors_told) return {};
    return out + ": " + Painted("error", style.red, style) + "\n" + error;
  }
  out += ": " + std::string(input.format) + ", " +
         Plural(input.analysis->batch_norms.size(), "batch norm") + ", read " +
         (audited.read_all ? "all data" : "the index and the batch-norm vectors") + "\n" +
         Preamble(input) + error;
  if (!audited.compared_with.empty())
    out += "  compared with " + EscapeForDisplay(audited.compared_with) + "\n";
  if (audited.data) out += DriftToText(*audited.data, *input.analysis, options.MostLines());
  const std::string findings = ToText(audited.findings, options);
  out += findings;
  if (StateOf(audited) == InputState::kClean && findings.empty()) {
    out += "  " + Painted("clean", style.green, style) + "\n";
  }
  if (!audited.known.empty()) out += KnownToText(audited.known);
  return out;
}

std::string InWords(const AuditSummary& summary) {
  std::string out = Plural(summary.inputs, "file") + ":";
  auto add = [&, first = true](InputState state, const char* what) mutable {
    const std::uint64_t count = summary.CountOf(state);
    if (count == 0) return;
    out += (std::exchange(first, false) ? " " : ", ") + std::to_string(count) + what;
  };
  add(InputState::kClean, " clean");
  add(InputState::kWarnings, " with warnings");
  add(InputState::kErrors, " with errors");
  add(InputState::kUnreadable, " unreadable");
  if (!summary.not_read.empty())
    out += "; " + std::to_string(summary.not_read.size()) + " not read";
  return out;
}

std::string ToText(const SeverityCounts& counts) {
  return Plural(counts.errors, "error") + ", " + Plural(counts.warnings, "warning") + ", " +
         Plural(counts.infos, "note") + "\n";
}

namespace {

bool AreHidden(const SeverityCounts& counts, Severity listed_from) {
  return (counts.infos > 0 && listed_from > Severity::kInfo) ||
         (counts.warnings > 0 && listed_from > Severity::kWarning);
}

std::string NotCleanToText(const AuditSummary& summary, std::size_t most_lines) {
  std::string out;
  const std::size_t listed = std::min(most_lines, summary.not_clean.size());
  for (std::size_t i = 0; i < listed; ++i) {
    const auto& [path, state] = summary.not_clean[i];
    out += "  " + std::string(Name(state)) + ": " + EscapeForDisplay(path) + "\n";
  }
  return out + More(listed, summary.not_clean.size(), "file");
}

}  // namespace

std::string ToText(const AuditSummary& summary, const FormOptions& options) {
  std::string out;
  for (const Remark& remark : RemarksOf(summary)) out += remark.text + "\n";
  const bool read_any = summary.CountOf(InputState::kUnreadable) < summary.inputs;
  if (read_any || summary.counts.errors + summary.counts.warnings > 0) {
    out += ToText(summary.counts);
    if (AreHidden(summary.counts, options.ListedFrom())) {
      out.back() = ' ';
      out += "(-v shows all)\n";
    }
  }
  if (summary.inputs > 1 || summary.CountOf(InputState::kUnreadable) > 0)
    out += InWords(summary) + "\n";
  if (summary.inputs > 1) out += NotCleanToText(summary, options.MostLines());
  return out + ToText(summary.not_read, options);
}

std::string ToText(const std::vector<NotRead>& not_read, const FormOptions& options) {
  if (not_read.empty()) return {};
  std::string out = "not read: " + std::to_string(not_read.size()) + "\n";
  // Every epoch of a run has the same companions: a few of each reason show what is meant.
  const std::size_t most = options.full ? options.MostLines() : kMostOfOneReason;
  std::map<std::string_view, std::size_t> seen;
  for (const NotRead& left : not_read) {
    if (++seen[left.reason] > most) continue;
    out += "  " + EscapeForDisplay(left.path) + ": " + EscapeForDisplay(left.reason) + "\n";
  }
  for (const auto& [reason, count] : seen) {
    if (count <= most) continue;
    out += "  and " + std::to_string(count - most) +
           " more: " + EscapeForDisplay(std::string(reason)) + "\n";
  }
  return out;
}

}  // namespace ckpt::cli
