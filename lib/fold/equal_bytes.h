// Whether two tensors of a checkpoint hold the same bytes.
#pragma once

#include "ckpt/checkpoint.h"

namespace ckpt {

// Reads both side by side up to the first difference.
Result<bool> HoldEqualBytes(const Checkpoint& checkpoint, TensorId a, TensorId b);

}  // namespace ckpt
