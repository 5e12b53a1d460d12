// Opening a zip archive: the end records and the central directory.
#include <algorithm>
#include <array>
#include <numeric>
#include <utility>

#include "formats/container/zip_archive.h"
#include "formats/container/zip_entry.h"
#include "formats/container/zip_records.h"
#include "formats/encoding/byte_reader.h"
#include "formats/encoding/json_events.h"

namespace ckpt::formats {
namespace {

// DEFLATE cannot make more of one byte: 258 bytes from two bits [zlib's technical details].
constexpr std::uint64_t kMaxExpansion = 1032;

// Where the directory is, by all end records.
struct DirectoryPlace {
  std::uint64_t count = 0, size = 0, offset = 0;
};

// The offset of the end record: the one whose comment ends where the file does.
Result<std::uint64_t> FindEndRecord(const RandomAccessFile& file) {
  const auto size = std::min<std::uint64_t>(file.size(), zip::kEndBytes + zip::kSaturated16);
  const std::uint64_t start = file.size() - size;
  std::vector<std::byte> tail(static_cast<std::size_t>(size));
  CKPT_RETURN_IF_ERROR(file.ReadAt(start, tail));
  std::optional<std::uint64_t> found;
  for (std::size_t at = 0; at + zip::kEndBytes <= tail.size(); ++at) {
    if (tail[at] != std::byte{'P'} || tail[at + 1] != std::byte{'K'}) continue;
    ByteReader record(std::span<const std::byte>(tail).subspan(at));
    if (record.U32() != zip::kEndSignature) continue;
    record.Bytes(16);
    if (record.U16() != record.remaining()) continue;
    if (found) {
      return ZipError(
          ErrorCode::kCorrupt, file, start + at,
          "has two end records of a zip archive, the first at byte " + std::to_string(*found));
    }
    found = start + at;
  }
  if (found) return *found;
  return ZipError(ErrorCode::kCorrupt, file, file.size(),
                  "does not end as a zip archive does: it is cut short, or other bytes follow it");
}

Status RefuseSeveralDisks(const RandomAccessFile& file, std::uint64_t offset, bool several) {
  if (!several) return {};
  return ZipError(ErrorCode::kUnsupported, file, offset, "is a part of a zip archive of several");
}

// Replaces `place` by what the zip64 end record says; `end` is the offset of the end record.
// Returns where the end records begin.
Result<std::uint64_t> ReadEnd64(const RandomAccessFile& file, std::uint64_t end,
                                DirectoryPlace& place) {
  if (end < zip::kLocatorBytes + zip::kEnd64Bytes) return end;
  const std::uint64_t locator_offset = end - zip::kLocatorBytes;
  std::array<std::byte, zip::kLocatorBytes> locator_bytes;
  CKPT_RETURN_IF_ERROR(file.ReadAt(locator_offset, locator_bytes));
  ByteReader locator(locator_bytes);
  if (locator.U32() != zip::kLocatorSignature) return end;
  const std::uint32_t disk = locator.U32();
  const std::uint64_t offset = locator.U64();
  const std::uint32_t disks = locator.U32();
  CKPT_RETURN_IF_ERROR(RefuseSeveralDisks(file, locator_offset, disk != 0 || disks > 1));

  const auto mismatch = [&](std::uint64_t at, const std::string& what) {
    return ZipError(ErrorCode::kCorrupt, file, at, "the zip64 end record " + what);
  };
  if (offset > locator_offset || locator_offset - offset < zip::kEnd64Bytes) {
    return mismatch(locator_offset, "is not where its locator says");
  }
  std::array<std::byte, zip::kEnd64Bytes> bytes;
  CKPT_RETURN_IF_ERROR(file.ReadAt(offset, bytes));
  ByteReader record(bytes);
  if (record.U32() != zip::kEnd64Signature) {
    return mismatch(offset, "is not where its locator says");
  }
  if (record.U64() != locator_offset - offset - 12) {
    return mismatch(offset, "does not reach up to its locator");
  }
  record.Bytes(4);  // versions
  const std::uint32_t this_disk = record.U32(), directory_disk = record.U32();
  const std::uint64_t count_here = record.U64();
  const DirectoryPlace wide{.count = record.U64(), .size = record.U64(), .offset = record.U64()};
  CKPT_RETURN_IF_ERROR(RefuseSeveralDisks(
      file, offset, this_disk != 0 || directory_disk != 0 || count_here != wide.count));
  const auto agrees = [](std::uint64_t narrow, std::uint64_t value, std::uint64_t saturated) {
    return narrow == saturated || narrow == value;
  };
  if (!agrees(place.count, wide.count, zip::kSaturated16) ||
      !agrees(place.size, wide.size, zip::kSaturated32) ||
      !agrees(place.offset, wide.offset, zip::kSaturated32)) {
    return mismatch(offset, "contradicts the end record");
  }
  place = wide;
  return offset;
}

Result<DirectoryPlace> LocateDirectory(const RandomAccessFile& file, const Limits& limits) {
  CKPT_ASSIGN_OR_RETURN(const std::uint64_t end, FindEndRecord(file));
  std::array<std::byte, zip::kEndBytes> bytes;
  CKPT_RETURN_IF_ERROR(file.ReadAt(end, bytes));
  ByteReader record(bytes);
  record.U32();
  const std::uint16_t disk = record.U16(), directory_disk = record.U16();
  const std::uint16_t count_here = record.U16();
  DirectoryPlace place;
  place.count = record.U16();
  place.size = record.U32();
  place.offset = record.U32();
  CKPT_RETURN_IF_ERROR(
      RefuseSeveralDisks(file, end, disk != 0 || directory_disk != 0 || count_here != place.count));
  CKPT_ASSIGN_OR_RETURN(const std::uint64_t records, ReadEnd64(file, end, place));

  std::uint64_t directory_end = 0;
  if (!CheckedAdd(place.offset, place.size, &directory_end) || directory_end != records) {
    return ZipError(ErrorCode::kCorrupt, file, end,
                    "the central directory (" + std::to_string(place.size) + " bytes at " +
                        std::to_string(place.offset) + ") does not end at its end record");
  }
  if (place.count > place.size / zip::kCentralBytes) {
    return ZipError(ErrorCode::kCorrupt, file, end,
                    "claims " + std::to_string(place.count) + " members in a directory of " +
                        std::to_string(place.size) + " bytes");
  }
  if (place.size > limits.index_bytes || place.count > limits.tensors) {
    return ZipError(ErrorCode::kLimitExceeded, file, end,
                    "has a central directory of " + std::to_string(place.size) + " bytes and " +
                        std::to_string(place.count) + " members");
  }
  return place;
}

Status CheckEntry(const ZipEntry& entry, const RandomAccessFile& file, std::uint64_t at,
                  std::uint16_t method) {
  const ZipMember& member = entry.member;
  const auto refuse = [&](ErrorCode code, const std::string& message) {
    return ZipMemberError(code, file, at, member, message);
  };
  constexpr std::uint16_t kHidden = zip::kEncrypted | zip::kStrongEncryption | zip::kMaskedHeader;
  if ((entry.flags & kHidden) != 0) return refuse(ErrorCode::kUnsupported, "is encrypted");
  if ((entry.flags & zip::kPatchData) != 0) {
    return refuse(ErrorCode::kUnsupported, "is a patch of another file");
  }
  if (method != 0 && method != 8) {
    return refuse(ErrorCode::kUnsupported, "is compressed by method " + std::to_string(method) +
                                               "; stored and deflated members are read");
  }
  if (member.name.find('\0') != std::string::npos) {
    return refuse(ErrorCode::kCorrupt, "has a NUL in its name");
  }
  if ((entry.flags & zip::kUtf8Name) != 0 && !QuoteJson(member.name)) {
    return refuse(ErrorCode::kCorrupt, "has a name that is not the UTF-8 it is said to be");
  }
  if (method == 0 && member.compressed_size != member.size) {
    return refuse(ErrorCode::kCorrupt, "is stored and has two different sizes");
  }
  if (member.size / kMaxExpansion > member.compressed_size) {
    return refuse(ErrorCode::kCorrupt, "claims " + std::to_string(member.size) + " bytes from " +
                                           std::to_string(member.compressed_size) +
                                           ", more than DEFLATE can make");
  }
  if (member.name.ends_with('/') && member.size != 0) {
    return refuse(ErrorCode::kCorrupt, "is a folder with content");
  }
  return {};
}

Result<ZipEntry> ReadCentralEntry(ByteReader& reader, const RandomAccessFile& file,
                                  const Limits& limits) {
  const std::uint64_t at = reader.offset();
  ZipEntry entry;
  ZipMember& member = entry.member;
  if (reader.U32() != zip::kCentralSignature) {
    return ZipError(ErrorCode::kCorrupt, file, at, "no header of the zip directory here");
  }
  reader.Bytes(4);  // versions
  entry.flags = reader.U16();
  const std::uint16_t method = reader.U16();
  reader.Bytes(4);  // time and date
  member.crc32 = reader.U32();
  member.compressed_size = reader.U32();
  member.size = reader.U32();
  const std::uint16_t name_size = reader.U16(), extra_size = reader.U16();
  const std::uint16_t comment_size = reader.U16(), disk = reader.U16();
  reader.Bytes(6);  // attributes
  member.header_offset = reader.U32();
  member.name = reader.Text(name_size);
  ByteReader extra(reader.Bytes(extra_size));
  reader.Bytes(comment_size);
  CKPT_RETURN_IF_ERROR(reader.status());
  if (name_size > limits.name_bytes) {
    return ZipError(ErrorCode::kLimitExceeded, file, at,
                    "a zip member's name has " + std::to_string(name_size) + " bytes");
  }
  CKPT_RETURN_IF_ERROR(RefuseSeveralDisks(file, at, disk != 0));
  if (!ResolveZip64(extra, {&member.size, &member.compressed_size, &member.header_offset})) {
    return ZipMemberError(ErrorCode::kCorrupt, file, at, member, "has malformed extra fields");
  }
  CKPT_RETURN_IF_ERROR(CheckEntry(entry, file, at, method));
  member.method = method == 0 ? ZipMethod::kStored : ZipMethod::kDeflated;
  return entry;
}

Result<std::vector<ZipEntry>> ReadDirectory(const RandomAccessFile& file,
                                            const DirectoryPlace& place, const Limits& limits) {
  std::vector<std::byte> bytes(static_cast<std::size_t>(place.size));
  CKPT_RETURN_IF_ERROR(file.ReadAt(place.offset, bytes));
  ByteReader reader(bytes, place.offset, file.path());
  std::vector<ZipEntry> entries;
  entries.reserve(static_cast<std::size_t>(place.count));
  for (std::uint64_t i = 0; i < place.count; ++i) {
    CKPT_ASSIGN_OR_RETURN(ZipEntry entry, ReadCentralEntry(reader, file, limits));
    entries.push_back(std::move(entry));
  }
  if (reader.remaining() != 0) {
    return ZipError(
        ErrorCode::kCorrupt, file, reader.offset(),
        "the zip directory goes on behind its " + std::to_string(place.count) + " members");
  }
  return entries;
}
}  // namespace

ZipArchive::ZipArchive(std::shared_ptr<const RandomAccessFile> file, std::vector<ZipMember> members)
    : file_(std::move(file)), members_(std::move(members)), by_name_(members_.size()) {
  std::iota(by_name_.begin(), by_name_.end(), 0U);
  std::sort(by_name_.begin(), by_name_.end(),
            [&](std::uint32_t a, std::uint32_t b) { return members_[a].name < members_[b].name; });
}

Result<ZipArchive> ZipArchive::Open(std::shared_ptr<const RandomAccessFile> file,
                                    const Limits& limits) {
  CKPT_ASSIGN_OR_RETURN(const DirectoryPlace place, LocateDirectory(*file, limits));
  CKPT_ASSIGN_OR_RETURN(std::vector<ZipEntry> entries, ReadDirectory(*file, place, limits));
  CKPT_RETURN_IF_ERROR(CheckLocalHeaders(*file, place.offset, entries));
  std::vector<ZipMember> members;
  members.reserve(entries.size());
  for (ZipEntry& entry : entries) members.push_back(std::move(entry.member));
  ZipArchive archive(std::move(file), std::move(members));
  const auto twin = std::adjacent_find(
      archive.by_name_.begin(), archive.by_name_.end(), [&](std::uint32_t a, std::uint32_t b) {
        return archive.members_[a].name == archive.members_[b].name;
      });
  if (twin != archive.by_name_.end()) {
    const ZipMember& second = archive.members_[std::max(*twin, *std::next(twin))];
    return ZipMemberError(ErrorCode::kCorrupt, *archive.file_, second.header_offset, second,
                          "is there twice");
  }
  return archive;
}

std::optional<std::size_t> ZipArchive::Find(std::string_view name) const noexcept {
  const auto found = std::lower_bound(
      by_name_.begin(), by_name_.end(), name,
      [&](std::uint32_t index, std::string_view key) { return members_[index].name < key; });
  if (found == by_name_.end() || members_[*found].name != name) return std::nullopt;
  return *found;
}

bool StartsLikeZip(std::span<const std::byte> head) noexcept {
  const std::uint32_t signature = ByteReader(head).U32();
  return signature == zip::kLocalSignature || signature == zip::kEndSignature;
}

std::vector<std::string_view> ZipNamesInTail(std::span<const std::byte> tail) {
  constexpr std::string_view kSignature = "PK\x01\x02";
  const std::string_view text(reinterpret_cast<const char*>(tail.data()), tail.size());
  std::vector<std::string_view> names;
  for (std::size_t at = text.find(kSignature); at != std::string_view::npos;
       at = text.find(kSignature, at + kSignature.size())) {
    ByteReader entry(tail.subspan(at));
    entry.Bytes(28);
    const std::uint16_t name_size = entry.U16();
    entry.Bytes(zip::kCentralBytes - 30);
    const std::string_view name = entry.Text(name_size);
    if (entry.ok()) names.push_back(name);
  }
  return names;
}

}  // namespace ckpt::formats
