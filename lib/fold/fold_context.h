// The state of one plan: every batch norm on its way to a decision, and the layers folded so far.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "fold/batch_norm_function.h"
#include "fold/fold_steps.h"
#include "fold/linear_layer.h"
#include "fold/reason.h"

namespace ckpt {

struct Candidate {
  BatchNorm batch_norm;                            // with the epsilon that a user's pair settles
  bool is_scale = false;                           // see ScalesChannels: gamma and beta alone
  std::optional<BatchNormFunction> function = {};  // absent: `reason` says why it cannot be folded
  KeepingReason reason = {};                       // why it is kept, so far
  bool merged_into = false;                        // `function` includes a later batch norm

  bool folded = false;
  FoldDirection direction = FoldDirection::kBackward;
  std::vector<LayerKey> kernels = {};         // folded into these
  std::vector<std::size_t> batch_norms = {};  // merged into these candidates
  std::vector<Evidence> evidence = {};

  bool IsOpen() const noexcept { return function.has_value() && !folded; }
};

// REQUIRES: what the constructor is given outlives it.
struct FoldContext {
  FoldContext(const Checkpoint& of, const Analysis& its_analysis, const FoldOptions& its_options);

  // Reads the function of candidate `i`, or says in `reason` why it has none. Passes on read
  // errors.
  Status ReadFunction(std::size_t i);
  void SetFolded(std::size_t i, FoldDirection direction, const std::vector<FoldPart>& parts,
                 std::vector<Evidence> evidence);
  // A refusal becomes a reason of candidate `i`, after `attempt`; any other error is passed on.
  Status Explain(std::size_t i, const std::string& attempt, const Error& error);

  const Checkpoint& checkpoint;
  const Manifest& manifest;
  const Analysis& analysis;
  const FoldOptions& options;
  const SharedTensors shared;
  FoldSteps steps;
  // One per batch norm of the analysis, then the scales of the graph, which go where that is exact
  // and are no batch norms that stay otherwise.
  std::vector<Candidate> candidates;
  std::vector<std::string> notes;
  Remedy proof = Remedy::kNone;  // FoldPlan::proof
};

}  // namespace ckpt
