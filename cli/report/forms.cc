#include <algorithm>
#include <array>
#include <vector>

#include "cli/report/form.h"

namespace ckpt::cli {
namespace {

constexpr Commands kEveryCommand = {CommandId::kInspect, CommandId::kAudit,  CommandId::kConvert,
                                    CommandId::kDiff,    CommandId::kVerify, CommandId::kCalibrate,
                                    CommandId::kExplain};

constexpr Commands kOfFiles = {CommandId::kInspect, CommandId::kAudit,  CommandId::kConvert,
                               CommandId::kDiff,    CommandId::kVerify, CommandId::kCalibrate};

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
    FormRow{.name = "concise",
            .media_type = "text/plain; charset=utf-8",
            .commands = kOfFiles,
            .make = MakeConciseForm},
    FormRow{.name = "markdown",
            .media_type = "text/markdown; charset=utf-8",
            .commands = kOfFiles,
            .make = MakeMarkdownForm},
    FormRow{.name = "html",
            .media_type = "text/html; charset=utf-8",
            .commands = kOfFiles,
            .make = MakePageForm,
            .draws = true},
    FormRow{.name = "github",
            .media_type = "text/plain; charset=utf-8",
            .commands = {CommandId::kAudit, CommandId::kConvert, CommandId::kDiff,
                         CommandId::kVerify, CommandId::kCalibrate},
            .make = MakeGithubForm},
    FormRow{.name = "junit",
            .media_type = "application/xml",
            .commands = {CommandId::kAudit, CommandId::kDiff, CommandId::kVerify},
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
