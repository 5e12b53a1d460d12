// A layer with tensors, and the operations that are it.
#pragma once

#include <functional>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "ckpt/model_graph.h"
#include "layers/stored_tensor.h"

namespace ckpt {

struct LayerOfOperations {
  Layer layer = {};
  std::map<std::string, StoredTensor> tensors = {};   // "kernel", "bias", "gamma", ...
  std::vector<network::OperationId> operations = {};  // the last one yields `output`
  network::ValueId data = network::kNoValue, output = network::kNoValue;
  network::OperationId first = {};                    // reads `data`
  std::optional<network::OperationId> addition = {};  // of the bias
  // By the tensor's name: where it, or what is made of it, is read.
  std::map<std::string, OperandPlace, std::less<>> places = {};
};

// What a value is that no tensor of the file holds: "an input of the model", "computed by \"sub\"
// (Sub)", ...
std::string ValueSource(const network::Network& network, network::ValueId id);

}  // namespace ckpt
