// Shell patterns over the names of tensors.
#pragma once

#include <string>
#include <vector>

#include "ckpt/tensor.h"

namespace ckpt {

// Does a shell pattern ("conv*/kernel", '*' also matches '/') match the name or the stored name?
bool MatchesAny(const std::vector<std::string>& globs, const TensorInfo& info);

}  // namespace ckpt
