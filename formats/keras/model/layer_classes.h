// What the layers of Keras' own classes are, by their configs.
#pragma once

#include <string_view>

#include "formats/keras/model/layer_facts.h"

namespace ckpt::formats::keras {

// Says what a layer of this class computes, its attributes and its weights; false where the class
// is none of those that folding knows.
bool DescribeClass(std::string_view class_name, const Json& config, int keras_major,
                   LayerFacts& facts);

}  // namespace ckpt::formats::keras
