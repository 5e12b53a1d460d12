#include "ckpt/elements.h"

#include <algorithm>
#include <array>
#include <bit>
#include <cassert>
#include <cmath>
#include <cstdint>
#include <cstring>
#include <limits>
#include <type_traits>

namespace ckpt {
namespace {

// A binary floating type of at most 16 bits: sign (if any), exponent, mantissa.
struct SmallFloat {
  int exponent_bits, mantissa_bits, bias;
  bool has_infinity;  // all-ones exponent: infinity (mantissa 0) and NaN
  std::uint32_t nan;  // the NaN that is written
  double max_finite;
};
constexpr SmallFloat kHalf = {5, 10, 15, true, 0x7E00, 65504.0};
constexpr SmallFloat kBfloat16 = {8, 7, 127, true, 0x7FC0, 3.3895313892515355e38};
constexpr SmallFloat kE5M2 = {5, 2, 15, true, 0x7E, 57344.0};
constexpr SmallFloat kE4M3FN = {4, 3, 7, false, 0x7F, 448.0};
constexpr SmallFloat kE4M3FNUZ = {4, 3, 8, false, 0x80, 240.0};
constexpr SmallFloat kE5M2FNUZ = {5, 2, 16, false, 0x80, 57344.0};

template <class T>
T Load(const std::byte* from) {
  std::array<std::byte, sizeof(T)> bytes;
  std::memcpy(bytes.data(), from, sizeof(T));
  if constexpr (std::endian::native == std::endian::big) std::reverse(bytes.begin(), bytes.end());
  return std::bit_cast<T>(bytes);
}

template <class T>
void Store(T value, std::byte* to) {
  auto bytes = std::bit_cast<std::array<std::byte, sizeof(T)>>(value);
  if constexpr (std::endian::native == std::endian::big) std::reverse(bytes.begin(), bytes.end());
  std::memcpy(to, bytes.data(), sizeof(T));
}

double DecodeSmall(const SmallFloat& type, std::uint32_t bits) {
  const int width = 1 + type.exponent_bits + type.mantissa_bits;
  const std::uint32_t mantissa_mask = (1U << type.mantissa_bits) - 1;
  const std::uint32_t exponent_mask = (1U << type.exponent_bits) - 1;
  const bool negative = ((bits >> (width - 1)) & 1U) != 0;
  const std::uint32_t exponent = (bits >> type.mantissa_bits) & exponent_mask;
  const std::uint32_t mantissa = bits & mantissa_mask;
  const std::uint32_t magnitude = bits & ((1U << (width - 1)) - 1);
  const bool unsigned_zero_nan = type.nan == (1U << (width - 1));  // the ...UZ types: -0 is NaN
  if (unsigned_zero_nan ? bits == type.nan : (!type.has_infinity && magnitude == type.nan)) {
    return std::numeric_limits<double>::quiet_NaN();
  }
  double value = 0;
  if (type.has_infinity && exponent == exponent_mask) {
    if (mantissa != 0) return std::numeric_limits<double>::quiet_NaN();
    value = std::numeric_limits<double>::infinity();
  } else if (exponent == 0) {
    value = std::ldexp(static_cast<double>(mantissa), 1 - type.bias - type.mantissa_bits);
  } else {
    value = std::ldexp(static_cast<double>(mantissa | (1U << type.mantissa_bits)),
                       static_cast<int>(exponent) - type.bias - type.mantissa_bits);
  }
  return negative ? -value : value;
}

std::uint32_t EncodeSmall(const SmallFloat& type, double value) {
  const int width = 1 + type.exponent_bits + type.mantissa_bits;
  const std::uint32_t sign_bit = 1U << (width - 1);
  const bool unsigned_zero_nan = type.nan == sign_bit;
  if (std::isnan(value)) return type.nan;
  const std::uint32_t sign = std::signbit(value) ? sign_bit : 0;
  const double magnitude = std::fabs(value);
  const int min_exponent = 1 - type.bias;
  int exponent = magnitude == 0 || std::isinf(magnitude) ? min_exponent : std::ilogb(magnitude);
  if (exponent < min_exponent) exponent = min_exponent;
  // Exact scaling, then the one rounding, to nearest even.
  const double steps = std::nearbyint(std::ldexp(magnitude, type.mantissa_bits - exponent));
  if (std::isinf(magnitude) || std::ldexp(steps, exponent - type.mantissa_bits) > type.max_finite) {
    if (!type.has_infinity) return unsigned_zero_nan ? type.nan : (sign | type.nan);
    return sign | (((1U << type.exponent_bits) - 1) << type.mantissa_bits);
  }
  const auto mantissa = static_cast<std::uint32_t>(steps);
  if (mantissa == 0) return unsigned_zero_nan ? 0 : sign;
  // A mantissa with its hidden bit set adds one to the exponent field; a carry does so once more.
  return sign |
         ((static_cast<std::uint32_t>(exponent - min_exponent) << type.mantissa_bits) + mantissa);
}

const SmallFloat* SmallFloatOf(Dtype dtype) {
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

// Calls f with a value of the C++ type that holds `dtype`, for those that have one.
template <class F>
bool WithNativeType(Dtype dtype, F&& f) {
  switch (dtype) {
    case Dtype::kU8:
    case Dtype::kQU8:
      f(std::uint8_t{});
      return true;
    case Dtype::kI8:
    case Dtype::kQI8:
      f(std::int8_t{});
      return true;
    case Dtype::kU16:
    case Dtype::kQU16:
      f(std::uint16_t{});
      return true;
    case Dtype::kI16:
    case Dtype::kQI16:
      f(std::int16_t{});
      return true;
    case Dtype::kU32:
      f(std::uint32_t{});
      return true;
    case Dtype::kI32:
    case Dtype::kQI32:
      f(std::int32_t{});
      return true;
    case Dtype::kU64:
      f(std::uint64_t{});
      return true;
    case Dtype::kI64:
      f(std::int64_t{});
      return true;
    case Dtype::kF32:
      f(float{});
      return true;
    case Dtype::kF64:
      f(double{});
      return true;
    default:
      return false;
  }
}

template <class T>
T FromDouble(double value) {
  if constexpr (std::is_floating_point_v<T>) {
    return static_cast<T>(value);
  } else {
    if (std::isnan(value)) return 0;
    const double rounded = std::nearbyint(value);
    // 2^63 and 2^64 are exact in double while the integer maxima are not.
    if (rounded >= std::ldexp(1.0, std::numeric_limits<T>::digits))
      return std::numeric_limits<T>::max();
    if (rounded <= static_cast<double>(std::numeric_limits<T>::lowest()))
      return std::numeric_limits<T>::lowest();
    return static_cast<T>(rounded);
  }
}

}  // namespace

void DecodeToDouble(Dtype dtype, std::span<const std::byte> bytes, std::span<double> out) {
  assert(IsReal(dtype));
  const std::byte* from = bytes.data();
  if (WithNativeType(dtype, [&](auto type) {
        using T = decltype(type);
        for (std::size_t i = 0; i < out.size(); ++i)
          out[i] = static_cast<double>(Load<T>(from + i * sizeof(T)));
      })) {
    return;
  }
  for (std::size_t i = 0; i < out.size(); ++i) {
    if (dtype == Dtype::kBool) {
      out[i] = from[i] == std::byte{0} ? 0.0 : 1.0;
    } else if (dtype == Dtype::kBF16) {
      out[i] = static_cast<double>(std::bit_cast<float>(
          static_cast<std::uint32_t>(Load<std::uint16_t>(from + 2 * i)) << 16));
    } else if (dtype == Dtype::kF8E8M0) {
      const int exponent = std::to_integer<int>(from[i]);
      out[i] = exponent == 255 ? std::numeric_limits<double>::quiet_NaN()
                               : std::ldexp(1.0, exponent - 127);
    } else {
      const std::uint32_t bits = dtype == Dtype::kF16 ? Load<std::uint16_t>(from + 2 * i)
                                                      : std::to_integer<std::uint32_t>(from[i]);
      out[i] = DecodeSmall(*SmallFloatOf(dtype), bits);
    }
  }
}

EncodeLoss EncodeFromDouble(Dtype dtype, std::span<const double> in, std::span<std::byte> out) {
  assert(IsReal(dtype));
  EncodeLoss loss;
  if (IsFloat(dtype)) {
    const double limit = MaxFinite(dtype), normal = MinNormal(dtype);
    // Below half a unit in the last place above the largest finite value, rounding ends there.
    const double overflows = limit + std::ldexp(UnitRoundoff(dtype), std::ilogb(limit));
    for (const double value : in) {
      const double magnitude = std::fabs(value);
      if (std::isfinite(value) && magnitude >= overflows) ++loss.overflowed;
      if (magnitude != 0 && magnitude < normal) ++loss.underflowed;
    }
  }
  std::byte* to = out.data();
  if (WithNativeType(dtype, [&](auto type) {
        using T = decltype(type);
        for (std::size_t i = 0; i < in.size(); ++i) Store(FromDouble<T>(in[i]), to + i * sizeof(T));
      })) {
    return loss;
  }
  for (std::size_t i = 0; i < in.size(); ++i) {
    if (dtype == Dtype::kBool) {
      to[i] = std::byte{in[i] != 0};
    } else if (dtype == Dtype::kF8E8M0) {
      const bool valid = in[i] > 0 && std::isfinite(in[i]);
      const double exponent = valid ? std::nearbyint(std::log2(in[i])) + 127 : 255;
      to[i] = static_cast<std::byte>(std::fmax(0.0, std::fmin(exponent, valid ? 254.0 : 255.0)));
    } else {
      const std::uint32_t bits = EncodeSmall(*SmallFloatOf(dtype), in[i]);
      if (BitSize(dtype) == 16) {
        Store(static_cast<std::uint16_t>(bits), to + 2 * i);
      } else {
        to[i] = static_cast<std::byte>(bits);
      }
    }
  }
  return loss;
}

double UnitRoundoff(Dtype dtype) noexcept {
  if (dtype == Dtype::kF64) return 0x1p-53;
  if (dtype == Dtype::kF32) return 0x1p-24;
  if (dtype == Dtype::kF8E8M0) return 0.5;
  const SmallFloat* type = SmallFloatOf(dtype);
  return type == nullptr ? 0 : std::ldexp(1.0, -type->mantissa_bits - 1);
}

double MaxFinite(Dtype dtype) noexcept {
  if (dtype == Dtype::kF64) return std::numeric_limits<double>::max();
  if (dtype == Dtype::kF32) return std::numeric_limits<float>::max();
  if (dtype == Dtype::kF8E8M0) return 0x1p127;
  const SmallFloat* type = SmallFloatOf(dtype);
  return type == nullptr ? 0 : type->max_finite;
}

double MinNormal(Dtype dtype) noexcept {
  if (dtype == Dtype::kF64) return std::numeric_limits<double>::min();
  if (dtype == Dtype::kF32) return std::numeric_limits<float>::min();
  if (dtype == Dtype::kF8E8M0) return 0x1p-127;
  const SmallFloat* type = SmallFloatOf(dtype);
  return type == nullptr ? 0 : std::ldexp(1.0, 1 - type->bias);
}

}  // namespace ckpt
