// Where the vectors of a batch norm come from.
#pragma once

#include <cstddef>
#include <optional>
#include <string>
#include <vector>

#include "ckpt/op_batch_norm.h"

namespace ckpt::tf_graph {

// A vector, and everything that it may be at run time.
struct TracedVector {
  OpBatchNormVector vector;
  std::vector<OpValue> batch;  // origins that are statistics of the batch
  bool stored = false;         // some origin is a variable or a constant
  // Some origin is a mean that keeps the batch axis, as layer and instance norms have.
  bool keeps_batch_axis = false;
};

class VectorTracer {
 public:
  VectorTracer(const OpBodies& bodies, const OpVariables& variables)
      : bodies_(bodies), variables_(variables) {}

  // REQUIRES: `at` has that input.
  TracedVector Trace(OpRef at, std::size_t input) const;

 private:
  std::string PartitionedVariable(OpRef concat) const;

  const OpBodies& bodies_;
  const OpVariables& variables_;
};

// By whether mean and variance are stored or of the batch.
OpBatchNormMode ModeOf(const TracedVector& mean, const TracedVector& variance);

}  // namespace ckpt::tf_graph
