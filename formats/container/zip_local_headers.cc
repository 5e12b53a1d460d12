#include <algorithm>
#include <numeric>

#include "formats/container/zip_entry.h"
#include "formats/container/zip_records.h"

namespace ckpt::formats {
namespace {

// Reads local headers and what follows the members' data; checks both against the directory.
class LocalHeaders {
 public:
  LocalHeaders(const RandomAccessFile& file, std::uint64_t directory_offset)
      : file_(file), end_(directory_offset) {}

  // Sets data_offset. Returns where the member ends, its data descriptor included.
  Result<std::uint64_t> Check(ZipEntry& entry) {
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
    return ZipMemberError(ErrorCode::kCorrupt, file_, offset, member, message);
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

}  // namespace

tl::unexpected<Error> ZipError(ErrorCode code, const RandomAccessFile& file, std::uint64_t offset,
                               std::string message) {
  return Fail(Error{code, std::move(message)}.In(file.path()).At(offset));
}

tl::unexpected<Error> ZipMemberError(ErrorCode code, const RandomAccessFile& file,
                                     std::uint64_t offset, const ZipMember& member,
                                     const std::string& message) {
  return ZipError(code, file, offset, "zip member \"" + member.name + "\" " + message);
}

bool ResolveZip64(ByteReader extra, std::initializer_list<std::uint64_t*> values) {
  bool missing = std::any_of(values.begin(), values.end(),
                             [](const std::uint64_t* v) { return *v == zip::kSaturated32; });
  while (extra.ok() && extra.remaining() > 0) {
    const std::uint16_t id = extra.U16();
    const std::uint16_t size = extra.U16();
    ByteReader field(extra.Bytes(size));
    if (id != zip::kZip64Extra || !missing) continue;
    for (std::uint64_t* value : values) {
      if (*value == zip::kSaturated32) *value = field.U64();
    }
    if (!field.ok()) return false;
    missing = false;
  }
  return extra.ok() && !missing;
}

Status CheckLocalHeaders(const RandomAccessFile& file, std::uint64_t directory_offset,
                         std::vector<ZipEntry>& entries) {
  std::vector<std::uint32_t> order(entries.size());
  std::iota(order.begin(), order.end(), 0U);
  std::sort(order.begin(), order.end(), [&](std::uint32_t a, std::uint32_t b) {
    return entries[a].member.header_offset < entries[b].member.header_offset;
  });
  LocalHeaders headers(file, directory_offset);
  std::uint64_t end = 0;
  for (const std::uint32_t index : order) {
    const ZipMember& member = entries[index].member;
    if (member.header_offset < end) {
      return ZipMemberError(ErrorCode::kCorrupt, file, member.header_offset, member,
                            "overlaps the one before it");
    }
    CKPT_ASSIGN_OR_RETURN(end, headers.Check(entries[index]));
  }
  return {};
}

}  // namespace ckpt::formats
