// The operations that write moving statistics, found by what they write and what it is made of.
#pragma once

#include <map>
#include <string>
#include <vector>

#include "ckpt/op_batch_norm.h"

namespace ckpt::tf_graph {

// A statistic of the batch, and which batch norm normalises with it.
struct BatchStatistic {
  std::size_t norm;
  bool variance;
};
using BatchStatistics = std::multimap<OpValue, BatchStatistic>;

// Every assignment to a variable that takes a statistic of `statistics`, or writes one of `moving`
// (name to: is it a variance). Initializers, restores and plain copies are none.
std::vector<OpUpdate> FindUpdates(const OpBodies& bodies, const OpVariables& variables,
                                  const BatchStatistics& statistics,
                                  const std::map<std::string, bool>& moving);

}  // namespace ckpt::tf_graph
