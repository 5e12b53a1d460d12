// What the operation graph of a file proves, found once for all rules.
#pragma once

#include <memory>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "ckpt/checkpoint.h"
#include "ckpt/op_saving.h"
#include "ckpt/op_serving.h"
#include "ckpt/op_training.h"

namespace ckpt::audit {

struct GraphFacts {
  explicit GraphFacts(const Manifest& manifest);

  const OpBodies bodies;
  const OpVariables variables;
  const OpBatchNorms found;
  const UpdateReach reach;
  const std::vector<OpSaverContents> savers, restores;
  const ServingPath serving;
  const bool serves;  // meant to serve as it is
  // Moving statistics whose updates no train operation runs, nor an operation after it; those of
  // batch norms that train without any update among them. And their tensors, where they have one.
  std::vector<std::string> left_out = {};
  std::set<TensorId> left_out_tensors = {};
};

// Null where the checkpoint has no operation graph.
std::unique_ptr<const GraphFacts> FactsOf(const Manifest& manifest);

// The tensor that holds a variable of the graph, by its name in the graph.
std::optional<TensorId> TensorOfVariable(const Manifest& manifest, const GraphFacts& facts,
                                         const std::string& variable);

}  // namespace ckpt::audit
