// Carries a planned conversion over to the graph of operations.
#pragma once

#include "ckpt/convert.h"
#include "serving/layers.h"

namespace ckpt {

// `manifest` is that of a serving model, `layers` were found in its operations. See
// ServingModel::Apply.
Result<OpGraph> ApplyPlan(const Manifest& manifest, const LayerGraph& layers, ConversionPlan& plan);

}  // namespace ckpt
