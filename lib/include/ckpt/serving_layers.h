// The layers of a serving graph as evidence for the tensors of its checkpoint.
#pragma once

#include "ckpt/serving.h"

namespace ckpt {

// The layers of the serving graph of `source`, bound to the source's own tensors: for a conversion
// whose output holds tensors alone. Errors are those of MakeServingModel.
Result<ModelGraph> ServingLayers(const Checkpoint& source, const ServingOptions& options);

}  // namespace ckpt
