// A batch norm and a kernel tied together without a graph: by nesting, by a naming or an order that
// the user vouches for, or by the user outright.
#pragma once

#include <map>
#include <optional>
#include <string>
#include <vector>

#include "ckpt/fold.h"
#include "fold/reason.h"

namespace ckpt {

struct KernelPair {
  TensorId kernel = {};
  std::optional<TensorId> bias = {};
  KernelLayout layout = KernelLayout::kSpatialInOut;
  std::int64_t groups = 1;
  FoldDirection direction = FoldDirection::kBackward;
  bool given = false;                         // by the user, with both names
  std::optional<SourcedNumber> epsilon = {};  // where the pair settles it
  std::vector<Evidence> evidence = {};
};

// The bias beside a kernel, by the usual names.
std::optional<TensorId> BiasBeside(const Manifest& manifest, TensorId kernel);

// What a way of pairing says of the batch norms, by index into the analysis: a pair, or why not.
// A batch norm that is in neither is none of its business.
struct PairingResult {
  std::map<std::size_t, KernelPair> pairs = {};
  std::map<std::size_t, KeepingReason> refused = {};
};

}  // namespace ckpt
