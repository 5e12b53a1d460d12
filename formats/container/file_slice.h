// A part of a file as a file of its own: a member that an archive stores as it stands.
#pragma once

#include <cstdint>
#include <memory>
#include <string>

#include "formats/container/file.h"

namespace ckpt::formats {

// The `size` bytes of `file` at `offset`, called `name` in messages.
// REQUIRES: the range lies within the file.
std::shared_ptr<const RandomAccessFile> SliceOfFile(std::shared_ptr<const RandomAccessFile> file,
                                                    std::uint64_t offset, std::uint64_t size,
                                                    std::string name);

}  // namespace ckpt::formats
