// Where a report goes: stdout, or a file that appears whole. Text pieces are written in order.
#pragma once

#include <memory>
#include <string>
#include <string_view>

#include "cli/options.h"

namespace ckpt::cli {

class ReportSink {
 public:
  virtual ~ReportSink() = default;
  virtual Status Write(std::string_view text) = 0;
  // Flushes; a report file is renamed into place here.
  virtual Status Finish() = 0;
};

Result<std::unique_ptr<ReportSink>> OpenReport(const CommonOptions& options);

// ANSI colours for text, empty strings where colour is off.
struct Style {
  std::string_view red, yellow, green, dim, bold, reset;
};
Style StyleFor(const CommonOptions& options);

}  // namespace ckpt::cli
