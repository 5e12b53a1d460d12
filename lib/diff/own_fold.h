// The folds that a file's own graph proves, held against the other file: what convolutions of any
// kind take backward, what takes a batch norm forward, slices of a concatenation, branches of an
// addition, several batch norms in one kernel.
#pragma once

#include <optional>
#include <vector>

#include "ckpt/diff.h"
#include "diff/batch_norm_diff.h"
#include "diff/match.h"

namespace ckpt {

// One of the two files.
struct FoldedFile {
  const Checkpoint& checkpoint;
  const Analysis& analysis;
  bool is_a;
};

// The bias of the layer that a kernel belongs to, by the graph or else by names.
std::optional<TensorId> BiasOf(const Manifest& manifest, TensorId kernel);

// For each layer that only `of` has and that was not compared: does `other` hold the kernels and
// biases that its fold over the graph of `of` would write? Fills in what was found. Kernels that
// are other ones say nothing of a fold, and leave what `diffs` says. A scale and an offset without
// statistics (ScalesChannels), found so, are added to `diffs`. Reads the kernels of such layers, of
// both files. Passes on read errors.
Status CompareWithOwnFold(const FoldedFile& of, const FoldedFile& other,
                          const std::vector<Match>& matches, const std::vector<LayerMatch>& layers,
                          Tolerance tolerance, std::vector<BatchNormDiff>& diffs);

}  // namespace ckpt
