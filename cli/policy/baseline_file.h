// The file of a baseline: JSON, with the schema ckpt.baseline/1.
#pragma once

#include <string>
#include <vector>

#include "cli/options.h"
#include "cli/policy/baseline.h"
#include "formats/container/file.h"

namespace ckpt::cli {

// kInvalidArgument where it is absent, too large, no baseline, or an entry has no reason.
Result<Baseline> ReadBaseline(const formats::Files& files, const std::string& path);

// What --write-baseline writes: the findings of an audit, with the reasons that an older baseline
// has for them; its entries for checkpoints that were not looked at stay.
class BaselineWriter {
 public:
  struct Options {
    std::string path, reason;
    Severity least = Severity::kWarning;  // milder findings need no entry
    AuditScope scope = {};
  };
  explicit BaselineWriter(Options options) : options_(std::move(options)) {}
  // An input that was held against the older baseline, if there is one.
  void Add(const AuditedInput& audited);
  // Not over a file that the run reads; see OpenReport.
  Result<AuditSummary::WrittenBaseline> Write(const CommonOptions& options, const Baseline* older);

 private:
  Options options_;
  std::vector<BaselineEntry> entries_;
  std::uint64_t added_ = 0;
};

}  // namespace ckpt::cli
