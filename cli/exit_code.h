// Exit codes of the program; documented in README.md and relied on by scripts.
#pragma once

#include "ckpt/error.h"

namespace ckpt::cli {

enum class ExitCode : int {
  kClean = 0,     // done, nothing to report
  kFindings = 1,  // findings at or above --fail-on, or differences
  kUsage = 2,
  kBadInput = 3,  // malformed, unsupported, unsafe or unfit: the same again on a retry
  kIo = 4,        // I/O or a limit: a retry may help
  kInternal = 5,
};

ExitCode ExitCodeFor(ErrorCode code) noexcept;

}  // namespace ckpt::cli
