// Where Keras 3 puts the variables of each layer of a config: the walk of its saving_lib, done on
// the record.
#pragma once

#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "formats/keras/model/model_config.h"

namespace ckpt::formats::keras {

struct GroupPath {
  std::string layer;  // "inner/ic", as in ModelGraph; of nested models and their inputs too
  std::string name;   // "ic"
  std::string path;   // "layers/functional/layers/conv2d"
  // Of an earlier layer that is the same object, under whose path alone the variables stand.
  bool shared = false;
};

struct GroupPaths {
  std::vector<GroupPath> layers;  // in the order of the walk

  // By the layer of the graph; "" where the walk does not reach it.
  const std::string& OfLayer(std::string_view layer) const;
  std::map<std::string, std::string, std::less<>> by_layer;
};

// `config` as read from a file of Keras `keras_major`: before 3, objects that were met already are
// not counted. A TimeDistributed has the path of the layer that it wraps.
GroupPaths FindGroupPaths(const ModelConfig& config, int keras_major);

}  // namespace ckpt::formats::keras
