// Averages of weights that stand in a list, in the order of Module.parameters().
#pragma once

#include <string>
#include <utility>
#include <vector>

#include "formats/torch/state_tree.h"
#include "formats/torch/tensor_view.h"

namespace ckpt::formats {

// The names of averages in lists ("ema.shadow_params.0", as torch_ema and diffusers save them) with
// the parameter's name for its number: "ema.shadow_params.conv1.weight". Only of a list that has
// one tensor of the right shape for each parameter. By index into tree.tensors.
std::vector<std::pair<std::uint32_t, std::string>> NamesOfListedAverages(
    const StateTree& tree, const std::vector<TensorView>& views);

}  // namespace ckpt::formats
