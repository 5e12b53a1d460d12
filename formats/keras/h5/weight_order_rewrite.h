// Applies what a fold changed to the order of a file's weights.
#pragma once

#include <vector>

#include "ckpt/model_graph.h"
#include "formats/keras/model/model_config.h"
#include "formats/keras/model/weight_order.h"

namespace ckpt::formats::keras {

// `kept` is RewrittenConfig::order. New weights are named as lib names them: "bias" beside the
// kernel, gamma and beta beside the moving mean. Fails with kUnsupported where the place of a
// nested model's weights cannot be told, which takes layers of unknown classes beside a fold that
// reorders the model.
Result<WeightOrder> RewriteWeightOrder(const ModelConfig& config, const GraphEdits& edits,
                                       const std::vector<LayerId>& kept, const WeightOrder& order);

}  // namespace ckpt::formats::keras
