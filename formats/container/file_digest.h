// SHA-256, of whole files for the record of a conversion. Computed by libcrypto, in bounded memory.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "formats/container/file.h"

namespace ckpt::formats {

struct FileDigest {
  std::uint64_t bytes = 0;
  std::string sha256;  // 64 lower-case hexadecimal digits
};

Result<FileDigest> DigestFile(const RandomAccessFile& file);
// Of bytes in memory: 64 digits; empty where libcrypto fails.
std::string DigestText(std::string_view text);

}  // namespace ckpt::formats
