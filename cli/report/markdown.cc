// Markdown for the summary of a job and for comments on a change: a table of what was found.
#include "cli/report/issues.h"
#include "cli/report/text_pieces.h"

namespace ckpt::cli {
namespace {

// Text that Markdown and HTML leave as it is: no cell, link, mention or tag begins in it.
std::string MarkdownText(std::string_view text) {
  std::string out;
  for (std::size_t i = 0; i < text.size(); ++i) {
    const char c = text[i];
    if (c == '<') {
      out += "&lt;";
    } else if (c == '>') {
      out += "&gt;";
    } else if (c == '&') {
      out += "&amp;";
    } else if (c == '@') {
      out += "&#64;";
    } else if (text.substr(i, 3) == "://") {
      out += "&#58;";
    } else {
      if (std::string_view("\\`*_{}[]()#|~!").find(c) != std::string_view::npos) out += '\\';
      out += c;
    }
  }
  return out;
}

std::string RowOf(const Checked& checked, const Issue& issue) {
  std::string sentence = MarkdownText(issue.message);
  if (!issue.fix.empty()) sentence += "<br>Fix: " + MarkdownText(issue.fix);
  return "| " + MarkdownText(ForPeople(checked.path)) + " | " + std::string(Name(issue.severity)) +
         " | " + MarkdownText(TitleOf(issue)) + " | " + MarkdownText(issue.subject) + " | " +
         sentence + " |\n";
}

std::string ToMarkdown(const IssueReport& report) {
  std::string out = "### ckpt " + std::string(report.command) + "\n\n", rows;
  for (const Checked& checked : report.checked) {
    for (const Issue& issue : checked.issues) rows += RowOf(checked, issue);
    if (report.summary.empty() && !checked.verdict.empty())
      out += "- " + MarkdownText(ForPeople(checked.path)) + ": " + MarkdownText(checked.verdict) +
             "\n";
  }
  if (!report.summary.empty()) out += report.summary + "\n";
  for (const Remark& remark : report.remarks) out += "\n" + MarkdownText(remark.text) + "\n";
  if (const auto& [errors, warnings, notes] = report.not_shown; errors + warnings + notes > 0)
    out += "\nNot listed: " + ToText(report.not_shown);
  if (!rows.empty())
    out += "\n| file | severity | rule | where | what |\n|---|---|---|---|---|\n" + rows;
  if (const std::string left = report.LeftOut(); !left.empty())
    out += "\n" + MarkdownText(left) + "\n";
  return out;
}

}  // namespace

std::unique_ptr<Form> MakeMarkdownForm(const FormOptions& options) {
  return std::make_unique<IssueForm>(options, IssueForm::Kind{100, false, ToMarkdown});
}

}  // namespace ckpt::cli
