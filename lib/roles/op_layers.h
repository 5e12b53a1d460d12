// What the operation graph in or beside a checkpoint says of its tensors.
#pragma once

#include <optional>
#include <vector>

#include "ckpt/op_analysis.h"
#include "roles/batch_norm_layers.h"

namespace ckpt {

// The tensor of a variable, by the key that the graph records or by its name.
std::optional<TensorId> TensorOf(const Manifest& manifest, const OpVariable& variable);

// The batch norms of the manifest's graph, `ops`, that have a tensor in the manifest; calls of one
// layer (the branches of a conditional, towers that share variables) are one.
std::vector<FoundLayer> LayersOfOps(const Manifest& manifest, const OpAnalysis& ops);

// Joins layers that `ops` and `named` both have: extras, counters, the naming's row, and tensors
// that the graph does not read (statistics that nothing updates) come from the names. The rest of
// `named` follows.
std::vector<FoundLayer> Joined(std::vector<FoundLayer> ops, std::vector<FoundLayer> named);

// Whether a variable is trained, as the graph records it.
struct RecordedTrainable {
  TensorId tensor;
  bool trainable;
  Evidence evidence;
};
// By the collections, else by VariableDef.trainable where any sets it, else by the saved objects.
// Only variables of floating point: old files list the step among the trainable ones.
std::vector<RecordedTrainable> TrainableByOps(const Manifest& manifest);

}  // namespace ckpt
