#include "formats/tf_bundle/large_block.h"

#include <algorithm>
#include <array>
#include <utility>
#include <vector>

#include "formats/encoding/byte_reader.h"
#include "formats/encoding/checksum.h"
#include "formats/tf_bundle/table_block.h"

namespace ckpt::formats {
namespace {

constexpr std::size_t kRestartSize = sizeof(std::uint32_t);
constexpr std::size_t kPieceBytes = std::size_t{1} << 20;

// Not owned.
SharedFile Shared(const RandomAccessFile& file) { return SharedFile(SharedFile(), &file); }

Result<std::uint32_t> ReadU32(const RandomAccessFile& file, std::uint64_t offset) {
  std::array<std::byte, 4> bytes;
  CKPT_RETURN_IF_ERROR(file.ReadAt(offset, bytes));
  return ByteReader(bytes).U32();
}

Result<std::uint32_t> ChecksumOf(const RandomAccessFile& file, std::uint64_t offset,
                                 std::uint64_t size) {
  std::vector<std::byte> piece(kPieceBytes);
  std::uint32_t crc = 0;
  while (size > 0) {
    const auto bytes = std::span<std::byte>(piece).first(
        static_cast<std::size_t>(std::min<std::uint64_t>(size, piece.size())));
    CKPT_RETURN_IF_ERROR(file.ReadAt(offset, bytes));
    crc = Crc32c(bytes, crc);
    offset += bytes.size();
    size -= bytes.size();
  }
  return crc;
}

}  // namespace

Result<bool> IsLargeRawBlock(const RandomAccessFile& file, BlockHandle handle,
                             std::uint64_t named_at) {
  if (handle.size <= kHeldBlockBytes) return false;
  CKPT_RETURN_IF_ERROR(CheckBlockExtent(file, handle, named_at));
  std::array<std::byte, 1> type;
  CKPT_RETURN_IF_ERROR(file.ReadAt(handle.offset + handle.size, type));
  return std::to_integer<std::uint8_t>(type[0]) == kRawBlock;
}

Result<LargeBlockCursor> LargeBlockCursor::Begin(const RandomAccessFile& file, BlockHandle handle,
                                                 std::uint64_t max_key_bytes) {
  const auto corrupt = [&](std::uint64_t position, std::string message) {
    return Fail(Error{ErrorCode::kCorrupt, std::move(message)}
                    .In(file.path())
                    .At(handle.offset + position));
  };
  CKPT_ASSIGN_OR_RETURN(const std::uint32_t computed,
                        ChecksumOf(file, handle.offset, handle.size + 1));
  CKPT_ASSIGN_OR_RETURN(const std::uint32_t masked, ReadU32(file, handle.offset + handle.size + 1));
  const std::uint32_t stored = UnmaskCrc(masked);
  if (computed != stored) {
    return corrupt(0, "a block of " + std::to_string(handle.size) +
                          " bytes does not match its checksum: stored " + std::to_string(stored) +
                          ", computed " + std::to_string(computed));
  }
  const std::uint64_t count_at = handle.size - kRestartSize;
  CKPT_ASSIGN_OR_RETURN(const std::uint32_t count, ReadU32(file, handle.offset + count_at));
  if (count > count_at / kRestartSize) {
    return corrupt(count_at, "a block of " + std::to_string(handle.size) +
                                 " bytes claims to have " + std::to_string(count) +
                                 " restarts, more than it has room for");
  }
  LargeBlockCursor cursor(file, handle, count_at - count * std::uint64_t{kRestartSize},
                          max_key_bytes);
  CKPT_RETURN_IF_ERROR(cursor.NextRestart());
  return cursor;
}

LargeBlockCursor::LargeBlockCursor(const RandomAccessFile& file, BlockHandle handle,
                                   std::uint64_t entries_end, std::uint64_t max_key_bytes)
    : file_(&file),
      handle_(handle),
      max_key_bytes_(max_key_bytes),
      entries_(Shared(file), handle.offset, handle.offset + entries_end),
      restarts_(Shared(file), handle.offset + entries_end,
                handle.offset + handle.size - kRestartSize) {}

Error LargeBlockCursor::Corrupt(std::uint64_t position, std::string message) const {
  return Error{ErrorCode::kCorrupt, std::move(message)}
      .In(file_->path())
      .At(handle_.offset + position);
}

Result<std::uint32_t> LargeBlockCursor::Varint() {
  std::uint64_t value = 0;
  for (unsigned shift = 0; shift < 35; shift += 7) {
    if (entries_.remaining() == 0) return Fail(Corrupt(start_, "an entry is cut off"));
    CKPT_ASSIGN_OR_RETURN(const std::byte byte, entries_.Byte());
    const auto bits = std::to_integer<std::uint64_t>(byte);
    value |= (bits & 0x7f) << shift;
    if (bits >= 0x80) continue;
    if (value > UINT32_MAX) break;
    return static_cast<std::uint32_t>(value);
  }
  return Fail(Corrupt(start_, "an entry has a number of more than 32 bits"));
}

Status LargeBlockCursor::NextRestart() {
  has_restart_ = restarts_.remaining() > 0;
  if (!has_restart_) return {};
  restart_ = 0;
  for (unsigned shift = 0; shift < 32; shift += 8) {
    CKPT_ASSIGN_OR_RETURN(const std::byte byte, restarts_.Byte());
    restart_ |= std::to_integer<std::uint32_t>(byte) << shift;
  }
  return {};
}

Result<bool> LargeBlockCursor::Next() {
  start_ = entries_.offset() - handle_.offset;
  if (entries_.remaining() == 0) return End();
  CKPT_ASSIGN_OR_RETURN(const std::uint32_t shared, Varint());
  CKPT_ASSIGN_OR_RETURN(const std::uint32_t unshared, Varint());
  CKPT_ASSIGN_OR_RETURN(const std::uint32_t value_size, Varint());
  if (std::uint64_t{unshared} + value_size > entries_.remaining()) {
    return Fail(Corrupt(start_, "an entry is cut off"));
  }
  const bool at_restart = has_restart_ && restart_ == start_;
  if (at_restart) CKPT_RETURN_IF_ERROR(NextRestart());
  if (start_ == 0 && !at_restart) {
    return Fail(Corrupt(0, "the first entry of a block is not a restart"));
  }
  if (shared > (at_restart ? 0 : key_.size())) {
    return Fail(Corrupt(start_, "an entry shares " + std::to_string(shared) +
                                    " bytes with the key before it, which gives " +
                                    std::to_string(at_restart ? 0 : key_.size())));
  }
  if (std::uint64_t{shared} + unshared > max_key_bytes_) {
    Error error = Corrupt(start_, "a key of " + std::to_string(std::uint64_t{shared} + unshared) +
                                      " bytes, longer than names may be");
    error.code = ErrorCode::kLimitExceeded;
    return Fail(std::move(error));
  }
  key_.resize(shared);
  for (std::uint64_t left = unshared; left > 0;) {
    CKPT_ASSIGN_OR_RETURN(const auto bytes, entries_.Take(left));
    key_.append(reinterpret_cast<const char*>(bytes.data()), bytes.size());
    left -= bytes.size();
  }
  value_position_ = entries_.offset() - handle_.offset;
  value_size_ = value_size;
  entries_.Skip(value_size);
  return true;
}

Result<bool> LargeBlockCursor::End() const {
  if (!has_restart_) return false;
  return Fail(Corrupt(start_, "the restart offset " + std::to_string(restart_) +
                                  " is not the beginning of an entry"));
}

}  // namespace ckpt::formats
