// Batch norms that are one operation, with the multiplication and the addition behind one that has
// no scale and no offset of its own: gamma and beta of Caffe's Scale layers.
#pragma once

#include <optional>

#include "layers/layer_of_operations.h"

namespace ckpt {

// `fed_tensors` says what computes the parameters that are no vectors of the file. With
// `and_scale` the operations behind it are part of it.
std::optional<LayerOfOperations> FindBatchNormOperation(const ValueUses& uses,
                                                        network::OperationId id, bool and_scale);

}  // namespace ckpt
