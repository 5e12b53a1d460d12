// What a run of audits found so far, in a file that a later run goes on with: --resume FILE.
//
// A line for each input, of the form `records`, appended as soon as the input was audited. A line
// counts while the files that its input was read of have the size and the mtime (URLs: the ETag)
// that it says, and program and options are the same. A run that was killed leaves whole lines and
// at most a torn last one.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "ckpt/result.h"
#include "cli/report_sink.h"

namespace ckpt::cli {

struct AuditJournal {
  // What an earlier run found of an input.
  struct Entry {
    InputState state = InputState::kClean;
    SeverityCounts findings = {};
    ErrorCode error = ErrorCode::kInternal;  // of an unreadable one
    std::optional<Severity> Gravest() const noexcept;
  };

  std::vector<std::optional<Entry>> entries;  // of the inputs: what need not be audited again
  std::unique_ptr<ReportSink> sink;           // of the form `records`: appends
};

// `tool` and `options` as the records of this run will have them. Lines that do not count any more
// are taken out of the file, those of other inputs stay; a file that is not there is made.
// kInvalidArgument where the file holds anything else: it is left alone. kIo where another run
// writes to it.
Result<AuditJournal> OpenAuditJournal(const std::string& path,
                                      const std::vector<std::string>& inputs,
                                      const std::string& options);

}  // namespace ckpt::cli
