// A Code Quality report:
// https://docs.gitlab.com/ci/testing/code_quality/#code-quality-report-format
#include <map>

#include "ckpt/sha256.h"
#include "cli/report/issues.h"
#include "cli/report/json_values.h"

namespace ckpt::cli {
namespace {

const char* SeverityOf(Severity severity) {
  switch (severity) {
    case Severity::kError:
      return "critical";
    case Severity::kWarning:
      return "minor";
    case Severity::kInfo:
      break;
  }
  return "info";
}

// A checkpoint has no lines; the report wants one.
Json EntryOf(std::string_view path, std::string_view rule, const char* severity,
             std::string_view text, std::string_view fingerprint) {
  return {{"description", JsonText(text)},
          {"check_name", rule},
          {"fingerprint", fingerprint},
          {"severity", severity},
          {"location", {{"path", JsonText(path)}, {"lines", {{"begin", 1}}}}}};
}

std::string ToGitlab(const IssueReport& report) {
  Json entries = Json::array();
  std::map<std::string, std::uint64_t> seen;  // a fingerprint is of one entry
  for (const Checked& checked : report.checked) {
    for (const Issue& issue : checked.issues) {
      std::string print = Sha256(issue.fingerprint + checked.path);
      if (const std::uint64_t before = seen[print]++; before > 0)
        print = Sha256(print + std::to_string(before));
      entries.push_back(EntryOf(checked.path, issue.rule, SeverityOf(issue.severity),
                                TitleOf(issue) + ": " + SentenceOf(issue), print));
    }
  }
  for (const Remark& remark : report.remarks) {
    if (!remark.matters) continue;
    entries.push_back(EntryOf(remark.path, remark.about, "info", remark.text,
                              Sha256(std::string(remark.about) + remark.text)));
  }
  if (const std::string left = report.LeftOut(); !left.empty()) {
    const std::string path = report.checked.empty() ? "." : report.checked.front().path;
    entries.push_back(EntryOf(path, "left-out", "info", left, Sha256(left)));
  }
  return Dump(entries, true);
}

}  // namespace

std::unique_ptr<Form> MakeGitlabForm(const FormOptions& options) {
  return std::make_unique<IssueForm>(options, IssueForm::Kind{1000, false, ToGitlab});
}

}  // namespace ckpt::cli
