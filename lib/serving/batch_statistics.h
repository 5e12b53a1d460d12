// The moving statistics that a graph's own update operations keep of its batch statistics.
#pragma once

#include <set>
#include <span>
#include <string>
#include <vector>

#include "serving/working_graph.h"

namespace ckpt {

// A statistic of the batch that gave way.
struct ClosedStatistic {
  OpId variable;       // takes its place
  std::string reader;  // the operation that computed it
};

// Puts the moving statistic in the place of every batch statistic on the way to `roots`: fused
// batch norms in training mode become inference mode, tf.nn.moments gives way to the variables that
// its results update. A statistic's variable is known by the update alone, or because the batch
// norm itself reads it, never by a name. kUnfit, with the layers named, where some statistic of the
// batch remains. Returns those that gave way.
Result<std::vector<ClosedStatistic>> UseMovingStatistics(WorkingGraph& graph,
                                                         std::span<const OpEdge> roots);

// The variables that some operation of the graph updates by statistics of the batch.
std::set<OpId> VariablesOfBatchStatistics(const WorkingGraph& graph);

}  // namespace ckpt
