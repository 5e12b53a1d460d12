// Convolutions and matrix products with a stored kernel, and the addition of their bias.
#pragma once

#include <optional>

#include "layers/layer_of_operations.h"

namespace ckpt {

// Of kOther where the kernel or the bias of a convolution is computed: `fed_tensors` says by what.
std::optional<LayerOfOperations> FindLinearOperation(const ValueUses& uses,
                                                     network::OperationId id);

}  // namespace ckpt
