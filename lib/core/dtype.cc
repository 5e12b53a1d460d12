#include "ckpt/dtype.h"

#include <array>
#include <string_view>

namespace ckpt {
namespace {

struct Row {
  Dtype dtype;
  std::string_view name;   // in reports
  std::string_view alias;  // safetensors' spelling, accepted on the command line too
  unsigned bits;
};

constexpr std::array<Row, 32> kRows = {{
    {Dtype::kBool, "bool", "BOOL", 8},
    {Dtype::kU8, "uint8", "U8", 8},
    {Dtype::kI8, "int8", "I8", 8},
    {Dtype::kU16, "uint16", "U16", 16},
    {Dtype::kI16, "int16", "I16", 16},
    {Dtype::kU32, "uint32", "U32", 32},
    {Dtype::kI32, "int32", "I32", 32},
    {Dtype::kU64, "uint64", "U64", 64},
    {Dtype::kI64, "int64", "I64", 64},
    {Dtype::kF16, "float16", "F16", 16},
    {Dtype::kBF16, "bfloat16", "BF16", 16},
    {Dtype::kF32, "float32", "F32", 32},
    {Dtype::kF64, "float64", "F64", 64},
    {Dtype::kC64, "complex64", "C64", 64},
    {Dtype::kC128, "complex128", "C128", 128},
    {Dtype::kF8E4M3FN, "float8_e4m3fn", "F8_E4M3", 8},
    {Dtype::kF8E5M2, "float8_e5m2", "F8_E5M2", 8},
    {Dtype::kF8E4M3FNUZ, "float8_e4m3fnuz", "F8_E4M3FNUZ", 8},
    {Dtype::kF8E5M2FNUZ, "float8_e5m2fnuz", "F8_E5M2FNUZ", 8},
    {Dtype::kF8E8M0, "float8_e8m0fnu", "F8_E8M0", 8},
    {Dtype::kF6E2M3, "float6_e2m3fn", "F6_E2M3", 6},
    {Dtype::kF6E3M2, "float6_e3m2fn", "F6_E3M2", 6},
    {Dtype::kF4E2M1, "float4_e2m1fn", "F4", 4},
    {Dtype::kI4, "int4", "I4", 4},
    {Dtype::kU4, "uint4", "U4", 4},
    {Dtype::kQI8, "qint8", "", 8},
    {Dtype::kQU8, "quint8", "", 8},
    {Dtype::kQI16, "qint16", "", 16},
    {Dtype::kQU16, "quint16", "", 16},
    {Dtype::kQI32, "qint32", "", 32},
    {Dtype::kString, "string", "", 0},
    {Dtype::kVoid, "void", "", 0},
}};

const Row* Find(Dtype dtype) noexcept {
  for (const Row& row : kRows) {
    if (row.dtype == dtype) return &row;
  }
  return nullptr;
}

}  // namespace

unsigned BitSize(Dtype dtype) noexcept {
  const Row* row = Find(dtype);
  return row == nullptr ? 0 : row->bits;
}

std::string_view Name(Dtype dtype) noexcept {
  if (const Row* row = Find(dtype)) return row->name;
  return dtype == Dtype::kVariant ? "variant" : "resource";
}

std::optional<Dtype> DtypeFromName(std::string_view name) noexcept {
  constexpr std::array<std::pair<std::string_view, Dtype>, 8> kShort = {{
      {"half", Dtype::kF16},
      {"fp16", Dtype::kF16},
      {"f16", Dtype::kF16},
      {"bf16", Dtype::kBF16},
      {"f32", Dtype::kF32},
      {"float", Dtype::kF32},
      {"f64", Dtype::kF64},
      {"double", Dtype::kF64},
  }};
  for (const auto& [text, dtype] : kShort) {
    if (text == name) return dtype;
  }
  for (const Row& row : kRows) {
    if (row.name == name || (!row.alias.empty() && row.alias == name)) return row.dtype;
  }
  return std::nullopt;
}

bool IsFloat(Dtype dtype) noexcept {
  switch (dtype) {
    case Dtype::kF16:
    case Dtype::kBF16:
    case Dtype::kF32:
    case Dtype::kF64:
    case Dtype::kF8E4M3FN:
    case Dtype::kF8E5M2:
    case Dtype::kF8E4M3FNUZ:
    case Dtype::kF8E5M2FNUZ:
    case Dtype::kF8E8M0:
      return true;
    default:
      return false;
  }
}

bool IsComplex(Dtype dtype) noexcept { return dtype == Dtype::kC64 || dtype == Dtype::kC128; }

bool IsReal(Dtype dtype) noexcept {
  switch (dtype) {
    case Dtype::kC64:
    case Dtype::kC128:
    case Dtype::kF6E2M3:
    case Dtype::kF6E3M2:
    case Dtype::kF4E2M1:
    case Dtype::kI4:
    case Dtype::kU4:
    case Dtype::kString:
    case Dtype::kVariant:
    case Dtype::kResource:
    case Dtype::kVoid:
      return false;
    default:
      return true;
  }
}

}  // namespace ckpt
