// The order in which Keras lists the layers of a model that it rebuilds from a config. The weights
// of a file are assigned in this order, so removing layers can reorder what remains.
//
// Source of the rule: map_graph() in keras/src/ops/function.py of Keras 3, the same since Keras 1.
#pragma once

#include <cstdint>
#include <vector>

#include "formats/keras/model/model_record.h"

namespace ckpt::formats::keras {

// Layers of one model that are taken away: whoever reads one reads its (only) input instead.
using RemovedLayers = std::vector<bool>;

// What `ref` becomes.
TensorRef Rewired(const ModelRecord& model, const RemovedLayers& removed, TensorRef ref);

// The layers that remain. Functional models: by depth, which is the longest way to an output, then
// in the order in which a depth-first walk back from the outputs meets them; layers that no output
// needs stand last. Sequential models: as listed.
std::vector<std::uint32_t> KerasLayerOrder(const ModelRecord& model, const RemovedLayers& removed);

}  // namespace ckpt::formats::keras
