// The batch norms of a network whose statistics are held against data.
#pragma once

#include <cstddef>
#include <vector>

#include "ckpt/drift.h"

namespace ckpt {

struct MeasuredNorm {
  network::OperationId operation;
  std::size_t layer = 0;  // in Analysis::batch_norms
  double epsilon = 0;
  execution::Statistics stored;
  bool first = false;  // no batch norm lies before it

  network::ValueId InputIn(const network::Network& net) const {
    return net.operation(operation).operands[0];
  }
};

struct MeasuredNorms {
  std::vector<MeasuredNorm> norms;  // in the network's order
  std::vector<LayerNotMeasured> left_out;
  // Results that need all of the norms, and none that another of them needs.
  std::vector<network::ValueId> last;
};
// Passes on read errors.
Result<MeasuredNorms> FindMeasuredNorms(const network::Network& network, const Checkpoint& weights,
                                        const Analysis& analysis);

}  // namespace ckpt
