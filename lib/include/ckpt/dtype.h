// Element types of tensors, over all formats that the program knows.
#pragma once

#include <cstdint>
#include <optional>
#include <string_view>

namespace ckpt {

enum class Dtype : std::uint8_t {
  kBool,
  kU8,
  kI8,
  kU16,
  kI16,
  kU32,
  kI32,
  kU64,
  kI64,
  kF16,
  kBF16,
  kF32,
  kF64,
  kC64,
  kC128,
  kF8E4M3FN,
  kF8E5M2,
  kF8E4M3FNUZ,
  kF8E5M2FNUZ,
  kF8E8M0,
  kF6E2M3,
  kF6E3M2,
  kF4E2M1,
  kI4,
  kU4,
  kQI8,
  kQU8,
  kQI16,
  kQU16,
  kQI32,      // TensorFlow's quantised integers, stored as their base type
  kString,    // byte strings of their own lengths; listed and copied, never computed with
  kVariant,   // TensorFlow; listed only
  kResource,  // TensorFlow; listed only
  kVoid,      // opaque bytes; the size of an element is byte_size / element_count
};

// Bits of one element; 0 where that is not fixed (kString, kVariant, kResource, kVoid).
unsigned BitSize(Dtype dtype) noexcept;

// "float32", "bfloat16", "float8_e4m3fn", "bool", "string"...: one spelling in every report.
std::string_view Name(Dtype dtype) noexcept;
// The inverse; also accepts "f32", "F32", "half", "double".
std::optional<Dtype> DtypeFromName(std::string_view name) noexcept;

// True for the types that elements.h reads as double: bool, integers, floats down to float8.
bool IsReal(Dtype dtype) noexcept;
bool IsFloat(Dtype dtype) noexcept;  // real, with a fraction
bool IsComplex(Dtype dtype) noexcept;

}  // namespace ckpt
