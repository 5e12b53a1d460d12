#include "formats/container/parted_checksum.h"

#include <zlib.h>

#include <algorithm>

#include "formats/encoding/checksum.h"

namespace ckpt::formats {
namespace {

constexpr std::uint64_t kReadAtOnce = std::uint64_t{1} << 20;

// `crc` of what came before, followed by these bytes of the file.
Result<std::uint32_t> Followed(std::uint32_t crc, const RandomAccessFile& file, std::uint64_t begin,
                               std::uint64_t end) {
  std::vector<std::byte> buffer(
      static_cast<std::size_t>(std::min<std::uint64_t>(end - begin, kReadAtOnce)));
  while (begin < end) {
    const auto chunk = std::span(buffer).first(
        static_cast<std::size_t>(std::min<std::uint64_t>(end - begin, buffer.size())));
    CKPT_RETURN_IF_ERROR(file.ReadAt(begin, chunk));
    crc = Crc32(chunk, crc);
    begin += chunk.size();
  }
  return crc;
}

}  // namespace

void PartedChecksum::Add(std::uint64_t offset, std::span<const std::byte> bytes) {
  if (bytes.empty()) return;
  if (parts_.empty() || parts_.back().end != offset) parts_.push_back({offset, offset, 0});
  Part& part = parts_.back();
  part.crc32 = Crc32(bytes, part.crc32);
  part.end += bytes.size();
}

Result<std::uint32_t> PartedChecksum::Of(const RandomAccessFile& file, std::uint64_t begin) {
  std::sort(parts_.begin(), parts_.end(),
            [](const Part& a, const Part& b) { return a.begin < b.begin; });
  std::uint32_t crc = 0;
  for (const Part& part : parts_) {
    if (part.begin < begin || part.end > file.size()) {
      return Fail(ErrorCode::kInternal, "parts of a file overlap, or lie outside of it");
    }
    CKPT_ASSIGN_OR_RETURN(crc, Followed(crc, file, begin, part.begin));
    crc = static_cast<std::uint32_t>(
        ::crc32_combine(crc, part.crc32, static_cast<z_off_t>(part.end - part.begin)));
    begin = part.end;
  }
  return Followed(crc, file, begin, file.size());
}

}  // namespace ckpt::formats
