#include "formats/tf_bundle/table_reader.h"

#include <array>
#include <optional>
#include <string>

#include "formats/encoding/byte_reader.h"
#include "formats/tf_bundle/large_block.h"
#include "formats/tf_bundle/table_block.h"
#include "formats/tf_bundle/table_format.h"

namespace ckpt::formats {
namespace {

// Prefix compression makes keys longer than the bytes they take. Real names compress less than ten
// times; beyond this allowance a file is built to fill memory.
constexpr std::uint64_t kKeyBytesFree = std::uint64_t{16} << 20;
constexpr std::uint64_t kKeyBytesPerFileByte = 32;

struct Footer {
  BlockHandle metaindex, index;
  std::uint64_t offset = 0;  // in the file
};

Result<Footer> ReadFooter(const RandomAccessFile& file) {
  const auto corrupt = [&](std::uint64_t offset, std::string message) {
    return Fail(Error{ErrorCode::kCorrupt, std::move(message)}.In(file.path()).At(offset));
  };
  if (file.size() < kTableFooterBytes) {
    return corrupt(file.size(), "has " + std::to_string(file.size()) +
                                    " bytes, too few for a table, whose footer alone takes 48");
  }
  Footer footer;
  footer.offset = file.size() - kTableFooterBytes;
  std::array<std::byte, kTableFooterBytes> buffer;
  CKPT_RETURN_IF_ERROR(file.ReadAt(footer.offset, buffer));
  const std::span<const std::byte> bytes(buffer);
  if (ByteReader(bytes.subspan(kTableHandlesBytes)).U64() != kTableMagic) {
    return corrupt(footer.offset + kTableHandlesBytes,
                   "does not end in the magic number of a table (sstable): another format, or cut "
                   "short");
  }
  ByteReader reader(bytes.first(kTableHandlesBytes), footer.offset, file.path());
  footer.metaindex.offset = reader.Varint64();
  footer.metaindex.size = reader.Varint64();
  footer.index.offset = reader.Varint64();
  footer.index.size = reader.Varint64();
  CKPT_RETURN_IF_ERROR(reader.status());
  return footer;
}

class TableScanner {
 public:
  TableScanner(const RandomAccessFile& file, const Limits& limits,
               const std::function<Status(const TableEntry&)>& visit,
               const std::function<Status(const PlacedEntry&)>& visit_large)
      : file_(file),
        limits_(limits),
        visit_(visit),
        visit_large_(visit_large),
        key_bytes_left_(kKeyBytesFree + kKeyBytesPerFileByte * file.size()) {}

  Status Run();

 private:
  Result<TableBlock> Load(BlockHandle handle, std::uint64_t named_at, BlockBuffer* buffer) const {
    return LoadBlock(file_, handle, named_at, limits_.index_bytes, buffer);
  }
  Status CheckMetaindex(const Footer& footer);
  Status ReadDataBlock(BlockHandle handle, std::uint64_t named_at, const std::string& separator);
  Status ReadLargeBlock(BlockHandle handle, const std::string& separator);
  Status CheckOrder(const std::string& key, std::uint64_t offset, bool first_of_block,
                    const std::string& separator) const;
  Status TakeKey(const std::string& key, std::uint64_t offset);

