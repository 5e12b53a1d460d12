// The config of a batch norm: Keras' own, or of a class that extends it.
#pragma once

#include "formats/keras/model/layer_facts.h"

namespace ckpt::formats::keras {

// Has it what every class that extends Keras' batch norm inherits in its config?
bool HasConfigOfBatchNorm(const Json& config);
void DescribeBatchNorm(const Json& config, LayerFacts& facts);

}  // namespace ckpt::formats::keras
