// Reads fields of untrusted bytes of a file front to back, through a small buffer, and skips what
// is large. After the first failure every read returns zero and status() holds that failure.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "ckpt/result.h"
#include "formats/container/file.h"

namespace ckpt::formats {

class FileCursor {
 public:
  // From `begin` up to `end`, at most the file's size. `file` must outlive the cursor.
  FileCursor(const RandomAccessFile& file, std::uint64_t begin, std::uint64_t end);
  explicit FileCursor(const RandomAccessFile& file) : FileCursor(file, 0, file.size()) {}

  std::uint8_t U8();
  std::uint64_t Little(unsigned bytes);  // an unsigned number of up to eight bytes
  std::uint64_t Big(unsigned bytes);
  std::uint64_t Varint64();
  std::string Text(std::uint64_t size, std::uint64_t max_size);
  void Skip(std::uint64_t size);

  std::uint64_t offset() const noexcept { return offset_; }
  std::uint64_t end() const noexcept { return end_; }
  std::uint64_t remaining() const noexcept { return end_ - offset_; }
  bool ok() const noexcept { return !error_; }
  void Fail(ErrorCode code, std::string message);
  void Fail(Error error);
  Status status() const;

 private:
  bool Need(std::uint64_t size);
  std::uint8_t Next();

  const RandomAccessFile* file_;
  std::uint64_t offset_, end_;
  std::vector<std::byte> buffer_;
  std::uint64_t buffer_at_ = 0;  // offset in the file of buffer_[0]
  std::optional<Error> error_;
};

}  // namespace ckpt::formats
