// The graph of layers of a Caffe net in its test phase.
#pragma once

#include <cstddef>
#include <map>
#include <vector>

#include "ckpt/checkpoint.h"
#include "ckpt/model_graph.h"
#include "formats/caffe/net_parameter.h"

namespace ckpt::formats {

// By index of a Scale layer that holds gamma and beta of a BatchNorm layer and alone reads what
// that yields: the index of the BatchNorm layer.
std::map<std::size_t, std::size_t> ScalesOfBatchNorms(const std::vector<CaffeLayer>& layers);

// Found over the net's operations (FindLayers); what a BatchNorm layer records beyond them is added
// here. Constants are the tensors of `manifest` that the blobs name.
ModelGraph CaffeModelGraph(const std::vector<CaffeLayer>& layers, const Manifest& manifest);

// A number of a layer's parameter message, or Caffe's default for it.
double CaffeNumber(const CaffeLayer& layer, std::uint32_t message, std::uint32_t field,
                   double otherwise);

}  // namespace ckpt::formats
