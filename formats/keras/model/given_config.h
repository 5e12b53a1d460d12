// The config of a whole model, given to weights that another file holds.
#pragma once

#include <optional>
#include <string>

#include "ckpt/checkpoint.h"

namespace ckpt::formats::keras {

struct GivenConfig {
  std::string text;
  std::string version;    // of the Keras that wrote it
  std::string path;       // of the model
  bool archived = false;  // in the form of a .keras archive
};

// Of a file of Keras whose config was understood; nothing of any other.
std::optional<GivenConfig> ConfigOf(const Manifest& model);

}  // namespace ckpt::formats::keras