  const RandomAccessFile& file_;
  const Limits& limits_;
  const std::function<Status(const TableEntry&)>& visit_;
  const std::function<Status(const PlacedEntry&)>& visit_large_;
  BlockBuffer data_buffer_;
  std::uint64_t key_bytes_left_;
  std::uint64_t data_end_ = 0;           // of the blocks read so far
  std::optional<std::string> last_key_;  // of the entries shown so far
  std::string separator_;                // the index key of the block before
};

// TensorFlow writes no metaindex entries and reads none; the block must be sound all the same.
Status TableScanner::CheckMetaindex(const Footer& footer) {
  BlockBuffer buffer;
  CKPT_ASSIGN_OR_RETURN(const TableBlock block, Load(footer.metaindex, footer.offset, &buffer));
  CKPT_ASSIGN_OR_RETURN(BlockCursor cursor, BlockCursor::Begin(block));
  for (bool more = true; more;) {
    CKPT_ASSIGN_OR_RETURN(more, cursor.Next());
  }
  return {};
}

Status TableScanner::Run() {
  CKPT_ASSIGN_OR_RETURN(const Footer footer, ReadFooter(file_));
  CKPT_RETURN_IF_ERROR(CheckMetaindex(footer));
  BlockBuffer buffer;
  CKPT_ASSIGN_OR_RETURN(const TableBlock index, Load(footer.index, footer.offset, &buffer));
  CKPT_ASSIGN_OR_RETURN(BlockCursor cursor, BlockCursor::Begin(index));
  while (true) {
    CKPT_ASSIGN_OR_RETURN(const bool more, cursor.Next());
    if (!more) return {};
    ByteReader reader(cursor.value());
    BlockHandle handle;
    handle.offset = reader.Varint64();
    handle.size = reader.Varint64();
    if (!reader.ok() || handle.offset < data_end_) {
      return Fail(Error{ErrorCode::kCorrupt,
                        reader.ok() ? "points to a block that overlaps the one before it"
                                    : "an index entry is not the place of a block"}
                      .In(file_.path())
                      .At(cursor.offset()));
    }
    CKPT_RETURN_IF_ERROR(ReadDataBlock(handle, cursor.offset(), cursor.key()));
  }
}

Status TableScanner::ReadDataBlock(BlockHandle handle, std::uint64_t named_at,
                                   const std::string& separator) {
  if (visit_large_) {
    CKPT_ASSIGN_OR_RETURN(const bool large, IsLargeRawBlock(file_, handle, named_at));
    if (large) return ReadLargeBlock(handle, separator);
  }
  CKPT_ASSIGN_OR_RETURN(const TableBlock block, Load(handle, named_at, &data_buffer_));
  data_end_ = handle.offset + handle.size + kBlockTrailerBytes;
  CKPT_ASSIGN_OR_RETURN(BlockCursor cursor, BlockCursor::Begin(block));
  for (bool first = true;; first = false) {
    CKPT_ASSIGN_OR_RETURN(const bool more, cursor.Next());
    if (!more) break;
    CKPT_RETURN_IF_ERROR(CheckOrder(cursor.key(), cursor.offset(), first, separator));
    CKPT_RETURN_IF_ERROR(TakeKey(cursor.key(), cursor.offset()));
    const auto position = static_cast<std::uint64_t>(cursor.value().data() - block.contents.data());
    CKPT_RETURN_IF_ERROR(visit_(TableEntry{cursor.key(), cursor.value(), cursor.offset(), handle,
                                           block.compressed, position}));
  }
  separator_ = separator;
  return {};
}

Status TableScanner::ReadLargeBlock(BlockHandle handle, const std::string& separator) {
  data_end_ = handle.offset + handle.size + kBlockTrailerBytes;
  CKPT_ASSIGN_OR_RETURN(LargeBlockCursor cursor,
                        LargeBlockCursor::Begin(file_, handle, limits_.name_bytes));
  for (bool first = true;; first = false) {
    CKPT_ASSIGN_OR_RETURN(const bool more, cursor.Next());
    if (!more) break;
    CKPT_RETURN_IF_ERROR(CheckOrder(cursor.key(), cursor.offset(), first, separator));
    CKPT_RETURN_IF_ERROR(TakeKey(cursor.key(), cursor.offset()));
    CKPT_RETURN_IF_ERROR(visit_large_(PlacedEntry{cursor.key(), cursor.offset(), handle,
                                                  cursor.value_position(), cursor.value_size()}));
  }
  separator_ = separator;
  return {};
}

Status TableScanner::CheckOrder(const std::string& key, std::uint64_t offset, bool first_of_block,
                                const std::string& separator) const {
  const bool ascends = !last_key_ || (*last_key_ < key && (!first_of_block || separator_ < key));
  if (ascends && !(separator < key)) return {};
  return Fail(Error{ErrorCode::kCorrupt, "the key \"" + key + "\" is out of order"}
                  .In(file_.path())
                  .At(offset));
}

Status TableScanner::TakeKey(const std::string& key, std::uint64_t offset) {
  if (key.size() > limits_.name_bytes || key.size() > key_bytes_left_) {
    return Fail(Error{ErrorCode::kLimitExceeded,
                      "a key of " + std::to_string(key.size()) +
                          " bytes: longer than names may be, or the names together take more "
                          "memory than the file justifies"}
                    .In(file_.path())
                    .At(offset));
  }
  key_bytes_left_ -= key.size();
  last_key_ = key;
  return {};
}

}  // namespace

Status ReadTable(const RandomAccessFile& file, const Limits& limits,
                 const std::function<Status(const TableEntry&)>& visit,
                 const std::function<Status(const PlacedEntry&)>& visit_large) {
  return TableScanner(file, limits, visit, visit_large).Run();
}

}  // namespace ckpt::formats
