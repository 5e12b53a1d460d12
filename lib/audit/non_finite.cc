#include "audit/non_finite.h"

#include <algorithm>
#include <array>
#include <bit>
#include <cmath>
#include <cstring>

#include "ckpt/elements.h"

namespace ckpt::audit {
namespace {

// Counted in words of the elements' own size, so that a vector holds as many of them.
template <class Word>
struct AllSetLoop {
  static constexpr std::size_t kBlock = std::size_t{1} << 15;  // no count overflows in one
  [[gnu::always_inline]] static inline std::uint64_t Run(const std::byte* bytes, std::size_t count,
                                                         Word mask) {
    std::uint64_t found = 0;
    for (std::size_t begin = 0; begin < count; begin += kBlock) {
      const std::size_t end = std::min(count, begin + kBlock);
      Word in_block = 0;
      for (std::size_t i = begin; i < end; ++i) {
        Word word;
        std::memcpy(&word, bytes + i * sizeof(Word), sizeof(Word));
        in_block = static_cast<Word>(in_block + ((word & mask) == mask ? 1 : 0));
      }
      found += in_block;
    }
    return found;
  }
};

// A value of an IEEE-like type is NaN or infinite when all its exponent bits are set.
template <class Word>
std::uint64_t CountAllSet(std::span<const std::byte> bytes, Word exponent, VectorSet set) {
  if constexpr (std::endian::native == std::endian::big) {
    auto reversed = std::bit_cast<std::array<std::byte, sizeof(Word)>>(exponent);
    std::reverse(reversed.begin(), reversed.end());
    exponent = std::bit_cast<Word>(reversed);
  }
  return RunLoop<AllSetLoop<Word>>(set, bytes.data(), bytes.size() / sizeof(Word), exponent);
}

std::uint64_t CountBytes(Dtype dtype, std::span<const std::byte> bytes) {
  std::array<std::byte, 256> all;
  for (std::size_t i = 0; i < all.size(); ++i) all[i] = static_cast<std::byte>(i);
  std::array<double, 256> values;
  DecodeToDouble(dtype, all, values);
  std::array<std::uint8_t, 256> non_finite;
  for (std::size_t i = 0; i < all.size(); ++i) non_finite[i] = std::isfinite(values[i]) ? 0 : 1;
  std::uint64_t found = 0;
  for (const std::byte byte : bytes) found += non_finite[std::to_integer<std::size_t>(byte)];
  return found;
}

}  // namespace

Dtype PartType(Dtype dtype) noexcept {
  if (dtype == Dtype::kC64) return Dtype::kF32;
  if (dtype == Dtype::kC128) return Dtype::kF64;
  return dtype;
}

bool CanBeNonFinite(Dtype dtype) noexcept {
  const Dtype part = PartType(dtype);
  return IsFloat(part) && BitSize(part) >= 8;
}

std::uint64_t CountNonFinite(Dtype dtype, std::span<const std::byte> bytes, VectorSet set) {
  switch (PartType(dtype)) {
    case Dtype::kF16:
      return CountAllSet<std::uint16_t>(bytes, 0x7C00, set);
    case Dtype::kBF16:
      return CountAllSet<std::uint16_t>(bytes, 0x7F80, set);
    case Dtype::kF32:
      return CountAllSet<std::uint32_t>(bytes, 0x7F800000, set);
    case Dtype::kF64:
      return CountAllSet<std::uint64_t>(bytes, 0x7FF0000000000000, set);
    default:
      return CountBytes(dtype, bytes);
  }
}

}  // namespace ckpt::audit
