// Turns a working graph into a graph of its own: what the outputs need, producers first.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "serving/working_graph.h"

namespace ckpt {

struct GraphOutput {
  OpEdge edge;
  std::string name;                   // of the operation that yields it, unique
  std::optional<OpDtype> dtype = {};  // as recorded, where no definition says
};

// The operations that `outputs` and the initializer need, renumbered. The edges become those of the
// result, to operations of the names that are asked for (identities where another operation yields
// what is wanted). Of control edges those stay that place what belongs to a loop or condition, and
// those of the initializer, a NoOp. kUnsupported where the type of an output is not known.
Result<OpBody> FinishGraph(WorkingGraph& graph, std::vector<GraphOutput>& outputs,
                           std::optional<OpId> initializer);

}  // namespace ckpt
