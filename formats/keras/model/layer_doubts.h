// Why a layer may compute something else than its class says.
#pragma once

#include <string>

#include "formats/keras/model/layer_call.h"
#include "formats/keras/model/model_config.h"

namespace ckpt::formats::keras {

// Empty: it computes what Keras' class of that name does. For people.
std::string DoubtOf(const ConfigLayer& described, const LayerCall& call);

}  // namespace ckpt::formats::keras
