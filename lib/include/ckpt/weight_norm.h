// Weights that PyTorch's weight norm computes from a direction v and a length g at each call.
//
// w = g * v / |v|, the norm taken over all axes but one. Stored as weight_g and weight_v (the hook
// torch.nn.utils.weight_norm) or parametrizations.weight.original0 and .original1
// (torch.nn.utils.parametrizations.weight_norm). g keeps the axis: [O, 1, 1, 1] for a kernel
// [O, I, H, W] and dim 0; a number alone where the norm is over all axes (dim None).
//
// Source: torch/nn/utils/weight_norm.py, torch/nn/utils/parametrizations.py.
#pragma once

#include <memory>

#include "ckpt/checkpoint.h"

namespace ckpt {

// `checkpoint` with the weight in the place of each such pair, under the name that the layer has
// without weight norm; the manifest's note says so. The same object where there is no pair. Pairs
// stay as they are where their shapes do not fit, where data is absent, where the name is taken, or
// where another parametrisation computes with the result. A weight is computed while it streams, in
// two passes over v; kUnfit where a norm is 0 or not finite.
std::unique_ptr<Checkpoint> WithWeightNormsComputed(std::unique_ptr<Checkpoint> checkpoint);

}  // namespace ckpt
