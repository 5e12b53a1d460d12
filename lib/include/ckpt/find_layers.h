// The layers of a network, as folding and auditing ask: found over its operations, whatever format
// says them.
#pragma once

#include <functional>
#include <optional>
#include <vector>

#include "ckpt/model_graph.h"
#include "ckpt/network/network.h"
#include "ckpt/tensor.h"

namespace ckpt {

// What a format knows beyond the network.
struct LayerFacts {
  // The elements of a small value that follow from constants alone; absent: not known. Those of
  // inline constants are known without.
  std::function<std::optional<std::vector<double>>(network::ValueId)> elements = {};
  // The record names the tensors that a layer reads, and has a place for a bias (see
  // Layer::can_rebind, can_gain_bias).
  bool can_rebind = false, can_gain_bias = false;
};

// Layer i is layer i of the network, in what its operations say: what it computes, the tensors
// that it reads as kernel, bias, gamma..., how they lie in memory, its axis and epsilon; `read_by`,
// `path` and `beside` are indices of layers, too. The inputs of the network follow. A layer whose
// operations are part of another one (the addition of its bias) has no call; value i is value i of
// the network. What the operations of a layer do together is not understood: Unknown.
//
// Tensors are bound through changes of shape that leave them what they are: the transpose of a
// matrix, a vector under another shape, one number for each channel.
//
// Where the record can be rebound, a multiplication with and an addition of one number of the file
// for each channel behind a layer with a stored kernel are one layer (ScalesChannels): what a
// frozen batch norm is exported as.
ModelGraph FindLayers(const network::Network& network, const LayerFacts& facts);

}  // namespace ckpt
