// What people call the tensors of a TensorFlow 2 checkpoint, and what objects they belong to.
#pragma once

#include <vector>

#include "ckpt/tensor.h"
#include "formats/tf_bundle/object_graph.h"

namespace ckpt::formats {

// Both functions work on tensors that are sorted by stored_as, and fill in name, section, owner,
// local_name, slot_of (an index into `tensors`) and slot_name.

// By the keys alone: "layer_with_weights-4/gamma/.ATTRIBUTES/VARIABLE_VALUE" is gamma of
// layer_with_weights-4. Keys of TensorFlow 1 are names already.
void NameByKeys(std::vector<TensorInfo>& tensors);

// By the object graph, after NameByKeys. A variable's own name ("batch_normalization/gamma") is
// taken where no other tensor has it; its owner is the common scope of the object's variables, or
// the object's path where they have none. What only an optimizer leads to belongs to the optimizer.
void NameByObjects(const ObjectGraph& graph, std::vector<TensorInfo>& tensors);

}  // namespace ckpt::formats
