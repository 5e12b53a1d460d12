#include "formats/keras/model/batch_norm_config.h"

#include "formats/keras/model/config_attributes.h"

namespace ckpt::formats::keras {

// Keras 1 has no initialisers of the statistics.
bool HasConfigOfBatchNorm(const Json& config) {
  const ConfigAttributes attributes(config);
  if (!attributes.Number("epsilon") || !attributes.Number("momentum")) return false;
  const bool keras2 =
      attributes.Has("moving_mean_initializer") && attributes.Has("moving_variance_initializer");
  return keras2 || (attributes.Has("mode") && attributes.Has("gamma_regularizer"));
}

void DescribeBatchNorm(const Json& config, LayerFacts& facts) {
  const ConfigAttributes attributes(config);
  Layer& layer = facts.layer;
  layer.epsilon = attributes.Number("epsilon");
  layer.momentum = attributes.Number("momentum");
  layer.has_scale = attributes.Flag("scale", true);
  layer.has_center = attributes.Flag("center", true);
  layer.axis = attributes.NormalizedAxis();
  layer.computation =
      network::BatchNormalization{layer.axis.value_or(-1), layer.epsilon.value_or(0)};
  if (!layer.axis) layer.not_affine = "it normalises over several axes";
  const auto mode = attributes.Integer("mode");
  if (mode == 1) {
    layer.not_affine = "mode 1 normalises each sample by itself";
  } else if (mode == 2) {
    layer.training_mode = "its mode is 2";
  } else if (attributes.Has("mode") && mode != 0) {
    layer.not_affine = "its mode is not known";
  }
  facts.weights.emplace();
  if (layer.has_scale) facts.weights->push_back({"gamma"});
  if (layer.has_center) facts.weights->push_back({"beta"});
  facts.weights->push_back({"moving_mean", false});
  facts.weights->push_back({"moving_variance", false});
  if (!attributes.Flag("renorm", false)) return;
  for (const char* name : {"moving_stddev", "renorm_mean", "renorm_stddev"}) {
    facts.weights->push_back({name, false});
  }
}

}  // namespace ckpt::formats::keras
