// What an MXNet symbol computes at inference, in the vocabulary of ckpt/network.
//
// Source: apache/mxnet 1.x src/operator/nn, src/operator/tensor (defaults of their parameters).
#pragma once

#include "ckpt/checkpoint.h"
#include "ckpt/network/network.h"
#include "formats/mxnet/symbol_graph.h"

namespace ckpt::formats {

// Variables that `manifest` has are constants, the others that an inference reads are inputs.
// Outputs have the names that MXNet gives them: "softmax_output".
Result<network::Network> MxnetInference(const Symbol& symbol, const Manifest& manifest);

}  // namespace ckpt::formats
