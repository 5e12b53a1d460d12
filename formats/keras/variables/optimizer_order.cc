#include "formats/keras/variables/optimizer_order.h"

#include <algorithm>
#include <optional>
#include <set>
#include <string>
#include <utility>

#include "formats/keras/model/variable_names.h"

namespace ckpt::formats::keras {

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

namespace {

// How many scalars come first among an optimizer's variables of `count` weights: one or two,
// whichever leaves a whole number of slots for each weight; 0 where none does.
std::size_t LeadingScalars(const std::vector<TensorId>& slots,
                           const std::vector<TensorInfo>& tensors, std::size_t count) {
  std::size_t scalars = 0;
  while (scalars < slots.size() && scalars < 3 &&
         (scalars == 0 || (slots.size() - scalars) % count != 0) &&
         tensors[slots[scalars].index].shape.rank() == 0) {
    ++scalars;
  }
  return slots.size() > scalars && (slots.size() - scalars) % count == 0 ? scalars : 0;
}

// By the optimizer's class, as its name tells it: SGD has one slot of each weight, RMSprop up to
// three. Absent where the class, or as many slots, may be either.
std::optional<bool> AveragesByName(std::string_view name, std::size_t slots_each) {
  const std::string_view stem = WithoutCounter(name);
  if (stem == "sgd" && slots_each == 2) return true;
  if (stem == "rmsprop" && slots_each == 4) return true;
  return std::nullopt;
}

class SlotLinker {
 public:
  SlotLinker(std::vector<TensorId> variables, const std::vector<TensorId>& slots,
             std::vector<TensorInfo>& tensors)
      : variables_(std::move(variables)), slots_(slots), tensors_(tensors) {}

  SlotReading Link(std::optional<bool> averages, std::string_view optimizer) {
    const std::size_t first = LeadingScalars(slots_, tensors_, variables_.size());
    if (first == 0) return SlotReading::kNone;
    const std::size_t each = (slots_.size() - first) / variables_.size();
    if (!averages) averages = AveragesByName(optimizer, each);
    if (averages && *averages) return Read(LinkAverages(first));
    // Where nothing says whether there are averages, they explain what slots alone do not.
    const std::optional<Order> order = LinkSlots(first);
    if (averages || order == Order::kByVariable) return Read(order.has_value());
    if (order) return SlotReading::kAmbiguous;
    return Read(LinkAverages(first));
  }

 private:
  enum class Order : std::uint8_t { kByVariable, kByBlock };

  static SlotReading Read(bool linked) {
    return linked ? SlotReading::kSettled : SlotReading::kNone;
  }

  // Absent, and nothing done, where the shapes do not agree. One slot of each is a block.
  std::optional<Order> LinkSlots(std::size_t first) {
    const std::size_t count = variables_.size();
    const std::size_t rest = slots_.size() - first;
    if (rest % count != 0) return std::nullopt;
    if (rest == 0) return Order::kByBlock;
    const std::size_t each = rest / count;
    const auto by_variable = [&](std::size_t i) { return variables_[i / each]; };
    const auto by_block = [&](std::size_t i) { return variables_[i % count]; };
    if (each > 1 && Fits(first, rest, by_variable)) {
      Set(first, rest, by_variable, [each](std::size_t i) { return std::to_string(i % each); });
      return Order::kByVariable;
    }
    if (!Fits(first, rest, by_block)) return std::nullopt;
    Set(first, rest, by_block, [count](std::size_t i) { return std::to_string(i / count); });
    return Order::kByBlock;
  }

  bool LinkAverages(std::size_t first) {
    const std::size_t count = variables_.size();
    const auto in_order = [&](std::size_t i) { return variables_[i]; };
    if (!Fits(first, count, in_order) || !LinkSlots(first + count)) return false;
    Set(first, count, in_order, [](std::size_t) { return std::string("average"); });
    return true;
  }

  const Shape& ShapeOf(TensorId id) const { return tensors_[id.index].shape; }

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

SlotReading LinkOptimizerSlots(const std::vector<TensorId>& trainable, std::optional<bool> averages,
                               const StoredOptimizer& optimizer, std::vector<TensorInfo>& tensors) {
  if (trainable.empty()) return SlotReading::kNone;
  return SlotLinker(trainable, optimizer.variables, tensors).Link(averages, optimizer.name);
}

std::optional<std::vector<TensorId>> TrainableVariablesBySlots(
    const std::vector<TrainableGroup>& groups, const StoredOptimizer& optimizer,
    const std::vector<TensorInfo>& tensors) {
  std::size_t count = 0;
  for (const TrainableGroup& group : groups) count += group.variables.size();
  const std::vector<TensorId>& slots = optimizer.variables;
  const std::size_t first = count == 0 ? 0 : LeadingScalars(slots, tensors, count);
  if (first == 0) return std::nullopt;
  const std::size_t each = (slots.size() - first) / count;
  // One variable of each weight comes first, or all of one weight and then those of the next.
  std::optional<std::vector<TensorId>> order;
  for (const std::size_t stride : {std::size_t{1}, each}) {
    std::vector<Shape> shapes;
    bool together = true;
    for (std::size_t i = 0; i < count * stride; ++i) {
      const Shape& shape = tensors[slots[first + i].index].shape;
      if (i % stride == 0) shapes.push_back(shape);
      together = together && shape == shapes.back();
    }
    if (!together) continue;
    auto found = OrderByShapes(groups, tensors, shapes);
    if (found && order && *found != *order) return std::nullopt;
    if (found) order = std::move(found);
    if (each == 1) break;
  }
  return order;
}

}  // namespace ckpt::formats::keras
