// Applies what a fold changed to the layout of a Keras 3 weights file.
#pragma once

#include <string>
#include <string_view>

#include "ckpt/model_graph.h"
#include "formats/keras/variables/variable_layout.h"

namespace ckpt::formats::keras {

struct RewrittenModel {
  std::string config;
  VariableLayout layout;
};

// The config and the layout after `edits`. Removing layers renumbers the groups of others of their
// class; the optimizer's state, which no longer fits, is gone from both. New variables are named as
// lib names them: "bias" beside the kernel, gamma and beta beside the moving mean. kUnsupported
// where the config, or the variables of a layer, are not what an edit needs.
Result<RewrittenModel> RewriteModel(std::string_view config, std::string_view keras_version,
                                    const VariableLayout& layout, const GraphEdits& edits);

// The config without its "compile_config".
Result<std::string> WithoutCompileConfig(std::string_view config);

}  // namespace ckpt::formats::keras
