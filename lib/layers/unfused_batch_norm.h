// Batch norms that are written out in simple operations over constants, as exporters write what is
// no layer of their framework:
//   (x - mean) / sqrt(variance + epsilon) * gamma + beta,  in any of its forms,
//   x * m + (beta - mean * m)  with  m = gamma / sqrt(variance + epsilon),
// or with the root as a constant of its own, as they leave it that compute with constants.
//
// Source of the formula: Ioffe and Szegedy, arXiv 1502.03167, algorithm 2.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "layers/operation_description.h"
#include "layers/stored_tensor.h"

namespace ckpt {

struct UnfusedBatchNorm {
  std::map<std::string, StoredTensor> vectors = {};  // "gamma", ... "moving_variance"
  bool HasStatistics() const { return vectors.contains("moving_variance"); }
  double epsilon = 0;
  bool stores_deviation = false;  // the "moving_variance" is the root
  std::int64_t axis = -1;
  std::size_t axes_behind_channels = 0;
  network::ValueId input = network::kNoValue, output = network::kNoValue;
  std::uint32_t input_operand = 0;                // of the first operation
  std::vector<network::OperationId> path = {};    // from input to output
  std::vector<network::OperationId> beside = {};  // that serve nothing else
  bool own = true;  // no operation that its vectors pass through serves anything else
};

// The one whose first operation is `first`, which computes with data and a constant.
std::optional<UnfusedBatchNorm> FindUnfusedBatchNorm(const ValueUses& uses,
                                                     const ElementsLookup& elements,
                                                     network::OperationId first);

// x * gamma + beta along `axis`, of the value that a layer yields: a frozen batch norm whose
// exporter computed with constants. Of its vectors no statistic is there.
std::optional<UnfusedBatchNorm> FindScaledChannels(const ValueUses& uses,
                                                   const ElementsLookup& elements,
                                                   network::ValueId of, std::int64_t axis);

}  // namespace ckpt
