// Turns a working graph into a graph of its own: what the outputs need, producers first.
#pragma once

#include <vector>

#include "serving/working_graph.h"

namespace ckpt {

// The operations that `outputs` need, renumbered; `outputs[i]` becomes an edge of the result to an
// operation called `names[i]` (an identity where another operation yields it).
OpBody FinishGraph(WorkingGraph& graph, std::vector<OpEdge>& outputs,
                   const std::vector<std::string>& names);

}  // namespace ckpt
