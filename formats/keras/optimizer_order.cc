#include "formats/keras/optimizer_order.h"

#include <algorithm>
#include <optional>
#include <set>
#include <string>
#include <utility>

namespace ckpt::formats::keras {
namespace {

// The trainable variables of the model; absent where they are not all known.
std::optional<std::vector<TensorId>> TrainableVariables(const ModelConfig& config) {
  std::vector<TensorId> variables;
  std::set<TensorId> met;
  for (LayerId id = 0; id < config.layers.size(); ++id) {
    const Layer& layer = config.graph.layers[id];
    const LayerFacts& facts = config.layers[id].facts;
    const auto& weights = facts.weights ? *facts.weights : facts.inherited;
    if (weights.empty() && !layer.tensors.empty()) return std::nullopt;
    if (!layer.trainable) continue;
    for (const ExpectedWeight& weight : weights) {
      if (!weight.trainable) continue;
      const auto tensor = layer.tensors.find(weight.name);
      if (tensor == layer.tensors.end()) return std::nullopt;
      if (met.insert(tensor->second).second) variables.push_back(tensor->second);
    }
  }
  return variables;
}

// Does the optimizer average the weights? By the config that the model was compiled with; absent
// where that leaves the optimizer out.
std::optional<bool> AveragesWeights(const ModelConfig& config) {
  const Json* optimizer = Find(config.document, "compile_config");
  std::optional<bool> averages;
  while (optimizer) {
    const char* key = Find(*optimizer, "inner_optimizer") ? "inner_optimizer" : "optimizer";
    optimizer = Find(*optimizer, key);
    optimizer = optimizer ? Find(*optimizer, "config") : nullptr;
    const Json* flag = optimizer ? Find(*optimizer, "use_ema") : nullptr;
    if (flag && flag->is_boolean()) averages = flag->get<bool>() || averages.value_or(false);
  }
  return averages;
}

class SlotLinker {
 public:
  SlotLinker(std::vector<TensorId> variables, const std::vector<TensorId>& slots,
             std::vector<TensorInfo>& tensors)
      : variables_(std::move(variables)), slots_(slots), tensors_(tensors) {}

  void Link(std::optional<bool> averages) {
    const std::size_t first = Scalars();
    if (first == 0) return;
    // Where nothing says whether there are averages, they explain what slots alone do not.
    if (averages.value_or(false) || (!LinkSlots(first) && !averages)) LinkAverages(first);
  }

 private:
  // False, and nothing done, where the shapes do not agree.
  bool LinkSlots(std::size_t first) {
    const std::size_t count = variables_.size();
    const std::size_t rest = slots_.size() - first;
    if (rest == 0 || rest % count != 0) return rest == 0;
    const std::size_t each = rest / count;
    const auto by_variable = [&](std::size_t i) { return variables_[i / each]; };
    const auto by_block = [&](std::size_t i) { return variables_[i % count]; };
    if (Fits(first, rest, by_variable)) {
      Set(first, rest, by_variable, [each](std::size_t i) { return std::to_string(i % each); });
      return true;
    }
    if (!Fits(first, rest, by_block)) return false;
    Set(first, rest, by_block, [count](std::size_t i) { return std::to_string(i / count); });
    return true;
  }

  void LinkAverages(std::size_t first) {
    const std::size_t count = variables_.size();
    const auto in_order = [&](std::size_t i) { return variables_[i]; };
    if (!Fits(first, count, in_order) || !LinkSlots(first + count)) return;
    Set(first, count, in_order, [](std::size_t) { return std::string("average"); });
  }

  const Shape& ShapeOf(TensorId id) const { return tensors_[id.index].shape; }

  // How many scalars come first: one or two, whichever leaves a whole number of slots for each
  // variable; 0 where none does.
  std::size_t Scalars() const {
    const std::size_t count = variables_.size();
    std::size_t scalars = 0;
    while (scalars < slots_.size() && scalars < 3 &&
           (scalars == 0 || (slots_.size() - scalars) % count != 0) &&
           ShapeOf(slots_[scalars]).rank() == 0) {
      ++scalars;
    }
    return slots_.size() > scalars && (slots_.size() - scalars) % count == 0 ? scalars : 0;
  }

  // `variable_of` takes the number of a slot, counted from `first`.
  template <class VariableOf>
  bool Fits(std::size_t first, std::size_t size, VariableOf variable_of) const {
    if (first + size > slots_.size()) return false;
    for (std::size_t i = 0; i < size; ++i) {
      if (ShapeOf(slots_[first + i]) != ShapeOf(variable_of(i))) return false;
    }
    return true;
  }

  template <class VariableOf, class NameOf>
  void Set(std::size_t first, std::size_t size, VariableOf variable_of, NameOf name_of) {
    for (std::size_t i = 0; i < size; ++i) {
      TensorInfo& info = tensors_[slots_[first + i].index];
      info.slot_of = variable_of(i);
      info.slot_name = name_of(i);
    }
  }

  std::vector<TensorId> variables_;
  const std::vector<TensorId>& slots_;
  std::vector<TensorInfo>& tensors_;
};

}  // namespace

void LinkOptimizerSlots(const ModelConfig& config, const std::vector<TensorId>& slots,
                        std::vector<TensorInfo>& tensors) {
  auto variables = TrainableVariables(config);
  if (!variables || variables->empty()) return;
  SlotLinker(*std::move(variables), slots, tensors).Link(AveragesWeights(config));
}

}  // namespace ckpt::formats::keras
