// A block of a table that is too large to be held: where its entries are, found without their
// values. A V1 checkpoint has the whole of a tensor in one block.
#pragma once

#include <cstdint>
#include <string>

#include "ckpt/result.h"
#include "formats/container/file.h"
#include "formats/tf_bundle/range_reader.h"
#include "formats/tf_bundle/table_format.h"

namespace ckpt::formats {

// Blocks up to this size are taken into memory.
inline constexpr std::uint64_t kHeldBlockBytes = std::uint64_t{4} << 20;

// Is the block larger than that, and stored without compression? kCorrupt where it reaches beyond
// the blocks of the file; `named_at` is where the handle stands.
Result<bool> IsLargeRawBlock(const RandomAccessFile& file, BlockHandle handle,
                             std::uint64_t named_at);

// Walks the entries front to back, by the rules of BlockCursor (table_block.h).
class LargeBlockCursor {
 public:
  // Reads the block once, in pieces, and checks its checksum. `file` must outlive the cursor; keys
  // longer than `max_key_bytes` are kLimitExceeded. REQUIRES: IsLargeRawBlock.
  static Result<LargeBlockCursor> Begin(const RandomAccessFile& file, BlockHandle handle,
                                        std::uint64_t max_key_bytes);

  // Moves to the next entry; false at the end.
  Result<bool> Next();
  const std::string& key() const noexcept { return key_; }
  std::uint64_t offset() const noexcept { return handle_.offset + start_; }  // in the file
  std::uint64_t value_position() const noexcept { return value_position_; }  // in the block
  std::uint64_t value_size() const noexcept { return value_size_; }

 private:
  LargeBlockCursor(const RandomAccessFile& file, BlockHandle handle, std::uint64_t entries_end,
                   std::uint64_t max_key_bytes);
  Error Corrupt(std::uint64_t position, std::string message) const;
  Result<std::uint32_t> Varint();
  Status NextRestart();
  Result<bool> End() const;

  const RandomAccessFile* file_;
  BlockHandle handle_;
  std::uint64_t max_key_bytes_;
  BufferedRange entries_, restarts_;
  bool has_restart_ = false;  // is there one that was not reached yet?
  std::uint32_t restart_ = 0;
  std::uint64_t start_ = 0;  // of the current entry, in the block
  std::string key_;
  std::uint64_t value_position_ = 0, value_size_ = 0;
};

}  // namespace ckpt::formats
