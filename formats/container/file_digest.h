// SHA-256, of whole files for the record of a conversion. Computed by libcrypto, in bounded memory.
#pragma once

#include <cstdint>
#include <string>

#include "formats/container/file.h"

namespace ckpt::formats {

struct FileDigest {
  std::uint64_t bytes = 0;
  std::string sha256;  // 64 lower-case hexadecimal digits
};

Result<FileDigest> DigestFile(const RandomAccessFile& file);

}  // namespace ckpt::formats
