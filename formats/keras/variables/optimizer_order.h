// Which variable of an optimizer belongs to which weight, where only their order tells: the files
// of Keras 3 number them.
//
// First stand the optimizer's own scalars (iteration; since Keras 3 the learning rate), then, with
// use_ema, the moving average of each trainable variable of the model in its order, then, for each
// of these variables, the same number of slots of its shape (Adam), or one slot of each and again
// (RMSprop with momentum). Source: build() and add_optimizer_variables() in
// keras/src/optimizers/base_optimizer.py, and the optimizers' own build().
#pragma once

#include <optional>
#include <vector>

#include "ckpt/tensor.h"
#include "formats/keras/model/model_config.h"
#include "formats/keras/variables/trainable_order.h"

namespace ckpt::formats::keras {

// The trainable variables of the model in their order; config.graph is bound. Absent where a layer
// has variables that are not known.
std::optional<std::vector<TensorId>> TrainableVariables(const ModelConfig& config);

// Does the optimizer average the weights? By the config that the model was compiled with; absent
// where that leaves the optimizer out.
std::optional<bool> AveragesWeights(const ModelConfig& config);

// The optimizer of a file: its variables in their order, and what it is called ("adam_1"; "" where
// the file does not say).
struct StoredOptimizer {
  std::vector<TensorId> variables;
  std::string name = {};
};

// What the links rest on where nothing says whether the optimizer averages the weights.
enum class SlotReading : std::uint8_t {
  kNone,       // nothing was linked
  kSettled,    // as Keras orders slots, or averages and slots
  kAmbiguous,  // linked as slots; the first of each weight may be its average
};

// Sets slot_of and slot_name ("average"; "0", "1", ... as slots of one weight are ordered) of the
// optimizer's variables. Nothing is set where not every shape agrees.
SlotReading LinkOptimizerSlots(const std::vector<TensorId>& trainable, std::optional<bool> averages,
                               const StoredOptimizer& optimizer, std::vector<TensorInfo>& tensors);

// The trainable variables in the order that the shapes of the optimizer's variables leave them.
std::optional<std::vector<TensorId>> TrainableVariablesBySlots(
    const std::vector<TrainableGroup>& groups, const StoredOptimizer& optimizer,
    const std::vector<TensorInfo>& tensors);

}  // namespace ckpt::formats::keras
