// Opening a zip archive: the end records, the central directory, the local headers.
#include <algorithm>
#include <array>
#include <initializer_list>
#include <numeric>
#include <utility>

#include "formats/container/zip_archive.h"
#include "formats/container/zip_records.h"
#include "formats/encoding/byte_reader.h"
#include "formats/encoding/json_events.h"

namespace ckpt::formats {
namespace {

// DEFLATE cannot make more of one byte: 258 bytes from two bits [zlib's technical details].
constexpr std::uint64_t kMaxExpansion = 1032;

struct Entry {
  ZipMember member;
  std::uint16_t flags = 0;
};

tl::unexpected<Error> ZipError(ErrorCode code, const RandomAccessFile& file, std::uint64_t offset,
                               std::string message) {
  return Fail(Error{code, std::move(message), file.path(), offset, {}});
}

tl::unexpected<Error> MemberError(ErrorCode code, const RandomAccessFile& file,
                                  std::uint64_t offset, const ZipMember& member,
                                  const std::string& message) {
  return ZipError(code, file, offset, "zip member \"" + member.name + "\" " + message);
}

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

// Walks the extra fields and fills `saturated` from the zip64 field, in the order of [4.5.3].
// False where the fields are malformed or the zip64 field is absent or too short.
bool TakeZip64(ByteReader extra, std::initializer_list<std::uint64_t*> saturated) {
  bool seen = saturated.size() == 0;
  while (extra.ok() && extra.remaining() > 0) {
    const std::uint16_t id = extra.U16();
    const std::uint16_t size = extra.U16();
    ByteReader field(extra.Bytes(size));
    if (id != zip::kZip64Extra || seen) continue;
    for (std::uint64_t* value : saturated) {
      if (*value == zip::kSaturated32) *value = field.U64();
    }
    if (!field.ok()) return false;
    seen = true;
  }
  return extra.ok() && seen;
}

// As TakeZip64, for those of `values` that are saturated.
bool ResolveZip64(ByteReader extra, std::initializer_list<std::uint64_t*> values) {
  const bool needed = std::any_of(values.begin(), values.end(),
                                  [](const std::uint64_t* v) { return *v == zip::kSaturated32; });
  return needed ? TakeZip64(extra, values) : TakeZip64(extra, {});
}

Status CheckEntry(const Entry& entry, const RandomAccessFile& file, std::uint64_t at,
                  std::uint16_t method) {
  const ZipMember& member = entry.member;
  const auto refuse = [&](ErrorCode code, const std::string& message) {
    return MemberError(code, file, at, member, message);
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

Result<Entry> ReadCentralEntry(ByteReader& reader, const RandomAccessFile& file,
                               const Limits& limits) {
  const std::uint64_t at = reader.offset();
  Entry entry;
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
    return MemberError(ErrorCode::kCorrupt, file, at, member, "has malformed extra fields");
  }
  CKPT_RETURN_IF_ERROR(CheckEntry(entry, file, at, method));
  member.method = method == 0 ? ZipMethod::kStored : ZipMethod::kDeflated;
  return entry;
}

Result<std::vector<Entry>> ReadDirectory(const RandomAccessFile& file, const DirectoryPlace& place,
                                         const Limits& limits) {
  std::vector<std::byte> bytes(static_cast<std::size_t>(place.size));
  CKPT_RETURN_IF_ERROR(file.ReadAt(place.offset, bytes));
  ByteReader reader(bytes, place.offset, file.path());
  std::vector<Entry> entries;
  entries.reserve(static_cast<std::size_t>(place.count));
  for (std::uint64_t i = 0; i < place.count; ++i) {
    CKPT_ASSIGN_OR_RETURN(Entry entry, ReadCentralEntry(reader, file, limits));
    entries.push_back(std::move(entry));
  }
  if (reader.remaining() != 0) {
    return ZipError(
        ErrorCode::kCorrupt, file, reader.offset(),
        "the zip directory goes on behind its " + std::to_string(place.count) + " members");
  }
  return entries;
}

// Reads local headers and what follows the members' data; checks both against the directory.
class LocalHeaders {
 public:
  LocalHeaders(const RandomAccessFile& file, std::uint64_t directory_offset)
      : file_(file), end_(directory_offset) {}

  // Sets data_offset. Returns where the member ends, its data descriptor included.
  Result<std::uint64_t> Check(Entry& entry) {
    ZipMember& member = entry.member;
    CKPT_RETURN_IF_ERROR(ReadHeader(member));
    ByteReader header(buffer_, member.header_offset, file_.path());
    const auto contradicts = [&](const std::string& what) {
      return Refuse(member, member.header_offset,
                    "has a local header with another " + what + " than the directory's");
    };
    header.Bytes(6);  // signature, version
    constexpr std::uint16_t kCompared = zip::kEncrypted | zip::kHasDescriptor | zip::kPatchData |
                                        zip::kStrongEncryption | zip::kMaskedHeader;
    if (((header.U16() ^ entry.flags) & kCompared) != 0) return contradicts("set of flags");
    if (header.U16() != static_cast<std::uint16_t>(member.method)) return contradicts("method");
    header.Bytes(4);
    const std::uint32_t crc = header.U32();
    std::uint64_t compressed_size = header.U32(), size = header.U32();
    const std::uint16_t name_size = header.U16(), extra_size = header.U16();
    if (header.Text(name_size) != member.name) return contradicts("name");
    const ByteReader extra(header.Bytes(extra_size));
    CKPT_RETURN_IF_ERROR(header.status());
    if (!ResolveZip64(extra, {&size, &compressed_size})) {
      return Refuse(member, member.header_offset, "has malformed extra fields");
    }
    // A writer that did not know them yet leaves zeros and adds a descriptor [4.4.4].
    const bool later = (entry.flags & zip::kHasDescriptor) != 0;
    if (crc != member.crc32 && !(later && crc == 0)) return contradicts("CRC-32");
    if ((size != member.size && !(later && size == 0)) ||
        (compressed_size != member.compressed_size && !(later && compressed_size == 0))) {
      return contradicts("size");
    }
    member.data_offset = header.offset();
    if (!RangeFits(member.data_offset, member.compressed_size, end_)) {
      return Refuse(member, member.data_offset, "reaches into the central directory");
    }
    const std::uint64_t data_end = member.data_offset + member.compressed_size;
    return later ? CheckDescriptor(member, data_end) : Result<std::uint64_t>(data_end);
  }

 private:
  tl::unexpected<Error> Refuse(const ZipMember& member, std::uint64_t offset,
                               const std::string& message) const {
    return MemberError(ErrorCode::kCorrupt, file_, offset, member, message);
  }

  // Fills buffer_ with the header, name and extra fields, in one read where they are short.
  Status ReadHeader(const ZipMember& member) {
    constexpr std::uint64_t kUsualExtra = 128;
    if (!RangeFits(member.header_offset, zip::kLocalBytes + member.name.size(), end_)) {
      return Refuse(member, member.header_offset, "begins behind the last member");
    }
    const std::uint64_t room = end_ - member.header_offset;
    const std::uint64_t guess = zip::kLocalBytes + member.name.size() + kUsualExtra;
    CKPT_RETURN_IF_ERROR(ReadSome(member.header_offset, std::min(room, guess)));
    ByteReader header(buffer_);
    if (header.U32() != zip::kLocalSignature) {
      return Refuse(member, member.header_offset, "has no local header here");
    }
    header.Bytes(22);
    const std::uint64_t whole = zip::kLocalBytes + header.U16() + header.U16();
    if (whole <= buffer_.size()) return {};
    if (whole > room) return Refuse(member, member.header_offset, "has a header without an end");
    return ReadSome(member.header_offset, whole);
  }

  Status ReadSome(std::uint64_t offset, std::uint64_t size) {
    buffer_.resize(static_cast<std::size_t>(size));
    return file_.ReadAt(offset, buffer_);
  }

  // The data descriptor has a signature or not, and sizes of 32 or 64 bits [4.3.9].
  Result<std::uint64_t> CheckDescriptor(const ZipMember& member, std::uint64_t offset) {
    for (const bool wide : {true, false}) {
      for (const bool has_signature : {true, false}) {
        const std::uint64_t size = (has_signature ? 4U : 0U) + 4U + (wide ? 16U : 8U);
        if (!RangeFits(offset, size, end_)) continue;
        CKPT_RETURN_IF_ERROR(ReadSome(offset, size));
        ByteReader descriptor(buffer_);
        if (has_signature && descriptor.U32() != zip::kDescriptorSignature) continue;
        if (descriptor.U32() != member.crc32) continue;
        const std::uint64_t compressed = wide ? descriptor.U64() : descriptor.U32();
        const std::uint64_t inflated = wide ? descriptor.U64() : descriptor.U32();
        if (compressed == member.compressed_size && inflated == member.size) return offset + size;
      }
    }
    return Refuse(member, offset, "has a data descriptor that contradicts the directory");
  }

  const RandomAccessFile& file_;
  std::uint64_t end_;  // no member reaches beyond the start of the directory
  std::vector<std::byte> buffer_;
};

Status CheckLocalHeaders(const RandomAccessFile& file, const DirectoryPlace& place,
                         std::vector<Entry>& entries) {
  std::vector<std::uint32_t> order(entries.size());
  std::iota(order.begin(), order.end(), 0U);
  std::sort(order.begin(), order.end(), [&](std::uint32_t a, std::uint32_t b) {
    return entries[a].member.header_offset < entries[b].member.header_offset;
  });
  LocalHeaders headers(file, place.offset);
  std::uint64_t end = 0;
  for (const std::uint32_t index : order) {
    const ZipMember& member = entries[index].member;
    if (member.header_offset < end) {
      return MemberError(ErrorCode::kCorrupt, file, member.header_offset, member,
                         "overlaps the one before it");
    }
    CKPT_ASSIGN_OR_RETURN(end, headers.Check(entries[index]));
  }
  return {};
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
  CKPT_ASSIGN_OR_RETURN(std::vector<Entry> entries, ReadDirectory(*file, place, limits));
  CKPT_RETURN_IF_ERROR(CheckLocalHeaders(*file, place, entries));
  std::vector<ZipMember> members;
  members.reserve(entries.size());
  for (Entry& entry : entries) members.push_back(std::move(entry.member));
  ZipArchive archive(std::move(file), std::move(members));
  const auto twin = std::adjacent_find(
      archive.by_name_.begin(), archive.by_name_.end(), [&](std::uint32_t a, std::uint32_t b) {
        return archive.members_[a].name == archive.members_[b].name;
      });
  if (twin != archive.by_name_.end()) {
    const ZipMember& second = archive.members_[std::max(*twin, *std::next(twin))];
    return MemberError(ErrorCode::kCorrupt, *archive.file_, second.header_offset, second,
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
