// The manifest of a Keras 3 weights file: each variable with the name that people use.
//
// Where a config settles it, a tensor is "<layer>/<variable>", layers of nested models as
// "inner/ic". Without one, layers are called by the names that the file records; where it records
// none, by their place ("layers/conv2d_1"), which is no layer's name. Variables are called by the
// class of their layer ("kernel", "moving_mean") where their number and shapes agree with it, else
// by their number.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "ckpt/checkpoint.h"
#include "formats/keras/model/model_config.h"
#include "formats/keras/variables/group_paths.h"
#include "formats/keras/variables/variable_groups.h"
#include "formats/keras/variables/variable_layout.h"

namespace ckpt::formats::keras {

struct VariableManifest {
  Manifest manifest;                    // tensors, problems, note, graph, "variable_layout"
  std::vector<StoredDataset> datasets;  // by TensorId
};

// `paths` name the files of the store. `config` may be null; its graph is used up. Where the file
// contradicts the config (other names of layers, a layer's variables absent from all of them), the
// graph is left out and metadata["model_config"] says why.
VariableManifest DescribeVariables(const VariableStore& store,
                                   const std::vector<std::string>& paths, ModelConfig* config,
                                   int keras_major);

}  // namespace ckpt::formats::keras
