// Which tensors a serving graph takes and yields.
#pragma once

#include <string>
#include <vector>

#include "ckpt/serving.h"
#include "serving/working_graph.h"

namespace ckpt {

struct NamedEdge {
  std::string key;   // argument of the signature
  std::string name;  // operation that users of a frozen graph ask for
  OpEdge edge;
  OpTensorType type = {};  // as recorded, or as the operation says
};

// "logits=head/BiasAdd:0": what callers call a tensor, and which it is. Without a key it is called
// as its operation. kInvalidArgument for what is neither.
struct CalledTensor {
  std::string key;
  TensorName tensor;
};
Result<CalledTensor> ParseCalledTensor(const std::string& text);

struct ServingSignature {
  std::string name = "serving_default";
  std::string method = "tensorflow/serving/predict";
  std::vector<NamedEdge> outputs = {};
  // Tensors that become placeholders; where empty, every placeholder that is reached is an input.
  std::vector<NamedEdge> inputs = {};
  bool recorded = false;  // by the file
};

struct ServingEnds {
  std::vector<ServingSignature> signatures;  // serving_default first
  std::vector<Dropped> dropped = {};         // signatures that are left out, with the reason
};

// By --outputs and --inputs, else all signatures of the file, else derived (see derived_outputs.h).
// Output names are unique. kUnfit where that decides nothing.
Result<ServingEnds> FindServingEnds(const WorkingGraph& graph, const OpGraph& source,
                                    const ServingOptions& options, std::vector<std::string>& notes);

}  // namespace ckpt
