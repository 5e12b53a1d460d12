// Layers of a serving model, bound to the tensors of the checkpoint that it was made of.
#pragma once

#include <functional>

#include "ckpt/checkpoint.h"

namespace ckpt {

// `source_of`: the tensor of the checkpoint that a tensor of `model` is; absent for a constant of
// the graph. REQUIRES: model.manifest().graph.
Result<ModelGraph> BindLayers(const Checkpoint& model,
                              const std::function<std::optional<TensorId>(TensorId)>& source_of);

}  // namespace ckpt
