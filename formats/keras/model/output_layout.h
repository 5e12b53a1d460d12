// Which tensor goes where in a Keras HDF5 file that is to be written.
#pragma once

#include <cstddef>
#include <string>
#include <vector>

#include "ckpt/formats/format.h"
#include "formats/keras/model/weight_order.h"

namespace ckpt::formats::keras {

struct OutputWeight {
  std::size_t tensor;  // in OutputModel::tensors
  std::string stored;  // in the list, and below the group
};
struct OutputGroup {
  WeightGroup::Kind kind;
  std::string layer = {};
  std::string path = {};  // of the group: "/model_weights/conv1"
  std::vector<OutputWeight> weights = {};
};

struct OutputLayout {
  bool whole_model = false;
  std::string prefix = {};               // of the groups: "/model_weights", or "" for weights alone
  std::vector<OutputGroup> groups = {};  // layers in the order of layer_names
};

// Every tensor of the model is placed. kUnfit, with the tensor, where model_config calls for one
// that is not there or has no place for one that is; kUnsupported where two cannot stand in one
// file (a dataset's path inside another's).
Result<OutputLayout> PlanOutput(const OutputModel& model);

// The document of this name, or null.
const std::string* FindDocument(const OutputModel& model, std::string_view name);

}  // namespace ckpt::formats::keras
