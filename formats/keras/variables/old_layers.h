// How Keras 2.12 to 2.14 called the list of a model's layers in a weights file.
//
// They walked the attribute "_layer_checkpoint_dependencies" before "layers", which is the same
// list, and so put the variables there. Up to 2.13 that list has each layer with weights twice (as
// "layer_with_weights-0" and "layer-1"), and both times the counter of its class went up: three
// batch norms are batch_normalization, batch_normalization_2 and batch_normalization_4. From 2.14
// on what was met before is not counted.
//
// Source: keras/saving/saving_lib.py and keras/engine/functional.py of 2.12 to 2.15.
#pragma once

#include <cstdint>

#include "formats/keras/variables/variable_layout.h"

namespace ckpt::formats::keras {

struct VariableStore;

// Calls the groups "layers/..." and counts them as 2.15 does; stored datasets keep their paths.
// Returns how they were called.
OldLayers RenameOldLayers(VariableStore& store);

// The layout with the paths that the version of Keras has which `layout.old_layers` says.
VariableLayout WithOldLayers(const VariableLayout& layout);

}  // namespace ckpt::formats::keras
