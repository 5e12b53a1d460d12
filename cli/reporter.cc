#include "cli/reporter.h"

namespace ckpt::cli {

Result<Reporter> OpenReporter(const CommonOptions& options) {
  CKPT_ASSIGN_OR_RETURN(auto sink, OpenReport(options));
  const FormRow& row = *FindForm(options.form);
  return Reporter(row.make({.style = StyleFor(options), .quiet = options.quiet}), std::move(sink));
}

}  // namespace ckpt::cli
