#include "formats/torch/state_tree.h"

#include <algorithm>
#include <optional>
#include <set>
#include <unordered_map>
#include <unordered_set>
#include <utility>

#include "formats/encoding/json_events.h"
#include "formats/torch/module_objects.h"
#include "formats/torch/numpy_array.h"
#include "formats/torch/pickle_mapping.h"
#include "formats/torch/tensor_reach.h"
#include "formats/torch/tensor_view.h"

namespace ckpt::formats {
namespace {

constexpr unsigned kMaxDepth = 200;
constexpr std::size_t kMaxMetadataText = 256;
constexpr std::size_t kMaxModuleVersions = std::size_t{4} << 20;

// Where trainers put the weights, the likelier first.
constexpr std::string_view kModelKeys[] = {
    "state_dict", "model_state_dict", "model_state",    "model_dict", "model",
    "net",        "network",          "net_state_dict", "module",     "params",
    "weights",    "online_model",     "student"};
// Averages of weights: they are the model where there is nothing else.
constexpr std::string_view kAverageKeys[] = {"ema",           "model_ema",      "ema_state_dict",
                                             "params_ema",    "state_dict_ema", "ema_model",
                                             "averaged_model"};
constexpr std::string_view kOptimizerKeys[] = {"optimizer",
                                               "optimizer_state_dict",
                                               "optimizer_states",
                                               "optimizer_state",
                                               "optimizers",
                                               "optim",
                                               "opt",
                                               "optim_state_dict"};
constexpr std::string_view kBookkeepingKeys[] = {"loops",
                                                 "callbacks",
                                                 "lr_schedulers",
                                                 "lr_scheduler",
                                                 "scheduler",
                                                 "rng",
                                                 "rng_state",
                                                 "cuda_rng_state",
                                                 "rng_states",
                                                 "random_state",
                                                 "torch_rng_state",
                                                 "torch_cuda_state",
                                                 "random_states",
                                                 "np_random_state",
                                                 "generator_state",
                                                 "meta",
                                                 "message_hub",
                                                 "scaler",
                                                 "grad_scaler",
                                                 "amp",
                                                 "hyper_parameters",
                                                 "lr_scheduler_state_dict",
                                                 "scheduler_state_dict"};
// Modules that wrap others, at any place in a name.
constexpr std::string_view kWrappers[] = {"_orig_mod", "_fsdp_wrapped_module",
                                          "_checkpoint_wrapped_module"};
constexpr std::string_view kParallel = "module.";
constexpr std::string_view kAverageCounters[] = {"n_averaged", "initted", "step", "steps"};
constexpr std::string_view kOnlineModel = "online_model.", kEmaModel = "ema_model.";
constexpr std::string_view kBuffers = "_buffers";
constexpr std::string_view kModuleParts[] = {"_parameters", kBuffers, "_modules"};
constexpr std::string_view kMember = "x";  // any tensor of a module

// "rng", "torch_rng_state", "numpy_random_state": a word of the key says what it is. Of a path,
// as the keys of a state dict are, none does.
bool SaysRandomState(std::string_view key) {
  if (key.find('.') != std::string_view::npos) return false;
  if (key.find("random_state") != std::string_view::npos) return true;
  while (true) {
    const std::size_t end = key.find('_');
    const std::string_view word = key.substr(0, end);
    if (word == "rng" || word == "rngs") return true;
    if (end == std::string_view::npos) return false;
    key.remove_prefix(end + 1);
  }
}

std::string Join(const std::string& path, std::string_view key) {
  return path.empty() ? std::string(key) : path + '.' + std::string(key);
}

std::string WithoutWrappers(std::string_view name) {
  std::string plain;
  while (true) {
    const std::size_t dot = name.find('.');
    const std::string_view part = name.substr(0, dot);
    if (dot == std::string_view::npos) return plain + std::string(part);
    if (!OneOf(kWrappers, part)) plain += std::string(part) + '.';
    name.remove_prefix(dot + 1);
  }
}

// Walks from the root to every tensor.
class Walk {
 public:
  Walk(const PickleGraph& graph, const Limits& limits, std::uint64_t all_name_bytes)
      : graph_(graph),
        limits_(limits),
        name_bytes_left_(std::max(all_name_bytes, limits.memory_bytes)),
        reaches_(ReachTensors(graph)),
        steps_left_(16 * std::uint64_t{graph.size()} + 100'000) {}

  Result<StateTree> Run(PickleId root) {
    CKPT_RETURN_IF_ERROR(WalkContainer(root, ""));
    CKPT_RETURN_IF_ERROR(NameAll());
    return std::move(tree_);
  }

 private:
  // A tensor's place: container + rest make stored_as.
  struct Place {
    std::string container, rest;
  };

  struct FoundModule {
    NamedModule module;
    Place place;
  };

  static std::string PathOf(const Place& place) {
    return place.rest.empty() ? place.container : Join(place.container, place.rest);
  }

  // The entry of a mapping that holds the model's weights.
  std::optional<PicklePair> ModelEntry(const std::vector<PicklePair>& pairs) const {
    const auto find = [&](std::string_view key) -> std::optional<PicklePair> {
      for (const PicklePair& pair : pairs) {
        const bool fits = graph_.IsText(pair.first, key) && reaches_[pair.second] &&
                          !IsTensor(graph_, pair.second) &&
                          graph_.kind(pair.second) != PickleKind::kList;
        if (fits) return pair;
      }
      return std::nullopt;
    };
    for (const std::string_view key : kModelKeys) {
      if (const auto found = find(key)) return found;
    }
    const auto is_other = [&](const PicklePair& pair) {
      const std::string key = KeyText(graph_, pair.first);
      return reaches_[pair.second] && !OneOf(kOptimizerKeys, key) &&
             !OneOf(kBookkeepingKeys, key) && !SaysRandomState(key);
    };
    if (std::count_if(pairs.begin(), pairs.end(), is_other) != 1) return std::nullopt;
    for (const std::string_view key : kAverageKeys) {
      if (const auto found = find(key)) return found;
    }
    return std::nullopt;
  }

  // The root, and what holds the model within it.
  Status WalkContainer(PickleId root, const std::string& path) {
    if (depth_ >= kMaxDepth) return TooDeep(path);
    const std::vector<PicklePair> pairs =
        IsMapping(graph_, root) ? Pairs(graph_, root) : std::vector<PicklePair>();
    if (path.empty()) ReadMetadata(pairs);
    const std::optional<PicklePair> model = ModelEntry(pairs);
    if (!model) {
      tree_.container = path;
      ReadModuleVersions(root);
      return WalkValue(root, {path, ""}, Section::kModel);
    }
    CKPT_RETURN_IF_ERROR(CheckKeys(pairs, path));
    for (const PicklePair& pair : pairs) {
      const std::string key = KeyText(graph_, pair.first);
      if (pair == *model) {
        ++depth_;
        CKPT_RETURN_IF_ERROR(WalkContainer(pair.second, Join(path, key)));
        --depth_;
        continue;
      }
      // An array beside the model is a curve or a score.
      const bool bookkeeping =
          OneOf(kBookkeepingKeys, key) || SaysRandomState(key) || IsNumpyArray(graph_, pair.second);
      const Section section = OneOf(kOptimizerKeys, key) ? Section::kOptimizer
                              : bookkeeping              ? Section::kBookkeeping
                                                         : Section::kModel;
      beside_ = true;
      const bool tensor = IsTensor(graph_, pair.second);
      const Place place = tensor ? Place{path, key} : Place{Join(path, key), ""};
      CKPT_RETURN_IF_ERROR(WalkValue(pair.second, place, section));
      beside_ = false;
    }
    return {};
  }

  Status WalkValue(PickleId id, const Place& place, Section section) {
    if (!reaches_[id]) return {};
    CKPT_RETURN_IF_ERROR(Spend(1));
    if (IsTensor(graph_, id)) return Add(id, place, section);
    if (place.rest.size() + place.container.size() > limits_.name_bytes) {
      return Fail(ErrorCode::kLimitExceeded,
                  "a name of more than " + std::to_string(limits_.name_bytes) + " bytes");
    }
    if (std::find(open_.begin(), open_.end(), id) != open_.end()) return {};  // it contains itself
    if (depth_ >= kMaxDepth) return TooDeep(PathOf(place));
    ++depth_;
    open_.push_back(id);
    const Status walked = WalkParts(id, place, section);
    open_.pop_back();
    --depth_;
    return walked;
  }

  // Shared containers are walked on every path to them, so that their number bounds nothing.
  Status Spend(std::uint64_t steps) {
    if (steps > steps_left_) {
      return Fail(ErrorCode::kLimitExceeded,
                  "the pickle refers to the same containers over and over");
    }
    steps_left_ -= steps;
    return {};
  }

  Status WalkParts(PickleId id, const Place& place, Section section) {
    if (section == Section::kModel) CKPT_RETURN_IF_ERROR(NoteModule(id, place));
    if (IsMapping(graph_, id)) CKPT_RETURN_IF_ERROR(WalkMapping(id, place, section));
    switch (graph_.kind(id)) {
      case PickleKind::kTuple:
      case PickleKind::kList:
      case PickleKind::kSet:
        return WalkItems(graph_.items(id), place, section);
      case PickleKind::kObject: {
        const PickleObject& object = graph_.object(id);
        for (const PickleId state : object.states()) {
          CKPT_RETURN_IF_ERROR(WalkState(state, place, section));
        }
        if (!graph_.IsGlobal(object.callable, "collections.OrderedDict")) {
          CKPT_RETURN_IF_ERROR(WalkItems(graph_.items(object.arguments), place, section));
        }
        return WalkItems(object.appended(), place, section);
      }
      default:
        return {};
    }
  }

  Status WalkItems(std::span<const PickleId> items, const Place& place, Section section) {
    CKPT_RETURN_IF_ERROR(Spend(items.size()));
    for (std::size_t i = 0; i < items.size(); ++i) {
      CKPT_RETURN_IF_ERROR(WalkChild(items[i], place, std::to_string(i), section));
    }
    return {};
  }

  Status WalkChild(PickleId id, const Place& place, std::string_view key, Section section) {
    if (!reaches_[id]) return {};
    return WalkValue(id, {place.container, Join(place.rest, key)}, section);
  }

  Status WalkMapping(PickleId id, const Place& place, Section section) {
    const std::vector<PicklePair> pairs = Pairs(graph_, id);
    CKPT_RETURN_IF_ERROR(Spend(pairs.size()));
    CKPT_RETURN_IF_ERROR(CheckKeys(pairs, PathOf(place)));
    if (ValueOf(graph_, id, "state") && ValueOf(graph_, id, "param_groups")) {
      section = Section::kOptimizer;
      tree_.optimizers.push_back({PathOf(place), id});
    }
    for (const auto& [key, value] : pairs) {
      if (!reaches_[value]) continue;
      const std::string name = KeyText(graph_, key);
      const bool random = section == Section::kModel && SaysRandomState(name);
      CKPT_RETURN_IF_ERROR(WalkChild(value, place, name, random ? Section::kBookkeeping : section));
    }
    return {};
  }

  // (__dict__, slots), of which either may be None.
  bool IsAttributePair(std::span<const PickleId> state) const {
    return state.size() == 2 && std::all_of(state.begin(), state.end(), [&](PickleId part) {
             return graph_.kind(part) == PickleKind::kDict ||
                    graph_.kind(part) == PickleKind::kNone;
           });
  }

  Status NoteModule(PickleId id, const Place& place) {
    if (IsModule(id)) CKPT_RETURN_IF_ERROR(AddModule({"", id, {}}, place));
    const auto metadata = MetadataOf(graph_, id);
    if (!metadata) return {};
    for (const auto& [module, facts] : Pairs(graph_, *metadata)) {
      const auto version = VersionOf(graph_, module, facts);
      if (!version) continue;
      const std::string_view path = graph_.text(module);
      const Place inner{place.container, path.empty() ? place.rest : Join(place.rest, path)};
      CKPT_RETURN_IF_ERROR(AddModule({"", {}, version}, inner));
    }
    return {};
  }

  Status AddModule(NamedModule module, const Place& place) {
    CKPT_RETURN_IF_ERROR(
        TakeName(sizeof(FoundModule) + place.container.size() + place.rest.size()));
    modules_.push_back({std::move(module), place});
    return {};
  }

  bool IsModule(PickleId id) {
    if (graph_.kind(id) != PickleKind::kObject) return false;
    const auto [known, added] = is_module_.emplace(id, false);
    if (added) known->second = IsModuleObject(graph_, id);
    return known->second;
  }

  // The attributes of an object; those of a module by the names that its state dict would have.
  Status WalkState(PickleId state, const Place& place, Section section) {
    if (graph_.kind(state) == PickleKind::kTuple && IsAttributePair(graph_.items(state))) {
      for (const PickleId part : graph_.items(state)) {
        if (graph_.kind(part) == PickleKind::kDict) {
          CKPT_RETURN_IF_ERROR(WalkState(part, place, section));
        }
      }
      return {};
    }
    if (!IsMapping(graph_, state)) return WalkValue(state, place, section);
    const std::vector<PicklePair> pairs = Pairs(graph_, state);
    CKPT_RETURN_IF_ERROR(Spend(pairs.size()));
    if (IsModuleState(graph_, pairs)) return WalkModule(pairs, place, section);
    for (const auto& [key, value] : pairs) {
      CKPT_RETURN_IF_ERROR(WalkPart(value, place, KeyText(graph_, key), section));
    }
    return {};
  }

  // As state_dict() goes: parameters, buffers, then the modules within. What else the object holds
  // is no part of its state.
  Status WalkModule(const std::vector<PicklePair>& pairs, const Place& place, Section section) {
    const Section transient = section == Section::kModel ? Section::kTransient : section;
    const std::set<std::string_view> not_persistent = NonPersistentBuffers(graph_, pairs);
    for (const std::string_view part : kModuleParts) {
      const auto mapping = ValueIn(graph_, pairs, part);
      if (!mapping || !IsMapping(graph_, *mapping)) continue;
      const std::vector<PicklePair> members = Pairs(graph_, *mapping);
      CKPT_RETURN_IF_ERROR(Spend(members.size()));
      CKPT_RETURN_IF_ERROR(CheckKeys(members, PathOf(place)));
      for (const auto& [key, value] : members) {
        const std::string name = KeyText(graph_, key);
        const bool kept = part != kBuffers || !not_persistent.contains(name);
        CKPT_RETURN_IF_ERROR(WalkPart(value, place, name, kept ? section : transient));
      }
    }
    for (const auto& [key, value] : pairs) {
      const std::string name = KeyText(graph_, key);
      const bool part = OneOf(kModuleParts, name) && IsMapping(graph_, value);
      if (!part) CKPT_RETURN_IF_ERROR(WalkChild(value, place, name, transient));
    }
    return {};
  }

  // A child that may be a module without tensors.
  Status WalkPart(PickleId id, const Place& place, std::string_view key, Section section) {
    if (reaches_[id] || section != Section::kModel) return WalkChild(id, place, key, section);
    if (!IsModule(id)) return {};
    return AddModule({"", id, {}}, {place.container, Join(place.rest, key)});
  }

  // A key that stands twice: readers differ in which value they take.
  Status CheckKeys(const std::vector<PicklePair>& pairs, const std::string& path) const {
    std::unordered_set<std::string_view> seen;
    for (const auto& [key, value] : pairs) {
      const PickleKind kind = graph_.kind(key);
      if (kind == PickleKind::kList || kind == PickleKind::kDict || kind == PickleKind::kSet) {
        return Fail(ErrorCode::kCorrupt, "a dict has a key that cannot be one");
      }
      if (kind != PickleKind::kText || seen.insert(graph_.text(key)).second) continue;
      return Fail(Error{ErrorCode::kCorrupt, "a dict of the pickle has this key twice"}.Of(
          Join(path, graph_.text(key))));
    }
    return {};
  }

  Status TooDeep(const std::string& path) const {
    return Fail(Error{ErrorCode::kLimitExceeded,
                      "tensors lie more than " + std::to_string(kMaxDepth) + " levels deep"}
                    .Of(path.substr(0, 200)));
  }

  Status Add(PickleId id, const Place& place, Section section) {
    if (tree_.tensors.size() >= limits_.tensors) {
      return Fail(ErrorCode::kLimitExceeded, "the file has too many tensors");
    }
    NamedTensor tensor;
    tensor.value = id;
    tensor.section = section;
    tensor.of_model = !beside_ && section == Section::kModel;
    tensor.stored_as = PathOf(place);
    if (tensor.stored_as.empty()) tensor.stored_as = "tensor";
    if (tensor.stored_as.size() > limits_.name_bytes) {
      return Fail(ErrorCode::kLimitExceeded,
                  "a name of more than " + std::to_string(limits_.name_bytes) + " bytes");
    }
    CKPT_RETURN_IF_ERROR(TakeName(tensor.stored_as.size()));
    tree_.tensors.push_back(std::move(tensor));
    places_.push_back(place);
    return {};
  }

  // A few bytes of nested containers can spell any number of long names.
  Status TakeName(std::size_t bytes) {
    if (bytes > name_bytes_left_) {
      return Fail(
          Error{.code = ErrorCode::kLimitExceeded,
                .message = "the names of the tensors are together far longer than the pickle",
                .remedy = Remedy::kMoreMemory});
    }
    name_bytes_left_ -= bytes;
    return {};
  }

  // Numbers and short texts at the root: epoch, step, versions.
  void ReadMetadata(const std::vector<PicklePair>& pairs) {
    for (const auto& [key, value] : pairs) {
      if (graph_.kind(key) != PickleKind::kText) continue;
      const PickleKind kind = graph_.kind(value);
      const bool scalar = kind == PickleKind::kInt || kind == PickleKind::kFloat ||
                          kind == PickleKind::kBool || kind == PickleKind::kText;
      if (!scalar || (kind == PickleKind::kText && graph_.text(value).size() > kMaxMetadataText))
        continue;
      tree_.metadata[std::string(graph_.text(key))] = KeyText(graph_, value);
    }
  }

  // {"": {"version": 1}, "bn1": {"version": 2}}
  void ReadModuleVersions(PickleId state_dict) {
    const auto metadata = MetadataOf(graph_, state_dict);
    if (!metadata) return;
    std::string json;
    for (const auto& [module, facts] : Pairs(graph_, *metadata)) {
      const auto version = VersionOf(graph_, module, facts);
      if (!version) continue;
      const auto quoted = QuoteJson(graph_.text(module));
      if (!quoted) continue;
      json += (json.empty() ? "{" : ", ") + *quoted +
              ": {\"version\": " + std::to_string(*version) + "}";
      if (json.size() > kMaxModuleVersions) return;
    }
    if (!json.empty()) tree_.module_versions = json + "}";
  }

  // Of a tensor, or behind them of a module.
  const Place& PlaceAt(std::size_t i) const {
    return i < places_.size() ? places_[i] : modules_[i - places_.size()].place;
  }

  // Takes `prefix` off the names of the containers in which all have it; numbers that an averaged
  // model keeps of itself stand beside it without. True if there was one.
  bool StripShared(std::vector<std::string>& rests, std::string_view prefix) const {
    std::unordered_map<std::string, bool> all;
    for (std::size_t i = 0; i < places_.size(); ++i) {
      if (OneOf(kAverageCounters, rests[i])) continue;
      const bool has = rests[i].starts_with(prefix) && rests[i].size() > prefix.size();
      const auto [entry, added] = all.emplace(places_[i].container, has);
      if (!added) entry->second = entry->second && has;
    }
    bool any = false;
    for (std::size_t i = 0; i < rests.size(); ++i) {
      const auto entry = all.find(PlaceAt(i).container);
      if (entry == all.end() || !entry->second || !rests[i].starts_with(prefix)) continue;
      rests[i].erase(0, prefix.size());
      any = true;
    }
    return any;
  }

  // The weights of ema_pytorch's wrapper, which keeps its averages beside them: their names are
  // those of the model.
  void StripOnlineModel(std::vector<std::string>& rests) const {
    const auto in_model = [&](std::size_t i, std::string_view prefix) {
      return PlaceAt(i).container == tree_.container && rests[i].starts_with(prefix);
    };
    bool averages = false;
    for (std::size_t i = 0; i < rests.size(); ++i) averages = averages || in_model(i, kEmaModel);
    if (!averages) return;
    for (std::size_t i = 0; i < rests.size(); ++i) {
      if (in_model(i, kOnlineModel)) rests[i].erase(0, kOnlineModel.size());
    }
  }

  Status NameAll() {
    std::vector<std::string> rests;
    for (const Place& place : places_) rests.push_back(WithoutWrappers(place.rest));
    // A wrapper's own name is left out only before another one.
    for (const FoundModule& found : modules_) {
      rests.push_back(WithoutWrappers(Join(found.place.rest, kMember)));
    }
    while (StripShared(rests, kParallel)) {
    }
    StripOnlineModel(rests);
    StripShared(rests, kEmaModel);
    NameModules(rests);
    std::unordered_map<std::string, std::size_t> count;
    for (std::size_t i = 0; i < places_.size(); ++i) {
      NamedTensor& tensor = tree_.tensors[i];
      const std::string& rest = rests[i];
      const bool bare = places_[i].container == tree_.container;
      tensor.name = bare ? rest : Join(places_[i].container, rest);
      if (rest.empty()) tensor.name = tensor.stored_as;
      ++count[tensor.name];
    }
    std::unordered_set<std::string> taken;
    for (NamedTensor& tensor : tree_.tensors) {
      if (count[tensor.name] > 1) tensor.name = tensor.stored_as;
      if (!taken.insert(tensor.name).second) {
        return Fail(Error{ErrorCode::kCorrupt, "two tensors would have this name"}.Of(tensor.name));
      }
    }
    return {};
  }

  // The scopes as the names of tensors within have them. Where a wrapper and what it wraps have the
  // same scope, the wrapped one is the module. `rests` has those of the tensors before.
  void NameModules(const std::vector<std::string>& rests) {
    std::unordered_map<std::string, std::size_t> positions;
    for (std::size_t i = 0; i < modules_.size(); ++i) {
      auto& [module, place] = modules_[i];
      const std::string& rest = rests[places_.size() + i];
      const bool bare = place.container == tree_.container;
      const std::string name = bare ? rest : Join(place.container, rest);
      const bool at_root = name.size() == kMember.size();
      module.scope = at_root ? "" : name.substr(0, name.size() - kMember.size() - 1);
      const auto [position, added] = positions.emplace(module.scope, tree_.modules.size());
      if (added) {
        tree_.modules.push_back(std::move(module));
      } else {
        tree_.modules[position->second] = std::move(module);
      }
    }
  }

  const PickleGraph& graph_;
  const Limits& limits_;
  std::uint64_t name_bytes_left_;
  std::vector<bool> reaches_;
  std::uint64_t steps_left_;
  unsigned depth_ = 0;
  bool beside_ = false;         // within something that stands beside the model
  std::vector<PickleId> open_;  // containers from the root to where the walk is
  std::vector<Place> places_;   // of tree_.tensors
  std::vector<FoundModule> modules_;
  std::unordered_map<PickleId, bool> is_module_;
  StateTree tree_;
};

}  // namespace

Result<StateTree> ReadStateTree(const PickleGraph& graph, PickleId root, const Limits& limits,
                                std::uint64_t all_name_bytes) {
  return Walk(graph, limits, all_name_bytes).Run(root);
}

std::vector<std::string> UnknownGlobals(const PickleGraph& graph) {
  std::vector<std::string> names;
  std::unordered_set<std::string_view> seen;
  for (PickleId id = 0; id < graph.size(); ++id) {
    if (graph.kind(id) != PickleKind::kGlobal || IsKnownGlobal(graph.text(id))) continue;
    if (seen.insert(graph.text(id)).second) names.emplace_back(graph.text(id));
  }
  return names;
}

}  // namespace ckpt::formats
