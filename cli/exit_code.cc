#include "cli/exit_code.h"

namespace ckpt::cli {

ExitCode ExitCodeFor(ErrorCode code) noexcept {
  switch (code) {
    case ErrorCode::kInvalidArgument:
    case ErrorCode::kAlreadyExists:
      return ExitCode::kUsage;
    case ErrorCode::kNotFound:
    case ErrorCode::kIo:
    case ErrorCode::kLimitExceeded:
    case ErrorCode::kInterrupted:
      return ExitCode::kIo;
    case ErrorCode::kCorrupt:
    case ErrorCode::kUnsupported:
    case ErrorCode::kUnsafe:
    case ErrorCode::kUnfit:
      return ExitCode::kBadInput;
    case ErrorCode::kInternal:
      return ExitCode::kInternal;
  }
  return ExitCode::kInternal;
}

}  // namespace ckpt::cli
