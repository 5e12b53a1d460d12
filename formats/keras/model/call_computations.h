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

// Fills in the sizes and ranks of values, and says Layer::computation as exactly as the network
// does. `calls`: by node. Where a layer is several operations, has several outputs, reads constants
// which are no kernel and no vectors of a batch norm, or its calls compute different things, what
// its config alone says of it stays.
void SayComputations(const network::Network& network, const std::vector<TranslatedCall>& calls,
                     ModelGraph& graph);

}  // namespace ckpt::formats::keras
