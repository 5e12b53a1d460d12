// Zip archives as model files use them (PKWARE APPNOTE.TXT 6.3): members stored or deflated, zip64.
//
//   { local header, name, extra | data | [data descriptor] } per member
//   { central header, name, extra, comment } per member        the central directory
//   [ zip64 end record | zip64 locator ] | end record, comment
//
// The central directory is the authority. An archive that another reader could take for something
// else is refused when it is opened: a name twice, a local header that contradicts the directory,
// members that overlap each other or the directory, two end records, bytes before or behind what
// the end record spans, encryption, methods other than 0 and 8, sizes that DEFLATE cannot produce.
// Names are data: nothing is ever extracted, so they are not taken for paths.
//
// Why not libzip: it does not say where a member's bytes are (needed for alignment, for reads at
// positions and for messages), has one cursor for all members of an archive, and computes CRCs at
// a fraction of the speed of the disk cache. The tests use it as the other reader and writer.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "ckpt/formats/format.h"
#include "formats/container/file.h"

namespace ckpt::formats {

enum class ZipMethod : std::uint8_t { kStored = 0, kDeflated = 8 };

struct ZipMember {
  std::string name;  // as stored: UTF-8, or any bytes where the archive does not claim UTF-8
  ZipMethod method = ZipMethod::kStored;
  std::uint64_t compressed_size = 0, size = 0;
  std::uint32_t crc32 = 0;          // of the inflated bytes
  std::uint64_t header_offset = 0;  // of the local header in the file
  std::uint64_t data_offset = 0;    // of the (compressed) bytes in the file
};

// Pulls one member's inflated bytes, front to back.
class ZipStream {
 public:
  virtual ~ZipStream() = default;
  // The next bytes, or an empty span at the end. Valid until the next call. Sizes are checked on
  // the way, the CRC-32 by the call that would return the end.
  virtual Result<std::span<const std::byte>> Next() = 0;
};

// PyTorch can be told not to compute CRCs, so its archives may hold wrong ones.
enum class ZipChecksum : std::uint8_t { kCheck, kIgnore };

class ZipArchive {
 public:
  // Reads the central directory and every local header. kLimitExceeded above limits.index_bytes,
  // limits.tensors members, or names of limits.name_bytes.
  static Result<ZipArchive> Open(std::shared_ptr<const RandomAccessFile> file,
                                 const Limits& limits);

  // In the order of the directory; no name twice.
  const std::vector<ZipMember>& members() const noexcept { return members_; }
  std::optional<std::size_t> Find(std::string_view name) const noexcept;

  // Streams are independent of each other and of this object. The first `skip` bytes are not
  // handed out; they are checked all the same. Chunks are of kStreamChunkBytes, but for the last.
  // REQUIRES: index < members().size(), skip <= its size.
  std::unique_ptr<ZipStream> Stream(std::size_t index, std::uint64_t skip = 0,
                                    ZipChecksum checksum = ZipChecksum::kCheck) const;
  // The whole member; kLimitExceeded above `max_bytes`, before anything is inflated.
  Result<std::string> Read(std::size_t index, std::uint64_t max_bytes) const;
  // Its first bytes, `bytes` of them where it has so many; no more than these are inflated, and
  // the CRC-32 is not checked.
  Result<std::string> ReadStart(std::size_t index, std::size_t bytes) const;

  const std::shared_ptr<const RandomAccessFile>& file() const noexcept { return file_; }

 private:
  ZipArchive(std::shared_ptr<const RandomAccessFile> file, std::vector<ZipMember> members);

  std::shared_ptr<const RandomAccessFile> file_;
  std::vector<ZipMember> members_;
  std::vector<std::uint32_t> by_name_;  // indices of members_, sorted by name
};

// Does the file start as a zip archive does: with a local header, or empty with an end record?
bool StartsLikeZip(std::span<const std::byte> head) noexcept;
// Names that the central directory shows as far as it lies in `tail`, the last bytes of a file:
// enough for a guess at what an archive is, never for reading it.
std::vector<std::string_view> ZipNamesInTail(std::span<const std::byte> tail);

}  // namespace ckpt::formats
