#include "formats/torch/average_lists.h"

#include <algorithm>
#include <map>
#include <set>

#include "formats/torch/optimizer_slots.h"
#include "formats/torch/pickle_text.h"

namespace ckpt::formats {
namespace {

constexpr std::string_view kShadowParams = "shadow_params";

// By the path of the list: number -> tensor.
using Lists = std::map<std::string, std::map<std::int64_t, std::uint32_t>>;

Lists FindLists(const StateTree& tree) {
  Lists lists;
  for (std::uint32_t i = 0; i < tree.tensors.size(); ++i) {
    const std::string& name = tree.tensors[i].name;
    const std::size_t dot = name.rfind('.');
    if (dot == std::string::npos || !std::string_view(name).substr(0, dot).ends_with(kShadowParams))
      continue;
    const auto number = ParseDecimal(name.substr(dot + 1));
    if (number) lists[name.substr(0, dot)].emplace(static_cast<std::int64_t>(*number), i);
  }
  return lists;
}

}  // namespace

std::vector<std::pair<std::uint32_t, std::string>> NamesOfListedAverages(
    const StateTree& tree, const std::vector<TensorView>& views) {
  std::vector<std::pair<std::uint32_t, std::string>> names;
  const Lists lists = FindLists(tree);
  if (lists.empty()) return names;
  const std::vector<std::uint32_t> parameters = ParametersInOrder(tree, views);
  std::set<std::string_view> taken;
  for (const NamedTensor& tensor : tree.tensors) taken.insert(tensor.name);
  for (const auto& [place, list] : lists) {
    const auto& path = place;  // clang 14 captures no structured binding
    std::size_t at = 0;
    const bool fits = list.size() == parameters.size() &&
                      std::all_of(list.begin(), list.end(), [&](const auto& entry) {
                        const std::uint32_t parameter = parameters[at++];
                        return views[entry.second].shape == views[parameter].shape &&
                               !taken.contains(path + "." + tree.tensors[parameter].name);
                      });
    if (!fits) continue;
    at = 0;
    for (const auto& [number, tensor] : list) {
      names.emplace_back(tensor, path + "." + tree.tensors[parameters[at++]].name);
    }
  }
  return names;
}

}  // namespace ckpt::formats
