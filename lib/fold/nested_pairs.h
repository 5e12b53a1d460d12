// Pairs that tf_slim's nesting fixes: conv2d(normalizer_fn=batch_norm) creates
//   X/weights, X/BatchNorm/{beta,gamma,moving_mean,moving_variance}
// and no X/biases, the batch norm following the convolution and preceding its activation. Nothing
// else in the file may contradict that.
#pragma once

#include "fold/kernel_pair.h"
#include "fold/named_layers.h"

namespace ckpt {

PairingResult PairByNesting(const NamedLayers& layers);

}  // namespace ckpt
