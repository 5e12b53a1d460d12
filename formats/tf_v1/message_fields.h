// The fields of a protobuf message that is in memory, without its schema.
//
// Source: https://protobuf.dev/programming-guides/encoding/
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string_view>

#include "formats/encoding/byte_reader.h"

namespace ckpt::formats {

// Passes to the next field `number` that is a message or bytes and returns its content; nothing at
// the end. Fails through `reader`, in the words of `otherwise`, where the bytes are no message.
std::optional<std::span<const std::byte>> NextBytesField(ByteReader& reader, std::uint32_t number,
                                                         std::string_view otherwise);

}  // namespace ckpt::formats
