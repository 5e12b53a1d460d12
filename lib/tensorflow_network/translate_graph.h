// A serving graph as a network.
#pragma once

#include <functional>
#include <optional>

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

}  // namespace ckpt
