// The network of a graph of TensorFlow operations: its serving graph in the vocabulary of
// ckpt/network.
#pragma once

#include <memory>

#include "ckpt/network/network.h"
#include "ckpt/serving.h"

namespace ckpt {

struct ServedNetwork {
  std::unique_ptr<ServingModel> model;
  network::Network network;  // its constants are tensors of `model`
};

// The network of the first signature, the default one. Inputs and outputs have the signature's
// keys, or the names of operations where the file has no signature; a placeholder with a default
// that no signature feeds is its default. `source` must outlive the result. Errors are those of
// MakeServingModel, and those of a graph that contradicts itself.
Result<ServedNetwork> NetworkOf(const Checkpoint& source, const ServingOptions& options);

// The same with the tensors of `source` itself as constants; what the graph computes with and the
// source lists as no tensor stands in the network.
Result<network::Network> NetworkOverSource(const Checkpoint& source, const ServingOptions& options);

}  // namespace ckpt
