#include "formats/tf_bundle/table_block.h"

#include <snappy.h>

#include <utility>

#include "formats/encoding/checksum.h"

namespace ckpt::formats {
namespace {

// The most that snappy can pack: three bytes stand for 64.
constexpr std::uint64_t kMaxSnappyRatio = 22;

constexpr std::size_t kRestartBytes = sizeof(std::uint32_t);

std::span<const std::byte> AsBytes(const std::string& text) {
  return std::as_bytes(std::span(text));
}

Status Uncompress(std::uint64_t max_bytes, TableBlock* block, std::string* out) {
  const char* stored = reinterpret_cast<const char*>(block->contents.data());
  const std::size_t stored_size = block->contents.size();
  std::size_t size = 0;
  if (!snappy::GetUncompressedLength(stored, stored_size, &size)) {
    return Fail(block->Corrupt(0, "a snappy block does not begin with its length"));
  }
  if (size / kMaxSnappyRatio > stored_size) {
    return Fail(block->Corrupt(0, "a snappy block of " + std::to_string(stored_size) +
                                      " bytes claims to hold " + std::to_string(size)));
  }
  if (size > max_bytes) {
    Error error = block->Corrupt(0, "a snappy block holds " + std::to_string(size) +
                                        " bytes, where at most " + std::to_string(max_bytes) +
                                        " are taken into memory");
    error.code = ErrorCode::kLimitExceeded;
    return Fail(std::move(error));
  }
  out->resize(size);
  if (!snappy::RawUncompress(stored, stored_size, out->data())) {
    return Fail(block->Corrupt(0, "a snappy block cannot be uncompressed"));
  }
  block->contents = AsBytes(*out);
  block->compressed = true;
  return {};
}

}  // namespace

Error TableBlock::Corrupt(std::uint64_t position, std::string message) const {
  if (compressed) {
    message = "at byte " + std::to_string(position) + " of an uncompressed block: " + message;
  }
  return Error{ErrorCode::kCorrupt, std::move(message)}.In(file->path()).At(FileOffset(position));
}

Status CheckBlockExtent(const RandomAccessFile& file, BlockHandle handle, std::uint64_t named_at) {
  const std::uint64_t blocks_end = file.size() - kTableFooterBytes;
  std::uint64_t stored_size = 0;
  if (CheckedAdd(handle.size, kBlockTrailerBytes, &stored_size) &&
      RangeFits(handle.offset, stored_size, blocks_end)) {
    return {};
  }
  return Fail(Error{ErrorCode::kCorrupt, "points to a block of " + std::to_string(handle.size) +
                                             " bytes at byte " + std::to_string(handle.offset) +
                                             ", beyond the last block's end at byte " +
                                             std::to_string(blocks_end)}
                  .In(file.path())
                  .At(named_at));
}

Result<TableBlock> LoadBlock(const RandomAccessFile& file, BlockHandle handle,
                             std::uint64_t named_at, std::uint64_t max_bytes, BlockBuffer* buffer) {
  CKPT_RETURN_IF_ERROR(CheckBlockExtent(file, handle, named_at));
  if (handle.size > max_bytes) {
    return Fail(Error{ErrorCode::kLimitExceeded,
                      "a block has " + std::to_string(handle.size) + " bytes, where at most " +
                          std::to_string(max_bytes) + " are taken into memory"}
                    .In(file.path())
                    .At(handle.offset));
  }
  const auto size = static_cast<std::size_t>(handle.size);
  buffer->stored.resize(size + kBlockTrailerBytes);
  CKPT_RETURN_IF_ERROR(
      file.ReadAt(handle.offset, std::as_writable_bytes(std::span(buffer->stored))));
  const auto bytes = AsBytes(buffer->stored);
  TableBlock block{bytes.first(size), &file, handle.offset, false};

  const std::uint32_t computed = Crc32c(bytes.first(size + 1));
  const std::uint32_t stored = UnmaskCrc(ByteReader(bytes.subspan(size + 1)).U32());
  if (computed != stored) {
    return Fail(block.Corrupt(
        0, "a block of " + std::to_string(size) + " bytes does not match its checksum: stored " +
               std::to_string(stored) + ", computed " + std::to_string(computed)));
  }
  const auto type = std::to_integer<std::uint8_t>(bytes[size]);
  if (type == kSnappyBlock) {
    CKPT_RETURN_IF_ERROR(Uncompress(max_bytes, &block, &buffer->uncompressed));
  } else if (type != kRawBlock) {
    return Fail(
        block.Corrupt(size, "a block is compressed by the unknown method " + std::to_string(type)));
  }
  return block;
}

Result<BlockCursor> BlockCursor::Begin(const TableBlock& block) {
  const std::size_t size = block.contents.size();
  if (size < kRestartBytes) {
    return Fail(block.Corrupt(
        0, "a block of " + std::to_string(size) + " bytes has no room for its restart count"));
  }
  const std::size_t count_at = size - kRestartBytes;
  const std::uint32_t count = ByteReader(block.contents.subspan(count_at)).U32();
  if (count > count_at / kRestartBytes) {
    return Fail(block.Corrupt(count_at, "a block of " + std::to_string(size) +
                                            " bytes claims to have " + std::to_string(count) +
                                            " restarts, more than it has room for"));
  }
  return BlockCursor(block, count_at - count * kRestartBytes);
}

BlockCursor::BlockCursor(const TableBlock& block, std::size_t entries_end)
    : block_(block),
      entries_(block.contents.first(entries_end)),
      restarts_(block.contents.subspan(entries_end,
                                       block.contents.size() - kRestartBytes - entries_end)) {
  has_restart_ = restarts_.remaining() > 0;
  if (has_restart_) restart_ = restarts_.U32();
}

Result<bool> BlockCursor::Next() {
  start_ = entries_.offset();
  if (entries_.remaining() == 0) return End();
  const std::uint32_t shared = entries_.Varint32();
  const std::uint32_t unshared = entries_.Varint32();
  const std::uint32_t value_size = entries_.Varint32();
  const std::string_view suffix = entries_.Text(unshared);
  value_ = entries_.Bytes(value_size);
  if (!entries_.ok()) {
    const Error error = entries_.status().error();
    return Fail(block_.Corrupt(*error.offset, "an entry " + error.message));
  }
  const bool at_restart = has_restart_ && restart_ == start_;
  if (at_restart) {
    has_restart_ = restarts_.remaining() > 0;
    restart_ = has_restart_ ? restarts_.U32() : 0;
  }
  if (start_ == 0 && !at_restart) {
    return Fail(block_.Corrupt(0, "the first entry of a block is not a restart"));
  }
  if (shared > (at_restart ? 0 : key_.size())) {
    return Fail(block_.Corrupt(start_, "an entry shares " + std::to_string(shared) +
                                           " bytes with the key before it, which gives " +
                                           std::to_string(at_restart ? 0 : key_.size())));
  }
  key_.resize(shared);
  key_.append(suffix);
  return true;
}

Result<bool> BlockCursor::End() const {
  // A block without entries may have one restart, at its beginning.
  if (!has_restart_ || (start_ == 0 && restart_ == 0 && restarts_.remaining() == 0)) return false;
  return Fail(block_.Corrupt(start_, "the restart offset " + std::to_string(restart_) +
                                         " is not the beginning of an entry"));
}

}  // namespace ckpt::formats
