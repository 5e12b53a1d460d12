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

#include "core/element_loops.h"
#include "core/small_float.h"

namespace ckpt {
namespace {

constexpr bool kIsLittle = std::endian::native == std::endian::little;

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
  if (dtype == Dtype::kF32 && kIsLittle) return WidenF32(bytes, out);
  const std::byte* from = bytes.data();
  if (WithNativeType(dtype, [&](auto type) {
        using T = decltype(type);
        for (std::size_t i = 0; i < out.size(); ++i)
          out[i] = static_cast<double>(Load<T>(from + i * sizeof(T)));
      })) {
    return;
  }
  if (dtype == Dtype::kBF16) {
    for (std::size_t i = 0; i < out.size(); ++i) {
      out[i] = static_cast<double>(std::bit_cast<float>(
          static_cast<std::uint32_t>(Load<std::uint16_t>(from + 2 * i)) << 16));
    }
    return;
  }
  if (const SmallFloat* small = SmallFloatOf(dtype)) return DecodeSmall(*small, bytes, out);
  for (std::size_t i = 0; i < out.size(); ++i) {
    if (dtype == Dtype::kBool) {
      out[i] = from[i] == std::byte{0} ? 0.0 : 1.0;
      continue;
    }
    const int exponent = std::to_integer<int>(from[i]);  // float8 E8M0
    out[i] = exponent == 255 ? std::numeric_limits<double>::quiet_NaN()
                             : std::ldexp(1.0, exponent - 127);
  }
}

EncodeLoss LossOfEncoding(Dtype dtype, std::span<const double> in) {
  EncodeLoss loss;
  if (!IsFloat(dtype)) return loss;
  const double limit = MaxFinite(dtype), normal = MinNormal(dtype);
  // Below half a unit in the last place above the largest finite value, rounding ends there.
  const double overflows = limit + std::ldexp(UnitRoundoff(dtype), std::ilogb(limit));
  loss.overflowed = CountMagnitudes(in, overflows, std::numeric_limits<double>::max());
  loss.underflowed =
      CountMagnitudes(in, std::numeric_limits<double>::denorm_min(), std::nextafter(normal, 0.0));
  return loss;
}

void EncodeFromDouble(Dtype dtype, std::span<const double> in, std::span<std::byte> out) {
  assert(IsReal(dtype));
  if (dtype == Dtype::kF32 && kIsLittle) return NarrowToF32(in, out);
  std::byte* to = out.data();
  if (WithNativeType(dtype, [&](auto type) {
        using T = decltype(type);
        for (std::size_t i = 0; i < in.size(); ++i) Store(FromDouble<T>(in[i]), to + i * sizeof(T));
      })) {
    return;
  }
  if (const SmallFloat* small = SmallFloatOf(dtype)) return EncodeSmall(*small, in, out);
  for (std::size_t i = 0; i < in.size(); ++i) {
    if (dtype == Dtype::kBool) {
      to[i] = std::byte{in[i] != 0};
      continue;
    }
    const bool valid = in[i] > 0 && std::isfinite(in[i]);  // float8 E8M0
    const double exponent = valid ? std::nearbyint(std::log2(in[i])) + 127 : 255;
    to[i] = static_cast<std::byte>(std::fmax(0.0, std::fmin(exponent, valid ? 254.0 : 255.0)));
  }
}

std::vector<std::byte> Encoded(Dtype dtype, std::span<const double> in) {
  std::vector<std::byte> bytes(in.size() * BitSize(dtype) / 8);
  EncodeFromDouble(dtype, in, bytes);
  return bytes;
}

double UnitRoundoff(Dtype dtype) noexcept {
  if (dtype == Dtype::kF64) return 0x1p-53;
  if (dtype == Dtype::kF32 && kIsLittle) return 0x1p-24;
  if (dtype == Dtype::kF8E8M0) return 0.5;
  const SmallFloat* type = SmallFloatOf(dtype);
  return type == nullptr ? 0 : std::ldexp(1.0, -type->mantissa_bits - 1);
}

double MaxFinite(Dtype dtype) noexcept {
  if (dtype == Dtype::kF64) return std::numeric_limits<double>::max();
  if (dtype == Dtype::kF32 && kIsLittle) return std::numeric_limits<float>::max();
  if (dtype == Dtype::kF8E8M0) return 0x1p127;
  const SmallFloat* type = SmallFloatOf(dtype);
  return type == nullptr ? 0 : type->max_finite;
}

double MinNormal(Dtype dtype) noexcept {
  if (dtype == Dtype::kF64) return std::numeric_limits<double>::min();
  if (dtype == Dtype::kF32 && kIsLittle) return std::numeric_limits<float>::min();
  if (dtype == Dtype::kF8E8M0) return 0x1p-127;
  const SmallFloat* type = SmallFloatOf(dtype);
  return type == nullptr ? 0 : std::ldexp(1.0, 1 - type->bias);
}

}  // namespace ckpt
