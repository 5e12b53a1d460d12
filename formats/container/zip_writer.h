// Writes zip archives of stored members, byte for byte as Python's zipfile does for NumPy: a zip64
// field in every local header, times of 1980-01-01, no descriptors. The same members give the same
// bytes.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "formats/container/atomic_output.h"

namespace ckpt::formats {

class ZipWriter {
 public:
  // What a member adds to the file besides its bytes and twice its name, and what the end of an
  // archive adds: bounds, for reserving room.
  static constexpr std::uint64_t kMemberBytesAtMost = 30 + 20 + 46 + 28;
  static constexpr std::uint64_t kEndBytesAtMost = 56 + 20 + 22;

  // `out` must be empty and outlive this object.
  explicit ZipWriter(OutputFile& out) : out_(out) {}

  // Starts a member; exactly `size` bytes must be appended before the next one. The caller sees
  // to it that names are UTF-8 and differ; kUnsupported above 65535 bytes. The bytes begin at a
  // multiple of `alignment` in the file, 1 to 4096: PyTorch's padding (extra field "FB") sees to
  // it.
  Status Begin(std::string name, std::uint64_t size, std::uint64_t alignment = 1);
  Status Append(std::span<const std::byte> bytes);

  // Starts a member that is written by path, from the end of the file as it is now on, and that
  // becomes known with EndByPath, before the next one.
  Status BeginByPath(std::string name);
  // The member is all that stands behind its header. `crc32` is of its bytes.
  Status EndByPath(std::uint32_t crc32);

  // Writes the directory.
  Status Finish();

 private:
  struct Member {
    std::string name;
    std::uint64_t size;
    std::uint64_t header_offset;
    std::uint32_t crc32;
  };
  Status Close();  // the member being written, if any

  OutputFile& out_;
  std::vector<Member> members_;
  std::uint64_t left_ = 0;  // of the member being written
  bool open_ = false;
};

}  // namespace ckpt::formats
