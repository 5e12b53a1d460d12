// What has to be known of a kernel to write it in another framework's layout.
#pragma once

#include <optional>
#include <string>

#include "ckpt/convert.h"

namespace ckpt {

struct KernelFacts {
  KernelLayout layout = KernelLayout::kSpatialInOut;  // in which it is stored
  bool depthwise = false;
  std::int64_t multiplier = 1;                          // of a depthwise kernel
  std::optional<std::int64_t> flattened_channels = {};  // of a dense kernel behind a flatten
  bool embedding = false;    // a table of rows, which all frameworks store alike
  Evidence evidence = {};    // of the layout
  std::string assumed = {};  // what was taken for granted; empty: nothing
};

// By the user's hint, the graph, the name and the size of the bias beside it; else by the layout of
// convolutions and dense layers in framework `source`. kUnfit, with the reason, where nothing
// settles the kind of layer.
Result<KernelFacts> FactsOfKernel(const Manifest& manifest, const Analysis& analysis,
                                  Framework source, TensorId kernel, const TensorHint& hint);

}  // namespace ckpt
