// Data that a tensor has in another file of the model's folder (TensorProto::external_data).
#pragma once

#include <cstdint>
#include <optional>
#include <string>

#include "ckpt/result.h"
#include "formats/onnx_proto/onnx.pb.h"

namespace ckpt::formats::onnx {

struct ExternalData {
  std::string location;  // relative to the model's folder; not checked here
  std::uint64_t offset = 0;
  std::optional<std::uint64_t> length = {};  // absent: to the end of the file
};

// kCorrupt where a key that is needed is missing or no number. Keys that are not known are left
// alone (checksum is advisory, prepacked data belongs to a runtime).
Result<ExternalData> ReadExternalData(const onnx_proto::TensorProto& tensor);

bool IsExternal(const onnx_proto::TensorProto& tensor);

}  // namespace ckpt::formats::onnx
