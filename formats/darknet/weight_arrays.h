// The arrays that the layers of a Darknet cfg have in a .weights file.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "ckpt/result.h"
#include "ckpt/shape.h"
#include "formats/darknet/cfg.h"

namespace ckpt::formats {

enum class DarknetFork : std::uint8_t { kPjreddie, kAlexeyAb };

struct DarknetArray {
  std::string layer;  // "000_convolutional"
  std::string name;   // "rolling_mean"
  Shape shape;
  std::size_t index = 0;  // of the layer in the cfg
};

struct DarknetArrays {
  std::vector<DarknetArray> arrays;  // in the order of the file
  bool has_lone_batch_norm = false;  // whose order differs between the forks
};

// kCorrupt where the cfg contradicts itself, kUnsupported, naming the layer, for layers whose
// arrays are not known here (crnn, gru, lstm, local...).
Result<DarknetArrays> ArraysOfLayers(const std::vector<CfgSection>& sections, DarknetFork fork);

}  // namespace ckpt::formats
