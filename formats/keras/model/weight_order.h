// The order of the weights in a Keras HDF5 file. Keras assigns weights by their place in the lists
// "layer_names" and "weight_names", so a converted file must keep it.
//
// As a document of the manifest it is text, a line each:
//   layer <name>              the weights of a layer follow
//   top_level                 the weights of the model itself follow
//   optimizer                 the optimizer's weights follow
//   other                     datasets that no list names follow
//   weight <tensor> <stored>  its name in the manifest; its name in the list (a path for others)
// Fields are separated by tabs; tab, newline and backslash in a name are \t, \n, \\.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "ckpt/result.h"

namespace ckpt::formats::keras {

inline constexpr std::string_view kWeightOrderDocument = "weight_order";

struct WeightEntry {
  std::string tensor;
  std::string stored;
  bool operator==(const WeightEntry&) const = default;
};

struct WeightGroup {
  enum class Kind : std::uint8_t { kLayer, kTopLevel, kOptimizer, kOther };
  Kind kind = Kind::kLayer;
  std::string layer = {};
  std::vector<WeightEntry> weights = {};
  bool operator==(const WeightGroup&) const = default;
};

struct WeightOrder {
  std::vector<WeightGroup> groups;  // layers in the order of layer_names
};

std::string WeightOrderText(const WeightOrder& order);
// kCorrupt with the line for text of another form.
Result<WeightOrder> ParseWeightOrder(std::string_view text);

}  // namespace ckpt::formats::keras
