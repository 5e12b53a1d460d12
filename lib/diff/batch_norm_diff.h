// Compares batch norms as functions of their input.
#pragma once

#include <optional>
#include <vector>

#include "ckpt/diff.h"
#include "diff/element_comparison.h"
#include "diff/match.h"

namespace ckpt {

// A batch norm of A, of B, or the same layer in both.
struct LayerMatch {
  const BatchNorm* a = nullptr;
  const BatchNorm* b = nullptr;
};

// Layers whose tensors were matched with each other, in the order of A; then those of B alone.
std::vector<LayerMatch> MatchLayers(const Analysis& a, const Analysis& b,
                                    const std::vector<Match>& matches);

// `same_tensors`: all tensors of both are known to hold the same values, so that nothing is read.
// Passes on read errors.
Result<BatchNormDiff> CompareLayers(const Checkpoint& a, const Checkpoint& b,
                                    const LayerMatch& layer, bool same_tensors,
                                    Tolerance tolerance);

// The ids of gamma, beta, mean and variance that the layer has.
std::vector<TensorId> TensorsOf(const BatchNorm& layer);

}  // namespace ckpt
