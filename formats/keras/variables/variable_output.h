// Writes the variables of a model in the layout of variable_groups.h.
#pragma once

#include <cstddef>
#include <string>
#include <vector>

#include "ckpt/formats/format.h"
#include "formats/hdf5/hdf5_writer.h"
#include "formats/keras/variables/variable_layout.h"

namespace ckpt::formats::keras {

struct PlacedVariable {
  std::string path;    // of the dataset: "/layers/conv2d/vars/0"
  std::size_t tensor;  // in OutputModel::tensors
};
struct VariableOutput {
  std::vector<LayoutGroup> groups;  // that are to be there
  std::vector<PlacedVariable> variables;
  // The layout has an optimizer's variables and the model does not.
  bool lost_optimizer = false;
};

// Every tensor of the model has its place by its "variable_layout". kUnfit, with the tensor, where
// it has none, or where a layer of the layout would not get all of its variables: a fold has to
// change the layout, because layers are numbered.
Result<VariableOutput> PlanVariables(const OutputModel& model);

// Keras numbers variables only. An attribute "name" of each dataset, which Keras does not read,
// keeps their names where no config settles them.
Status WriteVariables(Hdf5Writer& file, const OutputModel& model, const VariableOutput& output);

// kUnsupported, with the tensor, where HDF5 cannot hold it.
Status CanHoldVariable(const TensorInfo& tensor);

}  // namespace ckpt::formats::keras
