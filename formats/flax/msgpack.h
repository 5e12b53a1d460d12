// MessagePack, as far as flax.serialization writes it: one item at a time from a file.
//
// Source: github.com/msgpack/msgpack, spec.md; flax, serialization.py.
#pragma once

#include <cstdint>
#include <string>

#include "formats/container/file_cursor.h"

namespace ckpt::formats {

enum class MsgpackKind : std::uint8_t {
  kNil,
  kBool,
  kInteger,  // -2^63 to 2^64 - 1
  kFloat,
  kString,    // `size` bytes follow
  kBinary,    // `size` bytes follow
  kArray,     // `size` items follow
  kMap,       // `size` pairs of items follow
  kExtension  // `size` bytes follow, of the application's type `extension`
};

struct MsgpackItem {
  MsgpackKind kind = MsgpackKind::kNil;
  std::uint64_t size = 0;
  std::uint64_t integer = 0;  // of kBool and kInteger; a negative one as its two's complement
  bool negative = false;
  double number = 0;  // of kFloat
  int extension = 0;
};

// Reads the head of an item; what follows it stays to be read. Sizes are known to be there: bytes
// as they are, items at one byte each at the least. Fails through the cursor.
MsgpackItem NextItem(FileCursor& cursor);

}  // namespace ckpt::formats
