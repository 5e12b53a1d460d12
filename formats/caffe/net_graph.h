// The graph of a Caffe net in its test phase. A BatchNorm layer and the Scale layer that alone
// reads what it yields are one layer of the graph.
#pragma once

#include <map>
#include <optional>
#include <string>
#include <vector>

#include "ckpt/model_graph.h"
#include "formats/caffe/net_parameter.h"

namespace ckpt::formats {

struct CaffeGraph {
  ModelGraph graph;  // tensors are not bound yet
  // By index into the net's layers: the layer of the graph; none for those of the training phase.
  std::vector<std::optional<LayerId>> layers;
  // By index of a Scale layer: that of the BatchNorm layer that it is one with.
  std::map<std::size_t, std::size_t> scale_of;
};

CaffeGraph BuildCaffeGraph(const std::vector<CaffeLayer>& layers);

// A number of a layer's parameter message, or Caffe's default for it.
double CaffeNumber(const CaffeLayer& layer, std::uint32_t message, std::uint32_t field,
                   double otherwise);

}  // namespace ckpt::formats
