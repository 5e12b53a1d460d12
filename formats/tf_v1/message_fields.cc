#include "formats/tf_v1/message_fields.h"

#include <string>

namespace ckpt::formats {

std::optional<std::span<const std::byte>> NextBytesField(ByteReader& reader, std::uint32_t number,
                                                         std::string_view otherwise) {
  constexpr unsigned kVarint = 0, kFixed64 = 1, kLengthDelimited = 2, kFixed32 = 5;
  while (reader.ok() && reader.remaining() > 0) {
    const std::uint32_t tag = reader.Varint32();
    switch (tag & 7U) {
      case kVarint:
        (void)reader.Varint64();
        break;
      case kFixed64:
        (void)reader.U64();
        break;
      case kFixed32:
        (void)reader.U32();
        break;
      case kLengthDelimited: {
        const auto bytes = reader.Bytes(reader.Varint64());
        if (tag >> 3U == number && reader.ok()) return bytes;
        break;
      }
      default:
        reader.Fail(std::string(otherwise));
    }
  }
  return std::nullopt;
}

}  // namespace ckpt::formats
