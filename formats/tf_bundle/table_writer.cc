#include "formats/tf_bundle/table_writer.h"

#include <algorithm>
#include <utility>

#include "formats/encoding/checksum.h"

namespace ckpt::formats {
namespace {

constexpr std::size_t kBlockBytes = std::size_t{256} << 10;
// An entry this large gets a block of its own.
constexpr std::size_t kLargeEntryBytes = 2 * kBlockBytes;

void AppendVarint(std::string* out, std::uint64_t value) {
  for (; value >= 0x80; value >>= 7) out->push_back(static_cast<char>((value & 0x7f) | 0x80));
  out->push_back(static_cast<char>(value));
}

void AppendFixed32(std::string* out, std::uint32_t value) {
  for (unsigned shift = 0; shift < 32; shift += 8) {
    out->push_back(static_cast<char>(value >> shift & 0xff));
  }
}

void AppendHandle(std::string* out, const BlockHandle& handle) {
  AppendVarint(out, handle.offset);
  AppendVarint(out, handle.size);
}

unsigned char Byte(char c) { return static_cast<unsigned char>(c); }

std::size_t SharedPrefix(std::string_view a, std::string_view b) {
  return static_cast<std::size_t>(std::mismatch(a.begin(), a.end(), b.begin(), b.end()).first -
                                  a.begin());
}

// A key k with last <= k < next, shortened where the first byte that differs leaves room between.
std::string Separator(const std::string& last, std::string_view next) {
  const std::size_t shared = SharedPrefix(last, next);
  if (shared == std::min(last.size(), next.size())) return last;
  if (Byte(last[shared]) + 1 >= Byte(next[shared])) return last;
  std::string key = last.substr(0, shared + 1);
  key.back() = static_cast<char>(Byte(key.back()) + 1);
  return key;
}

// A short key >= last.
std::string Successor(const std::string& last) {
  for (std::size_t i = 0; i < last.size(); ++i) {
    if (Byte(last[i]) == 0xff) continue;
    std::string key = last.substr(0, i + 1);
    key.back() = static_cast<char>(Byte(key.back()) + 1);
    return key;
  }
  return last;
}

std::span<const std::byte> BytesOf(const std::string& text) {
  return std::as_bytes(std::span(text));
}

}  // namespace

void BlockBuilder::Add(std::string_view key, std::string_view value) {
  std::size_t shared = 0;
  if (entries_.empty() || since_restart_ == restart_interval_) {
    AppendFixed32(&restarts_, static_cast<std::uint32_t>(entries_.size()));
    since_restart_ = 0;
  } else {
    shared = SharedPrefix(last_key_, key);
  }
  ++since_restart_;
  AppendVarint(&entries_, shared);
  AppendVarint(&entries_, key.size() - shared);
  AppendVarint(&entries_, value.size());
  entries_ += key.substr(shared);
  entries_ += value;
  last_key_ = key;
}

std::size_t BlockBuilder::size() const noexcept {
  const std::size_t restarts = restarts_.empty() ? sizeof(std::uint32_t) : restarts_.size();
  return entries_.size() + restarts + sizeof(std::uint32_t);
}

std::string BlockBuilder::Finish() {
  if (restarts_.empty()) AppendFixed32(&restarts_, 0);  // an empty block has one restart too
  const auto count = static_cast<std::uint32_t>(restarts_.size() / sizeof(std::uint32_t));
  std::string contents = std::move(entries_) + restarts_;
  AppendFixed32(&contents, count);
  *this = BlockBuilder(restart_interval_);
  return contents;
}

Status TableWriter::Add(std::string_view key, std::string_view value) {
  if (!data_.empty() && key.size() + value.size() >= kLargeEntryBytes) {
    CKPT_RETURN_IF_ERROR(FlushData());
  }
  if (pending_) AddPendingIndexEntry(Separator(last_key_, key));
  last_key_ = key;
  data_.Add(key, value);
  return data_.size() >= kBlockBytes ? FlushData() : Status();
}

Status TableWriter::FlushData() {
  CKPT_RETURN_IF_ERROR(WriteBlock(data_, &pending_handle_));
  pending_ = true;
  return {};
}

void TableWriter::AddPendingIndexEntry(std::string key) {
  std::string handle;
  AppendHandle(&handle, pending_handle_);
  index_.Add(key, handle);
  pending_ = false;
}

Status TableWriter::WriteBlock(BlockBuilder& block, BlockHandle* handle) {
  std::string bytes = block.Finish();
  *handle = {file_.size(), bytes.size()};
  bytes.push_back(static_cast<char>(kRawBlock));
  AppendFixed32(&bytes, MaskCrc(Crc32c(BytesOf(bytes))));
  return file_.Append(BytesOf(bytes));
}

Status TableWriter::Finish() {
  if (!data_.empty()) CKPT_RETURN_IF_ERROR(FlushData());
  BlockBuilder metaindex(kRestartInterval);
  BlockHandle metaindex_handle, index_handle;
  CKPT_RETURN_IF_ERROR(WriteBlock(metaindex, &metaindex_handle));
  if (pending_) AddPendingIndexEntry(Successor(last_key_));
  CKPT_RETURN_IF_ERROR(WriteBlock(index_, &index_handle));

  std::string footer;
  AppendHandle(&footer, metaindex_handle);
  AppendHandle(&footer, index_handle);
  footer.resize(kTableHandlesBytes);
  AppendFixed32(&footer, static_cast<std::uint32_t>(kTableMagic & 0xffffffffU));
  AppendFixed32(&footer, static_cast<std::uint32_t>(kTableMagic >> 32));
  return file_.Append(BytesOf(footer));
}

}  // namespace ckpt::formats
