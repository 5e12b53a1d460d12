// The outputs of operations by the names that function bodies call them.
#pragma once

#include <cstdint>
#include <optional>
#include <string_view>

namespace ckpt::formats {

// The place of the argument `name` ("batch_mean" of FusedBatchNormV3: 1) among the outputs of an
// operation of TensorFlow that has several named ones, each a single tensor. Absent where the
// operation is not in the table, as those with one output argument: it begins at 0.
// Source: the operations' own registration (REGISTER_OP) in TensorFlow 2.21.
std::optional<std::uint32_t> OutputArgument(std::string_view op, std::string_view name) noexcept;

}  // namespace ckpt::formats
