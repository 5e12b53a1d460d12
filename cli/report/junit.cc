// JUnit XML, as CI servers read it: a suite for each input, a case for each finding; a case fails
// where the finding makes the exit code 1.
#include <algorithm>

#include "cli/report/issues.h"

namespace ckpt::cli {
namespace {

// Attributes and text. XML has no control characters, not even escaped ones, and no U+FFFE and
// U+FFFF: the text was escaped for display, which leaves none of the former.
std::string XmlText(std::string_view text) {
  std::string out;
  for (std::size_t i = 0; i < text.size(); ++i) {
    const std::string_view three = text.substr(i, 3);
    if (three == "\xEF\xBF\xBE" || three == "\xEF\xBF\xBF") {
      out += "\xEF\xBF\xBD";
      i += 2;
      continue;
    }
    switch (text[i]) {
      case '<':
        out += "&lt;";
        break;
      case '>':
        out += "&gt;";
        break;
      case '&':
        out += "&amp;";
        break;
      case '"':
        out += "&quot;";
        break;
      case '\'':
        out += "&apos;";
        break;
      default:
        out += text[i];
    }
  }
  return out;
}

struct Counts {
  std::size_t tests = 0, failures = 0, errors = 0, skipped = 0;
};

std::string InAttributes(const Counts& counts) {
  return " tests=\"" + std::to_string(counts.tests) + "\" failures=\"" +
         std::to_string(counts.failures) + "\" errors=\"" + std::to_string(counts.errors) + "\"";
}

bool IsError(const Issue& issue) { return issue.rule == kUnreadable; }

Counts CountsOf(const IssueReport& report, const Checked& checked) {
  Counts counts{checked.issues.size(), 0, 0};
  for (const Issue& issue : checked.issues) {
    if (IsError(issue)) {
      ++counts.errors;
    } else if (report.Fails(issue.severity)) {
      ++counts.failures;
    }
  }
  if (report.FailsLeftOut(checked)) {
    ++counts.tests;
    ++counts.failures;
  }
  counts.skipped = checked.known.size();
  counts.tests = std::max<std::size_t>(counts.tests + counts.skipped, 1);
  return counts;
}

std::string CaseOf(const IssueReport& report, const std::string& path, const Issue& issue) {
  std::string title = TitleOf(issue);
  if (!issue.subject.empty()) title += ": " + issue.subject;
  std::string out =
      "    <testcase name=\"" + XmlText(title) + "\" classname=\"" + path + "\">\n      ";
  const std::string message = XmlText(SentenceOf(issue));
  if (IsError(issue) || report.Fails(issue.severity)) {
    const std::string tag = IsError(issue) ? "error" : "failure";
    out += "<" + tag + " type=\"" + XmlText(issue.rule) + "\" message=\"" + message + "\">" +
           std::string(Name(issue.severity)) + "</" + tag + ">\n";
  } else {
    out += "<system-out>" + std::string(Name(issue.severity)) + ": " + message + "</system-out>\n";
  }
  return out + "    </testcase>\n";
}

// One that a baseline knows.
std::string SkippedOf(const std::string& path, const Issue& issue, const std::string& reason) {
  std::string title = TitleOf(issue);
  if (!issue.subject.empty()) title += ": " + issue.subject;
  return "    <testcase name=\"" + XmlText(title) + "\" classname=\"" + path +
         "\">\n      <skipped message=\"known: " + XmlText(reason) + "\"/>\n    </testcase>\n";
}

// What there was no room for fails, too: a suite without it would have passed.
std::string LeftOutOf(const std::string& path, const Checked& checked) {
  return "    <testcase name=\"left out\" classname=\"" + path +
         "\">\n      <failure type=\"left-out\" message=\"" +
         XmlText(CountsInWords(checked.left_out)) +
         " more: too many for this report\"/>\n    </testcase>\n";
}

std::string SuiteOf(const IssueReport& report, const Checked& checked, const Counts& counts) {
  const std::string path = XmlText(ForPeople(checked.path));
  std::string out = "  <testsuite name=\"" + path + "\"" + InAttributes(counts) + " skipped=\"" +
                    std::to_string(counts.skipped) + "\">\n";
  for (const Issue& issue : checked.issues) out += CaseOf(report, path, issue);
  for (const auto& [issue, reason] : checked.known) out += SkippedOf(path, issue, reason);
  if (report.FailsLeftOut(checked)) {
    out += LeftOutOf(path, checked);
  } else if (checked.issues.empty() && checked.known.empty()) {
    out +=
        "    <testcase name=\"" + std::string(report.command) + "\" classname=\"" + path + "\"/>\n";
  }
  if (!checked.verdict.empty())
    out += "    <system-out>" + XmlText(checked.verdict) + "</system-out>\n";
  return out + "  </testsuite>\n";
}

std::string SuiteOf(const std::vector<Remark>& remarks) {
  if (remarks.empty()) return {};
  std::string out = "  <testsuite name=\"settings\" tests=\"" + std::to_string(remarks.size()) +
                    "\" failures=\"0\" errors=\"0\" skipped=\"0\">\n";
  for (const Remark& remark : remarks) {
    out += "    <testcase name=\"" + std::string(remark.about) + "\" classname=\"" +
           XmlText(ForPeople(remark.path)) + "\">\n      <system-out>" + XmlText(remark.text) +
           "</system-out>\n    </testcase>\n";
  }
  return out + "  </testsuite>\n";
}

std::string ToJunit(const IssueReport& report) {
  Counts all;
  std::string suites;
  for (const Checked& checked : report.checked) {
    const Counts counts = CountsOf(report, checked);
    all.tests += counts.tests;
    all.failures += counts.failures;
    all.errors += counts.errors;
    suites += SuiteOf(report, checked, counts);
  }
  all.tests += report.remarks.size();
  suites += SuiteOf(report.remarks);
  if (const std::string left = report.LeftOut(); !left.empty()) {
    ++all.tests;
    suites +=
        "  <testsuite name=\"left out\" tests=\"1\" failures=\"0\" errors=\"0\" skipped=\"1\">\n"
        "    <testcase name=\"left out\" classname=\"ckpt\">\n      <skipped message=\"" +
        XmlText(left) + "\"/>\n    </testcase>\n  </testsuite>\n";
  }
  return "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<testsuites name=\"ckpt " +
         std::string(report.command) + "\"" + InAttributes(all) + ">\n" + suites +
         "</testsuites>\n";
}

}  // namespace

std::unique_ptr<Form> MakeJunitForm(const FormOptions& options) {
  return std::make_unique<IssueForm>(options, IssueForm::Kind{5000, true, ToJunit});
}

}  // namespace ckpt::cli
