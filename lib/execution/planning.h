// A run laid out before anything large is made.
#pragma once

#include <span>
#include <vector>

#include "ckpt/execution/run.h"
#include "execution/evaluate.h"
#include "execution/schedule.h"

namespace ckpt::execution {

struct PlannedRun {
  Plan plan = {};
  Schedule schedule = {};
  std::vector<Outline> outlines = {};  // by operation; empty where it does not run
  std::vector<bool> in_place = {};     // by operation: result 0 takes operand 0's elements
  std::vector<bool> streamed = {};     // by value: StreamedConstants
};

// An input by its shape and kind, and its elements where they may decide shapes.
struct InputOutline {
  network::Sizes shape = {};
  network::ElementKind kind = network::ElementKind::kReal;
  const Array* array = nullptr;  // null: as if full of zeros
};
Result<PlannedRun> LayOut(const network::Network& network, const Checkpoint& weights,
                          std::span<const InputOutline> inputs, const RunOptions& options);
// kInvalidArgument where an array is not of the shape that it says.
Result<std::vector<InputOutline>> OutlinesOf(std::span<const Array> inputs);

}  // namespace ckpt::execution
