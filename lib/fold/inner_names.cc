#include "fold/inner_names.h"

#include <map>
#include <set>

namespace ckpt {

std::unordered_map<std::string_view, TensorId> FindInnerNames(
    const std::vector<const TensorInfo*>& read, const Manifest& names,
    const std::unordered_map<std::string_view, TensorId>& by_name) {
  std::set<std::string_view> own;
  for (const TensorInfo* info : read) own.insert(info->name);
  std::map<std::string_view, std::set<const TensorInfo*>> takers;  // by name of the file
  for (const TensorInfo* info : read) {
    std::string_view rest = info->name;
    if (by_name.contains(rest)) continue;
    for (std::size_t slash = rest.find('/'); slash != std::string_view::npos;
         slash = rest.find('/')) {
      rest.remove_prefix(slash + 1);
      if (rest.find('/') == std::string_view::npos) break;
      const auto here = by_name.find(rest);
      if (here == by_name.end() || own.contains(rest)) continue;
      if (names.tensors[here->second.index].shape != info->shape) continue;
      takers[rest].insert(info);
      break;
    }
  }
  std::unordered_map<std::string_view, TensorId> found;
  for (const auto& [name, infos] : takers) {
    if (infos.size() == 1) found.emplace((*infos.begin())->name, by_name.at(name));
  }
  return found;
}

}  // namespace ckpt
