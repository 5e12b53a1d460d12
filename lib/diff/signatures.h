// Names what happened between two checkpoints where the numbers show it.
#pragma once

#include <map>
#include <vector>

#include "ckpt/diff.h"
#include "diff/batch_norm_diff.h"
#include "diff/match.h"

namespace ckpt {

// How each tensor of A compared with its partner; only tensors that were compared.
using ComparedTensors = std::map<TensorId, const TensorDiff*>;

// Do both hold the same values, as far as they were compared?
bool IsUnchanged(const TensorDiff& diff) noexcept;

// "bessel": the variances differ by one factor N / (N - 1) per layer, as a framework that corrects
//   the batch's variance and one that does not leave behind.
// "epsilon-offset": the variances differ by one number everywhere, which somebody added or took
// away. "statistics-reset": means are 0 and variances 1 in B and were not in A; all weights are
// equal. "frozen-drift": gamma, beta and the kernels beside them are unchanged, and statistics
// moved. "prefix": names agree after a prefix is stripped. Reads moving statistics that changed;
// passes on read errors.
Result<std::vector<Signature>> FindSignatures(const Checkpoint& a, const Checkpoint& b,
                                              const std::vector<LayerMatch>& layers,
                                              const ComparedTensors& compared,
                                              const Matching& matching);

}  // namespace ckpt
