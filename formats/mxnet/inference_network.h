// What an MXNet symbol computes at inference, in the vocabulary of ckpt/network.
//
// Source: apache/mxnet 1.x src/operator/nn, src/operator/tensor (defaults of their parameters).
#pragma once

#include <cstddef>
#include <vector>

#include "ckpt/checkpoint.h"
#include "ckpt/network/network.h"
#include "formats/mxnet/symbol_graph.h"

namespace ckpt::formats {

struct MxnetNetwork {
  Result<network::Network> network;
  // By layer of the network: the node of the symbol; kNoSymbolNode: it is a part of the next one,
  // or what the one before it yields beside its first output.
  std::vector<std::size_t> nodes = {};
};
inline constexpr std::size_t kNoSymbolNode = SIZE_MAX;

// Variables that `manifest` has are constants, the others that an inference reads are inputs.
// Outputs have the names that MXNet gives them: "softmax_output". Does not fail where
// contradictions make what they touch unknown.
MxnetNetwork TranslateMxnet(const Symbol& symbol, const Manifest& manifest,
                            network::NetworkBuilder::Contradictions contradictions);

}  // namespace ckpt::formats
