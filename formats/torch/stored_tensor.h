// The bytes of a tensor of a PyTorch file: a view of a storage, which is a member of an archive or
// a range of a legacy file.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>

#include "ckpt/tensor.h"
#include "formats/container/zip_archive.h"
#include "formats/torch/member_checksums.h"
#include "formats/torch/tensor_view.h"

namespace ckpt::formats {

struct StorageLocation {
  std::uint64_t offset = 0;  // of its first byte in the file, as it is stored
  std::uint64_t bytes = 0;
  std::optional<std::size_t> member = {};        // of the archive
  std::shared_ptr<const std::string> held = {};  // the bytes themselves, where a pickle had them
};

// The file that holds storages.
struct StorageFile {
  std::shared_ptr<const RandomAccessFile> file;
  std::shared_ptr<const ZipArchive> archive = {};  // null for a legacy file
  bool big_endian = false;
  std::shared_ptr<MemberChecksums> checksums = {};  // of `archive`; null for a legacy file
};

// A view that is not one run in a deflated storage is gathered from memory: at most so much.
inline constexpr std::uint64_t kMaxInflatedStorage = std::uint64_t{256} << 20;

// REQUIRES: the view lies within the location's bytes. Errors name `tensor`. The CRC-32 of the
// storage is checked at the end of the stream, of a part of it too.
Result<std::unique_ptr<TensorStream>> OpenStored(const StorageFile& file,
                                                 const StorageLocation& location,
                                                 const TensorView& view, std::string tensor);

// The CRC-32 that the archive stores, where it is that of this tensor's bytes and was computed.
std::optional<StoredChecksum> ChecksumOf(const StorageFile& file, const StorageLocation& location,
                                         const TensorView& view);

}  // namespace ckpt::formats
