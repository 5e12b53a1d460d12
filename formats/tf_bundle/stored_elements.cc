#include "formats/tf_bundle/stored_elements.h"

#include <cstdint>
#include <cstring>

namespace ckpt::formats {
namespace {

template <class Word>
void SwapWords(std::span<std::byte> bytes) {
  for (std::size_t i = 0; i + sizeof(Word) <= bytes.size(); i += sizeof(Word)) {
    Word word;
    std::memcpy(&word, bytes.data() + i, sizeof(word));
    if constexpr (sizeof(Word) == 2) word = __builtin_bswap16(word);
    if constexpr (sizeof(Word) == 4) word = __builtin_bswap32(word);
    if constexpr (sizeof(Word) == 8) word = __builtin_bswap64(word);
    std::memcpy(bytes.data() + i, &word, sizeof(word));
  }
}

std::span<const std::byte> PackNibbles(std::span<std::byte> stored) {
  const std::byte low{0x0f};
  for (std::size_t i = 0; i < stored.size(); i += 2) {
    const std::byte high = i + 1 < stored.size() ? stored[i + 1] << 4 : std::byte{0};
    stored[i / 2] = (stored[i] & low) | high;
  }
  return stored.first((stored.size() + 1) / 2);
}

}  // namespace

std::span<const std::byte> DecodeStored(const TfDtype& dtype, bool big_endian,
                                        std::span<std::byte> stored) {
  if (dtype.packed()) return PackNibbles(stored);
  if (big_endian) {
    if (dtype.swap_bytes == 2) SwapWords<std::uint16_t>(stored);
    if (dtype.swap_bytes == 4) SwapWords<std::uint32_t>(stored);
    if (dtype.swap_bytes == 8) SwapWords<std::uint64_t>(stored);
  }
  return stored;
}

void UnpackNibbles(std::span<const std::byte> packed, std::span<std::byte> stored) {
  const std::byte low{0x0f};
  for (std::size_t i = 0; i < stored.size(); ++i) {
    stored[i] = (i % 2 == 0 ? packed[i / 2] : packed[i / 2] >> 4) & low;
  }
}

}  // namespace ckpt::formats
