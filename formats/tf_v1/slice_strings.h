// Tensors of strings in a V1 checkpoint: field 8 of a TensorProto, repeated.
#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <string>

#include "ckpt/tensor.h"
#include "formats/tf_v1/slice_elements.h"

namespace ckpt::formats {

// The bytes that StreamSavedStrings will yield for a TensorProto of `count` strings; kCorrupt where
// it has another number of them.
Result<std::uint64_t> MeasureStrings(std::span<const std::byte> proto, std::uint64_t count);
// The same of one that stays in its file.
Result<std::uint64_t> MeasureStrings(BufferedRange& proto, std::uint64_t count);

// `name` is for messages.
std::unique_ptr<TensorStream> StreamSavedStrings(std::string name, ProtoBytes bytes);

}  // namespace ckpt::formats
