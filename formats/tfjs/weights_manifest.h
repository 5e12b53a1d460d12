// The list of weights in a TensorFlow.js model.json.
//
//   [{"paths": ["group1-shard1of2.bin", ...],
//     "weights": [{"name", "shape", "dtype", "quantization"?: {"dtype", "min", "scale"}}...]}...]
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "ckpt/formats/format.h"
#include "ckpt/shape.h"
#include "formats/keras/model/config_json.h"

namespace ckpt::formats {

struct TfjsWeight {
  std::string name;
  Dtype dtype = Dtype::kF32;   // as the model sees it
  Dtype stored = Dtype::kF32;  // as the bytes are
  bool scaled = false;         // value * scale + min
  double min = 0, scale = 1;
  Shape shape;
  std::uint64_t stored_bytes = 0;
};

struct TfjsGroup {
  std::vector<std::string> paths;
  std::vector<TfjsWeight> weights;  // in the order of their bytes
};

// kCorrupt where the list is malformed; kUnsupported, naming the weight, for strings and for types
// that are not known.
Result<std::vector<TfjsGroup>> ReadWeightsManifest(const keras::Json& list);

}  // namespace ckpt::formats
