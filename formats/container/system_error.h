// The error of a system call on a file.
#pragma once

#include <filesystem>
#include <string>
#include <string_view>
#include <system_error>

#include "ckpt/error.h"

namespace ckpt::formats {

// "cannot create: No such file or directory"; `number` is errno's.
inline Error SystemErrorOf(const std::filesystem::path& path, std::string_view what, int number) {
  return Error{ErrorCode::kIo,
               std::string(what) + ": " + std::generic_category().message(number),
               path.string(),
               {},
               {}};
}

}  // namespace ckpt::formats
