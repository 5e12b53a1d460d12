// A serving graph as a network.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <optional>
#include <utility>
#include <vector>

#include "ckpt/network/network.h"
#include "ckpt/serving.h"

namespace ckpt {

// The tensor that a network names for a tensor of the model; nothing where its elements are to
// stand in the network.
using TensorOfNetwork = std::function<std::optional<TensorId>(TensorId)>;

// REQUIRES: `signature` is the place of one of the graph's, or 0.
Result<network::Network> TranslateServingGraph(const ServingModel& model,
                                               const TensorOfNetwork& tensor_of,
                                               std::size_t signature = 0);

// A network, and where it has what the graph's operations compute.
struct PlacedNetwork {
  network::Network network = {};
  // By operation of the graph: the layer of its operations. Absent: it has none.
  std::vector<std::optional<std::uint32_t>> layers = {};
  std::map<std::pair<OpId, std::uint32_t>, network::ValueId> values = {};  // by output
};

// All that `outputs` need, whatever the signatures feed: every placeholder is an input, one with a
// default too. No tensor is read; what contradicts itself is of unknown shape. `tensors`: those
// that constants of the graph name. Fails where the graph asks for more values than a network may
// have.
Result<PlacedNetwork> TranslateWholeGraph(const OpGraph& graph,
                                          const std::vector<TensorInfo>& tensors,
                                          const std::vector<OpEdge>& outputs);

}  // namespace ckpt
