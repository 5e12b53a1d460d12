// A batch norm and a kernel tied together without a graph: by nesting, by a naming that the user
// vouches for, or by the user outright.
#pragma once

#include <map>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <vector>

#include "ckpt/fold.h"

namespace ckpt {

struct KernelPair {
  TensorId kernel = {};
  std::optional<TensorId> bias = {};
  KernelLayout layout = KernelLayout::kSpatialInOut;
  FoldDirection direction = FoldDirection::kBackward;
  std::optional<SourcedNumber> epsilon = {};  // where the pair settles it
  std::vector<Evidence> evidence = {};
};

// Does the name speak of a transposed convolution?
bool SaysTransposed(std::string_view name);

// The layout of a kernel by the convention of the framework whose names the file follows: HWIO for
// TensorFlow and Keras (HWIM for depthwise kernels), OIHW for PyTorch. Fails with kUnfit where
// nothing settles it, or where the name speaks of a transposed convolution, whose two channel axes
// lie the other way round.
Result<KernelLayout> ConventionalLayout(const Manifest& manifest,
                                        std::optional<Framework> framework, TensorId kernel);

// The bias beside a kernel, by the usual names.
std::optional<TensorId> BiasBeside(const Manifest& manifest, TensorId kernel);

// What a way of pairing says of the batch norms, by index into the analysis: a pair, or why not.
// A batch norm that is in neither is none of its business.
struct PairingResult {
  std::map<std::size_t, KernelPair> pairs = {};
  std::map<std::size_t, std::string> refused = {};
};

}  // namespace ckpt
