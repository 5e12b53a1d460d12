// Planned tensors that hold the same.
#pragma once

#include <cstdint>
#include <map>
#include <set>
#include <vector>

#include "ckpt/fold.h"

namespace ckpt {

// Is the value of both computed from the same by the same factors? Copies are not looked at.
bool HoldTheSame(const FoldedTensor& a, const FoldedTensor& b);

// For each of the tensors `among` that is computed exactly as an earlier one of them: that one.
std::map<std::uint32_t, std::uint32_t> FirstOfEqualTensors(const std::vector<FoldedTensor>& tensors,
                                                           const std::set<std::uint32_t>& among);

}  // namespace ckpt
