// What a Caffe net computes in its test phase, in the vocabulary of ckpt/network.
//
// Source: BVLC/caffe src/caffe/proto/caffe.proto and src/caffe/layers; Permute as in the SSD fork.
#pragma once

#include <vector>

#include "ckpt/checkpoint.h"
#include "ckpt/network/network.h"
#include "formats/caffe/net_parameter.h"

namespace ckpt::formats {

// Constants are tensors of `manifest`, found by their keys. Inputs and outputs have the names of
// blobs; outputs are those that no layer reads. Losses are left out.
Result<network::Network> CaffeInference(const std::vector<CaffeLayer>& layers,
                                        const Manifest& manifest);

}  // namespace ckpt::formats
