#include "formats/container/zip_writer.h"

#include <algorithm>
#include <string_view>
#include <utility>

#include "formats/container/zip_records.h"
#include "formats/encoding/checksum.h"

namespace ckpt::formats {
namespace {

constexpr std::uint16_t kVersion = 45;     // the first that has zip64
constexpr std::uint16_t kUnix = 3 << 8;    // the system in "version made by"
constexpr std::uint16_t kFirstDay = 0x21;  // 1980-01-01 as a DOS date
constexpr std::uint32_t kAttributes = 0600U << 16;
// Where zipfile changes over to zip64, below what the fields could hold.
constexpr std::uint64_t kZip64Limit = (std::uint64_t{1} << 31) - 1;
constexpr std::uint64_t kCrcPlace = 14;          // in a local header
constexpr std::uint64_t kFieldHeaderBytes = 4;   // of an extra field
constexpr std::uint64_t kZip64FieldBytes = 20;   // of a local header
constexpr std::uint16_t kPaddingExtra = 0x4246;  // caffe2/serialize/inline_container.cc of PyTorch
constexpr std::size_t kWrittenAtOnce = std::size_t{1} << 20;

class Record {
 public:
  Record& U16(std::uint64_t value) { return Put(value, 2); }
  Record& U32(std::uint64_t value) { return Put(value, 4); }
  Record& U64(std::uint64_t value) { return Put(value, 8); }
  Record& Text(std::string_view text) {
    bytes_ += text;
    return *this;
  }
  std::size_t size() const { return bytes_.size(); }
  const std::string& text() const { return bytes_; }
  std::span<const std::byte> bytes() const { return std::as_bytes(std::span(bytes_)); }

 private:
  Record& Put(std::uint64_t value, unsigned size) {
    for (unsigned i = 0; i < size; ++i) bytes_ += static_cast<char>((value >> (8 * i)) & 0xFF);
    return *this;
  }
  std::string bytes_;
};

std::uint16_t Flags(const std::string& name) {
  const bool ascii = std::all_of(name.begin(), name.end(),
                                 [](char c) { return static_cast<unsigned char>(c) < 128; });
  return ascii ? 0 : zip::kUtf8Name;
}

// The extra field that moves the data from `offset` on to a multiple of `alignment`.
Record Padding(std::uint64_t offset, std::uint64_t alignment) {
  Record field;
  if (offset % alignment == 0) return field;
  offset += kFieldHeaderBytes;
  const std::uint64_t fill = (alignment - offset % alignment) % alignment;
  field.U16(kPaddingExtra).U16(fill).Text(std::string(static_cast<std::size_t>(fill), 'Z'));
  return field;
}

Record LocalHeader(const std::string& name, std::uint64_t size, std::uint32_t crc32,
                   const Record& padding) {
  Record header;
  header.U32(zip::kLocalSignature).U16(kVersion).U16(Flags(name)).U16(0).U16(0).U16(kFirstDay);
  header.U32(crc32).U32(zip::kSaturated32).U32(zip::kSaturated32).U16(name.size());
  header.U16(kZip64FieldBytes + padding.size()).Text(name);
  header.U16(zip::kZip64Extra).U16(16).U64(size).U64(size).Text(padding.text());
  return header;
}

}  // namespace

Status ZipWriter::Begin(std::string name, std::uint64_t size, std::uint64_t alignment) {
  CKPT_RETURN_IF_ERROR(Close());
  if (name.size() > zip::kSaturated16) {
    return Fail(ErrorCode::kUnsupported,
                "a zip member's name would have " + std::to_string(name.size()) + " bytes");
  }
  const Record padding =
      Padding(out_.size() + zip::kLocalBytes + name.size() + kZip64FieldBytes, alignment);
  const Record header = LocalHeader(name, size, 0, padding);
  members_.push_back({std::move(name), size, out_.size(), 0});
  left_ = size;
  open_ = true;
  out_.WillRewrite(out_.size());  // the checksum
  return out_.Append(header.bytes());
}

Status ZipWriter::BeginByPath(std::string name) { return Begin(std::move(name), 0); }

Status ZipWriter::EndByPath(std::uint32_t crc32) {
  if (!open_ || left_ != 0) return Fail(ErrorCode::kInternal, "no zip member is being written");
  open_ = false;
  Member& member = members_.back();
  const std::uint64_t begin = out_.size();
  CKPT_RETURN_IF_ERROR(out_.AppendedByPath());
  member.size = out_.size() - begin;
  member.crc32 = crc32;
  return out_.WriteAt(member.header_offset,
                      LocalHeader(member.name, member.size, crc32, {}).bytes());
}

Status ZipWriter::Append(std::span<const std::byte> bytes) {
  if (!open_ || bytes.size() > left_) {
    return Fail(ErrorCode::kInternal, "more bytes than a zip member was announced with");
  }
  left_ -= bytes.size();
  members_.back().crc32 = Crc32(bytes, members_.back().crc32);
  return out_.Append(bytes);
}

Status ZipWriter::Close() {
  if (!std::exchange(open_, false)) return {};
  if (left_ != 0)
    return Fail(ErrorCode::kInternal, "fewer bytes than a zip member was announced with");
  return out_.WriteAt(members_.back().header_offset + kCrcPlace,
                      Record().U32(members_.back().crc32).bytes());
}

Status ZipWriter::Finish() {
  CKPT_RETURN_IF_ERROR(Close());
  const std::uint64_t offset = out_.size();
  Record header;  // of many members, so that they are written together
  for (const Member& member : members_) {
    Record extra;
    const bool large = member.size > kZip64Limit, far = member.header_offset > kZip64Limit;
    if (large) extra.U64(member.size).U64(member.size);
    if (far) extra.U64(member.header_offset);
    const std::uint64_t size = large ? zip::kSaturated32 : member.size;
    header.U32(zip::kCentralSignature).U16(kUnix | kVersion).U16(kVersion).U16(Flags(member.name));
    header.U16(0).U16(0).U16(kFirstDay).U32(member.crc32).U32(size).U32(size);
    header.U16(member.name.size()).U16(extra.size() == 0 ? 0 : extra.size() + 4).U16(0).U16(0);
    header.U16(0).U32(kAttributes).U32(far ? zip::kSaturated32 : member.header_offset);
    header.Text(member.name);
    if (extra.size() > 0) header.U16(zip::kZip64Extra).U16(extra.size()).Text(extra.text());
    if (header.size() < kWrittenAtOnce) continue;
    CKPT_RETURN_IF_ERROR(out_.Append(header.bytes()));
    header = {};
  }
  CKPT_RETURN_IF_ERROR(out_.Append(header.bytes()));
  const std::uint64_t size = out_.size() - offset, count = members_.size();
  Record end;
  if (count > zip::kSaturated16 || offset > kZip64Limit || size > kZip64Limit) {
    end.U32(zip::kEnd64Signature).U64(zip::kEnd64Bytes - 12).U16(kVersion).U16(kVersion);
    end.U32(0).U32(0).U64(count).U64(count).U64(size).U64(offset);
    end.U32(zip::kLocatorSignature).U32(0).U64(offset + size).U32(1);
  }
  const auto short_count = std::min<std::uint64_t>(count, zip::kSaturated16);
  end.U32(zip::kEndSignature).U16(0).U16(0).U16(short_count).U16(short_count);
  end.U32(std::min<std::uint64_t>(size, zip::kSaturated32));
  end.U32(std::min<std::uint64_t>(offset, zip::kSaturated32)).U16(0);
  return out_.Append(end.bytes());
}

}  // namespace ckpt::formats
