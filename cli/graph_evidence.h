// A graph that is not the input's own, or not one of layers, as evidence of what feeds what.
#pragma once

#include <string>

#include "ckpt/fold.h"
#include "ckpt/serving.h"
#include "cli/input_pass.h"

namespace ckpt::cli {

// `checkpoint` with the graph of the file `graph`: of layers, or of operations.
Result<std::unique_ptr<Checkpoint>> WithGraphOf(std::unique_ptr<Checkpoint> checkpoint,
                                                const std::string& graph,
                                                const formats::Files& files);

// For a fold whose output holds tensors alone: the input with the layers of what its graph of
// operations serves. Where these cannot be told every batch norm is kept, with the reason, but for
// those of the user's pairs; what the user said of the graph and is wrong is an error.
Status UseServingLayers(const AnalysisOptions& analysis, const ServingOptions& serving,
                        OpenedInput& input, FoldOptions& fold);

// For an OUTPUT without the input's graph: what an exporter stored once for several modules is
// there under the name of each.
Status UseOwnNames(const AnalysisOptions& analysis, OpenedInput& input);

}  // namespace ckpt::cli
