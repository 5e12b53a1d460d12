// Assembles the batch norms of a checkpoint from its graph and from names.
#pragma once

#include <string>
#include <vector>

#include "ckpt/batch_norm.h"
#include "roles/naming_conventions.h"
#include "roles/training_state.h"

namespace ckpt {

// A batch norm and the table row that its names follow (null where a graph bound the tensors and
// no row fits, or where there are no statistics).
struct FoundLayer {
  BatchNorm batch_norm;
  const BatchNormConvention* convention = nullptr;
};

// The batch norms of the manifest's graph, in model order. Empty without a graph.
std::vector<FoundLayer> LayersOfGraph(const Manifest& manifest);

// Batch norms by their names, over the tensors for which `usable` is true, in natural order.
std::vector<FoundLayer> LayersByName(const Manifest& manifest, const NameIndex& names,
                                     const ModuleIndex& modules, const std::vector<bool>& usable);

// Sets the scope of a layer that an operation graph bound, by the names of its tensors, else
// `op_name`'s; and the row that they follow.
void FinishOpLayer(const Manifest& manifest, FoundLayer& layer, const std::string& op_name);

// Sets `channels`: the element count of the tensors if their shapes agree but for dimensions of 1.
void SetChannels(const Manifest& manifest, BatchNorm& batch_norm);

}  // namespace ckpt
