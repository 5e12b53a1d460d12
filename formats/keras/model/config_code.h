// What a Keras config has its framework call that is not one of the framework's own pure layers.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "ckpt/result.h"

namespace ckpt::formats::keras {

// Of every object anywhere in the JSON text: classes that hold code or load files (Lambda,
// TFSMLayer, ...), classes and functions of other modules than Keras's own, custom objects,
// functions of TensorFlow other than its arithmetic. Phrases, each once. Errors as ParseConfigJson.
//
// Source: keras/src/saving/serialization_lib.py (_retrieve_class_or_fn: a function of any module
// that is imported becomes a layer and is called with the config's own arguments),
// legacy/saving/serialization.py, tf_keras/layers/core/tf_op_layer.py.
Result<std::vector<std::string>> CodeInConfig(std::string_view text);

}  // namespace ckpt::formats::keras
