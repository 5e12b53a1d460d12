#include <algorithm>
#include <array>
#include <limits>
#include <vector>

#include "cli/report/form.h"

namespace ckpt::cli {
namespace {

constexpr Commands kEveryCommand = {CommandId::kInspect, CommandId::kAudit,  CommandId::kConvert,
                                    CommandId::kDiff,    CommandId::kVerify, CommandId::kCalibrate,
                                    CommandId::kTrend,   CommandId::kExplain};

constexpr Commands kOfFiles = {CommandId::kInspect, CommandId::kAudit,  CommandId::kConvert,
                               CommandId::kDiff,    CommandId::kVerify, CommandId::kCalibrate,
                               CommandId::kTrend};

constexpr std::array kForms = {
    FormRow{.name = "text",
            .media_type = "text/plain; charset=utf-8",
            .commands = kEveryCommand,
            .make = MakeTextForm},
    FormRow{.name = "json",
            .media_type = "application/json",
            .commands = kEveryCommand,
            .make = MakeJsonForm},
    FormRow{.name = "jsonl",
            .media_type = "application/jsonl",
            .commands = kEveryCommand,
            .make = MakeJsonLinesForm},
    FormRow{.name = "records",
            .media_type = "application/jsonl",
            .commands = {CommandId::kAudit},
            .make = MakeRecordsForm},
    FormRow{.name = "concise",
            .media_type = "text/plain; charset=utf-8",
            .commands = kOfFiles,
            .make = MakeConciseForm},
    FormRow{.name = "markdown",
            .media_type = "text/markdown; charset=utf-8",
            .commands = kOfFiles,
            .make = MakeMarkdownForm},
    FormRow{
        .name = "html",
        .media_type = "text/html; charset=utf-8",
        .commands = {CommandId::kInspect, CommandId::kAudit, CommandId::kConvert, CommandId::kDiff,
                     CommandId::kVerify, CommandId::kCalibrate, CommandId::kTrend},
        .make = MakePageForm,
        .draws = true},
    FormRow{.name = "github",
            .media_type = "text/plain; charset=utf-8",
            .commands = {CommandId::kAudit, CommandId::kConvert, CommandId::kDiff,
                         CommandId::kVerify, CommandId::kCalibrate, CommandId::kTrend},
            .make = MakeGithubForm},
    FormRow{
        .name = "junit",
        .media_type = "application/xml",
        .commands = {CommandId::kAudit, CommandId::kDiff, CommandId::kVerify, CommandId::kTrend},
        .make = MakeJunitForm},
    FormRow{.name = "sarif",
            .media_type = "application/sarif+json",
            .commands = {CommandId::kAudit},
            .make = MakeSarifForm},
    FormRow{.name = "gitlab",
            .media_type = "application/json",
            .commands = {CommandId::kAudit},
            .make = MakeGitlabForm},
};

}  // namespace

Severity FormOptions::ListedFrom() const noexcept {
  const Severity wanted = show.value_or(Severity::kWarning);
  return fails_on ? std::min(wanted, *fails_on) : wanted;
}

std::size_t FormOptions::MostLines() const noexcept {
  return full ? std::numeric_limits<std::size_t>::max() : 500;
}

std::span<const FormRow> Forms() noexcept { return kForms; }

const FormRow* FindForm(std::string_view name) noexcept {
  const auto found = std::find_if(kForms.begin(), kForms.end(),
                                  [&](const FormRow& row) { return row.name == name; });
  return found == kForms.end() ? nullptr : &*found;
}

std::string FormsOf(CommandId command) {
  std::vector<std::string_view> names;
  for (const FormRow& row : kForms) {
    if (row.commands.Has(command)) names.push_back(row.name);
  }
  std::string out;
  for (std::size_t i = 0; i < names.size(); ++i) {
    if (i > 0) out += i + 1 == names.size() ? " or " : ", ";
    out += names[i];
  }
  return out;
}

}  // namespace ckpt::cli
