// What an assigned value is computed from.
#pragma once

#include <cstddef>
#include <optional>
#include <vector>

#include "ckpt/op_bodies.h"

namespace ckpt::tf_graph {

// An operation that computes element by element or over an axis from its inputs alone.
bool IsArithmetic(std::string_view type) noexcept;

// The values that `value` is computed from, through at most `limit` of them: arithmetic, other
// assignments' results, and everything that passes a value on. `value`'s own origins are the first.
std::vector<OpValue> Ingredients(const OpBodies& bodies, OpValue value, std::size_t limit);

// The weight of the old value in a moving average that `assign` writes: V -= (V - x) * (1 - m),
// V = V * m + x * (1 - m), or a fused batch norm's exponential_avg_factor. nullopt where it is not
// a constant.
std::optional<double> MomentumOf(const OpBodies& bodies, OpRef assign);

// The shortest decimal that is the same float32: 0.001 and not 0.00100000005.
double ShortestDecimal(double value);

}  // namespace ckpt::tf_graph
