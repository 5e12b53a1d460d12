#include "formats/flax/msgpack.h"

#include <bit>

namespace ckpt::formats {
namespace {

MsgpackItem Sized(MsgpackKind kind, std::uint64_t size) {
  MsgpackItem item;
  item.kind = kind;
  item.size = size;
  return item;
}

MsgpackItem Integer(std::uint64_t value, bool negative) {
  MsgpackItem item;
  item.kind = MsgpackKind::kInteger;
  item.integer = value;
  item.negative = negative;
  return item;
}

// A signed number of `bytes` bytes.
MsgpackItem Signed(FileCursor& cursor, unsigned bytes) {
  std::uint64_t value = cursor.Big(bytes);
  const bool negative = (value >> (8 * bytes - 1) & 1U) != 0;
  if (negative && bytes < 8) value |= ~std::uint64_t{0} << (8 * bytes);
  return Integer(value, negative);
}

MsgpackItem Float(FileCursor& cursor, unsigned bytes) {
  MsgpackItem item;
  item.kind = MsgpackKind::kFloat;
  const std::uint64_t bits = cursor.Big(bytes);
  item.number = bytes == 4
                    ? static_cast<double>(std::bit_cast<float>(static_cast<std::uint32_t>(bits)))
                    : std::bit_cast<double>(bits);
  return item;
}

MsgpackItem Extension(FileCursor& cursor, std::uint64_t size) {
  MsgpackItem item = Sized(MsgpackKind::kExtension, size);
  item.extension = static_cast<std::int8_t>(cursor.U8());
  return item;
}

// The items whose first byte is 0xc0 or above, but for negative small integers.
MsgpackItem Tagged(FileCursor& cursor, unsigned tag) {
  switch (tag) {
    case 0xc0:
      return {};
    case 0xc2:
    case 0xc3: {
      MsgpackItem item = Integer(tag & 1U, false);
      item.kind = MsgpackKind::kBool;
      return item;
    }
    case 0xc4:
    case 0xc5:
    case 0xc6:
      return Sized(MsgpackKind::kBinary, cursor.Big(1U << (tag - 0xc4)));
    case 0xc7:
    case 0xc8:
    case 0xc9:
      return Extension(cursor, cursor.Big(1U << (tag - 0xc7)));
    case 0xca:
      return Float(cursor, 4);
    case 0xcb:
      return Float(cursor, 8);
    case 0xcc:
    case 0xcd:
    case 0xce:
    case 0xcf:
      return Integer(cursor.Big(1U << (tag - 0xcc)), false);
    case 0xd0:
    case 0xd1:
    case 0xd2:
    case 0xd3:
      return Signed(cursor, 1U << (tag - 0xd0));
    case 0xd4:
    case 0xd5:
    case 0xd6:
    case 0xd7:
    case 0xd8:
      return Extension(cursor, std::uint64_t{1} << (tag - 0xd4));
    case 0xd9:
    case 0xda:
    case 0xdb:
      return Sized(MsgpackKind::kString, cursor.Big(1U << (tag - 0xd9)));
    case 0xdc:
    case 0xdd:
      return Sized(MsgpackKind::kArray, cursor.Big(2U << (tag - 0xdc)));
    case 0xde:
    case 0xdf:
      return Sized(MsgpackKind::kMap, cursor.Big(2U << (tag - 0xde)));
    default:
      cursor.Fail(ErrorCode::kCorrupt, "has a byte that begins no MessagePack item");
      return {};
  }
}

}  // namespace

MsgpackItem NextItem(FileCursor& cursor) {
  const unsigned tag = cursor.U8();
  MsgpackItem item;
  if (!cursor.ok()) return item;
  if (tag < 0x80) {
    item = Integer(tag, false);
  } else if (tag < 0x90) {
    item = Sized(MsgpackKind::kMap, tag & 0x0fU);
  } else if (tag < 0xa0) {
    item = Sized(MsgpackKind::kArray, tag & 0x0fU);
  } else if (tag < 0xc0) {
    item = Sized(MsgpackKind::kString, tag & 0x1fU);
  } else if (tag >= 0xe0) {
    item = Integer(~std::uint64_t{0xff} | tag, true);
  } else {
    item = Tagged(cursor, tag);
  }
  const std::uint64_t least = item.kind == MsgpackKind::kMap ? 2 * item.size : item.size;
  if (cursor.ok() && least > cursor.remaining()) {
    cursor.Fail(ErrorCode::kCorrupt, "claims " + std::to_string(item.size) +
                                         " bytes or items where " +
                                         std::to_string(cursor.remaining()) + " bytes follow");
  }
  return cursor.ok() ? item : MsgpackItem{};
}

}  // namespace ckpt::formats
