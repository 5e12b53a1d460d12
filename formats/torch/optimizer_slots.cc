#include "formats/torch/optimizer_slots.h"

#include <algorithm>
#include <map>
#include <set>
#include <string_view>
#include <tuple>
#include <unordered_map>

#include "formats/torch/pickle_mapping.h"
#include "formats/torch/pickle_text.h"

namespace ckpt::formats {
namespace {

// A tensor "<optimizer>.state.<key>.<slot>".
struct Slot {
  std::uint32_t tensor;
  std::string key, name;
};

bool IsBuffer(std::string_view name) {
  const std::size_t dot = name.rfind('.');
  if (dot != std::string_view::npos) name.remove_prefix(dot + 1);
  return name == "running_mean" || name == "running_var" || name == "num_batches_tracked" ||
         name == "n_averaged";
}

// The numbers of the only parameter group, in its order; empty where there are several.
std::vector<std::int64_t> OnlyGroup(const PickleGraph& graph, PickleId optimizer) {
  std::vector<std::int64_t> numbers;
  const auto groups = ValueOf(graph, optimizer, "param_groups");
  if (!groups || graph.kind(*groups) != PickleKind::kList) return numbers;
  if (graph.items(*groups).size() != 1) return numbers;
  const auto params = ValueOf(graph, graph.items(*groups)[0], "params");
  if (!params || graph.kind(*params) != PickleKind::kList) return numbers;
  for (const PickleId number : graph.items(*params)) {
    if (graph.kind(number) != PickleKind::kInt) return {};
    numbers.push_back(graph.integer(number));
  }
  return numbers;
}

std::vector<Slot> SlotsBelow(const StateTree& tree, const std::string& optimizer) {
  const std::string prefix = (optimizer.empty() ? "" : optimizer + ".") + "state.";
  std::vector<Slot> slots;
  for (std::uint32_t i = 0; i < tree.tensors.size(); ++i) {
    const std::string& path = tree.tensors[i].stored_as;
    if (!path.starts_with(prefix)) continue;
    const std::size_t dot = path.rfind('.');
    if (dot <= prefix.size()) continue;
    slots.push_back({i, path.substr(prefix.size(), dot - prefix.size()), path.substr(dot + 1)});
  }
  return slots;
}

using ByKey = std::unordered_map<std::string, std::uint32_t>;

ByKey ByNumber(const PickleGraph& graph, const StateTree& tree, PickleId optimizer,
               const std::vector<TensorView>& views) {
  ByKey parameters;
  const std::vector<std::int64_t> numbers = OnlyGroup(graph, optimizer);
  const std::vector<std::uint32_t> in_order = ParametersInOrder(tree, views);
  if (numbers.size() != in_order.size()) return parameters;
  for (std::size_t i = 0; i < numbers.size(); ++i) {
    parameters.emplace(std::to_string(numbers[i]), in_order[i]);
  }
  return parameters;
}

ByKey ByName(const StateTree& tree) {
  ByKey parameters;
  for (std::uint32_t i = 0; i < tree.tensors.size(); ++i) {
    if (tree.tensors[i].of_model) parameters.emplace(tree.tensors[i].name, i);
  }
  return parameters;
}

bool AllFit(const std::vector<Slot>& slots, const ByKey& parameters,
            const std::vector<TensorView>& views) {
  return std::all_of(slots.begin(), slots.end(), [&](const Slot& slot) {
    const auto found = parameters.find(slot.key);
    if (found == parameters.end()) return false;
    const Shape& shape = views[slot.tensor].shape;
    return shape.element_count() == 1 || shape == views[found->second].shape;
  });
}

}  // namespace

std::vector<std::uint32_t> ParametersInOrder(const StateTree& tree,
                                             const std::vector<TensorView>& views) {
  std::vector<std::uint32_t> parameters;
  std::set<std::tuple<std::string, std::uint64_t, std::string>> seen;
  for (std::uint32_t i = 0; i < tree.tensors.size(); ++i) {
    const TensorView& view = views[i];
    const bool parameter = tree.tensors[i].of_model && !IsBuffer(tree.tensors[i].name) &&
                           (IsFloat(view.dtype) || IsComplex(view.dtype));
    if (!parameter) continue;
    if (seen.emplace(view.storage.key, view.offset, ToString(view.shape)).second) {
      parameters.push_back(i);
    }
  }
  return parameters;
}

std::vector<SlotOf> FindSlots(const PickleGraph& graph, const StateTree& tree,
                              const std::vector<TensorView>& views) {
  std::vector<SlotOf> found;
  for (const OptimizerState& optimizer : tree.optimizers) {
    const std::vector<Slot> slots = SlotsBelow(tree, optimizer.path);
    const bool numbered = std::all_of(slots.begin(), slots.end(), [](const Slot& slot) {
      return ParseDecimal(slot.key).has_value();
    });
    const ByKey parameters =
        numbered ? ByNumber(graph, tree, optimizer.value, views) : ByName(tree);
    const bool fit = AllFit(slots, parameters, views);
    for (const Slot& slot : slots) {
      found.push_back(
          {slot.tensor, fit ? std::optional(parameters.at(slot.key)) : std::nullopt, slot.name});
    }
  }
  return found;
}

}  // namespace ckpt::formats
