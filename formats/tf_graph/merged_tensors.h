// The tensors of a SavedModel: the variables beside its graph, and the constants of the graph whose
// values are left in its file.
#pragma once

#include <vector>

#include "ckpt/checkpoint.h"
#include "ckpt/op_graph.h"
#include "formats/tf_graph/graph_tensors.h"

namespace ckpt::formats {

// Where a tensor is read from.
struct MergedPlace {
  TensorId variable = {0};                          // of the bundle
  const tf_proto::TensorProto* constant = nullptr;  // instead
};

// Puts the constants into `manifest`, which lists the variables, so that it stays sorted by name,
// and Op::tensor of `graph`, which ListConstantsLeftInFile() set, in their places. One that has the
// name of a variable is called "NAME/constant". Returns the place of each tensor.
std::vector<MergedPlace> MergeConstants(GraphTensors constants, OpGraph& graph, Manifest& manifest);

}  // namespace ckpt::formats
