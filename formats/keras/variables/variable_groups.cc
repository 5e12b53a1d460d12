#include "formats/keras/variables/variable_groups.h"

#include <algorithm>
#include <map>

#include "formats/keras/variables/old_layers.h"

namespace ckpt::formats::keras {
namespace {

constexpr std::string_view kVars = "/vars";

// "/layers/conv2d/vars" -> "layers/conv2d"; absent for other paths.
std::optional<std::string> OwnerOfVars(std::string_view path) {
  if (!path.ends_with(kVars)) return std::nullopt;
  path.remove_suffix(kVars.size());
  return std::string(path.empty() ? path : path.substr(1));
}

bool IsNumber(std::string_view key) {
  return !key.empty() && (key == "0" || key[0] != '0') &&
         std::all_of(key.begin(), key.end(), [](char c) { return c >= '0' && c <= '9'; });
}

// Numbers by their value, before all other keys.
bool ComesBefore(std::string_view a, std::string_view b) {
  if (IsNumber(a) != IsNumber(b)) return IsNumber(a);
  if (IsNumber(a) && a.size() != b.size()) return a.size() < b.size();
  return a < b;
}

std::string_view ParentPath(std::string_view path) { return path.substr(0, path.rfind('/')); }

}  // namespace

const VariableGroup* VariableStore::Find(std::string_view path) const {
  const auto found = std::lower_bound(
      groups.begin(), groups.end(), path,
      [](const VariableGroup& group, std::string_view key) { return group.path < key; });
  return found != groups.end() && found->path == path ? &*found : nullptr;
}

bool HoldsVariableGroups(const Hdf5File& file) {
  for (const char* legacy : {"/", "/model_weights"}) {
    const Hdf5Object* object = file.Find(legacy);
    if (object && (object->FindAttribute("layer_names") || object->FindAttribute("layer_names0"))) {
      return false;
    }
  }
  return std::any_of(file.objects().begin(), file.objects().end(), [](const Hdf5Object& object) {
    if (object.kind == Hdf5Object::Kind::kGroup) return object.path == kVars;
    const std::string_view path = object.path;
    return ParentPath(path).ends_with(kVars) && IsNumber(path.substr(path.rfind('/') + 1));
  });
}

Result<VariableStore> CollectVariables(std::span<const std::unique_ptr<Hdf5File>> files) {
  VariableStore store;
  std::map<std::string, VariableGroup> groups;
  for (std::uint32_t i = 0; i < files.size(); ++i) {
    for (const Hdf5Object& object : files[i]->objects()) {
      if (object.kind == Hdf5Object::Kind::kGroup) {
        const auto owner = OwnerOfVars(object.path);
        if (!owner) continue;
        VariableGroup& group = groups[*owner];
        const Hdf5Attribute* name = object.FindAttribute("name");
        if (name && name->text()) group.name = *name->text();
        continue;
      }
      const auto owner = OwnerOfVars(ParentPath(object.path));
      if (!owner) {
        store.others.push_back({i, &object});
        continue;
      }
      std::string key = object.path.substr(object.path.rfind('/') + 1);
      groups[*owner].variables.push_back({std::move(key), {i, &object}});
    }
  }
  for (auto& [path, group] : groups) {
    group.path = path;
    std::sort(group.variables.begin(), group.variables.end(),
              [](const auto& a, const auto& b) { return ComesBefore(a.key, b.key); });
    const auto twin =
        std::adjacent_find(group.variables.begin(), group.variables.end(),
                           [](const auto& a, const auto& b) { return a.key == b.key; });
    if (twin != group.variables.end()) {
      const StoredDataset& second = std::next(twin)->dataset;
      return Fail(
          Error{ErrorCode::kCorrupt, "holds a variable that another file of the set holds too"}
              .In(files[second.file]->file().path())
              .Of(second.object->path));
    }
    store.groups.push_back(std::move(group));
  }
  store.old_layers = RenameOldLayers(store);
  return store;
}

std::vector<std::string> PathParts(std::string_view path) {
  std::vector<std::string> parts;
  while (!path.empty()) {
    const std::size_t slash = std::min(path.find('/'), path.size());
    parts.emplace_back(path.substr(0, slash));
    path.remove_prefix(std::min(slash + 1, path.size()));
  }
  return parts;
}

}  // namespace ckpt::formats::keras
