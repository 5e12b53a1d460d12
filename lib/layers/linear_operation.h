// Convolutions and matrix products with a stored kernel, and the addition of their bias.
#pragma once

#include <map>
#include <optional>
#include <string>
#include <vector>

#include "ckpt/model_graph.h"
#include "layers/stored_tensor.h"

namespace ckpt {

struct LinearOperation {
  // Of kOther where the kernel or the bias of a convolution is computed: `fed_tensors` says by
  // what.
  Layer layer = {};
  std::map<std::string, StoredTensor> tensors = {};   // "kernel", "bias"
  std::vector<network::OperationId> operations = {};  // in their order
  network::ValueId data = network::kNoValue, output = network::kNoValue;
};

std::optional<LinearOperation> FindLinearOperation(const ValueUses& uses, network::OperationId id);

}  // namespace ckpt
