// Pairs that the user gives (FoldOptions::pairs), tied to the tensors and batch norms of a file.
#pragma once

#include "fold/kernel_pair.h"
#include "fold/named_layers.h"

namespace ckpt {

// By index into the analysis: one pair per batch norm, or several where it is to be folded forward
// into every layer that reads it. Fails with kInvalidArgument where a pair names what the file does
// not have, contradicts another pair, the file's graph or a recorded epsilon. A pair whose layout
// is unknown is in `refused`.
struct UserPairs {
  std::map<std::size_t, std::vector<KernelPair>> pairs = {};
  std::map<std::size_t, KeepingReason> refused = {};
  // With a graph, which says itself what feeds what: batch norms whose class is unproved and that
  // the user vouches for, with the kernel that the graph has to lead to.
  std::map<std::size_t, TensorId> vouched = {};
};
Result<UserPairs> ResolveUserPairs(const NamedLayers& layers, const std::vector<UserPair>& pairs);

}  // namespace ckpt
