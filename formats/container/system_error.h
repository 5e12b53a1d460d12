// The error of a system call on a file.
#pragma once

#include <cerrno>
#include <filesystem>
#include <string>
#include <string_view>
#include <system_error>

#include "ckpt/error.h"

namespace ckpt::formats {

// "cannot create: No such file or directory"; `number` is errno's.
inline Error SystemErrorOf(const std::filesystem::path& path, std::string_view what, int number) {
  return Error{ErrorCode::kIo, std::string(what) + ": " + std::generic_category().message(number)}
      .In(path.string());
}

// As above, but kNotFound where there is no such file, as for a file that is to be read.
inline Error ReadErrorOf(const std::filesystem::path& path, std::string_view what, int number) {
  Error error = SystemErrorOf(path, what, number);
  if (number == ENOENT || number == ENOTDIR) error.code = ErrorCode::kNotFound;
  return error;
}

}  // namespace ckpt::formats
