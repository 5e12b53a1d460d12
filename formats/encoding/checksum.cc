#include "formats/encoding/checksum.h"

#include <isa-l/crc.h>

#include <algorithm>
#include <limits>

namespace ckpt::formats {

std::uint32_t Crc32c(std::span<const std::byte> bytes, std::uint32_t seed) noexcept {
  // ISA-L works on the inverted register, takes an int length and a non-const pointer it does not
  // write to.
  std::uint32_t state = ~seed;
  while (!bytes.empty()) {
    const auto part =
        bytes.first(std::min<std::size_t>(bytes.size(), std::numeric_limits<int>::max()));
    state = crc32_iscsi(reinterpret_cast<unsigned char*>(const_cast<std::byte*>(part.data())),
                        static_cast<int>(part.size()), state);
    bytes = bytes.subspan(part.size());
  }
  return ~state;
}

std::uint32_t Crc32(std::span<const std::byte> bytes, std::uint32_t seed) noexcept {
  return crc32_gzip_refl(seed, reinterpret_cast<const unsigned char*>(bytes.data()), bytes.size());
}

}  // namespace ckpt::formats
