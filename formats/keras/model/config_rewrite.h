// Applies what a fold changed to the config of a model.
#pragma once

#include <string>
#include <vector>

#include "ckpt/model_graph.h"
#include "formats/keras/model/model_config.h"

namespace ckpt::formats::keras {

struct RewrittenConfig {
  std::string text;
  // The layers of the config that have weights, in the order in which Keras will list them (those
  // of nested models in the place of their model).
  std::vector<LayerId> order;
};

// Changes config.document, so that `config` is used up.
//   removed      gone; whoever read one reads its input. Where nothing would be left of a model, or
//                an input would be an output, a linear Activation takes its place.
//   gained_bias  use_bias
//   to_affine    scale and center; no renorm
//   to_inference training=False in its calls, or in those of the Sequential around it; mode 0
// A functional model that lost layers lists the others as Keras will. Fails with kUnsupported where
// a layer is not what the edit needs.
Result<RewrittenConfig> RewriteConfig(ModelConfig& config, const GraphEdits& edits);

}  // namespace ckpt::formats::keras
