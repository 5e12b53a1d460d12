// Writes the pickle of a state dict, protocol 2, with the opcodes that weights_only loading knows.
#pragma once

#include <span>
#include <string>
#include <string_view>

#include "ckpt/tensor.h"

namespace ckpt::formats {

// OrderedDict of name -> tensor, contiguous, each the whole storage under the key storages[i].
// `module_versions` is the state dict's _metadata as JSON ({"bn1": {"version": 2}}) or empty; other
// text is left out. REQUIRES: CanHoldTorch of each tensor; storages.size() == tensors.size().
std::string PickleStateDict(std::span<const TensorInfo> tensors,
                            std::span<const std::size_t> storages,
                            std::string_view module_versions);

}  // namespace ckpt::formats
