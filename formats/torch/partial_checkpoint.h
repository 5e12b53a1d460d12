// Checkpoints that hold a part of each weight, as one rank of a sharded training saves it.
#pragma once

#include <optional>
#include <vector>

#include "formats/torch/state_tree.h"
#include "formats/torch/tensor_view.h"

namespace ckpt::formats {

// kUnsupported, with the way to whole weights, where the file is one rank's part (DeepSpeed ZeRO)
// or where its weights are flat vectors without names (FSDP). `views[i]` is that of
// tree.tensors[i].
std::optional<Error> WhyPartial(const StateTree& tree, const std::vector<TensorView>& views);

}  // namespace ckpt::formats
