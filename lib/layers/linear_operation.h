// Convolutions and matrix products with a stored kernel, and the addition of their bias.
#pragma once

#include <optional>

#include "layers/layer_of_operations.h"
#include "layers/operation_description.h"

namespace ckpt {

// Without a kernel where that, or the bias, of a convolution is computed: `fed_tensors` says by
// what. `copies_ways`: see LayerFacts.
std::optional<LayerOfOperations> FindLinearOperation(const ValueUses& uses,
                                                     const ElementsLookup& elements,
                                                     bool copies_ways, network::OperationId id);

}  // namespace ckpt
