#include "audit/non_finite.h"

#include <array>
#include <bit>
#include <cmath>
#include <cstring>

#include "ckpt/elements.h"

namespace ckpt::audit {
namespace {

// A value of an IEEE-like type is NaN or infinite when all its exponent bits are set.
template <class Word>
std::uint64_t CountAllSet(std::span<const std::byte> bytes, Word exponent) {
  if constexpr (std::endian::native == std::endian::big) {
    auto reversed = std::bit_cast<std::array<std::byte, sizeof(Word)>>(exponent);
    for (std::size_t i = 0; i < sizeof(Word) / 2; ++i) {
      std::swap(reversed[i], reversed[sizeof(Word) - 1 - i]);
    }
    exponent = std::bit_cast<Word>(reversed);
  }
  const std::size_t count = bytes.size() / sizeof(Word);
  std::uint64_t found = 0;
  for (std::size_t i = 0; i < count; ++i) {
    Word word;
    std::memcpy(&word, bytes.data() + i * sizeof(Word), sizeof(Word));
    found += static_cast<std::uint64_t>((word & exponent) == exponent);
  }
  return found;
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

std::uint64_t CountNonFinite(Dtype dtype, std::span<const std::byte> bytes) {
  switch (PartType(dtype)) {
    case Dtype::kF16:
      return CountAllSet<std::uint16_t>(bytes, 0x7C00);
    case Dtype::kBF16:
      return CountAllSet<std::uint16_t>(bytes, 0x7F80);
    case Dtype::kF32:
      return CountAllSet<std::uint32_t>(bytes, 0x7F800000);
    case Dtype::kF64:
      return CountAllSet<std::uint64_t>(bytes, 0x7FF0000000000000);
    default:
      return CountBytes(dtype, bytes);
  }
}

}  // namespace ckpt::audit
