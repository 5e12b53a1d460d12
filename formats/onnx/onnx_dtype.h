// TensorProto::DataType and where each type's elements stand (onnx/onnx.proto).
#pragma once

#include <cstdint>
#include <optional>

#include "ckpt/dtype.h"
#include "formats/onnx/model_scan.h"

namespace ckpt::formats::onnx {

struct OnnxDtype {
  std::int32_t number;
  Dtype dtype;
  DataField typed_field;  // where raw_data does not hold it; strings have a field of their own
};

const OnnxDtype* FindOnnxDtype(std::int32_t number) noexcept;  // null: not known here
const OnnxDtype* OnnxDtypeOf(Dtype dtype) noexcept;            // null: ONNX has no such type

}  // namespace ckpt::formats::onnx
