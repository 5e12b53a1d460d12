// Questions about kinds of layers and axes that the walk over a graph asks.
#pragma once

#include <cstdint>
#include <optional>

#include "ckpt/model_graph.h"

namespace ckpt {

// A layer that a batch norm can be folded into: a convolution or dense.
inline bool IsLinear(OpKind kind) noexcept {
  return kind == OpKind::kConv || kind == OpKind::kConvTranspose ||
         kind == OpKind::kDepthwiseConv || kind == OpKind::kSeparableConv || kind == OpKind::kDense;
}

enum class AxisMatch : std::uint8_t { kSame, kDifferent, kUnknown };
// Are `a` and `b`, each counted from the front or from the back, one axis of a value of this rank?
inline AxisMatch CompareAxes(std::int64_t a, std::int64_t b,
                             std::optional<std::int64_t> rank) noexcept {
  if (a == b) return AxisMatch::kSame;
  if ((a < 0) == (b < 0)) return AxisMatch::kDifferent;
  if (!rank) return AxisMatch::kUnknown;
  // One counts from the front, the other from the back.
  return a - b == *rank || b - a == *rank ? AxisMatch::kSame : AxisMatch::kDifferent;
}

}  // namespace ckpt
