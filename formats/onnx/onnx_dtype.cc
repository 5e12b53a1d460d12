#include "formats/onnx/onnx_dtype.h"

#include <algorithm>
#include <array>

namespace ckpt::formats::onnx {
namespace {

constexpr std::array<OnnxDtype, 24> kDtypes = {{
    {1, Dtype::kF32, DataField::kFloat},       {2, Dtype::kU8, DataField::kInt32},
    {3, Dtype::kI8, DataField::kInt32},        {4, Dtype::kU16, DataField::kInt32},
    {5, Dtype::kI16, DataField::kInt32},       {6, Dtype::kI32, DataField::kInt32},
    {7, Dtype::kI64, DataField::kInt64},       {8, Dtype::kString, DataField::kRaw},
    {9, Dtype::kBool, DataField::kInt32},      {10, Dtype::kF16, DataField::kInt32},
    {11, Dtype::kF64, DataField::kDouble},     {12, Dtype::kU32, DataField::kUint64},
    {13, Dtype::kU64, DataField::kUint64},     {14, Dtype::kC64, DataField::kFloat},
    {15, Dtype::kC128, DataField::kDouble},    {16, Dtype::kBF16, DataField::kInt32},
    {17, Dtype::kF8E4M3FN, DataField::kInt32}, {18, Dtype::kF8E4M3FNUZ, DataField::kInt32},
    {19, Dtype::kF8E5M2, DataField::kInt32},   {20, Dtype::kF8E5M2FNUZ, DataField::kInt32},
    {21, Dtype::kU4, DataField::kInt32},       {22, Dtype::kI4, DataField::kInt32},
    {23, Dtype::kF4E2M1, DataField::kInt32},   {24, Dtype::kF8E8M0, DataField::kInt32},
}};

}  // namespace

const OnnxDtype* FindOnnxDtype(std::int32_t number) noexcept {
  const auto found = std::find_if(kDtypes.begin(), kDtypes.end(),
                                  [&](const OnnxDtype& row) { return row.number == number; });
  return found == kDtypes.end() ? nullptr : &*found;
}

const OnnxDtype* OnnxDtypeOf(Dtype dtype) noexcept {
  const auto found = std::find_if(kDtypes.begin(), kDtypes.end(),
                                  [&](const OnnxDtype& row) { return row.dtype == dtype; });
  return found == kDtypes.end() ? nullptr : &*found;
}

}  // namespace ckpt::formats::onnx
