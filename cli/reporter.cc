#include "cli/reporter.h"

#include <unistd.h>

#include "cli/terminal_width.h"

namespace ckpt::cli {
namespace {

// The form of what is left on stdout; null for nothing.
const FormRow* FormOnStdout(const CommonOptions& options) {
  const FormRow* form = FindForm(options.form);
  for (const ReportFile& file : ReportFilesOf(options)) {
    if (IsStdout(file.path)) return nullptr;
    if (file.in_place_of_stdout) form = options.quiet ? nullptr : FindForm("concise");
  }
  return form != nullptr && form->commands.Has(options.command) ? form : nullptr;
}

}  // namespace

Result<Reporter> OpenReporter(const CommonOptions& options, std::optional<Severity> fails_on) {
  std::vector<Reporter::Channel> channels;
  const auto add = [&](const FormRow& row, bool to_stdout, std::unique_ptr<ReportSink> sink) {
    FormOptions form{StyleFor(options, to_stdout), options.quiet, fails_on};
    form.full = options.verbose;
    form.show = options.show;
    if (options.verbose && !form.show) form.show = Severity::kInfo;
    if (to_stdout) {
      form.width = TerminalWidth(STDOUT_FILENO);
      // Unless a form for programs was asked for, which says all.
      form.errors_told = row.name == "text" || row.name != options.form;
    }
    channels.push_back({row.make(form), std::move(sink)});
  };
  for (const ReportFile& file : ReportFilesOf(options)) {
    CKPT_ASSIGN_OR_RETURN(auto sink, OpenReport(options, file.path));
    add(*file.form, false, std::move(sink));
  }
  if (const FormRow* form = FormOnStdout(options)) {
    CKPT_ASSIGN_OR_RETURN(auto sink, OpenStdout());
    add(*form, true, std::move(sink));
  }
  return Reporter(std::move(channels));
}

}  // namespace ckpt::cli
