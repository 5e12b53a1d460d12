// The names of a model's layers, with and without the models around them.
#pragma once

#include <string_view>
#include <unordered_map>
#include <vector>

#include "ckpt/checkpoint.h"

namespace ckpt {

// Files that keep a whole Keras model put the model within it in front of its layers' names
// ("backbone/bn/gamma"); a checkpoint of TensorFlow 2 keeps each variable under the name that it
// was made with ("bn/gamma"). For each of `read` that `names` has under no name of its own: the
// tensor under the longest rest of it, of the same shape, that names one layer at least. None where
// one of `read` is called so, or two of them would take it. REQUIRES: by_name: names of `names`.
std::unordered_map<std::string_view, TensorId> FindInnerNames(
    const std::vector<const TensorInfo*>& read, const Manifest& names,
    const std::unordered_map<std::string_view, TensorId>& by_name);

}  // namespace ckpt
