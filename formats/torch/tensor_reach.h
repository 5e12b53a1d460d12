// Which values of a pickle's graph have a tensor somewhere below them.
#pragma once

#include <vector>

#include "formats/torch/pickle_graph.h"

namespace ckpt::formats {

// One flag for each value of the graph; tensors themselves have it. Takes time and memory in
// proportion to the graph, however deep it is and however often it shares values or contains
// itself.
std::vector<bool> ReachTensors(const PickleGraph& graph);

}  // namespace ckpt::formats
