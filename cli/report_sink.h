// Where a report goes: stdout, a device or FIFO, or a file that appears whole. Text pieces are
// written in order.
#pragma once

#include <memory>
#include <string>
#include <string_view>

#include "cli/options.h"
#include "cli/report/form.h"

namespace ckpt::cli {

class ReportSink {
 public:
  virtual ~ReportSink() = default;
  virtual Status Write(std::string_view text) = 0;
  // kInvalidArgument where the report would take the place of a file that the command read.
  virtual Status Check() const { return {}; }
  // Flushes; a report file is renamed into place here, after a last Check().
  virtual Status Finish() = 0;
};

// `path` is not written where it turns out to be one of the files that `options` tells of.
Result<std::unique_ptr<ReportSink>> OpenReport(const CommonOptions& options,
                                               const std::string& path);
Result<std::unique_ptr<ReportSink>> OpenStdout();
// Is what `path` names, a device or a descriptor, the one behind stdout?
bool IsStdout(const std::string& path);

Style StyleFor(const CommonOptions& options, bool to_stdout);

}  // namespace ckpt::cli
