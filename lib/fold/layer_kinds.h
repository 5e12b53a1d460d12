// A question about kinds of layers that the walk over a graph asks.
#pragma once

#include "ckpt/model_graph.h"

namespace ckpt {

// A layer that a batch norm can be folded into: a convolution or dense.
inline bool IsLinear(OpKind kind) noexcept {
  return kind == OpKind::kConv || kind == OpKind::kConvTranspose ||
         kind == OpKind::kDepthwiseConv || kind == OpKind::kSeparableConv || kind == OpKind::kDense;
}

}  // namespace ckpt
