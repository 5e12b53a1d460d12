// A graph by itself as an input.
#pragma once

#include "ckpt/checkpoint.h"

namespace ckpt {

// Is the input a graph without a checkpoint? Its tensors are the variables that it declares; none
// has data, and that is no problem of the file.
bool IsGraphOnly(const Manifest& manifest);

}  // namespace ckpt
