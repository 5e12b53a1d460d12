#include "formats/keras/optimizer_order.h"

#include <optional>
#include <set>
#include <string>

namespace ckpt::formats::keras {
namespace {

// The trainable variables of the model; absent where they are not all known.
std::optional<std::vector<TensorId>> TrainableVariables(const ModelConfig& config) {
  std::vector<TensorId> variables;
  std::set<TensorId> met;
  for (LayerId id = 0; id < config.layers.size(); ++id) {
    const Layer& layer = config.graph.layers[id];
    const auto& weights = config.layers[id].facts.weights;
    if (!weights && !layer.tensors.empty()) return std::nullopt;
    if (!weights || !layer.trainable) continue;
    for (const ExpectedWeight& weight : *weights) {
      if (!weight.trainable) continue;
      const auto tensor = layer.tensors.find(weight.name);
      if (tensor == layer.tensors.end()) return std::nullopt;
      if (met.insert(tensor->second).second) variables.push_back(tensor->second);
    }
  }
  return variables;
}

}  // namespace

void LinkOptimizerSlots(const ModelConfig& config, const std::vector<TensorId>& slots,
                        std::vector<TensorInfo>& tensors) {
  const auto variables = TrainableVariables(config);
  if (!variables || variables->empty()) return;
  const std::size_t count = variables->size();
  // How many scalars come first: one or two, whichever leaves a whole number of slots for each.
  std::size_t scalars = 0;
  while (scalars < slots.size() && scalars < 3 &&
         (scalars == 0 || (slots.size() - scalars) % count != 0) &&
         tensors[slots[scalars].index].shape.rank() == 0) {
    ++scalars;
  }
  if (scalars == 0 || slots.size() <= scalars || (slots.size() - scalars) % count != 0) return;
  const std::size_t each = (slots.size() - scalars) / count;
  const auto variable_of = [&](std::size_t slot) { return (*variables)[(slot - scalars) / each]; };
  for (std::size_t i = scalars; i < slots.size(); ++i) {
    if (tensors[slots[i].index].shape != tensors[variable_of(i).index].shape) return;
  }
  for (std::size_t i = scalars; i < slots.size(); ++i) {
    TensorInfo& info = tensors[slots[i].index];
    info.slot_of = variable_of(i);
    info.slot_name = std::to_string((i - scalars) % each);
  }
}

}  // namespace ckpt::formats::keras
