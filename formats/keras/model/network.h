// What a Keras model computes, from its config: every generation from Keras 1 to Keras 3.
#pragma once

#include <string_view>

#include "ckpt/checkpoint.h"
#include "ckpt/network/network.h"
#include "formats/keras/model/model_config.h"

namespace ckpt::formats::keras {

// `keras_version`: whose config it is. The network of the config among the documents of `manifest`,
// whose graph has the weights bound to its layers. kUnsupported where there is no config that is
// understood. A layer that is not understood is an Unknown.
Result<network::Network> NetworkOf(const Manifest& manifest, std::string_view keras_version);

// Says in manifest.graph, which `config` was read as, what its layers compute, by the same
// translation, and the sizes and ranks of its values. Weights are bound, or there are none.
void SayComputations(const ModelConfig& config, std::string_view keras_version, Manifest& manifest);

}  // namespace ckpt::formats::keras
