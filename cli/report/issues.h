// What a gate or a reviewer has to look at, in one shape for all commands: what the forms for
// programs (SARIF, JUnit, annotations, ...) print. Bounded, whatever the file holds: what is left
// out is counted.
#pragma once

#include <array>
#include <cstdint>
#include <functional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "cli/report/form.h"
#include "cli/report/remarks.h"

namespace ckpt::cli {

struct Issue {
  Severity severity = Severity::kError;
  const Rule* entry = nullptr;  // in the table of rules; null: no rule of it
  std::string rule;             // its id; without one a word of this program: "unreadable"
  // For people: escaped for display, cut where they are very long. The last two may be empty.
  std::string message, subject = {}, fix = {};
  // Scopes of the batch norms, or names of the tensors, that it is about, as the file spells them;
  // the first ones.
  std::vector<std::string> names = {};
  // 64 hexadecimal digits of the rule and of all names, not of the message: it holds numbers.
  std::string fingerprint = {};
};

// One thing that was looked at: an input, a pair, a conversion.
struct Checked {
  std::string path;           // as the user named it
  std::string verdict = {};   // for people: "npz, 3 batch norms"
  std::vector<Issue> issues;  // gravest first
  // Those that a baseline knows, and why: not counted. Only for forms that list all severities.
  std::vector<std::pair<Issue, std::string>> known = {};
  SeverityCounts left_out = {};  // of `issues`, as the report had no room for more
  bool unreadable_left_out = false;
};

struct IssueReport {
  std::string_view command;  // "audit"
  FormOptions options = {};
  std::vector<Checked> checked = {};
  SeverityCounts left_out = {};   // found and not in `checked`, as they were too many
  SeverityCounts not_shown = {};  // milder than what this form lists
  std::uint64_t known_left_out = 0;
  std::string summary = {};  // the closing line, for people; empty where there is none
  std::vector<Remark> remarks = {};
  bool has_baseline = false;

  // Does an issue of this severity make the command's exit code 1?
  bool Fails(Severity severity) const { return options.fails_on && severity >= *options.fails_on; }
  bool FailsLeftOut(const Checked& input) const;  // did it lose an issue that does?
  // "12 errors and 3 notes were left out: json lists all"; empty where none was.
  std::string LeftOut() const;
};

// "2 errors, 1 note"; empty where all are 0.
std::string CountsInWords(const SeverityCounts& counts);

// "unreadable" is the one rule of an audit that no row of the table is about.
inline constexpr std::string_view kUnreadable = "unreadable";
inline constexpr std::string_view kUnreadableText =
    "The file could not be opened or read to its end: it is damaged, cut short, of no known kind, "
    "or the system refused. It must not pass a gate.";

// SARIF has "note" for info.
std::string_view LevelOf(Severity severity) noexcept;  // "error", "warning", "note"
// "BN020 non-finite", or the word alone.
std::string TitleOf(const Issue& issue);
// "bn2: message. fix": all but the title, in one line.
std::string SentenceOf(const Issue& issue);

// Is there room for an issue of this severity in the report? Counts it, either way.
using Wanted = std::function<bool(Severity)>;

// What each piece of a report comes to: the issues that are wanted.
Checked CheckedOf(const InspectedInput& inspected, const Wanted& wanted);
Checked CheckedOf(const AuditedInput& audited, const Wanted& wanted);
Checked CheckedOf(const FollowedRun& run, const Wanted& wanted);
Checked CheckedOf(const Conversion& conversion, const Wanted& wanted);
Checked CheckedOf(const Comparison& comparison, const Wanted& wanted);
Checked CheckedOf(const VerifiedPair& verified, const Wanted& wanted);

void AddError(Checked& checked, const Error& error, std::string_view rule, const Wanted& wanted);
// `text` escaped, and cut in its middle above 1,000 bytes.
std::string ForPeople(std::string_view text);

// Gathers the issues of all pieces, the gravest of them where there are too many, and prints at the
// end.
class IssueForm : public Form {
 public:
  struct Kind {
    std::size_t most;  // issues
    bool all;          // of each severity; else those that are shown by default, or fail
    std::string (*print)(const IssueReport&);
  };
  IssueForm(const FormOptions& options, const Kind& kind) : kind_(kind) {
    report_.options = options;
  }

  std::string Add(const InspectedInput& inspected) override;
  std::string End(const InspectSummary& summary) override;
  std::string Add(const AuditedInput& audited) override;
  std::string End(const AuditSummary& summary) override;
  std::string Add(const Conversion& conversion) override;
  std::string Add(const Comparison& comparison) override;
  std::string Add(const ReplicaComparison& all) override;
  std::string Add(const VerifiedPair& verified) override;
  std::string Add(const FollowedRun& run) override;
  std::string End(const TrendSummary& summary) override;

 private:
  template <typename Piece>
  void Take(const Piece& piece) {
    SeverityCounts left_out;
    Checked checked =
        CheckedOf(piece, [&](Severity severity) { return Wants(severity, left_out); });
    report_.left_out.Add(left_out);
    checked.left_out = left_out;
    report_.checked.push_back(std::move(checked));
    if (report_.options.errors_told) LeaveOutErrors();
  }
  void TakeKnown(const std::vector<KnownFinding>& all, const Analysis* analysis);
  // Those that stand on stderr already, of what was added last.
  void LeaveOutErrors();
  bool Wants(Severity severity, SeverityCounts& left_out);
  std::string Print(std::string_view command);

  Kind kind_;
  IssueReport report_;
  std::array<std::size_t, 3> kept_ = {};  // by severity
  std::size_t known_kept_ = 0;
};

}  // namespace ckpt::cli
