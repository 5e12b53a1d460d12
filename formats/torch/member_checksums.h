// Checks the CRC-32 of archive members that are read in part or out of order, once each.
#pragma once

#include <cstddef>
#include <memory>
#include <mutex>
#include <unordered_map>

#include "formats/container/zip_archive.h"

namespace ckpt::formats {

// For use from several threads.
class MemberChecksums {
 public:
  explicit MemberChecksums(std::shared_ptr<const ZipArchive> archive);

  // Reads the member to its end at the first call. A member that stores no CRC-32 is not read.
  Status Check(std::size_t member);

 private:
  std::shared_ptr<const ZipArchive> archive_;
  std::mutex mutex_;
  std::unordered_map<std::size_t, Status> results_;  // by member
};

}  // namespace ckpt::formats
