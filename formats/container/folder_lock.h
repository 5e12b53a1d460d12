// Held while files are put in place in a folder: of two runs onto one OUTPUT, one puts OUTPUT and
// its record there, then the other.
#pragma once

#include <chrono>
#include <filesystem>
#include <span>
#include <vector>

#include "ckpt/result.h"

namespace ckpt::formats {

class FolderLocks {
 public:
  // Of each folder, once; empty stands for the current one. kIo where another run holds one for
  // longer than `patience`. Where a file system has no locks, or a folder may not be read, nothing
  // is held there.
  static Result<FolderLocks> Take(std::span<const std::filesystem::path> folders,
                                  std::chrono::milliseconds patience = std::chrono::seconds(60));
  FolderLocks(FolderLocks&& other) noexcept = default;
  FolderLocks& operator=(FolderLocks&&) = delete;
  ~FolderLocks();

 private:
  FolderLocks() = default;
  std::vector<int> descriptors_;
};

}  // namespace ckpt::formats
