// Shapes of what a serving graph yields.
#pragma once

#include "ckpt/serving.h"

namespace ckpt {

// Gives the outputs of the signatures of `graph`, which is that of `model` after a conversion, the
// shapes that follow from those of the inputs, where the file records none: the network's rules say
// them, sizes that are open being -1. What the network does not know stays unknown.
void AddKnownShapes(const ServingModel& model, OpGraph& graph);

}  // namespace ckpt
