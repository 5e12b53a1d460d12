// The ranks of a graph's values, as recorded or as the kernels around them imply.
#pragma once

#include <cstdint>
#include <optional>
#include <vector>

#include "ckpt/checkpoint.h"

namespace ckpt {

bool IsConvolution(OpKind kind) noexcept;  // any but dense
bool IsLinear(OpKind kind) noexcept;       // a convolution or dense

// By value; batch axis included. REQUIRES: manifest.graph.
std::vector<std::optional<std::int64_t>> ValueRanks(const Manifest& manifest);

enum class AxisMatch : std::uint8_t { kSame, kDifferent, kUnknown };
// Are `a` and `b`, each counted from the front or from the back, one axis of a value of this rank?
AxisMatch CompareAxes(std::int64_t a, std::int64_t b, std::optional<std::int64_t> rank) noexcept;

}  // namespace ckpt
