// The order in which a model lists its trainable variables, where a weights file alone has to tell.
//
// A model lists the variables that it made itself, then those of each layer that it holds, in the
// order in which it came to hold them; layers list theirs in the same way. A weights file keeps of
// that order what its paths count: layers of one class in one container. The variables of an
// optimizer have the shapes of the trainable variables in their order, and an order of the groups
// that fits these shapes, and is the only one, is the order.
//
// Source: Layer.variables in keras/src/layers/layer.py, _save_container_state() in
// keras/src/saving/saving_lib.py.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "ckpt/tensor.h"

namespace ckpt::formats::keras {

// An object of the model by its path in the file ("layers/conv2d_1"; "" for the model itself).
struct TrainableGroup {
  std::string path;
  std::vector<TensorId> variables = {};  // its own that are trained, as it numbers them
};

// `groups`: every object of the file, also those without variables, sorted by path. `shapes`: of
// the trainable variables in the order that is sought. Absent where no order of the groups fits,
// or more than one, or where there are too many to look at.
std::optional<std::vector<TensorId>> OrderByShapes(const std::vector<TrainableGroup>& groups,
                                                   const std::vector<TensorInfo>& tensors,
                                                   const std::vector<Shape>& shapes);

}  // namespace ckpt::formats::keras
