// The operations that make a training step.
#pragma once

#include <vector>

#include "ckpt/op_bodies.h"

namespace ckpt::tf_graph {

struct TrainRoots {
  std::vector<OpRef> roots;
  bool recorded = false;   // from the collection train_op
  bool optimizes = false;  // the graph has an operation of an optimizer at all
};

TrainRoots FindTrainRoots(const OpBodies& bodies);

// Operations that nothing reads or waits for and that depend on one of `from`, itself included. In
// the top graph.
std::vector<OpRef> SinksAfter(const OpBodies& bodies, const std::vector<OpRef>& from);

}  // namespace ckpt::tf_graph
