// Exit codes of the program; documented in README.md and relied on by scripts.
#pragma once

#include <array>

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

// What each of them says, for --help and the man pages.
inline constexpr std::array<const char*, 6> kExitMeanings = {
    "done and clean", "findings or differences", "usage", "input malformed, unsupported or unfit",
    "I/O or a limit", "internal error"};

ExitCode ExitCodeFor(ErrorCode code) noexcept;

}  // namespace ckpt::cli
