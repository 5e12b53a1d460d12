// The CRC-32 of a file that is written in parts, in any order: parts whose bytes passed by are not
// read again.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

#include "formats/container/file.h"

namespace ckpt::formats {

class PartedChecksum {
 public:
  // These bytes were written at `offset` of the file. They are given once, and stay.
  void Add(std::uint64_t offset, std::span<const std::byte> bytes);
  // Of the file from `begin` to its end; what was not added is read. kInternal where parts overlap
  // or do not lie there.
  Result<std::uint32_t> Of(const RandomAccessFile& file, std::uint64_t begin);

 private:
  struct Part {
    std::uint64_t begin, end;
    std::uint32_t crc32;
  };
  std::vector<Part> parts_;
};

}  // namespace ckpt::formats
