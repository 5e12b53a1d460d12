#include <algorithm>
#include <vector>

#include "cli/report/error_text.h"
#include "cli/report/remarks.h"
#include "cli/report/text_pieces.h"
#include "cli/report/text_table.h"

namespace ckpt::cli {
namespace {

constexpr std::size_t kMostSteps = 60;

std::string StepName(const FollowedRun& run, const FollowedStep& step) {
  const std::optional<double> number = run.StepOf(step);
  return number ? FormatNumber(*number) : EscapeForDisplay(step.path);
}

std::string StepAt(const FollowedRun& run, std::size_t place) {
  for (const FollowedStep& step : run.steps) {
    if (step.place == place) return StepName(run, step);
  }
  return {};
}

std::optional<double> Median(std::vector<double> values) {
  if (values.empty()) return std::nullopt;
  const auto middle = values.begin() + static_cast<std::ptrdiff_t>(values.size() / 2);
  std::nth_element(values.begin(), middle, values.end());
  return *middle;
}

std::vector<double> NumbersOf(const RunTrend& trend, std::size_t place,
                              std::optional<double> NormAtStep::*number) {
  std::vector<double> values;
  for (const NormTrend& norm : trend.norms) {
    if (const auto& value = norm.steps[place].*number) values.push_back(*value);
  }
  return values;
}

std::vector<std::string> StepRow(const FollowedRun& run, const FollowedStep& step) {
  if (!step.place) return {StepName(run, step), "unreadable"};
  std::size_t moved = 0, present = 0;
  std::uint64_t non_finite = 0;
  for (const NormTrend& norm : run.trend.norms) {
    const NormAtStep& at = norm.steps[*step.place];
    moved += at.statistics == Movement::kMoved ? 1 : 0;
    present += at.present ? 1 : 0;
    non_finite += at.non_finite;
  }
  const auto shifts = NumbersOf(run.trend, *step.place, &NormAtStep::mean_shift);
  const auto shares = NumbersOf(run.trend, *step.place, &NormAtStep::initial_share);
  const auto most = [](const std::vector<double>& values) -> std::optional<double> {
    if (values.empty()) return std::nullopt;
    return *std::max_element(values.begin(), values.end());
  };
  return {StepName(run, step),
          *step.place == 0 ? "-" : std::to_string(moved) + " of " + std::to_string(present),
          ThreeDigits(Median(shifts)),
          ThreeDigits(most(shifts)),
          ThreeDigits(Median(NumbersOf(run.trend, *step.place, &NormAtStep::variance_ratio))),
          ThreeDigits(most(shares)),
          non_finite == 0 ? "-" : std::to_string(non_finite)};
}

// The first and the last of many.
std::string StepTable(const FollowedRun& run) {
  TextTable table("  ");
  table.AddRow(
      {"step", "moved", "mean shift", "largest", "variance ratio", "initial share", "not finite"});
  const std::size_t count = run.steps.size();
  for (std::size_t i = 0; i < count; ++i) {
    if (count > kMostSteps && i == kMostSteps / 2) {
      table.AddRow({"...", std::to_string(count - kMostSteps) + " more"});
      i = count - kMostSteps / 2;
    }
    table.AddRow(StepRow(run, run.steps[i]));
  }
  return table.ToString();
}

std::string TurnsInWords(const FollowedRun& run, const NormTrend& norm) {
  std::string out;
  const auto add = [&](const char* what, const std::optional<std::size_t>& place) {
    if (place) out += (out.empty() ? "" : ", ") + std::string(what) + " " + StepAt(run, *place);
  };
  add("not finite since", norm.non_finite_since);
  add("reset at", norm.reset_at);
  add("stopped since", norm.stopped_since);
  add("at rest since", norm.still_since);
  if (!norm.layer) out += (out.empty() ? "" : ", ") + std::string("not in the last checkpoint");
  return out;
}

std::string LayerTable(const FollowedRun& run, const FormOptions& options) {
  TextTable table("  ");
  table.AddRow({"batch norm", "mean shift", "variance ratio", "initial share", ""});
  const std::size_t listed = std::min(options.MostLines(), run.trend.norms.size());
  for (std::size_t i = 0; i < listed; ++i) {
    const NormTrend& norm = run.trend.norms[i];
    const NormAtStep& last = norm.steps.back();
    table.AddRow({EscapeForDisplay(norm.scope), ThreeDigits(last.mean_shift),
                  ThreeDigits(last.variance_ratio), ThreeDigits(last.initial_share),
                  TurnsInWords(run, norm)});
  }
  return "  at the end, since the checkpoint before:\n" + table.ToString() +
         More(listed, run.trend.norms.size(), "batch norm");
}

std::string_view TrendColorOf(TrendVerdict verdict, const Style& style) {
  switch (verdict) {
    case TrendVerdict::kMoving:
      return style.green;
    case TrendVerdict::kNonFinite:
    case TrendVerdict::kNeverUpdated:
      return style.red;
    case TrendVerdict::kCannotTell:
    case TrendVerdict::kFrozenDrift:
    case TrendVerdict::kStopped:
    case TrendVerdict::kReset:
      break;
  }
  return style.yellow;
}

}  // namespace

std::string ToText(const FollowedRun& run, const FormOptions& options) {
  const Style& style = options.style;
  if (options.quiet && !HasListed(run.trend.findings, options)) return {};
  std::string out =
      Painted(EscapeForDisplay(run.path), style.bold, style) + ": " +
      Plural(run.steps.size(), "checkpoint") + ", " + Plural(run.trend.norms.size(), "batch norm") +
      ": " + Painted(Name(run.trend.verdict), TrendColorOf(run.trend.verdict, style), style) + "\n";
  for (const FollowedStep& step : run.steps) {
    if (step.error && !options.errors_told) out += "  unreadable: " + Describe(*step.error) + "\n";
  }
  if (!run.trend.norms.empty()) out += StepTable(run) + LayerTable(run, options);
  out += ToText(run.trend.findings, options);
  return run.known.empty() ? out : out + KnownToText(run.known);
}

namespace {

// "3 runs: 1 moving, 2 stopped"
std::string InWords(const TrendSummary& summary) {
  std::string out = Plural(summary.runs, "run");
  for (std::size_t i = 0, listed = 0; i < summary.verdicts.size(); ++i) {
    if (summary.verdicts[i] == 0) continue;
    out += (listed++ == 0 ? ": " : ", ") + std::to_string(summary.verdicts[i]) + " " +
           std::string(Name(static_cast<TrendVerdict>(i)));
  }
  return out + "\n";
}

std::string NotCleanToText(const TrendSummary& summary, std::size_t most_lines) {
  std::string out;
  const std::size_t listed = std::min(most_lines, summary.not_clean.size());
  for (std::size_t i = 0; i < listed; ++i) {
    const auto& [path, verdict, unreadable] = summary.not_clean[i];
    out += "  " + std::string(Name(verdict)) + ": " + EscapeForDisplay(path);
    if (unreadable > 0) out += ", " + Plural(unreadable, "checkpoint") + " unreadable";
    out += "\n";
  }
  return out + More(listed, summary.not_clean.size(), "run");
}

}  // namespace

std::string ToText(const TrendSummary& summary, const FormOptions& options) {
  std::string out;
  for (const Remark& remark : RemarksOf(summary.policy)) out += remark.text + "\n";
  out += ToText(summary.counts);
  if (summary.runs > 1) out += InWords(summary) + NotCleanToText(summary, options.MostLines());
  if (summary.unreadable > 0)
    out += Plural(summary.checkpoints, "checkpoint") + ": " + std::to_string(summary.unreadable) +
           " unreadable\n";
  return out + ToText(summary.not_read, options);
}

}  // namespace ckpt::cli
