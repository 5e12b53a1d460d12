#include "formats/container/file_digest.h"

#include <openssl/evp.h>

#include <algorithm>
#include <array>
#include <memory>
#include <span>

#include "ckpt/sha256.h"
#include "formats/container/memory_headroom.h"

namespace ckpt::formats {
Result<FileDigest> DigestFile(const RandomAccessFile& file) {
  RequireHeadroom();
  constexpr std::uint64_t kChunkBytes = std::uint64_t{1} << 20;
  const std::unique_ptr<EVP_MD_CTX, void (*)(EVP_MD_CTX*)> context(EVP_MD_CTX_new(),
                                                                   EVP_MD_CTX_free);
  bool ok = context != nullptr && EVP_DigestInit_ex(context.get(), EVP_sha256(), nullptr) == 1;
  std::vector<std::byte> chunk(static_cast<std::size_t>(std::min(kChunkBytes, file.size())));
  for (std::uint64_t offset = 0; ok && offset < file.size(); offset += chunk.size()) {
    chunk.resize(static_cast<std::size_t>(std::min(kChunkBytes, file.size() - offset)));
    CKPT_RETURN_IF_ERROR(file.ReadAt(offset, chunk));
    ok = EVP_DigestUpdate(context.get(), chunk.data(), chunk.size()) == 1;
  }
  std::array<unsigned char, EVP_MAX_MD_SIZE> digest{};
  unsigned size = 0;
  if (!ok || EVP_DigestFinal_ex(context.get(), digest.data(), &size) != 1) {
    return Fail(Error{
        ErrorCode::kIo, "the system's OpenSSL cannot compute its SHA-256", file.path(), {}, {}});
  }
  return FileDigest{file.size(), InHexadecimal(std::span(digest).first(size))};
}

}  // namespace ckpt::formats
