// Puts the data of tensors back into a skeleton, without holding it.
#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "ckpt/result.h"

namespace ckpt::formats::onnx {

// Bytes as they stand, or the data of one tensor.
struct ModelPiece {
  std::string bytes = {};
  std::optional<std::uint32_t> data_place = {};
};

// The file as pieces in order: wherever the skeleton has TensorProto::data_place, raw_data of
// size_of(place) bytes stands. REQUIRES: `skeleton` is a serialized ModelProto.
Result<std::vector<ModelPiece>> SpliceModel(
    std::string_view skeleton, const std::function<std::uint64_t(std::uint32_t)>& size_of);

}  // namespace ckpt::formats::onnx
