// Variables become constants that hold what the checkpoint saved.
#pragma once

#include <set>
#include <span>

#include "ckpt/checkpoint.h"
#include "serving/working_graph.h"

namespace ckpt {

// On the way to `roots`: each variable becomes a constant whose `tensor` is that of the manifest,
// reads of it that constant. kUnfit, naming the layers, where the checkpoint lacks some;
// kUnsupported for other uses of a variable (writes whose value is read) and for tables. The
// variables and tables of `initialized` stay: a loader gives them their content.
Status ReadVariables(WorkingGraph& graph, const Manifest& manifest, const OpGraph& source,
                     std::span<const OpEdge> roots, const std::set<OpId>& initialized);

}  // namespace ckpt
