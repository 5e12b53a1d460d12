// What the layers of a model graph compute, read off the network that the same config was
// translated into.
#pragma once

#include <cstdint>
#include <vector>

#include "ckpt/model_graph.h"
#include "ckpt/network/network.h"

namespace ckpt::formats::keras {

// A node of the graph in the network.
struct TranslatedCall {
  std::uint32_t layer = 0;                     // of Network::layers: its operations name it
  std::vector<network::ValueId> inputs = {};   // those of the node, in their order
  std::vector<network::ValueId> outputs = {};  // the node's value is all of them
  bool is_function = false;                    // each call has arguments of its own
};

// Fills Layer::computation and the sizes and ranks of values. `calls`: by node. A layer that is
// several operations, that has several outputs or whose calls compute different things stays
// Unknown, and so does one that reads constants which are no kernel and no vectors of a batch norm.
void SayComputations(const network::Network& network, const std::vector<TranslatedCall>& calls,
                     ModelGraph& graph);

}  // namespace ckpt::formats::keras
