#include "formats/tf_bundle/object_names.h"

#include <algorithm>
#include <optional>
#include <string>
#include <string_view>
#include <unordered_map>
#include <unordered_set>
#include <utility>

#include "formats/tf_bundle/object_reach.h"

namespace ckpt::formats {
namespace {

constexpr std::string_view kSlotInfix = "/.OPTIMIZER_SLOT/";
constexpr std::string_view kIteratorSuffix = "/.ATTRIBUTES/ITERATOR_STATE";  // of an input pipeline
constexpr std::uint32_t kNone = UINT32_MAX;

bool IsNumber(std::string_view text) {
  return !text.empty() && text.find_first_not_of("0123456789") == std::string_view::npos;
}

// {"a/b", "c"} of "a/b/c"; {"", "c"} of "c".
std::pair<std::string_view, std::string_view> SplitLast(std::string_view path) {
  const std::size_t slash = path.rfind('/');
  if (slash == std::string_view::npos) return {{}, path};
  return {path.substr(0, slash), path.substr(slash + 1)};
}

std::optional<std::uint32_t> FindKey(const std::vector<TensorInfo>& tensors, std::string_view key) {
  const auto found = std::lower_bound(
      tensors.begin(), tensors.end(), key,
      [](const TensorInfo& info, std::string_view wanted) { return info.stored_as < wanted; });
  if (found == tensors.end() || found->stored_as != key) return std::nullopt;
  return static_cast<std::uint32_t>(found - tensors.begin());
}

// "a/gamma/.OPTIMIZER_SLOT/optimizer/m": the slot m of a/gamma.
void NameSlotByKey(std::string_view path, const std::vector<TensorInfo>& tensors,
                   TensorInfo* info) {
  const std::size_t infix = path.rfind(kSlotInfix);
  const std::string variable = std::string(path.substr(0, infix)) + std::string(kVariableSuffix);
  info->section = Section::kOptimizer;
  info->slot_name = SplitLast(path).second;
  if (const auto of = FindKey(tensors, variable)) info->slot_of = TensorId{*of};
}

void NameObjectKey(const std::vector<TensorInfo>& tensors, TensorInfo* info) {
  const std::string_view key = info->stored_as;
  const std::string_view path = key.substr(0, key.size() - kVariableSuffix.size());
  if (!FindKey(tensors, path)) info->name = path;
  const auto [parent, last] = SplitLast(path);
  if (path.find(kSlotInfix) != std::string_view::npos) {
    NameSlotByKey(path, tensors, info);
  } else if (path == "save_counter" || path.starts_with("keras_api/")) {
    info->section = Section::kBookkeeping;
  } else if (path.starts_with("optimizer/") && !path.starts_with("optimizer/_trainable_")) {
    info->section = Section::kOptimizer;
  } else if (!parent.empty() && !IsNumber(last)) {
    info->owner = parent;
    info->local_name = last;
  }
}

class ObjectNamer {
 public:
  ObjectNamer(const ObjectGraph& graph, std::vector<TensorInfo>& tensors)
      : graph_(graph),
        tensors_(tensors),
        reach_(graph),
        tensor_of_(graph.node_count(), kNone),
        variable_of_(tensors.size(), kNone) {}

  void Run() {
    MatchTensors();
    MarkExportedCopies();
    TakeFullNames();
    SetSections();
    SetOwners();
    SetSlots();
  }

 private:
  // The edge by which a variable is best called a member of an object.
  struct Membership {
    std::uint32_t object = kNone, edge = kNone;
  };

  const ObjectGraph::Variable& VariableOf(std::uint32_t tensor) const {
    return graph_.variables[variable_of_[tensor]];
  }
  bool IsNamed(std::uint32_t tensor) const { return variable_of_[tensor] != kNone; }

  void MatchTensors();
  void MarkExportedCopies();
  void TakeFullNames();
  void SetSections();
  std::vector<Membership> FindMemberships() const;
  bool IsBetter(std::uint32_t object, const ObjectGraph::Edge& edge, const Membership& than) const;
  void SetOwners();
  void NameMembers(std::uint32_t object, std::span<const std::uint32_t> members,
                   const std::vector<Membership>& memberships);
  void SetSlots();
  void SetSlotByName(std::uint32_t tensor,
                     const std::unordered_map<std::string, std::uint32_t>& model);

