// A layer with tensors, and the operations that are it.
#pragma once

#include <map>
#include <string>
#include <vector>

#include "ckpt/model_graph.h"
#include "layers/stored_tensor.h"

namespace ckpt {

struct LayerOfOperations {
  Layer layer = {};
  std::map<std::string, StoredTensor> tensors = {};   // "kernel", "bias", "gamma", ...
  std::vector<network::OperationId> operations = {};  // in their order
  network::ValueId data = network::kNoValue, output = network::kNoValue;
};

// What a value is that no tensor of the file holds: "an input of the model", "computed by \"sub\"
// (Sub)", ...
std::string ValueSource(const network::Network& network, network::ValueId id);

}  // namespace ckpt
