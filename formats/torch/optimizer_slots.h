// Which parameter an optimizer's state belongs to.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "formats/torch/pickle_graph.h"
#include "formats/torch/state_tree.h"
#include "formats/torch/tensor_view.h"

namespace ckpt::formats {

struct SlotOf {
  std::uint32_t tensor;                    // an index into tree.tensors: the slot
  std::optional<std::uint32_t> parameter;  // the same of the parameter, where it is certain
  std::string slot_name;                   // "exp_avg"
};

// torch.optim numbers parameters in the order in which they were handed over, which is that of the
// state dict without buffers if there is one group. The numbers are taken to mean that only where
// the counts agree and every slot that is no scalar has its parameter's shape; a state that is
// keyed by names says it itself. `views[i]` is that of tree.tensors[i].
std::vector<SlotOf> FindSlots(const PickleGraph& graph, const StateTree& tree,
                              const std::vector<TensorView>& views);

// The parameters of the model by their index into tree.tensors, in the order of
// Module.parameters(): floating tensors that are no buffers, those that share their values once.
std::vector<std::uint32_t> ParametersInOrder(const StateTree& tree,
                                             const std::vector<TensorView>& views);

}  // namespace ckpt::formats