  const ObjectGraph& graph_;
  std::vector<TensorInfo>& tensors_;
  ObjectReach reach_;
  std::vector<std::uint32_t> tensor_of_;    // node -> tensor
  std::vector<std::uint32_t> variable_of_;  // tensor -> variable of the graph
  std::vector<bool> full_name_taken_;       // tensor
  std::vector<bool> copy_;                  // tensor
};

void ObjectNamer::MatchTensors() {
  full_name_taken_.assign(tensors_.size(), false);
  copy_.assign(tensors_.size(), false);
  for (std::uint32_t i = 0; i < graph_.variables.size(); ++i) {
    const auto tensor = FindKey(tensors_, graph_.variables[i].key);
    if (!tensor || IsNamed(*tensor) || tensor_of_[graph_.variables[i].node] != kNone) continue;
    variable_of_[*tensor] = i;
    tensor_of_[graph_.variables[i].node] = *tensor;
  }
}

// A SavedModel that Keras 3 exports holds each variable twice: in the root's list `variables` and,
// in another order, in `_all_variables`.
void ObjectNamer::MarkExportedCopies() {
  std::unordered_map<std::string_view, std::uint32_t> listed;
  const auto for_each_in = [&](std::string_view list, const auto& function) {
    for (const auto& edge : graph_.Children(0)) {
      if (graph_.Name(edge) != list) continue;
      for (const auto& item : graph_.Children(edge.child)) {
        if (tensor_of_[item.child] != kNone) function(tensor_of_[item.child]);
      }
    }
  };
  for_each_in("variables",
              [&](std::uint32_t tensor) { listed.emplace(VariableOf(tensor).full_name, tensor); });
  for_each_in("_all_variables", [&](std::uint32_t tensor) {
    const auto found = listed.find(VariableOf(tensor).full_name);
    if (found == listed.end() || found->first.empty() || found->second == tensor) return;
    const TensorInfo &copy = tensors_[tensor], &original = tensors_[found->second];
    copy_[tensor] = copy.dtype == original.dtype && copy.shape == original.shape && copy.checksum &&
                    copy.checksum == original.checksum;
  });
}

void ObjectNamer::TakeFullNames() {
  std::unordered_map<std::string, std::uint32_t> uses;
  std::unordered_set<std::string> present;
  for (std::uint32_t i = 0; i < tensors_.size(); ++i) {
    if (IsNamed(i) && !copy_[i]) ++uses[VariableOf(i).full_name];
    present.insert(tensors_[i].name);
  }
  for (std::uint32_t i = 0; i < tensors_.size(); ++i) {
    if (!IsNamed(i) || copy_[i]) continue;
    const std::string& full_name = VariableOf(i).full_name;
    const bool free = full_name == tensors_[i].name || !present.contains(full_name);
    if (full_name.empty() || uses[full_name] != 1 || !free) continue;
    full_name_taken_[i] = true;
    tensors_[i].name = full_name;
  }
}

void ObjectNamer::SetSections() {
  for (std::uint32_t i = 0; i < tensors_.size(); ++i) {
    if (!IsNamed(i)) continue;
    const std::uint32_t node = VariableOf(i).node;
    const ReachedBy by = reach_.reached_by(node);
    const bool counter = tensors_[i].section == Section::kBookkeeping && reach_.depth(node) == 1;
    tensors_[i].section = copy_[i] || counter || by == ReachedBy::kFrameworkState
                              ? Section::kBookkeeping
                          : by == ReachedBy::kOptimizer ? Section::kOptimizer
                                                        : Section::kModel;
  }
  for (const auto& slot : graph_.slots) {
    if (const std::uint32_t tensor = tensor_of_[slot.slot_variable]; tensor != kNone) {
      tensors_[tensor].section = Section::kOptimizer;
    }
  }
}

bool ObjectNamer::IsBetter(std::uint32_t object, const ObjectGraph::Edge& edge,
                           const Membership& than) const {
  if (than.object == kNone) return true;
  // Lists name their items by number; a name is better. Then what is nearer to the root.
  const bool number = IsNumber(graph_.Name(edge));
  const bool other_number = IsNumber(graph_.Name(graph_.edges[than.edge]));
  if (number != other_number) return other_number;
  return reach_.depth(object) < reach_.depth(than.object);
}

std::vector<ObjectNamer::Membership> ObjectNamer::FindMemberships() const {
  std::vector<Membership> memberships(tensors_.size());
  for (std::uint32_t node = 0; node < graph_.node_count(); ++node) {
    for (std::uint32_t e = graph_.edges_begin[node]; e < graph_.edges_begin[node + 1]; ++e) {
      const auto& edge = graph_.edges[e];
      const std::uint32_t tensor = tensor_of_[edge.child];
      if (tensor == kNone || reach_.reached_by(node) != reach_.reached_by(edge.child)) continue;
      if (IsBetter(node, edge, memberships[tensor])) memberships[tensor] = {node, e};
    }
  }
  return memberships;
}

void ObjectNamer::SetOwners() {
  const std::vector<Membership> memberships = FindMemberships();
  std::vector<std::uint32_t> members;
  for (std::uint32_t i = 0; i < tensors_.size(); ++i) {
    if (!IsNamed(i)) continue;
    tensors_[i].owner.clear();
    tensors_[i].local_name.clear();
    if (tensors_[i].section != Section::kModel) continue;
    if (memberships[i].object != kNone &&
        !IsNumber(graph_.Name(graph_.edges[memberships[i].edge]))) {
      members.push_back(i);
    } else if (full_name_taken_[i]) {
      const auto [scope, last] = SplitLast(tensors_[i].name);
      if (scope.empty()) continue;
      tensors_[i].local_name = last;
      tensors_[i].owner = scope;
    }
  }
  std::stable_sort(members.begin(), members.end(), [&](std::uint32_t a, std::uint32_t b) {
    return memberships[a].object < memberships[b].object;
  });
  for (std::size_t begin = 0, end = 0; begin < members.size(); begin = end) {
    const std::uint32_t object = memberships[members[begin]].object;
    while (end < members.size() && memberships[members[end]].object == object) ++end;
    NameMembers(object, std::span(members).subspan(begin, end - begin), memberships);
  }
}

void ObjectNamer::NameMembers(std::uint32_t object, std::span<const std::uint32_t> members,
                              const std::vector<Membership>& memberships) {
  std::optional<std::string_view> scope;
  bool common = true;
  for (const std::uint32_t i : members) {
    const std::string_view own =
        full_name_taken_[i] ? SplitLast(tensors_[i].name).first : std::string_view();
    common = common && !own.empty() && (!scope || *scope == own);
    scope = own;
  }
  const std::string owner = common ? std::string(*scope) : reach_.Path(object);
  if (owner.empty()) return;
  for (const std::uint32_t i : members) {
    const std::string_view edge_name = graph_.Name(graph_.edges[memberships[i].edge]);
    const std::string_view last = SplitLast(tensors_[i].name).second;
    // Keras 3 calls the attribute `_kernel` and the variable `kernel`.
    const bool private_name = full_name_taken_[i] && edge_name == "_" + std::string(last);
    tensors_[i].local_name = private_name ? last : edge_name;
    tensors_[i].owner = owner;
  }
}

void ObjectNamer::SetSlots() {
  for (const auto& slot : graph_.slots) {
    const std::uint32_t tensor = tensor_of_[slot.slot_variable], of = tensor_of_[slot.original];
    if (tensor == kNone || tensor == of) continue;
    tensors_[tensor].slot_name = graph_.Name(slot);
    tensors_[tensor].slot_of = of == kNone ? std::nullopt : std::optional(TensorId{of});
  }
  std::unordered_map<std::string, std::uint32_t> model;  // names, with '/' and with '_' for it
  for (std::uint32_t i = 0; i < tensors_.size(); ++i) {
    if (!full_name_taken_[i] || tensors_[i].section != Section::kModel) continue;
    std::string mangled = tensors_[i].name;
    std::replace(mangled.begin(), mangled.end(), '/', '_');
    for (const std::string& name : {tensors_[i].name, mangled}) {
      const auto [entry, is_new] = model.emplace(name, i);
      if (!is_new && entry->second != i) entry->second = kNone;
    }
  }
  for (std::uint32_t i = 0; i < tensors_.size(); ++i) {
    if (full_name_taken_[i] && tensors_[i].section == Section::kOptimizer && !tensors_[i].slot_of)
      SetSlotByName(i, model);
  }
}

// Newer Keras optimizers keep a list of variables and name them after the one that each is for:
// "Adam/m/conv1/kernel" (Keras 2.11 and later), "adam/conv1_kernel_momentum" (Keras 3).
void ObjectNamer::SetSlotByName(std::uint32_t tensor,
                                const std::unordered_map<std::string, std::uint32_t>& model) {
  TensorInfo& info = tensors_[tensor];
  const std::string& name = info.name;
  const std::size_t after_optimizer = name.find('/');
  if (after_optimizer == std::string::npos) return;
  const auto set = [&](const std::string& variable, std::string slot_name) {
    const auto found = model.find(variable);
    if (found == model.end() || found->second == kNone) return false;
    info.slot_of = TensorId{found->second};
    info.slot_name = std::move(slot_name);
    return true;
  };
  const std::string rest = name.substr(after_optimizer + 1);
  if (const std::size_t slash = rest.find('/'); slash != std::string::npos) {
    set(rest.substr(slash + 1), rest.substr(0, slash));
    return;
  }
  for (std::size_t end = rest.rfind('_'); end != std::string::npos && end > 0;
       end = rest.rfind('_', end - 1)) {
    if (set(rest.substr(0, end), rest.substr(end + 1))) return;
  }
}

}  // namespace

void NameByKeys(std::vector<TensorInfo>& tensors) {
  for (TensorInfo& info : tensors) {
    info.name = info.stored_as;
    if (info.stored_as == kObjectGraphKey || info.stored_as.ends_with(kIteratorSuffix)) {
      info.section = Section::kBookkeeping;
    } else if (info.stored_as.size() > kVariableSuffix.size() &&
               info.stored_as.ends_with(kVariableSuffix)) {
      NameObjectKey(tensors, &info);
    }
  }
}

void NameByObjects(const ObjectGraph& graph, std::vector<TensorInfo>& tensors) {
  ObjectNamer(graph, tensors).Run();
}

}  // namespace ckpt::formats
