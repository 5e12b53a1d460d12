// Which variable of an optimizer belongs to which weight, where only their order tells: the files
// of Keras 3 number them.
//
// First stand the optimizer's own scalars (iteration; since Keras 3 the learning rate), then, with
// use_ema, the moving average of each trainable variable of the model in its order, then, for each
// of these variables, the same number of slots of its shape (Adam), or one slot of each and again
// (RMSprop with momentum). Source: build() and add_optimizer_variables() in
// keras/src/optimizers/base_optimizer.py, and the optimizers' own build().
#pragma once

#include <vector>

#include "ckpt/tensor.h"
#include "formats/keras/model_config.h"

namespace ckpt::formats::keras {

// Sets slot_of and slot_name ("average"; "0", "1", ... as slots of one weight are ordered) of
// `slots`, the optimizer's variables in their order; config.graph is bound. Nothing is set where
// not every shape agrees, or a layer has variables that are not known.
void LinkOptimizerSlots(const ModelConfig& config, const std::vector<TensorId>& slots,
                        std::vector<TensorInfo>& tensors);

}  // namespace ckpt::formats::keras
