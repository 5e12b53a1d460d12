#include "cli/report/remarks.h"

#include <algorithm>

#include "cli/report/issues.h"
#include "cli/report/text_table.h"

namespace ckpt::cli {
namespace {

// "1 error, 2 notes"
std::string InWords(const SeverityCounts& counts) {
  std::string out;
  const auto add = [&](std::uint64_t count, const char* what) {
    if (count > 0) out += (out.empty() ? "" : ", ") + Plural(count, what);
  };
  add(counts.errors, "error");
  add(counts.warnings, "warning");
  add(counts.infos, "note");
  return out;
}

Remark Of(const AuditSummary::Config& config) {
  std::string text = "settings of " + ForPeople(config.path) + ": ";
  text += config.hidden.All() == 0 ? "nothing hidden" : "hid " + InWords(config.hidden);
  if (config.other_severity > 0)
    text += ", gave " + Plural(config.other_severity, "finding") + " another severity";
  return {"settings", config.path, std::move(text),
          config.hidden.All() + config.other_severity > 0};
}

void AddBaseline(const AuditSummary::Baseline& baseline, std::vector<Remark>& remarks) {
  std::string text = "baseline " + ForPeople(baseline.path) + ": ";
  text += baseline.known.All() == 0 ? "nothing found that it knows"
                                    : InWords(baseline.known) + " known, not counted";
  if (!baseline.stale.empty())
    text += "; " + std::to_string(baseline.stale.size()) + " of its entries not found any more";
  const bool matters = baseline.known.All() + baseline.stale.size() > 0;
  remarks.push_back({"baseline", baseline.path, std::move(text), matters});
  constexpr std::size_t kListed = 20;
  for (std::size_t i = 0; i < std::min(kListed, baseline.stale.size()); ++i) {
    const AuditSummary::Stale& stale = baseline.stale[i];
    std::string line =
        "not found any more: " + ForPeople(stale.path) + ": " + ForPeople(stale.rule);
    if (!stale.subject.empty()) line += " " + ForPeople(stale.subject);
    remarks.push_back({"baseline", baseline.path, line + " (" + ForPeople(stale.reason) + ")"});
  }
}

}  // namespace

std::vector<Remark> RemarksOf(const AuditSummary& summary) {
  std::vector<Remark> remarks;
  if (const auto& resumed = summary.resumed) {
    remarks.push_back({"resumed", resumed->path,
                       std::to_string(resumed->inputs) + " of " + Plural(summary.inputs, "file") +
                           " as recorded in " + ForPeople(resumed->path),
                       resumed->inputs > 0});
  }
  if (summary.config) remarks.push_back(Of(*summary.config));
  if (summary.baseline) AddBaseline(*summary.baseline, remarks);
  if (const auto& written = summary.written) {
    remarks.push_back({"baseline", written->path,
                       "wrote " + Plural(written->entries, "known finding") + " to " +
                           ForPeople(written->path) + ", " + std::to_string(written->added) +
                           " of them new: no finding counts in this run"});
  }
  return remarks;
}

}  // namespace ckpt::cli
