// The element types of PyTorch, by the names of storage classes and of dtypes.
#pragma once

#include <optional>
#include <string_view>

#include "ckpt/dtype.h"

namespace ckpt::formats {

struct TorchDtype {
  std::string_view name;     // of torch.dtype: "float32"
  std::string_view storage;  // of the class: "FloatStorage"; empty where there is none
  Dtype dtype;               // kVoid where this program has no such type
  unsigned bytes;            // of one element
  unsigned swap_bytes;       // of the unit that byte order concerns
};

// "torch.FloatStorage", "torch.cuda.FloatStorage"; null for others, untyped storages too.
const TorchDtype* TorchDtypeOfStorage(std::string_view class_name) noexcept;
bool IsUntypedStorage(std::string_view class_name) noexcept;
// "torch.float32".
const TorchDtype* TorchDtypeNamed(std::string_view name) noexcept;
// For writing; null where PyTorch has no such type.
const TorchDtype* TorchDtypeFor(Dtype dtype) noexcept;

}  // namespace ckpt::formats
