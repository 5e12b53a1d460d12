// One line a finding: "path: error BN020 non-finite: bn2: ...".
#include "cli/report/issues.h"

namespace ckpt::cli {
namespace {

std::string ToConcise(const IssueReport& report) {
  std::string out;
  for (const Checked& checked : report.checked) {
    const std::string path = ForPeople(checked.path) + ": ";
    for (const Issue& issue : checked.issues)
      out += path + std::string(Name(issue.severity)) + " " + TitleOf(issue) + ": " +
             SentenceOf(issue) + "\n";
    const bool clean = checked.issues.empty();
    if (report.summary.empty() && !checked.verdict.empty() && !(report.options.quiet && clean))
      out += path + checked.verdict + "\n";
  }
  if (const std::string left = report.LeftOut(); !left.empty()) out += left + "\n";
  for (const Remark& remark : report.remarks) {
    if (!report.options.quiet || remark.matters) out += remark.text + "\n";
  }
  if (!report.summary.empty() && !(report.options.quiet && out.empty()))
    out += report.summary + "\n";
  return out;
}

}  // namespace

std::unique_ptr<Form> MakeConciseForm(const FormOptions& options) {
  return std::make_unique<IssueForm>(options, IssueForm::Kind{1000, false, ToConcise});
}

}  // namespace ckpt::cli
