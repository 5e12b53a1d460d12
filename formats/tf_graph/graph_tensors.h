// The tensors that a graph has by itself: the values in it, or the variables that it declares.
#pragma once

#include <vector>

#include "ckpt/tensor.h"
#include "formats/tf_graph/graph_record.h"

namespace ckpt::formats {

struct GraphTensors {
  std::vector<TensorInfo> tensors;                   // sorted by name
  std::vector<const tf_proto::TensorProto*> values;  // of each; null for variables
  std::size_t without_shape = 0;                     // variables not listed: no shape is recorded
};

// Does any operation of the graph hold a variable?
bool HasVariables(const OpGraph& graph);

// The weight-like constants, named as their operations, those of a function after its name; sets
// Op::tensor of each.
Result<GraphTensors> ListConstants(OpGraph& graph, const Limits& limits);

// Those of them alone whose values are left in the file: no OpConstant holds them. For a graph
// whose variables are tensors already.
Result<GraphTensors> ListConstantsLeftInFile(OpGraph& graph, const Limits& limits);

// The variables that a checkpoint of the graph would hold, without data; a partitioned one once.
GraphTensors ListVariables(const OpGraph& graph);

}  // namespace ckpt::formats
