// Reads little-endian fields from a span of untrusted bytes. After the first failure every read
// returns zero, and status() holds that first error with its offset; check once per record.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>

#include "ckpt/result.h"

namespace ckpt::formats {

class ByteReader {
 public:
  // `base_offset` is the offset of bytes[0] in `file`, for messages.
  explicit ByteReader(std::span<const std::byte> bytes, std::uint64_t base_offset = 0,
                      std::string file = {});

  std::uint8_t U8() noexcept;
  std::uint16_t U16() noexcept;
  std::uint32_t U32() noexcept;
  std::uint64_t U64() noexcept;
  std::uint64_t Varint64() noexcept;  // LEB128, at most 10 bytes
  std::uint32_t Varint32() noexcept;  // at most 5 bytes
  std::span<const std::byte> Bytes(std::uint64_t size) noexcept;
  std::string_view Text(std::uint64_t size) noexcept;
  // A count of items at least `min_item_size` bytes each; fails if they cannot fit in what remains.
  std::uint64_t Count(std::uint64_t count, std::uint64_t min_item_size) noexcept;

  std::uint64_t offset() const noexcept { return base_offset_ + position_; }
  std::uint64_t remaining() const noexcept { return bytes_.size() - position_; }
  bool ok() const noexcept { return ok_; }
  void Fail(std::string message);
  Status status() const;

 private:
  bool Need(std::uint64_t size) noexcept;
  std::span<const std::byte> bytes_;
  std::uint64_t base_offset_;
  std::string file_;
  std::size_t position_ = 0;
  bool ok_ = true;
  std::string message_;
  std::uint64_t failed_at_ = 0;
};

// Checked arithmetic on sizes from files: false on overflow.
[[nodiscard]] bool CheckedAdd(std::uint64_t a, std::uint64_t b, std::uint64_t* sum) noexcept;
[[nodiscard]] bool CheckedMul(std::uint64_t a, std::uint64_t b, std::uint64_t* product) noexcept;
// Does [offset, offset + size) lie within a file of `file_size` bytes?
[[nodiscard]] bool RangeFits(std::uint64_t offset, std::uint64_t size,
                             std::uint64_t file_size) noexcept;

}  // namespace ckpt::formats
