// Reads mappings out of a pickle's graph: dicts, OrderedDicts, and whatever items were set on.
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "formats/torch/pickle_graph.h"

namespace ckpt::formats {

using PicklePair = std::pair<PickleId, PickleId>;

// A dict, or an object that items were set on, or an OrderedDict.
bool IsMapping(const PickleGraph& graph, PickleId id);
std::vector<PicklePair> Pairs(const PickleGraph& graph, PickleId id);
// The last value under a text key.
std::optional<PickleId> ValueOf(const PickleGraph& graph, PickleId mapping, std::string_view key);
// How a key reads in a path: "conv1", "0", "True", "(a, 1)".
std::string KeyText(const PickleGraph& graph, PickleId key);

}  // namespace ckpt::formats
