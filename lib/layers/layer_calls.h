// The calls of layers that are found in a network: which value feeds which layer.
#pragma once

#include <cstdint>
#include <map>
#include <vector>

#include "ckpt/model_graph.h"
#include "layers/value_uses.h"

namespace ckpt {

using OperationsOfLayers = std::vector<std::vector<network::OperationId>>;  // by layer

// Of a layer that is several operations, or one that tensors belong to: it reads `data` alone.
struct CallOfOperations {
  network::ValueId data = network::kNoValue, output = network::kNoValue;
  network::OperationId last = {};
};

// Adds the calls of the inputs, and of the layers in the order of their last operations; `absorbed`
// ones are part of others and have none. Value i of the graph is value i of the network. REQUIRES:
// the layers of the network and its inputs are those of `graph`, and say what they compute.
void AddCalls(const ValueUses& uses, const OperationsOfLayers& operations,
              const std::vector<bool>& absorbed,
              const std::map<std::uint32_t, CallOfOperations>& whole, ModelGraph& graph);

}  // namespace ckpt
