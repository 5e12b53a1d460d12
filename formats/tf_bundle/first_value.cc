#include "formats/tf_bundle/first_value.h"

#include "formats/encoding/byte_reader.h"
#include "formats/tf_bundle/table_format.h"

namespace ckpt::formats {
namespace {

std::optional<std::uint8_t> FirstByte(ByteReader reader) {
  const std::uint32_t shared = reader.Varint32(), unshared = reader.Varint32();
  const std::uint32_t size = reader.Varint32();
  const std::uint8_t byte = reader.U8();
  if (!reader.ok() || shared != 0 || unshared != 0 || size == 0) return std::nullopt;
  return byte;
}

// What snappy packs begins with its length and then with bytes as they are, after a tag that says
// how many: the length less 1 in the upper six bits, or in 1 to 4 bytes that follow.
std::optional<std::uint8_t> FirstByteOfPacked(ByteReader reader) {
  (void)reader.Varint32();
  const unsigned tag = reader.U8();
  if (!reader.ok() || (tag & 3U) != 0) return std::nullopt;
  constexpr unsigned kLongest = 59;
  if (tag >> 2U > kLongest) (void)reader.Bytes((tag >> 2U) - kLongest);
  return FirstByte(reader);
}

}  // namespace

FirstValue FirstValueOfTable(const ProbeInput& input) {
  if (input.tail.size() < kTableFooterBytes || input.head.size() < 4) return {};
  if (ByteReader(input.tail.last(sizeof(std::uint64_t))).U64() != kTableMagic) return {};
  auto byte = FirstByte(ByteReader(input.head));
  if (!byte) byte = FirstByteOfPacked(ByteReader(input.head));
  return {true, byte};
}

}  // namespace ckpt::formats
