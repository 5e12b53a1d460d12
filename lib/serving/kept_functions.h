// Functions that stay functions in a serving graph: the bodies of loops, and the branches of
// conditionals that are decided by what is served.
#pragma once

#include <map>
#include <span>
#include <string>

#include "ckpt/result.h"
#include "serving/working_graph.h"

namespace ckpt {

using OpFunctions = std::map<std::string, OpFunction, std::less<>>;

// The functions that operations on the way to `roots` call, and those that these call. Where a call
// hands on a variable, which is a constant by now, it calls a copy of the function that takes the
// value instead. Operations of the functions carry kRecordFunction. kUnfit where a function writes
// to a variable; kUnsupported where it does something else with one that a value cannot stand for.
// REQUIRES: variables on the way to `roots` are constants (ReadVariables).
Result<OpFunctions> KeepFunctions(WorkingGraph& graph, const OpGraph& source,
                                  std::span<const OpEdge> roots);

}  // namespace ckpt
