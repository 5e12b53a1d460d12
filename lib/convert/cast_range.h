// Whether the values of a tensor survive a cast (--cast).
#pragma once

#include <string>
#include <vector>

#include "ckpt/checkpoint.h"

namespace ckpt {

// Reads the tensor where `dtype` cannot hold all that its own type can. Fails with kUnfit, naming
// the tensor, where finite values would become infinite; notes values that go subnormal or to 0.
Status CheckCast(const Checkpoint& checkpoint, TensorId id, Dtype dtype,
                 std::vector<std::string>& notes);

}  // namespace ckpt
