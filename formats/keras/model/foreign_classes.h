// Layers that would run code of others when Keras loads the model.
#pragma once

#include <string>

#include "formats/keras/model/model_config.h"

namespace ckpt::formats::keras {

// Names their classes in front of `note`; nothing of it was run.
void NoteForeignClasses(const ModelConfig& config, std::string& note);

}  // namespace ckpt::formats::keras
