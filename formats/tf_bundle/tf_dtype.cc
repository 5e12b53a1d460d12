#include "formats/tf_bundle/tf_dtype.h"

#include <array>

namespace ckpt::formats {
namespace {

constexpr std::array<TfDtype, 33> kRows = {{
    {1, Dtype::kF32, 4, 4},         {2, Dtype::kF64, 8, 8},
    {3, Dtype::kI32, 4, 4},         {4, Dtype::kU8, 1, 1},
    {5, Dtype::kI16, 2, 2},         {6, Dtype::kI8, 1, 1},
    {7, Dtype::kString, 0, 0},      {8, Dtype::kC64, 8, 4},
    {9, Dtype::kI64, 8, 8},         {10, Dtype::kBool, 1, 1},
    {11, Dtype::kQI8, 1, 1},        {12, Dtype::kQU8, 1, 1},
    {13, Dtype::kQI32, 4, 4},       {14, Dtype::kBF16, 2, 2},
    {15, Dtype::kQI16, 2, 2},       {16, Dtype::kQU16, 2, 2},
    {17, Dtype::kU16, 2, 2},        {18, Dtype::kC128, 16, 8},
    {19, Dtype::kF16, 2, 2},        {20, Dtype::kResource, 0, 0},
    {21, Dtype::kVariant, 0, 0},    {22, Dtype::kU32, 4, 4},
    {23, Dtype::kU64, 8, 8},        {24, Dtype::kF8E5M2, 1, 1},
    {25, Dtype::kF8E4M3FN, 1, 1},   {26, Dtype::kF8E4M3FNUZ, 1, 1},
    {27, Dtype::kVoid, 1, 1},  // FLOAT8_E4M3B11FNUZ: copied as it is, not computed with
    {28, Dtype::kF8E5M2FNUZ, 1, 1}, {29, Dtype::kI4, 1, 1},
    {30, Dtype::kU4, 1, 1},         {31, Dtype::kVoid, 1, 1},  // INT2
    {32, Dtype::kVoid, 1, 1},                                  // UINT2
    {33, Dtype::kF4E2M1, 1, 1},
}};

}  // namespace

const TfDtype* FindTfDtype(std::int32_t number) noexcept {
  // The rows are numbered from 1 without a gap.
  if (number < 1 || static_cast<std::size_t>(number) > kRows.size()) return nullptr;
  return &kRows[static_cast<std::size_t>(number) - 1];
}

const TfDtype* FindTfDtype(Dtype dtype) noexcept {
  if (dtype == Dtype::kVoid) return nullptr;  // which of several is not known any more
  for (const TfDtype& row : kRows) {
    if (row.dtype == dtype) return &row;
  }
  return nullptr;
}

}  // namespace ckpt::formats
