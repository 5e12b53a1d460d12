#include "convert/output_names.h"

#include <algorithm>

namespace ckpt {
namespace {

bool ByName(const FoldedTensor& a, const FoldedTensor& b) { return a.info.name < b.info.name; }

auto Misnamed(std::string what) {
  return Fail(Error{ErrorCode::kInvalidArgument, std::move(what)}.About(Setting::kRename));
}

}  // namespace

Status Rename(const Manifest& manifest, const std::map<std::string, std::string>& rename,
              ConversionPlan& plan) {
  std::map<std::string, std::string> by_name;
  for (const auto& [old_name, new_name] : rename) {
    if (new_name.empty()) {
      return Misnamed('"' + old_name + "\" would have no name");
    }
    const auto id = FindTensor(manifest, old_name);
    const std::string name = id ? manifest.tensors[id->index].name : old_name;
    const bool written = std::any_of(plan.tensors.begin(), plan.tensors.end(),
                                     [&](const auto& tensor) { return tensor.info.name == name; });
    if (!id && !written) {
      return Misnamed("there is no tensor called \"" + old_name + '"');
    }
    if (!written) plan.notes.push_back('"' + name + "\" has a new name, and is not written");
    if (!by_name.emplace(name, new_name).second) {
      return Misnamed('"' + name + "\" is named twice");
    }
  }
  for (FoldedTensor& tensor : plan.tensors) {
    const auto found = by_name.find(tensor.info.name);
    if (found == by_name.end() || found->second == tensor.info.name) continue;
    plan.renamed.emplace(tensor.info.name, found->second);
    tensor.info.name = tensor.info.stored_as = found->second;
    // What owned it under the old name is not known to own it under the new one.
    tensor.info.owner.clear();
    tensor.info.local_name.clear();
  }
  std::sort(plan.tensors.begin(), plan.tensors.end(), ByName);
  const auto twice =
      std::adjacent_find(plan.tensors.begin(), plan.tensors.end(),
                         [](const auto& a, const auto& b) { return a.info.name == b.info.name; });
  if (twice != plan.tensors.end()) {
    return Misnamed("two tensors would be called \"" + twice->info.name + '"');
  }
  return {};
}

}  // namespace ckpt
