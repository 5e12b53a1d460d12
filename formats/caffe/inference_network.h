// What a Caffe net computes in its test phase, in the vocabulary of ckpt/network.
//
// Source: BVLC/caffe src/caffe/proto/caffe.proto and src/caffe/layers; Permute as in the SSD fork.
#pragma once

#include <cstddef>
#include <vector>

#include "ckpt/checkpoint.h"
#include "ckpt/network/network.h"
#include "formats/caffe/net_parameter.h"

namespace ckpt::formats {

struct CaffeNetwork {
  Result<network::Network> network;
  // By layer of the network: the index of the net's; kNoCaffeLayer: it is a part of the next one.
  std::vector<std::size_t> layers = {};
};
inline constexpr std::size_t kNoCaffeLayer = SIZE_MAX;

// Constants are the tensors of `manifest` that the blobs name. Inputs and outputs have the names of
// blobs; outputs are those that no layer reads. Losses are left out. Does not fail where
// contradictions make what they touch unknown.
CaffeNetwork TranslateCaffe(const std::vector<CaffeLayer>& layers, const Manifest& manifest,
                            network::NetworkBuilder::Contradictions contradictions);

}  // namespace ckpt::formats
