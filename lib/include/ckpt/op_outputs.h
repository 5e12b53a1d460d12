// What TensorFlow's operations yield, by their own definitions.
//
// Source: the registry of operations (REGISTER_OP) of TensorFlow 2.15.1 and 2.21.0, all of it; see
// lib/tf_graph/op_output_rows.inc.
#pragma once

#include <cstdint>
#include <optional>
#include <string_view>

#include "ckpt/op_graph.h"

namespace ckpt {

// The type of one output; references as their base. An attribute that is not recorded has the
// default of the definition. Nothing where the operation is not TensorFlow's own, has no such
// output, or does not record what decides.
std::optional<OpDtype> OutputDtype(const Op& op, std::uint32_t output);

// The place of the argument `name` ("batch_mean" of FusedBatchNormV3: 1) among all outputs of the
// operation, the first one where the argument is several tensors. Nothing as above.
std::optional<std::uint32_t> OutputPlace(const Op& op, std::string_view name);

}  // namespace ckpt
