// The layers of a network, as folding and auditing ask: found over its operations, whatever format
// says them.
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "ckpt/model_graph.h"
#include "ckpt/network/network.h"
#include "ckpt/network/operand_place.h"
#include "ckpt/tensor.h"

namespace ckpt {

// A batch norm that a format finds itself, in layers of the network.
struct FoundBatchNorm {
  Layer layer = {};                      // whole, with its name and tensors
  std::vector<std::uint32_t> path = {};  // from the one that reads `data` to that of `output`
  network::ValueId data = network::kNoValue, output = network::kNoValue;
};

// What a format knows beyond the network.
struct LayerFacts {
  // The elements of a small value that follow from constants alone; absent: not known. Those of
  // inline constants are known without.
  std::function<std::optional<std::vector<double>>(network::ValueId)> elements = {};
  // The record names the tensors that a layer reads, and has a place for a bias (see
  // Layer::can_rebind, can_gain_bias).
  bool can_rebind = false, can_gain_bias = false;
  // Operations that a tensor passes through on its way to a layer may serve others: whoever gives
  // the layer another tensor copies them.
  bool copies_ways = false;
  // Then no other batch norm is looked for.
  std::optional<std::vector<FoundBatchNorm>> batch_norms = {};
};

// Where a layer with a stored kernel stands in the network.
struct LayerPlace {
  network::ValueId data = network::kNoValue, output = network::kNoValue;
  network::OperationId first = {}, last = {};  // that reads `data`, that yields `output`
  // By the tensor's name in the layer: the operand that the tensor, or what is made of it, is.
  std::map<std::string, network::OperandPlace, std::less<>> tensors = {};
};

struct FoundLayers {
  ModelGraph graph;
  std::map<LayerId, LayerPlace> places = {};  // of convolutions and products
};

// Layer i is layer i of the network, in what its operations say: what it computes, the tensors
// that it reads as kernel, bias, gamma..., how they lie in memory, its axis and epsilon; `read_by`,
// `path` and `beside` are indices of layers, too. The inputs of the network follow. A layer whose
// operations are part of another one (the addition of its bias) has no call; value i is value i of
// the network. What the operations of a layer do together is not understood: Unknown.
//
// Tensors are bound through changes of shape that leave them what they are: the transpose of a
// matrix, a vector under another shape, axes of one element more or less, one number for each
// channel. A convolution between operations that give its data another axis of one element, or put
// it into parts, is one layer with them; so is a product with the change of shape that gives its
// rows their axes again.
//
// Where the record can be rebound, a multiplication with and an addition of one number of the file
// for each channel behind a layer with a stored kernel are one layer (ScalesChannels): what a
// frozen batch norm is exported as.
FoundLayers FindLayers(const network::Network& network, const LayerFacts& facts);

}  // namespace ckpt
