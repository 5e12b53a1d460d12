// The text that Git LFS leaves in the place of a large file that was not fetched.
#pragma once

#include <optional>

#include "formats/container/file.h"

namespace ckpt::formats {

// The error to report instead of "another format"; nothing if `file` is not such a pointer.
std::optional<Error> GitLfsPointer(const RandomAccessFile& file);

}  // namespace ckpt::formats
