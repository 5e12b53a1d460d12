// The table ("sstable") that a V2 checkpoint's .index file is, and a V1 checkpoint as a whole.
//
//   file     = data blocks, metaindex block, index block, footer
//   block    = contents, type (1 byte), masked CRC-32C of contents and type (4 bytes)
//   contents = entries, restart offsets (4 bytes each), their count (4 bytes)
//   entry    = shared (varint), unshared (varint), value size (varint), key suffix, value
//   handle   = offset (varint), size (varint): of a block's contents, type and CRC not counted
//   footer   = metaindex handle, index handle, zeros up to byte 40, magic (8 bytes)
//
// `shared` is how many bytes a key has in common with the one before it; at a restart offset it is
// 0. Keys increase strictly, bytewise. The index block maps a key >= the last of a block, and < the
// first of the next one, to the block's handle. Integers are little-endian.
//
// Source: TensorFlow, core/lib/io/table_format.txt and format.h; LevelDB, doc/table_format.md.
#pragma once

#include <cstddef>
#include <cstdint>

namespace ckpt::formats {

inline constexpr std::size_t kTableFooterBytes = 48;
inline constexpr std::size_t kTableHandlesBytes = 40;  // of the footer: all before the magic
inline constexpr std::size_t kBlockTrailerBytes = 5;
inline constexpr std::uint64_t kTableMagic = 0xdb4775248b80fb57;

inline constexpr std::uint8_t kRawBlock = 0;
inline constexpr std::uint8_t kSnappyBlock = 1;

struct BlockHandle {
  std::uint64_t offset = 0;
  std::uint64_t size = 0;
};

}  // namespace ckpt::formats
