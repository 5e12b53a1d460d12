#include "formats/keras/h5/optimizer_slots.h"

#include <algorithm>

#include "formats/keras/model/weight_names.h"

namespace ckpt::formats::keras {

void SlotFinder::AddVariable(std::string_view stored, TensorId id) {
  std::string path(WithoutOutputNumber(stored));
  std::string flat = path;
  std::replace(flat.begin(), flat.end(), '/', '_');
  for (const std::string& key : {path, flat}) {
    const auto [at, added] = variables_.emplace(key, id);
    if (!added && at->second != id) at->second.reset();
  }
}

std::optional<TensorId> SlotFinder::VariableAt(std::string_view path) const {
  const auto found = variables_.find(path);
  return found == variables_.end() ? std::nullopt : found->second;
}

std::optional<OptimizerSlot> SlotFinder::Find(std::string_view stored) const {
  const std::string_view name = WithoutOutputNumber(stored);
  // <anything>/<slot>/<variable>
  for (std::size_t slash = name.find('/'); slash != std::string_view::npos;
       slash = name.find('/', slash + 1)) {
    if (const auto variable = VariableAt(name.substr(slash + 1))) {
      const std::string_view before = name.substr(0, slash);
      return OptimizerSlot{*variable, std::string(before.substr(before.rfind('/') + 1))};
    }
  }
  // <anything>/<variable>/<slot>
  if (const std::size_t last = name.rfind('/'); last != std::string_view::npos) {
    std::string_view path = name.substr(0, last);
    while (true) {
      if (const auto variable = VariableAt(path)) {
        return OptimizerSlot{*variable, std::string(name.substr(last + 1))};
      }
      const std::size_t slash = path.find('/');
      if (slash == std::string_view::npos) break;
      path.remove_prefix(slash + 1);
    }
  }
  // <optimizer>/<variable with underscores>_<slot>
  const std::string_view flat = name.substr(name.rfind('/') + 1);
  for (std::size_t at = flat.rfind('_'); at != std::string_view::npos && at > 0;
       at = flat.rfind('_', at - 1)) {
    if (const auto variable = VariableAt(flat.substr(0, at))) {
      return OptimizerSlot{*variable, std::string(flat.substr(at + 1))};
    }
  }
  return std::nullopt;
}

}  // namespace ckpt::formats::keras
