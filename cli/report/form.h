// A form of reports: how what a command found is printed. One class and one row of the table a
// form; a new one touches no command.
#pragma once

#include <cstdint>
#include <functional>
#include <initializer_list>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>

#include "cli/report/report.h"

namespace ckpt::cli {

// Takes the next text of a report; what it cannot take ends the report.
using TextTaker = std::function<Status(std::string_view)>;

// Prints pieces in the order in which they become known; each call returns the text that can be
// written by then, often none. A form overrides the pieces of those commands that its row lists:
// the others print nothing.
class Form {
 public:
  virtual ~Form() = default;
  virtual std::string Add(const InspectedInput&) { return {}; }
  // The same, a text at a time where it is long: a file may have a million tensors.
  virtual Status AddInTexts(const InspectedInput& inspected, const TextTaker& take) {
    return take(Add(inspected));
  }
  virtual std::string End(const InspectSummary&) { return {}; }
  virtual std::string Add(const AuditedInput&) { return {}; }
  virtual std::string End(const AuditSummary&) { return {}; }
  virtual std::string Add(const Conversion&) { return {}; }
  virtual std::string Add(const Comparison&) { return {}; }
  virtual std::string Add(const ReplicaComparison&) { return {}; }
  virtual std::string Add(const VerifiedPair&) { return {}; }
  virtual std::string Add(const FollowedRun&) { return {}; }
  virtual std::string End(const TrendSummary&) { return {}; }
  virtual std::string Add(const RuleList&) { return {}; }
};

// ANSI colours for text, empty strings where colour is off.
struct Style {
  std::string_view red, yellow, green, dim, bold, reset;
};

struct FormOptions {
  Style style = {};
  bool quiet = false;  // nothing where there is nothing to say, in forms for people
  // Findings of this severity and above make the exit code 1; absent: none does.
  std::optional<Severity> fails_on = Severity::kWarning;
  // Findings of this severity and above are listed; absent: warnings and errors.
  std::optional<Severity> show = {};
  bool full = false;         // text leaves nothing out, however much there is
  std::size_t width = 0;     // columns that lines of text are broken at; 0: they are not
  bool errors_told = false;  // why an input could not be read stands on stderr already

  // The mildest findings that forms for people list: what makes the exit code 1 is among them.
  Severity ListedFrom() const noexcept;
  // Lines of one kind that text has at most.
  std::size_t MostLines() const noexcept;
};

enum class CommandId : std::uint8_t {
  kInspect,
  kAudit,
  kConvert,
  kDiff,
  kVerify,
  kCalibrate,
  kTrend,
  kExplain
};

// A set of commands.
class Commands {
 public:
  constexpr Commands(std::initializer_list<CommandId> commands) {
    for (const CommandId command : commands) bits_ |= Bit(command);
  }
  constexpr bool Has(CommandId command) const noexcept { return (bits_ & Bit(command)) != 0; }

 private:
  static constexpr std::uint32_t Bit(CommandId command) {
    return std::uint32_t{1} << static_cast<unsigned>(command);
  }
  std::uint32_t bits_ = 0;
};

// A row of the table.
struct FormRow {
  std::string_view name;  // of --format
  std::string_view media_type;
  Commands commands;  // that can be reported so
  std::unique_ptr<Form> (*make)(const FormOptions& options);
  bool draws = false;  // the distributions of batch norms, which are read for it
};

std::span<const FormRow> Forms() noexcept;
const FormRow* FindForm(std::string_view name) noexcept;  // null if there is none
// "text, json or jsonl": the forms of a command, in the order of the table.
std::string FormsOf(CommandId command);

std::unique_ptr<Form> MakeTextForm(const FormOptions& options);
std::unique_ptr<Form> MakeJsonForm(const FormOptions& options);
std::unique_ptr<Form> MakeJsonLinesForm(const FormOptions& options);
std::unique_ptr<Form> MakeRecordsForm(const FormOptions& options);
std::unique_ptr<Form> MakeSarifForm(const FormOptions& options);
std::unique_ptr<Form> MakeJunitForm(const FormOptions& options);
std::unique_ptr<Form> MakeGithubForm(const FormOptions& options);
std::unique_ptr<Form> MakeGitlabForm(const FormOptions& options);
std::unique_ptr<Form> MakeMarkdownForm(const FormOptions& options);
std::unique_ptr<Form> MakeConciseForm(const FormOptions& options);
std::unique_ptr<Form> MakePageForm(const FormOptions& options);

}  // namespace ckpt::cli
