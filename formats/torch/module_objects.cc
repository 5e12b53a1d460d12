#include "formats/torch/module_objects.h"

#include <algorithm>
#include <utility>

namespace ckpt::formats {
namespace {

constexpr std::string_view kCompiled = "__torch__.";
constexpr std::string_view kMangled = "___torch_mangle_";
constexpr std::size_t kMaxText = 256;    // of an attribute
constexpr std::size_t kMaxNumbers = 16;  // of a tuple

// The class of a new object; empty where it is none.
std::string_view ClassOf(const PickleGraph& graph, PickleId id) {
  if (graph.kind(id) != PickleKind::kObject) return {};
  PickleId callable = graph.object(id).callable;
  if (graph.kind(callable) == PickleKind::kPersistent) {
    // The legacy stream keeps a class with its source: ('module', class, file, text).
    const auto parts = graph.TupleItems(graph.items(callable)[0]);
    if (parts.size() < 2 || !graph.IsText(parts[0], "module")) return {};
    callable = parts[1];
  }
  if (graph.kind(callable) != PickleKind::kGlobal) return {};
  const std::string_view name = graph.text(callable);
  // object.__reduce_ex__ of protocols 0 and 1: copyreg._reconstructor(class, base, state)
  const bool rebuilt = name == "copy_reg._reconstructor" || name == "copyreg._reconstructor" ||
                       name == "copyreg.__newobj__" || name == "copy_reg.__newobj__";
  if (!rebuilt) return name;
  const auto arguments = graph.TupleItems(graph.object(id).arguments);
  const bool named = !arguments.empty() && graph.kind(arguments[0]) == PickleKind::kGlobal;
  return named ? graph.text(arguments[0]) : std::string_view();
}

// The attributes set on an object: a dict, or (dict, slots).
std::vector<PicklePair> AttributesOf(const PickleGraph& graph, PickleId object) {
  std::vector<PicklePair> pairs;
  for (PickleId state : graph.object(object).states()) {
    const auto parts = graph.TupleItems(state);
    if (parts.size() == 2) state = parts[0];
    if (graph.kind(state) != PickleKind::kDict) continue;
    const std::vector<PicklePair> more = Pairs(graph, state);
    pairs.insert(pairs.end(), more.begin(), more.end());
  }
  return pairs;
}

// The items of (1, 2), [1, 2], torch.Size((1, 2)) and TorchScript's build_intlist([1, 2]).
std::optional<std::span<const PickleId>> Sequence(const PickleGraph& graph, PickleId id) {
  if (graph.kind(id) == PickleKind::kObject) {
    const PickleObject& object = graph.object(id);
    const auto arguments = graph.TupleItems(object.arguments);
    const bool list = graph.IsGlobal(object.callable, "torch.Size") ||
                      graph.IsGlobal(object.callable, "torch.jit._pickle.build_intlist");
    if (!list || arguments.size() != 1) return std::nullopt;
    id = arguments[0];
  }
  const PickleKind kind = graph.kind(id);
  if (kind != PickleKind::kTuple && kind != PickleKind::kList) return std::nullopt;
  return graph.items(id);
}

std::optional<RecordedValue> PlainValue(const PickleGraph& graph, PickleId id) {
  switch (graph.kind(id)) {
    case PickleKind::kNone:
      return RecordedValue{};
    case PickleKind::kBool:
      return RecordedValue{graph.boolean(id)};
    case PickleKind::kInt:
      return RecordedValue{graph.integer(id)};
    case PickleKind::kFloat:
      return RecordedValue{graph.real(id)};
    case PickleKind::kText:
      if (graph.text(id).size() > kMaxText) return std::nullopt;
      return RecordedValue{std::string(graph.text(id))};
    default:
      break;
  }
  const auto items = Sequence(graph, id);
  if (!items || items->size() > kMaxNumbers) return std::nullopt;
  std::vector<std::int64_t> numbers;
  for (const PickleId item : *items) {
    if (graph.kind(item) != PickleKind::kInt) return std::nullopt;
    numbers.push_back(graph.integer(item));
  }
  return RecordedValue{std::move(numbers)};
}

}  // namespace

bool IsScriptClass(std::string_view name) { return name.starts_with(kCompiled); }

std::string_view ScriptClassOf(const PickleGraph& graph, PickleId object) {
  const std::string_view name = ClassOf(graph, object);
  return IsScriptClass(name) ? name : std::string_view();
}

std::string ScriptClassName(std::string_view compiled) {
  std::string name;
  if (IsScriptClass(compiled)) compiled.remove_prefix(kCompiled.size());
  while (true) {
    const std::size_t dot = compiled.find('.');
    const std::string_view part = compiled.substr(0, dot);
    if (!part.starts_with(kMangled)) name += (name.empty() ? "" : ".") + std::string(part);
    if (dot == std::string_view::npos) return name;
    compiled.remove_prefix(dot + 1);
  }
}

bool IsModuleState(const PickleGraph& graph, const std::vector<PicklePair>& attributes) {
  const auto has = [&](std::string_view key) {
    const auto value = ValueIn(graph, attributes, key);
    return value && IsMapping(graph, *value);
  };
  return has("_parameters") && has("_modules");
}

bool IsModuleObject(const PickleGraph& graph, PickleId id) {
  const std::string_view name = ClassOf(graph, id);
  if (name.empty()) return false;
  return IsScriptClass(name) || IsModuleState(graph, AttributesOf(graph, id));
}

std::optional<PickleId> ValueIn(const PickleGraph& graph, const std::vector<PicklePair>& pairs,
                                std::string_view key) {
  const auto found = std::find_if(pairs.rbegin(), pairs.rend(), [&](const PicklePair& pair) {
    return graph.IsText(pair.first, key);
  });
  return found == pairs.rend() ? std::nullopt : std::optional(found->second);
}

std::set<std::string_view> NonPersistentBuffers(const PickleGraph& graph,
                                                const std::vector<PicklePair>& attributes) {
  std::set<std::string_view> names;
  const auto add = [&](std::span<const PickleId> items) {
    for (const PickleId item : items) {
      if (graph.kind(item) == PickleKind::kText) names.insert(graph.text(item));
    }
  };
  const auto set = ValueIn(graph, attributes, "_non_persistent_buffers_set");
  if (!set) return names;
  if (graph.kind(*set) == PickleKind::kSet) add(graph.items(*set));
  if (graph.kind(*set) == PickleKind::kObject) {  // builtins.set([...])
    for (const PickleId argument : graph.TupleItems(graph.object(*set).arguments)) {
      if (const auto items = Sequence(graph, argument)) add(*items);
    }
  }
  return names;
}

std::optional<PickleId> MetadataOf(const PickleGraph& graph, PickleId state_dict) {
  if (graph.kind(state_dict) != PickleKind::kObject) return std::nullopt;
  for (const PickleId state : graph.object(state_dict).states()) {
    if (graph.kind(state) != PickleKind::kDict) continue;
    if (const auto metadata = ValueOf(graph, state, "_metadata")) return metadata;
  }
  return std::nullopt;
}

std::optional<std::int64_t> VersionOf(const PickleGraph& graph, PickleId module, PickleId facts) {
  if (graph.kind(module) != PickleKind::kText) return std::nullopt;
  const auto version = ValueOf(graph, facts, "version");
  if (!version || graph.kind(*version) != PickleKind::kInt) return std::nullopt;
  return graph.integer(*version);
}

RecordedModule RecordModule(const PickleGraph& graph, PickleId object) {
  RecordedModule record;
  const std::string_view name = ClassOf(graph, object);
  record.class_name = IsScriptClass(name) ? ScriptClassName(name) : std::string(name);
  record.record = IsScriptClass(name) ? ModuleRecord::kScript : ModuleRecord::kPickled;
  for (const auto& [key, value] : AttributesOf(graph, object)) {
    if (graph.kind(key) != PickleKind::kText || graph.text(key).starts_with('_')) continue;
    if (graph.text(key).size() > kMaxText) continue;
    if (auto plain = PlainValue(graph, value)) {
      record.attributes.insert_or_assign(std::string(graph.text(key)), *std::move(plain));
    }
  }
  return record;
}

}  // namespace ckpt::formats
