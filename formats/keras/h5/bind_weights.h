// Ties the weights of a file to the layers of its config: by name, else by place.
#pragma once

#include <optional>
#include <string>
#include <unordered_map>
#include <vector>

#include "ckpt/tensor.h"
#include "formats/keras/model/model_config.h"
#include "formats/keras/model/weight_order.h"

namespace ckpt::formats::keras {

struct BoundWeight {
  LayerId layer;
  std::string name;  // in ckpt::Layer::tensors; empty for a weight that the layer should not have
};

// One for each weight of `group`, which is a layer of the whole model (a nested model is one).
// Empty where the config has no such layer. kUnsupported where the weights of a nested model cannot
// be told apart.
Result<std::vector<BoundWeight>> BindGroup(const ModelConfig& config, const WeightGroup& group);

// Fills Layer::tensors, Layer::missing_tensors and, for kernels of Keras 1, Layer::layout of
// config.graph, and owner and local_name of the tensors. Fails as BindGroup does.
Status BindWeights(ModelConfig& config, const WeightOrder& order, int keras_major,
                   std::vector<TensorInfo>& tensors);

}  // namespace ckpt::formats::keras
