// Takes the branch that serves: function calls inlined, conditions of a constant predicate gone,
// the training phase decided.
#pragma once

#include <string>
#include <vector>

#include "serving/working_graph.h"

namespace ckpt {

// Replaces every call on the way to `roots` by the body of its function. kUnsupported for a
// function that calls itself, kLimitExceeded where the copies grow beyond bounds.
Status InlineCalls(WorkingGraph& graph, const OpGraph& source, std::span<const OpEdge> roots);

// Decides the boolean placeholders and variables (`free` ones stay inputs): the value that leaves
// less training behind (batch statistics, random numbers, writes to variables) serves. So are those
// of `inputs`, of the signatures, that only switch training; the others stay inputs. Then removes
// every Switch, Merge, If and Select of a known predicate. kUnfit, naming the placeholder, where
// the two values leave equally much and differ, or where one of whole numbers decides a branch and
// training is left. Adds to `notes` what was decided.
Status TakeServingBranch(WorkingGraph& graph, const OpGraph& source, std::span<const OpEdge> roots,
                         const std::vector<OpId>& free, const std::vector<OpId>& inputs,
                         std::vector<std::string>& notes);

}  // namespace ckpt
