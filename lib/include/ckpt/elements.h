// The one place where stored elements become double and back.
#pragma once

#include <cstddef>
#include <span>
#include <vector>

#include "ckpt/dtype.h"

namespace ckpt {

// Decodes little-endian `bytes` (a whole number of elements) to doubles, exactly; 64-bit integers
// above 2^53 round to nearest. REQUIRES: IsReal(dtype), out.size() == elements in `bytes`.
void DecodeToDouble(Dtype dtype, std::span<const std::byte> bytes, std::span<double> out);

// How many finite inputs an encoding turned into infinity, or non-zero ones into zero or a
// subnormal of `dtype`.
struct EncodeLoss {
  std::uint64_t overflowed = 0;
  std::uint64_t underflowed = 0;
};

// Encodes to little-endian with one rounding, to nearest even. Integers saturate.
// REQUIRES: IsReal(dtype), out.size() == in.size() * BitSize(dtype) / 8.
void EncodeFromDouble(Dtype dtype, std::span<const double> in, std::span<std::byte> out);
// The same, into bytes of its own.
std::vector<std::byte> Encoded(Dtype dtype, std::span<const double> in);
// What encoding these would lose; nothing for integers.
EncodeLoss LossOfEncoding(Dtype dtype, std::span<const double> in);

// The unit roundoff u = 2^-p of a floating type (2^-24 for float32), 0 for others.
double UnitRoundoff(Dtype dtype) noexcept;
// The largest finite value and the smallest positive normal one.
double MaxFinite(Dtype dtype) noexcept;
double MinNormal(Dtype dtype) noexcept;

}  // namespace ckpt
