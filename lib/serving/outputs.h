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
};

struct ServingEnds {
  std::vector<NamedEdge> outputs;
  // Tensors that become placeholders; where empty, every placeholder that is reached is an input.
  std::vector<NamedEdge> inputs;
  std::string signature = "serving_default";
  std::string method = "tensorflow/serving/predict";
};

// By --outputs and --inputs, else the signature (serving_default, else the only one), else derived:
// what depends on the inputs and on weights, does not depend on labels, and is read together with
// labels or by nothing. A placeholder of labels is one that no weight meets alone. kUnfit where
// that decides nothing.
Result<ServingEnds> FindServingEnds(const WorkingGraph& graph, const OpGraph& source,
                                    const ServingOptions& options, std::vector<std::string>& notes);

}  // namespace ckpt
