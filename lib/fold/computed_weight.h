// Weights that a module computes from other tensors whenever it runs: scaling what is stored does
// not scale the weight, so that no batch norm may be folded into it.
#pragma once

#include <optional>
#include <string>

#include "ckpt/checkpoint.h"

namespace ckpt {

// "is normalised by its own largest singular value (spectral norm)": what is done with the tensor
// before it is used, by PyTorch's names; nullopt where nothing says that anything is.
std::optional<std::string> ComputedWeight(const Manifest& manifest, TensorId tensor);

}  // namespace ckpt
