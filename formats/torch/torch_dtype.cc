#include "formats/torch/torch_dtype.h"

#include <algorithm>
#include <iterator>

namespace ckpt::formats {
namespace {

// torch/storage.py (_new_dtypes, _dtype_to_storage_type_map) of PyTorch 2.13.
constexpr TorchDtype kTypes[] = {
    {"float32", "FloatStorage", Dtype::kF32, 4, 4},
    {"float64", "DoubleStorage", Dtype::kF64, 8, 8},
    {"float16", "HalfStorage", Dtype::kF16, 2, 2},
    {"bfloat16", "BFloat16Storage", Dtype::kBF16, 2, 2},
    {"int64", "LongStorage", Dtype::kI64, 8, 8},
    {"int32", "IntStorage", Dtype::kI32, 4, 4},
    {"int16", "ShortStorage", Dtype::kI16, 2, 2},
    {"int8", "CharStorage", Dtype::kI8, 1, 1},
    {"uint8", "ByteStorage", Dtype::kU8, 1, 1},
    {"bool", "BoolStorage", Dtype::kBool, 1, 1},
    {"complex128", "ComplexDoubleStorage", Dtype::kC128, 16, 8},
    {"complex64", "ComplexFloatStorage", Dtype::kC64, 8, 4},
    {"qint8", "QInt8Storage", Dtype::kQI8, 1, 1},
    {"quint8", "QUInt8Storage", Dtype::kQU8, 1, 1},
    {"qint32", "QInt32Storage", Dtype::kQI32, 4, 4},
    {"quint4x2", "QUInt4x2Storage", Dtype::kVoid, 1, 1},
    {"quint2x4", "QUInt2x4Storage", Dtype::kVoid, 1, 1},
    {"uint16", "", Dtype::kU16, 2, 2},
    {"uint32", "", Dtype::kU32, 4, 4},
    {"uint64", "", Dtype::kU64, 8, 8},
    {"float8_e4m3fn", "", Dtype::kF8E4M3FN, 1, 1},
    {"float8_e5m2", "", Dtype::kF8E5M2, 1, 1},
    {"float8_e4m3fnuz", "", Dtype::kF8E4M3FNUZ, 1, 1},
    {"float8_e5m2fnuz", "", Dtype::kF8E5M2FNUZ, 1, 1},
    {"float8_e8m0fnu", "", Dtype::kF8E8M0, 1, 1},
    {"float4_e2m1fn_x2", "", Dtype::kVoid, 1, 1},  // two values in one element
    {"complex32", "", Dtype::kVoid, 4, 2},
    {"bits1x8", "", Dtype::kVoid, 1, 1},
    {"bits2x4", "", Dtype::kVoid, 1, 1},
    {"bits4x2", "", Dtype::kVoid, 1, 1},
    {"bits8", "", Dtype::kVoid, 1, 1},
    {"bits16", "", Dtype::kVoid, 2, 2},
};

bool RemovePrefix(std::string_view& text, std::string_view prefix) noexcept {
  if (!text.starts_with(prefix)) return false;
  text.remove_prefix(prefix.size());
  return true;
}

}  // namespace

const TorchDtype* TorchDtypeOfStorage(std::string_view class_name) noexcept {
  if (!RemovePrefix(class_name, "torch.cuda.") && !RemovePrefix(class_name, "torch.")) {
    return nullptr;
  }
  const auto* const found = std::find_if(std::begin(kTypes), std::end(kTypes), [&](const auto& t) {
    return !t.storage.empty() && t.storage == class_name;
  });
  return found == std::end(kTypes) ? nullptr : found;
}

bool IsUntypedStorage(std::string_view class_name) noexcept {
  return class_name == "torch.storage.UntypedStorage" ||
         class_name == "torch.storage._UntypedStorage" || class_name == "torch.UntypedStorage";
}

const TorchDtype* TorchDtypeNamed(std::string_view name) noexcept {
  if (!RemovePrefix(name, "torch.")) return nullptr;
  const auto* const found = std::find_if(std::begin(kTypes), std::end(kTypes),
                                         [&](const auto& type) { return type.name == name; });
  return found == std::end(kTypes) ? nullptr : found;
}

const TorchDtype* TorchDtypeFor(Dtype dtype) noexcept {
  const auto* const found = std::find_if(std::begin(kTypes), std::end(kTypes),
                                         [&](const auto& type) { return type.dtype == dtype; });
  const bool plain = dtype != Dtype::kVoid && dtype != Dtype::kQI8 && dtype != Dtype::kQU8 &&
                     dtype != Dtype::kQI32;
  return plain && found != std::end(kTypes) ? found : nullptr;
}

}  // namespace ckpt::formats
