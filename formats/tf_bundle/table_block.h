// One block of a table: how its bytes become entries.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>

#include "ckpt/result.h"
#include "formats/container/file.h"
#include "formats/encoding/byte_reader.h"
#include "formats/tf_bundle/table_format.h"

namespace ckpt::formats {

// The uncompressed contents of a block and where they come from.
struct TableBlock {
  std::span<const std::byte> contents;
  const RandomAccessFile* file = nullptr;
  std::uint64_t offset = 0;  // of the block in the file
  bool compressed = false;

  // The offset in the file of a position in the contents; of the block where it is compressed.
  std::uint64_t FileOffset(std::uint64_t position) const noexcept {
    return compressed ? offset : offset + position;
  }
  Error Corrupt(std::uint64_t position, std::string message) const;
};

// kCorrupt where the block reaches beyond the blocks of the file. `named_at` is where the handle
// stands in the file, for messages.
Status CheckBlockExtent(const RandomAccessFile& file, BlockHandle handle, std::uint64_t named_at);

// Reads the block that `handle` points to and checks its extent and checksum. `named_at` is where
// the handle stands in the file, for messages. The contents live in `buffer` until it is next used.
struct BlockBuffer {
  std::string stored, uncompressed;
};
Result<TableBlock> LoadBlock(const RandomAccessFile& file, BlockHandle handle,
                             std::uint64_t named_at, std::uint64_t max_bytes, BlockBuffer* buffer);

// Walks the entries of a block front to back. Every restart offset must be the beginning of an
// entry that shares nothing, so that a reader which searches finds what this one lists.
class BlockCursor {
 public:
  static Result<BlockCursor> Begin(const TableBlock& block);

  // Moves to the next entry; false at the end.
  Result<bool> Next();
  const std::string& key() const noexcept { return key_; }
  std::span<const std::byte> value() const noexcept { return value_; }
  std::uint64_t offset() const noexcept { return block_.FileOffset(start_); }

 private:
  BlockCursor(const TableBlock& block, std::size_t entries_end);
  Result<bool> End() const;

  TableBlock block_;
  ByteReader entries_, restarts_;
  bool has_restart_ = false;   // is there one that was not reached yet?
  std::uint64_t restart_ = 0;  // its offset
  std::uint64_t start_ = 0;    // of the current entry
  std::string key_;
  std::span<const std::byte> value_;
};

}  // namespace ckpt::formats
