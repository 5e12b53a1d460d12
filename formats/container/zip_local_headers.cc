#include <algorithm>
#include <numeric>
#include <span>

#include "formats/container/zip_entry.h"
#include "formats/container/zip_records.h"

namespace ckpt::formats {
namespace {

// Reads local headers and what follows the members' data; checks both against the directory.
class LocalHeaders {
 public:
  LocalHeaders(const RandomAccessFile& file, std::uint64_t directory_offset)
      : file_(file), end_(directory_offset) {}

  static void Announce(const RandomAccessFile& file, std::uint64_t end, const ZipMember& member) {
    if (member.header_offset < end)
      file.WillRead(member.header_offset, std::min(end - member.header_offset, AtOnce(member)));
  }

  // Sets data_offset. Returns where the member ends, its data descriptor included.
  Result<std::uint64_t> Check(ZipEntry& entry) {
    ZipMember& member = entry.member;
    CKPT_ASSIGN_OR_RETURN(const auto bytes, ReadHeader(member));
    ByteReader header(bytes, member.header_offset, file_.path());
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
  // Bytes to read where the member's header stands. Small members lie close together: one read of a
  // page serves several of them.
  static std::uint64_t AtOnce(const ZipMember& member) {
    constexpr std::uint64_t kPage = 4096, kUsualExtra = 128;
    return member.compressed_size < kPage ? kPage
                                          : zip::kLocalBytes + member.name.size() + kUsualExtra;
  }

  tl::unexpected<Error> Refuse(const ZipMember& member, std::uint64_t offset,
                               const std::string& message) const {
    return ZipMemberError(ErrorCode::kCorrupt, file_, offset, member, message);
  }

  // Header, name and extra fields.
  Result<std::span<const std::byte>> ReadHeader(const ZipMember& member) {
    if (!RangeFits(member.header_offset, zip::kLocalBytes + member.name.size(), end_)) {
      return Refuse(member, member.header_offset, "begins behind the last member");
    }
    const std::uint64_t room = end_ - member.header_offset;
    CKPT_ASSIGN_OR_RETURN(const auto bytes,
                          ReadSome(member.header_offset, zip::kLocalBytes, AtOnce(member)));
    ByteReader header(bytes);
    if (header.U32() != zip::kLocalSignature) {
      return Refuse(member, member.header_offset, "has no local header here");
    }
    header.Bytes(22);
    const std::uint64_t whole = zip::kLocalBytes + header.U16() + header.U16();
    if (whole > room) return Refuse(member, member.header_offset, "has a header without an end");
    return ReadSome(member.header_offset, whole, whole);
  }

  // `size` bytes, of `at_once` that are read where they are not there yet.
  // REQUIRES: the range lies below `end_`. Valid until the next call.
  Result<std::span<const std::byte>> ReadSome(std::uint64_t offset, std::uint64_t size,
                                              std::uint64_t at_once) {
    const bool is_there =
        offset >= page_at_ && size <= page_.size() && offset - page_at_ <= page_.size() - size;
    if (!is_there) {
      page_.resize(static_cast<std::size_t>(std::max(size, std::min(at_once, end_ - offset))));
      page_at_ = offset;
      CKPT_RETURN_IF_ERROR(file_.ReadAt(offset, page_));
    }
    return std::span<const std::byte>(page_).subspan(static_cast<std::size_t>(offset - page_at_),
                                                     static_cast<std::size_t>(size));
  }

  // The data descriptor has a signature or not, and sizes of 32 or 64 bits [4.3.9].
  Result<std::uint64_t> CheckDescriptor(const ZipMember& member, std::uint64_t offset) {
    for (const bool wide : {true, false}) {
      for (const bool has_signature : {true, false}) {
        const std::uint64_t size = (has_signature ? 4U : 0U) + 4U + (wide ? 16U : 8U);
        if (!RangeFits(offset, size, end_)) continue;
        CKPT_ASSIGN_OR_RETURN(const auto bytes, ReadSome(offset, size, size));
        ByteReader descriptor(bytes);
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
  std::vector<std::byte> page_;
  std::uint64_t page_at_ = 0;
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
  for (const ZipEntry& entry : entries)
    LocalHeaders::Announce(file, directory_offset, entry.member);
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
