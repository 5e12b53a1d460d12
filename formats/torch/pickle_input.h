// The bytes of a pickle, front to back: from memory, or from a file in small pieces where nothing
// says how long the pickle is.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "ckpt/result.h"
#include "formats/container/file.h"

namespace ckpt::formats {

class PickleInput {
 public:
  // `bytes` must outlive this object; `file` and `base_offset` are for messages.
  PickleInput(std::string_view bytes, std::string file, std::uint64_t base_offset = 0);
  // From `offset` on to the end of `file`, which must outlive this object.
  PickleInput(const RandomAccessFile& file, std::uint64_t offset);

  // The offset of the next byte in the file (or the member).
  std::uint64_t offset() const noexcept { return base_ + position_; }
  std::uint64_t remaining() const noexcept { return end_ - offset(); }
  const std::string& file_name() const noexcept { return name_; }

  Result<std::uint8_t> Byte();
  // Little-endian.
  Result<std::uint64_t> Unsigned(unsigned bytes);
  // `size` was read from the pickle: nothing is allocated before it is compared with what is left.
  Result<std::string> Take(std::uint64_t size);
  // Up to a line feed, without it.
  Result<std::string> Line(std::uint64_t max_bytes);

  tl::unexpected<Error> Fail(ErrorCode code, std::string message) const;

 private:
  Status Need(std::size_t size);  // so many bytes in window_ from position_ on; size is small

  const RandomAccessFile* source_ = nullptr;
  std::string name_;
  std::uint64_t base_ = 0;  // of window_[0]
  std::uint64_t end_ = 0;
  std::string buffer_;
  std::string_view window_;
  std::size_t position_ = 0;
};

}  // namespace ckpt::formats
