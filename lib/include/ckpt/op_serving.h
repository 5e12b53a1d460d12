// What runs when a graph serves, and whether it can.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "ckpt/op_batch_norm.h"
#include "ckpt/op_training.h"

namespace ckpt {

// A boolean placeholder that nothing feeds at serving.
struct OpPhase {
  std::string name;
  // The value of a PlaceholderWithDefault; nullopt: it has none and must be fed.
  std::optional<bool> default_value = {};
};

struct ServingPath {
  std::vector<std::string> outputs;  // tensors or operations that the path leads to
  bool from_signature = false;       // else the operations that nothing reads
  // In OpBatchNorms: on the path in training mode whatever a phase is fed.
  std::vector<std::size_t> training_norms = {};
  // On the path in inference mode where phases are false.
  std::vector<std::size_t> inference_norms = {};
  std::size_t norms = 0;  // batch norms on the path
  // Of these, those whose mode a phase decides.
  std::size_t switched_norms = 0;
  std::vector<OpPhase> phases = {};  // unfed, on the path
  // Names of the variables that it reads in inference mode.
  std::vector<std::string> variables = {};
};

// A graph that is meant to serve as it is: a SavedModel with a serving signature, or a graph
// without variables and optimizer.
bool IsServingArtefact(const OpBodies& bodies);

// From the outputs of the signatures; without one, from the operations that nothing reads.
ServingPath TraceServing(const OpBodies& bodies, const OpBatchNorms& found);

}  // namespace ckpt
