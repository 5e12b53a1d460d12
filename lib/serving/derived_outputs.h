// What a graph without a signature takes and yields, as far as the graph shows it.
#pragma once

#include <string>
#include <vector>

#include "serving/outputs.h"
#include "serving/working_graph.h"

namespace ckpt {

// What depends on the inputs and on weights, does not depend on labels, and is read together with
// labels or by nothing. A source of labels is one that no weight meets alone. Constants, states
// that a loop begins with and what a loop leaves behind are no outputs. `inputs`: the tensors that
// the user names as inputs, if any. kUnfit where that decides nothing, or where the examples come
// from an iterator or a queue that is not named: the message lists what may be meant, the likeliest
// first.
Result<std::vector<NamedEdge>> DeriveOutputs(const WorkingGraph& graph,
                                             const std::vector<std::string>& inputs,
                                             std::vector<std::string>& notes);

// "candidates for inputs: ...; for outputs: ...", the likeliest first.
std::string CandidateEnds(const WorkingGraph& graph);

}  // namespace ckpt
