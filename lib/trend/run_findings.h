// What is wrong with a run, layer by layer.
#pragma once

#include <string>
#include <vector>

#include "audit/findings.h"
#include "ckpt/trend.h"

namespace ckpt::trend {

// Sets the turning points of a layer from its steps.
void FindTurns(NormTrend& norm);

// Findings of the layers that the last checkpoint has, and the verdict. `analysis` is of that
// checkpoint, `names` are what messages call the checkpoints.
void JudgeRun(const std::vector<std::string>& names, const Analysis& analysis, RunTrend& run,
              audit::FindingList& findings);

}  // namespace ckpt::trend
