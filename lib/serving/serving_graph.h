// Rewrites a graph of operations into the one that serves (see ckpt/serving.h).
#pragma once

#include <string>
#include <vector>

#include "ckpt/serving.h"

namespace ckpt {

struct ServingGraph {
  // Producers first, at least one signature; its functions are those of loops and conditionals that
  // stay. A constant's `tensor` is of the source's manifest.
  OpGraph graph;
  std::vector<std::string> notes;
  std::vector<Changed> closed;  // see ServingModel::closed
  std::vector<Dropped> dropped_signatures = {};
};
Result<ServingGraph> MakeServingGraph(const Manifest& manifest, const ServingOptions& options);

}  // namespace ckpt
