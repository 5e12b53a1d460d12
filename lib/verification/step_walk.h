// Walks over B's operations, each given A's values where they are known to correspond.
#pragma once

#include <map>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "verification/bounds.h"
#include "verification/ports.h"
#include "verification/reference_values.h"

namespace ckpt {

// What became of the walk.
struct WalkResult {
  std::size_t compared = 0;
  int factor = 0;
  std::optional<StepDifference> worst = {}, first_beyond = {};
  std::vector<StepRatio> steps = {};
  // A function of one value that is another one in B, although no value of this run shows it.
  std::optional<StepDifference> unseen = {};
  std::string undecided = {};  // why nothing can be told behind some step; empty: all was decided
};

// `of_a` holds A's values, `inputs` are those of B. Compares what `outputs` need.
Result<WalkResult> WalkSteps(const Runnable& a, const ReferenceValues& of_a, const Runnable& b,
                             const GivenInputs& inputs, const std::vector<PortPair>& outputs,
                             const execution::Budget& budget);

}  // namespace ckpt
