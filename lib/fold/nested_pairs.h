// Pairs that tf_slim's nesting fixes: conv2d(normalizer_fn=batch_norm) creates
//   X/weights, X/BatchNorm/{beta,gamma,moving_mean,moving_variance}
// and no X/biases, the batch norm following the convolution and preceding its activation.
#pragma once

#include "fold/kernel_pair.h"

namespace ckpt {

PairingResult PairByNesting(const Manifest& manifest, const Analysis& analysis);

}  // namespace ckpt
