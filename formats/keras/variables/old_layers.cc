#include "formats/keras/variables/old_layers.h"

#include <algorithm>
#include <map>
#include <set>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "formats/keras/variables/variable_groups.h"

namespace ckpt::formats::keras {
namespace {

constexpr std::string_view kOldLayers = "_layer_checkpoint_dependencies";
constexpr std::string_view kLayers = "layers";
constexpr std::size_t kMaxDigits = 9;

// "batch_normalization_2" -> {"batch_normalization", 2}; {"conv2d", 0}.
std::pair<std::string, std::uint32_t> ClassAndCount(const std::string& part) {
  const std::size_t at = part.rfind('_');
  if (at == std::string::npos || at == 0) return {part, 0};
  const std::string digits = part.substr(at + 1);
  const bool number =
      !digits.empty() && digits.size() <= kMaxDigits && digits[0] != '0' &&
      std::all_of(digits.begin(), digits.end(), [](char c) { return c >= '0' && c <= '9'; });
  if (!number) return {part, 0};
  return {part.substr(0, at), static_cast<std::uint32_t>(std::stoul(digits))};
}

std::string WithCount(const std::string& name, std::uint32_t count) {
  return count == 0 ? name : name + "_" + std::to_string(count);
}

std::string Joined(const std::string& path, std::string_view part) {
  return path.empty() ? std::string(part) : path + "/" + std::string(part);
}

// A class of layers in one list of layers: the path of the list, the name of the class.
using LayerClass = std::pair<std::string, std::string>;

// Calls visit(class, count, path of the layer) for each layer on the way of `path`; lists of layers
// are called `list`.
template <typename Visit>
void ForEachLayer(const std::string& path, std::string_view list, const Visit& visit) {
  std::string prefix;
  bool in_list = false;
  for (const std::string& part : PathParts(path)) {
    const std::string parent = prefix;
    prefix = Joined(prefix, part);
    if (in_list) {
      const auto [name, count] = ClassAndCount(part);
      visit(LayerClass{parent, name}, count, prefix);
    }
    in_list = part == list;
  }
}

// `path` with its lists of layers, which are called `list`, called `wanted`, and the number of each
// layer replaced: count(class of the layer, number).
template <typename Count>
std::string Renumbered(const std::string& path, std::string_view list, std::string_view wanted,
                       const Count& count) {
  std::string renamed, prefix;
  bool in_list = false;
  for (const std::string& part : PathParts(path)) {
    std::string name = part == list ? std::string(wanted) : part;
    if (in_list) {
      const auto [class_name, old_count] = ClassAndCount(part);
      name = WithCount(class_name, count(LayerClass{prefix, class_name}, old_count));
    }
    in_list = part == list;
    prefix = Joined(prefix, part);
    renamed = Joined(renamed, name);
  }
  return renamed;
}

}  // namespace

OldLayers RenameOldLayers(VariableStore& store) {
  std::map<LayerClass, std::set<std::uint32_t>> counts;
  for (const VariableGroup& group : store.groups) {
    ForEachLayer(group.path, kOldLayers,
                 [&](const LayerClass& of, std::uint32_t count, const std::string&) {
                   counts[of].insert(count);
                 });
  }
  if (counts.empty()) return OldLayers::kNone;
  OldLayers old = OldLayers::kCountedOnce;
  for (const auto& [of, seen] : counts) {
    if (seen.contains(0) && *seen.rbegin() + 1 != seen.size()) old = OldLayers::kCountedTwice;
  }
  std::set<std::string> taken;
  for (const VariableGroup& group : store.groups) taken.insert(group.path);
  for (VariableGroup& group : store.groups) {
    std::string renamed =
        Renumbered(group.path, kOldLayers, kLayers, [&](const LayerClass& of, std::uint32_t count) {
          const std::set<std::uint32_t>& seen = counts.at(of);
          // Each layer has a group, the first one without a number.
          if (!seen.contains(0)) return count;
          return static_cast<std::uint32_t>(std::distance(seen.begin(), seen.find(count)));
        });
    if (renamed == group.path || !taken.insert(renamed).second) continue;
    group.path = std::move(renamed);
  }
  std::sort(store.groups.begin(), store.groups.end(),
            [](const VariableGroup& a, const VariableGroup& b) { return a.path < b.path; });
  return old;
}

VariableLayout WithOldLayers(const VariableLayout& layout) {
  if (layout.old_layers == OldLayers::kNone) return layout;
  const bool twice = layout.old_layers == OldLayers::kCountedTwice;
  std::map<LayerClass, std::map<std::uint32_t, bool>> has_weights;
  for (const LayoutGroup& group : layout.groups) {
    ForEachLayer(group.path, kLayers,
                 [&](const LayerClass& of, std::uint32_t count, const std::string&) {
                   bool& weights = has_weights[of][count];
                   weights = weights || !group.variables.empty();
                 });
  }
  VariableLayout result = layout;
  for (LayoutGroup& group : result.groups) {
    group.path =
        Renumbered(group.path, kLayers, kOldLayers, [&](const LayerClass& of, std::uint32_t count) {
          std::uint32_t counted = 0;
          for (const auto& [before, weights] : has_weights.at(of)) {
            if (before < count) counted += twice && weights ? 2 : 1;
          }
          return counted;
        });
  }
  return result;
}

}  // namespace ckpt::formats::keras
