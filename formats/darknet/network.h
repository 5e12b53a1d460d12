// The layers of a Darknet cfg with the arrays that each has in a .weights file, and their graph.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "ckpt/model_graph.h"
#include "ckpt/result.h"
#include "ckpt/shape.h"
#include "formats/darknet/cfg.h"

namespace ckpt::formats {

enum class DarknetFork : std::uint8_t { kPjreddie, kAlexeyAb };

struct DarknetArray {
  std::string layer;  // "000_convolutional"
  std::string name;   // "rolling_mean"
  Shape shape;
  std::size_t index = 0;          // of the layer in the cfg
  std::uint32_t graph_layer = 0;  // in `graph`
  std::string graph_name;         // among that layer's tensors: "moving_mean"
};

struct DarknetNetwork {
  std::vector<DarknetArray> arrays;  // in the order of the file
  ModelGraph graph;                  // tensors are not bound yet
  bool has_lone_batch_norm = false;  // whose order differs between the forks
};

// kCorrupt where the cfg contradicts itself, kUnsupported, naming the layer, for layers whose
// arrays are not known here (crnn, gru, lstm, local...).
Result<DarknetNetwork> BuildNetwork(const std::vector<CfgSection>& sections, DarknetFork fork);

}  // namespace ckpt::formats
