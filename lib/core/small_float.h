// Binary floating types of at most 16 bits, many elements at a time.
//
// float16 and float8 E5M2, E4M3FN: IEEE 754 binary16 and OCP 8-bit Floating Point; bfloat16; the
// FNUZ types: ONNX, "Float stored in 8 bits".
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>

#include "ckpt/dtype.h"
#include "core/vector_target.h"

namespace ckpt {

// Sign (if any), exponent, mantissa.
struct SmallFloat {
  int exponent_bits, mantissa_bits, bias;
  bool has_infinity;  // all-ones exponent: infinity (mantissa 0) and NaN
  std::uint32_t nan;  // the NaN that is written
  double max_finite;

  constexpr int width() const { return 1 + exponent_bits + mantissa_bits; }
  constexpr std::uint32_t sign_bit() const { return 1U << (width() - 1); }
  // The "UZ" types: what would be -0 is the only NaN.
  constexpr bool minus_zero_is_nan() const { return nan == sign_bit(); }
};

// Null for every other type.
const SmallFloat* SmallFloatOf(Dtype dtype) noexcept;

// Little-endian elements as doubles, exactly.
// REQUIRES of both: `set` is no better than BestVectorSet().
void DecodeSmall(const SmallFloat& type, std::span<const std::byte> bytes, std::span<double> out,
                 VectorSet set = BestVectorSet());
// One rounding, to nearest even; what is above the largest finite value becomes infinity, or NaN
// where there is none.
void EncodeSmall(const SmallFloat& type, std::span<const double> in, std::span<std::byte> out,
                 VectorSet set = BestVectorSet());

}  // namespace ckpt
