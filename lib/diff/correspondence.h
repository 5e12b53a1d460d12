// Finds which tensor of A is which of B where names do not say it: by the conventions of two
// frameworks, by shape and content, by the layers found so.
#pragma once

#include "ckpt/diff.h"
#include "diff/match.h"

namespace ckpt {

// Completes a matching of two files whose names do not agree (Matching::across): pairs what is left
// over, and settles in which order the elements of B are compared. Reads every tensor that is left
// over on either side and has a counterpart of its size once, and kernels once more. Deterministic.
// Tensors that only training needs are left alone. Passes on read errors.
Status FindCorrespondence(const Checkpoint& a, const Analysis& analysis_a, const Checkpoint& b,
                          const Analysis& analysis_b, const DiffOptions& options,
                          Matching& matching);

}  // namespace ckpt
