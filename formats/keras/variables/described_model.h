// The variables of a whole model, read by its config.
#pragma once

#include <string>
#include <vector>

#include "formats/keras/variables/variable_manifest.h"

namespace ckpt::formats::keras {

// DescribeVariables with the config that `text` is, as Keras `version` wrote it, what its layers
// compute, and the version. metadata["model_config"] says why the graph is absent where it is.
VariableManifest DescribeModel(const VariableStore& store, const std::vector<std::string>& paths,
                               const std::string& text, const std::string& version);

}  // namespace ckpt::formats::keras
