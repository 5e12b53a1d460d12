#include "formats/container/file_digest.h"

#include <algorithm>
#include <utility>
#include <vector>

#include "ckpt/sha256.h"
#include "formats/container/memory_headroom.h"

namespace ckpt::formats {
Result<FileDigest> DigestFile(const RandomAccessFile& file) {
  RequireHeadroom();
  constexpr std::uint64_t kChunkBytes = std::uint64_t{1} << 20;
  Sha256Digest digest;
  std::vector<std::byte> chunk(static_cast<std::size_t>(std::min(kChunkBytes, file.size())));
  for (std::uint64_t offset = 0; offset < file.size(); offset += chunk.size()) {
    chunk.resize(static_cast<std::size_t>(std::min(kChunkBytes, file.size() - offset)));
    CKPT_RETURN_IF_ERROR(file.ReadAt(offset, chunk));
    digest.Update(chunk);
  }
  std::string finished = std::move(digest).Finish();
  if (finished.empty()) {
    return Fail(
        Error{ErrorCode::kIo, "the system's OpenSSL cannot compute its SHA-256"}.In(file.path()));
  }
  return FileDigest{file.size(), std::move(finished)};
}

}  // namespace ckpt::formats
