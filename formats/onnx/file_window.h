// Reads small fields here and there in a file through one buffer.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "ckpt/result.h"
#include "formats/container/file.h"

namespace ckpt::formats::onnx {

class FileWindow {
 public:
  explicit FileWindow(const RandomAccessFile& file) : file_(file) {}

  // Both fail with kCorrupt, and the offset, where the field would not end at or before `end`.
  // REQUIRES: end <= size of the file. A varint (LEB128, at most 10 bytes) moves `offset` behind
  // it.
  Result<std::uint64_t> Varint(std::uint64_t& offset, std::uint64_t end);
  Status Append(std::uint64_t offset, std::uint64_t size, std::uint64_t end, std::string& out);

  Error Corrupt(std::uint64_t offset, std::string message) const;

 private:
  // The bytes from `offset` on that the window has, at least one.
  Result<std::span<const std::byte>> At(std::uint64_t offset);

  const RandomAccessFile& file_;
  std::vector<std::byte> buffer_;
  std::uint64_t start_ = 0;
};

}  // namespace ckpt::formats::onnx
