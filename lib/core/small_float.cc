#include "core/small_float.h"

#include <array>
#include <bit>
#include <cmath>
#include <cstring>
#include <limits>

namespace ckpt {
namespace {

constexpr SmallFloat kHalf = {5, 10, 15, true, 0x7E00, 65504.0};
constexpr SmallFloat kBfloat16 = {8, 7, 127, true, 0x7FC0, 3.3895313892515355e38};
constexpr SmallFloat kE5M2 = {5, 2, 15, true, 0x7E, 57344.0};
constexpr SmallFloat kE4M3FN = {4, 3, 7, false, 0x7F, 448.0};
constexpr SmallFloat kE4M3FNUZ = {4, 3, 8, false, 0x80, 240.0};
constexpr SmallFloat kE5M2FNUZ = {5, 2, 16, false, 0x80, 57344.0};

constexpr int kDoubleMantissa = 52, kDoubleBias = 1023;
constexpr double kNan = std::numeric_limits<double>::quiet_NaN();
constexpr double kInfinity = std::numeric_limits<double>::infinity();

double DecodeOne(const SmallFloat& type, std::uint32_t bits) {
  const std::uint32_t mantissa_mask = (1U << type.mantissa_bits) - 1;
  const std::uint32_t exponent_mask = (1U << type.exponent_bits) - 1;
  const std::uint32_t exponent = (bits >> type.mantissa_bits) & exponent_mask;
  const std::uint32_t mantissa = bits & mantissa_mask;
  const std::uint32_t magnitude = bits & (type.sign_bit() - 1);
  if (type.minus_zero_is_nan() ? bits == type.nan : (!type.has_infinity && magnitude == type.nan)) {
    return kNan;
  }
  double value = 0;
  if (type.has_infinity && exponent == exponent_mask) {
    if (mantissa != 0) return kNan;
    value = kInfinity;
  } else if (exponent == 0) {
    value = std::ldexp(static_cast<double>(mantissa), 1 - type.bias - type.mantissa_bits);
  } else {
    value = std::ldexp(static_cast<double>(mantissa | (1U << type.mantissa_bits)),
                       static_cast<int>(exponent) - type.bias - type.mantissa_bits);
  }
  return (bits & type.sign_bit()) != 0 ? -value : value;
}

// What EncodeLoop needs of a type, as bits of doubles.
struct Steps {
  explicit Steps(const SmallFloat& type)
      : mantissa_bits(type.mantissa_bits),
        least(static_cast<std::int64_t>(1 - type.bias + kDoubleBias) << kDoubleMantissa),
        // One above the exponent of every finite value: what is greater only has to stay greater.
        most((std::bit_cast<std::int64_t>(type.max_finite) >> kDoubleMantissa) + 1),
        max_finite(type.max_finite),
        min_normal(std::bit_cast<double>(least)),
        sign_shift(64 - type.width()),
        nan(type.nan),
        minus_zero(type.minus_zero_is_nan() ? 0 : type.sign_bit()) {
    most <<= kDoubleMantissa;
    const std::uint32_t infinity = ((1U << type.exponent_bits) - 1) << type.mantissa_bits;
    above = type.has_infinity ? infinity : type.nan;
    above_has_sign = type.minus_zero_is_nan() ? 0 : type.sign_bit();
  }
  int mantissa_bits;
  std::int64_t least, most;
  double max_finite, min_normal;
  int sign_shift;
  std::uint64_t nan, minus_zero;
  std::uint64_t above = 0, above_has_sign = 0;  // what lies above the finite values, and its sign
};

// |x| + c - c with c = 2^(e + 52 - m), where 2^e is the power of two at or below |x| (but not below
// the least normal one), rounds |x| to a multiple of 2^(e - m): a unit in the last place of c. No
// branch and no shift by a variable, so that it is compiled into vectors.
template <class Word>
struct EncodeLoop {
  [[gnu::always_inline]] static inline void Run(Steps steps, const double* in, std::size_t count,
                                                std::byte* out) {
    const int dropped = kDoubleMantissa - steps.mantissa_bits;
    const std::int64_t raise = static_cast<std::int64_t>(dropped) << kDoubleMantissa;
    const std::int64_t offset = steps.least >> dropped;
    const std::int64_t hidden = std::int64_t{1} << steps.mantissa_bits;
    constexpr std::int64_t kMagnitude = std::numeric_limits<std::int64_t>::max();
    constexpr std::int64_t kExponent = std::int64_t{0x7FF} << kDoubleMantissa;
    for (std::size_t i = 0; i < count; ++i) {
      const auto bits = std::bit_cast<std::int64_t>(in[i]);
      const auto magnitude = std::bit_cast<double>(bits & kMagnitude);
      std::int64_t power = bits & kExponent;
      power = power < steps.least ? steps.least : power;
      power = power > steps.most ? steps.most : power;
      const auto c = std::bit_cast<double>(power + raise);
      const double rounded = (magnitude + c) - c;
      // Below the normal numbers 2^least is added, so that the last bits are the mantissa.
      const bool normal = rounded >= steps.min_normal;
      const double shifted = normal ? rounded : rounded + steps.min_normal;
      const std::int64_t code =
          (std::bit_cast<std::int64_t>(shifted) >> dropped) - offset + (normal ? hidden : 0);
      const auto sign = static_cast<std::uint64_t>(bits) >> 63;
      std::uint64_t word = static_cast<std::uint64_t>(code) |
                           (code == 0 ? sign * steps.minus_zero : sign << (63 - steps.sign_shift));
      word = rounded > steps.max_finite ? steps.above | sign * steps.above_has_sign : word;
      word = magnitude != magnitude ? steps.nan : word;
      const auto small = static_cast<Word>(word);
      std::memcpy(out + i * sizeof(Word), &small, sizeof(Word));
    }
  }
};

struct DecodeHalfLoop {
  [[gnu::always_inline]] static inline void Run(const std::byte* from, std::size_t count,
                                                double* out) {
    for (std::size_t i = 0; i < count; ++i) {
      std::uint16_t bits;
      std::memcpy(&bits, from + i * sizeof bits, sizeof bits);
      // The exponent counts from 15 instead of 127; exact, below the normal numbers too.
      const auto magnitude = static_cast<std::uint32_t>(bits & 0x7FFF);
      const double scaled = static_cast<double>(std::bit_cast<float>(magnitude << 13) * 0x1p112F);
      double value = magnitude >= 0x7C00 ? kInfinity : scaled;
      value = (bits & 0x8000) != 0 ? -value : value;
      out[i] = magnitude > 0x7C00 ? kNan : value;
    }
  }
};

constexpr bool kStoresLittleEndian = std::endian::native == std::endian::little;

std::uint32_t BitsAt(const std::byte* from, std::size_t width) {
  std::uint32_t bits = std::to_integer<std::uint32_t>(from[0]);
  if (width == 16) bits |= std::to_integer<std::uint32_t>(from[1]) << 8;
  return bits;
}

}  // namespace

const SmallFloat* SmallFloatOf(Dtype dtype) noexcept {
  switch (dtype) {
    case Dtype::kF16:
      return &kHalf;
    case Dtype::kBF16:
      return &kBfloat16;
    case Dtype::kF8E5M2:
      return &kE5M2;
    case Dtype::kF8E4M3FN:
      return &kE4M3FN;
    case Dtype::kF8E4M3FNUZ:
      return &kE4M3FNUZ;
    case Dtype::kF8E5M2FNUZ:
      return &kE5M2FNUZ;
    default:
      return nullptr;
  }
}

void DecodeSmall(const SmallFloat& type, std::span<const std::byte> bytes, std::span<double> out,
                 VectorSet set) {
  const auto width = static_cast<std::size_t>(type.width());
  if (&type == &kHalf && kStoresLittleEndian) {
    RunLoop<DecodeHalfLoop>(set, bytes.data(), out.size(), out.data());
    return;
  }
  if (width == 16) {
    for (std::size_t i = 0; i < out.size(); ++i)
      out[i] = DecodeOne(type, BitsAt(bytes.data() + 2 * i, width));
    return;
  }
  std::array<double, 256> values;
  for (std::uint32_t i = 0; i < values.size(); ++i) values[i] = DecodeOne(type, i);
  for (std::size_t i = 0; i < out.size(); ++i)
    out[i] = values[std::to_integer<std::size_t>(bytes[i])];
}

void EncodeSmall(const SmallFloat& type, std::span<const double> in, std::span<std::byte> out,
                 VectorSet set) {
  const Steps steps(type);
  if (type.width() == 8) {
    RunLoop<EncodeLoop<std::uint8_t>>(set, steps, in.data(), in.size(), out.data());
    return;
  }
  RunLoop<EncodeLoop<std::uint16_t>>(set, steps, in.data(), in.size(), out.data());
  if (kStoresLittleEndian) return;
  for (std::size_t i = 0; i + 1 < out.size(); i += 2) std::swap(out[i], out[i + 1]);
}

}  // namespace ckpt
