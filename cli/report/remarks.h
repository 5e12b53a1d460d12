// What the settings and the baseline of an audit did to its findings, and what it took over from an
// earlier run, for people: no form of a report is silent of it.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "cli/report/report.h"

namespace ckpt::cli {

struct Remark {
  std::string_view about;  // "settings", "baseline", "resumed"
  std::string path;        // of the file that it is about, as it is spelt
  std::string text;        // escaped, one line
  bool matters = true;     // findings were hidden, known, mended or written
};
std::vector<Remark> RemarksOf(const AuditSummary& summary);

}  // namespace ckpt::cli
