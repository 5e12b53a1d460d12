#include "formats/encoding/byte_reader.h"

#include <utility>

namespace ckpt::formats {

ByteReader::ByteReader(std::span<const std::byte> bytes, std::uint64_t base_offset,
                       std::string file)
    : bytes_(bytes), base_offset_(base_offset), file_(std::move(file)) {}

bool ByteReader::Need(std::uint64_t size) noexcept {
  if (!ok_) return false;
  if (size <= remaining()) return true;
  Fail("needs " + std::to_string(size) + " more bytes where " + std::to_string(remaining()) +
       " are left");
  return false;
}

void ByteReader::Fail(std::string message) {
  if (!ok_) return;
  ok_ = false;
  message_ = std::move(message);
  failed_at_ = offset();
}

Status ByteReader::status() const {
  if (ok_) return {};
  return ckpt::Fail(Error{ErrorCode::kCorrupt, message_}.In(file_).At(failed_at_));
}

std::span<const std::byte> ByteReader::Bytes(std::uint64_t size) noexcept {
  if (!Need(size)) return {};
  const auto bytes = bytes_.subspan(position_, static_cast<std::size_t>(size));
  position_ += static_cast<std::size_t>(size);
  return bytes;
}

std::string_view ByteReader::Text(std::uint64_t size) noexcept {
  const auto bytes = Bytes(size);
  return {reinterpret_cast<const char*>(bytes.data()), bytes.size()};
}

namespace {
std::uint64_t LittleEndian(std::span<const std::byte> bytes) noexcept {
  std::uint64_t value = 0;
  for (std::size_t i = bytes.size(); i-- > 0;)
    value = (value << 8) | std::to_integer<std::uint64_t>(bytes[i]);
  return value;
}
}  // namespace

std::uint8_t ByteReader::U8() noexcept { return static_cast<std::uint8_t>(LittleEndian(Bytes(1))); }
std::uint16_t ByteReader::U16() noexcept {
  return static_cast<std::uint16_t>(LittleEndian(Bytes(2)));
}
std::uint32_t ByteReader::U32() noexcept {
  return static_cast<std::uint32_t>(LittleEndian(Bytes(4)));
}
std::uint64_t ByteReader::U64() noexcept { return LittleEndian(Bytes(8)); }

std::uint64_t ByteReader::Varint64() noexcept {
  std::uint64_t value = 0;
  for (unsigned shift = 0; shift < 64; shift += 7) {
    const std::uint8_t byte = U8();
    if (!ok_) return 0;
    if (shift == 63 && byte > 1) break;
    value |= static_cast<std::uint64_t>(byte & 0x7F) << shift;
    if (byte < 0x80) return value;
  }
  Fail("varint is longer than 64 bits");
  return 0;
}

std::uint32_t ByteReader::Varint32() noexcept {
  const std::uint64_t value = Varint64();
  if (value > 0xFFFFFFFFU) Fail("varint does not fit 32 bits");
  return ok_ ? static_cast<std::uint32_t>(value) : 0;
}

std::uint64_t ByteReader::Count(std::uint64_t count, std::uint64_t min_item_size) noexcept {
  if (!ok_) return 0;
  if (min_item_size != 0 && count > remaining() / min_item_size) {
    Fail("claims " + std::to_string(count) + " items, more than the remaining " +
         std::to_string(remaining()) + " bytes can hold");
    return 0;
  }
  return count;
}

bool CheckedAdd(std::uint64_t a, std::uint64_t b, std::uint64_t* sum) noexcept {
  return !__builtin_add_overflow(a, b, sum);
}
bool CheckedMul(std::uint64_t a, std::uint64_t b, std::uint64_t* product) noexcept {
  return !__builtin_mul_overflow(a, b, product);
}
bool RangeFits(std::uint64_t offset, std::uint64_t size, std::uint64_t file_size) noexcept {
  return offset <= file_size && size <= file_size - offset;
}

}  // namespace ckpt::formats
