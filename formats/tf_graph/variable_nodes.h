// The nodes by which a SavedModel holds, reads, saves and restores its variables.
#pragma once

#include <string>
#include <vector>

#include "ckpt/tensor.h"
#include "formats/tf_proto/meta_graph.pb.h"

namespace ckpt::formats {

// The node that reads the variable of this name.
std::string VariableRead(const std::string& variable);

// The variable, whose value is `tensor`, and its read.
std::vector<tf_proto::NodeDef> VariableNodes(const std::string& variable, const TensorInfo& tensor);

struct SavedVariable {
  std::string name;  // of the node
  TensorInfo tensor;
};

// What saves and restores: nodes below `scope`, the saver that names them, and the collection
// "variables" by which TensorFlow 2 finds them.
struct SaverNodes {
  std::vector<tf_proto::NodeDef> nodes;
  tf_proto::SaverDef saver;
  tf_proto::MetaGraphDef::Collection variables;
};
SaverNodes MakeSaver(const std::vector<SavedVariable>& variables, const std::string& scope);

}  // namespace ckpt::formats
