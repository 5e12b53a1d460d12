// Holds a batch norm of one file against the kernel of the other that it was folded into.
#pragma once

#include <vector>

#include "ckpt/diff.h"
#include "diff/batch_norm_diff.h"
#include "diff/match.h"

namespace ckpt {

// For each layer that only one file has: does the other hold what the fold over its graph would
// write (see CompareWithOwnFold)? Else, is there a kernel in both that differs by this layer's
// scale alone, and in the other file a bias that holds its shift? Fills in what was found: the
// differences of scale and shift, and a note that says where it was folded into. Layers for which
// nothing is found keep what `diffs` says. `layers` and `diffs` go together, one by one; more may
// be added behind. Reads kernels that changed, once for each way in which their channels may lie.
// Passes on read errors.
Status CompareFolded(const Checkpoint& a, const Analysis& analysis_a, const Checkpoint& b,
                     const Analysis& analysis_b, const std::vector<Match>& matches,
                     const std::vector<LayerMatch>& layers, Tolerance tolerance,
                     std::vector<BatchNormDiff>& diffs);

}  // namespace ckpt
