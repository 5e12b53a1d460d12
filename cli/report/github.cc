// Workflow commands of GitHub Actions, which become annotations:
// https://docs.github.com/actions/reference/workflow-commands-for-github-actions
#include "cli/report/issues.h"

namespace ckpt::cli {
namespace {

// What the runner decodes again: a line of a log must not end a command or begin another one.
std::string WorkflowText(std::string_view text, bool property) {
  std::string out;
  for (const char c : text) {
    const bool special = c == '%' || c == '\r' || c == '\n' || (property && (c == ':' || c == ','));
    if (!special) {
      out += c;
      continue;
    }
    out += c == '%' ? "%25" : c == '\r' ? "%0D" : c == '\n' ? "%0A" : c == ':' ? "%3A" : "%2C";
  }
  return out;
}

std::string_view CommandOf(Severity severity) {
  return severity == Severity::kInfo ? "notice" : Name(severity);
}

std::string ToGithub(const IssueReport& report) {
  std::string out;
  for (const Checked& checked : report.checked) {
    for (const Issue& issue : checked.issues) {
      out += "::" + std::string(CommandOf(issue.severity)) +
             " file=" + WorkflowText(checked.path, true) +
             ",title=" + WorkflowText(TitleOf(issue), true) +
             "::" + WorkflowText(SentenceOf(issue), false) + "\n";
    }
    if (report.summary.empty() && checked.issues.empty())
      out += WorkflowText(ForPeople(checked.path) + ": " + checked.verdict, false) + "\n";
  }
  if (const std::string left = report.LeftOut(); !left.empty())
    out += "::notice title=ckpt::" + WorkflowText(left, false) + "\n";
  for (const Remark& remark : report.remarks) out += WorkflowText(remark.text, false) + "\n";
  if (!report.summary.empty()) out += report.summary + "\n";
  return out;
}

}  // namespace

// A step shows ten annotations of each kind; the others stand in its log.
std::unique_ptr<Form> MakeGithubForm(const FormOptions& options) {
  return std::make_unique<IssueForm>(options, IssueForm::Kind{100, false, ToGithub});
}

}  // namespace ckpt::cli
