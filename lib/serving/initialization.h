// What a loader does once before a graph serves: lookup tables are filled, variables that hold the
// path of an asset get it.
#pragma once

#include <set>
#include <span>
#include <vector>

#include "ckpt/op_graph.h"
#include "serving/working_graph.h"

namespace ckpt {

struct Initialization {
  std::vector<OpId> ops = {};  // what is to run: they fill or assign
  std::set<OpId> stays = {};   // these, and the tables and variables that they fill
};

// Of the tables that `roots` read, and of the variables that no checkpoint holds because the
// initializer assigns the path of an asset. Functions that the initializer calls are written out.
// kUnsupported where it calls itself.
Result<Initialization> FindInitialization(WorkingGraph& graph, const OpGraph& source,
                                          std::span<const OpEdge> roots);

}  // namespace ckpt
