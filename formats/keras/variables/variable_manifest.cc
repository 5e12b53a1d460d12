#include "formats/keras/variables/variable_manifest.h"

#include <algorithm>
#include <map>
#include <numeric>
#include <optional>
#include <unordered_map>
#include <unordered_set>

#include "ckpt/layer_computation.h"
#include "formats/keras/model/variable_names.h"
#include "formats/keras/variables/optimizer_order.h"
#include "formats/keras/variables/trainable_order.h"

namespace ckpt::formats::keras {
namespace {

// The name of the layer that a TimeDistributed wraps.
std::string WrappedName(const LayerRecord& record) {
  const Json* wrapped = Find(*Find(*record.entry, "config"), "layer");
  const Json* config = wrapped ? Find(*wrapped, "config") : nullptr;
  const Json* name = config ? Find(*config, "name") : nullptr;
  return name && name->is_string() ? name->get<std::string>() : std::string();
}

// A weight's own name in this generation of Keras.
std::string NameInFile(const std::string& weight, const LayerFacts& facts, int keras_major) {
  if (weight != "kernel" || !facts.has_known_class) return weight;
  const bool renamed = keras_major >= 3 && facts.kernel_name == "depthwise_kernel";
  return renamed ? weight : std::string(facts.kernel_name);
}

constexpr std::string_view kInnerOptimizer = "optimizer/inner_optimizer";

class VariableDescriber {
 public:
  VariableDescriber(const VariableStore& store, const std::vector<std::string>& paths,
                    ModelConfig* config, int keras_major)
      : store_(store), paths_(paths), config_(config), keras_major_(keras_major) {
    layout_.old_layers = store.old_layers;
    // One that scales the loss wraps the one that counts and keeps the slots.
    if (store.Find(kInnerOptimizer)) optimizer_path_ = kInnerOptimizer;
  }

  VariableManifest Describe() {
    if (config_) ReadConfig();
    for (const VariableGroup& group : store_.groups) AddGroup(group);
    for (const StoredDataset& other : store_.others) AddOther(other);
    Sort();
    if (config_) BindLayers();
    LinkOptimizer();
    result_.manifest.documents.push_back(
        {std::string(kVariableLayoutDocument), VariableLayoutText(layout_)});
    Report();
    return std::move(result_);
  }

 private:
  Manifest& manifest() { return result_.manifest; }
  const std::vector<TensorInfo>& manifest_tensors() const { return result_.manifest.tensors; }

  void ReadConfig() {
    group_paths_ = FindGroupPaths(*config_, keras_major_);
    for (const GroupPath& layer : group_paths_.layers) {
      const VariableGroup* group = store_.Find(layer.path);
      if (!layer.shared && group && group->name && *group->name != layer.name) {
        manifest().metadata["model_config"] = "not used: it calls the layer at " + layer.path +
                                              " \"" + layer.name + "\", the weights call it \"" +
                                              *group->name + "\"";
        config_ = nullptr;
        return;
      }
    }
    for (LayerId id = 0; id < config_->layers.size(); ++id) {
      const std::string& path = group_paths_.OfLayer(config_->graph.layers[id].name);
      if (!path.empty()) owners_.emplace(path, id);  // the first of those that share it
    }
  }

  // The layer of the config whose group this is, or is below.
  std::optional<LayerId> OwnerOf(const std::string& path) const {
    for (std::string top = path; !top.empty();) {
      const auto owner = owners_.find(top);
      if (owner != owners_.end()) return owner->second;
      const std::size_t slash = top.rfind('/');
      top = slash == std::string::npos ? "" : top.substr(0, slash);
    }
    return std::nullopt;
  }

  static std::vector<Shape> ShapesOf(const VariableGroup& group) {
    std::vector<Shape> shapes;
    for (const StoredVariable& variable : group.variables) {
      shapes.push_back(variable.dataset.object->shape);
    }
    return shapes;
  }

  static bool IsOfTraining(std::string_view path) {
    return IsBelow(path, "optimizer") || IsBelow(path, "metrics") || IsBelow(path, "_metrics");
  }

  // What the variables of a group are called, and the layer that owns them.
  struct GroupNames {
    std::string scope;
    std::vector<std::string> locals;
    std::optional<LayerId> layer = {};
    std::vector<std::string> weights = {};  // in ckpt::Layer::tensors
    Section section = Section::kModel;
  };

  void AddGroup(const VariableGroup& group) {
    const GroupNames names = NamesOf(group);
    LayoutGroup& layout = layout_.groups.emplace_back();
    layout.path = group.path;
    layout.name = group.name;
    for (std::size_t i = 0; i < group.variables.size(); ++i) {
      const StoredVariable& variable = group.variables[i];
      TensorInfo info;
      info.name = names.scope + (names.scope.empty() ? "" : "/") + names.locals[i];
      info.section = names.section;
      if (!names.scope.empty()) {
        info.owner = names.scope;
        info.local_name = names.locals[i];
      }
      if (!names.layer) UseRecordedName(*variable.dataset.object, info);
      if (group.path == optimizer_path_ && IsIteration(variable)) info.local_name = "iteration";
      const std::string name = AddTensor(std::move(info), variable.dataset);
      layout.variables.push_back({variable.key, name});
      if (group.path == optimizer_path_) optimizer_.push_back(name);
      if (names.layer) bound_.push_back({*names.layer, names.weights[i], name});
    }
    CheckKeys(group, names);
  }

  // The first variable that every optimizer makes: base_optimizer.py of Keras 3, optimizer.py of
  // 2.12 to 2.15.
  static bool IsIteration(const StoredVariable& variable) {
    const Hdf5Object& object = *variable.dataset.object;
    return variable.key == "0" && object.shape.rank() == 0 && object.dtype &&
           IsReal(*object.dtype) && !IsFloat(*object.dtype);
  }

  // This program writes a variable's name beside it.
  static void UseRecordedName(const Hdf5Object& object, TensorInfo& info) {
    const Hdf5Attribute* attribute = object.FindAttribute("name");
    if (!attribute || !attribute->text() || attribute->text()->empty()) return;
    info.name = *attribute->text();
    const std::size_t slash = info.name.rfind('/');
    info.owner = slash == std::string::npos ? "" : info.name.substr(0, slash);
    info.local_name = slash == std::string::npos ? "" : info.name.substr(slash + 1);
  }

  GroupNames NamesOf(const VariableGroup& group) {
    const std::string& path = group.path;
    if (IsOfTraining(path)) {
      return Numbered(group, group.stored_path(),
                      IsBelow(path, "optimizer") ? Section::kOptimizer : Section::kBookkeeping);
    }
    if (config_) {
      if (const auto layer = OwnerOf(path)) return NamesByConfig(group, path, *layer);
    }
    return NamesByFile(group, path);
  }

  static GroupNames Numbered(const VariableGroup& group, std::string scope, Section section) {
    GroupNames names{std::move(scope), {}};
    names.section = section;
    for (const StoredVariable& variable : group.variables) names.locals.push_back(variable.key);
    return names;
  }

  GroupNames NamesByConfig(const VariableGroup& group, const std::string& path, LayerId id) const {
    const ConfigLayer& layer = config_->layers[id];
    const std::string& top = group_paths_.OfLayer(config_->graph.layers[id].name);
    const bool wrapped = layer.record->class_name == "TimeDistributed";
    std::string inside = path == top ? "" : path.substr(top.size() + 1);
    GroupNames names{config_->graph.layers[id].name, {}, id};
    const bool own = wrapped ? inside == "layer" : inside.empty();
    if (wrapped && own) {
      if (keras_major_ >= 3) names.scope += "/" + WrappedName(*layer.record);
      inside.clear();
    }
    if (!inside.empty()) {
      std::string below = NamesBelow(top, path);
      names.scope += "/" + below;
      inside = below + "/";
    }
    const auto& expected = WeightsOf(layer.facts, group);
    std::vector<std::string> by_class;
    if (!own || !expected) by_class = LocalsByClass(group, path);
    for (std::size_t i = 0; i < group.variables.size(); ++i) {
      if (own && expected && i < expected->size() && group.variables[i].key == std::to_string(i)) {
        const std::string& weight = (*expected)[i].name;
        names.weights.push_back(weight);
        names.locals.push_back(NameInFile(weight, layer.facts, keras_major_));
        continue;
      }
      names.locals.push_back(i < by_class.size() && !by_class[i].empty() ? by_class[i]
                                                                         : group.variables[i].key);
      names.weights.push_back(own && expected ? "" : inside + names.locals.back());
    }
    return names;
  }

  // Of a class that extends another, where there are as many as that one has.
  static std::optional<std::vector<ExpectedWeight>> WeightsOf(const LayerFacts& facts,
                                                              const VariableGroup& group) {
    if (facts.weights) return facts.weights;
    const bool fits = !facts.inherited.empty() &&
                      group.variables.size() == facts.inherited.size() &&
                      AllVectorsOfOneLength(ShapesOf(group));
    return fits ? std::optional(facts.inherited) : std::nullopt;
  }

  // The names of the objects on the way from `top` to `path`, else what the way itself says.
  std::string NamesBelow(const std::string& top, const std::string& path) const {
    std::string at = top, scope;
    for (const std::string& part : PathParts(path.substr(top.empty() ? 0 : top.size() + 1))) {
      at += (at.empty() ? "" : "/") + part;
      const VariableGroup* group = store_.Find(at);
      scope += (scope.empty() ? "" : "/") + (group && group->name ? *group->name : part);
    }
    return scope;
  }

  GroupNames NamesByFile(const VariableGroup& group, const std::string& path) {
    GroupNames names;
    if (group.name && !path.empty()) {
      // What has no name on the way is a container.
      std::string at;
      for (const std::string& part : PathParts(path)) {
        at += (at.empty() ? "" : "/") + part;
        const VariableGroup* object = store_.Find(at);
        if (object && object->name) names.scope += (names.scope.empty() ? "" : "/") + *object->name;
      }
    } else {
      names.scope = path;
      unnamed_ = unnamed_ || (!path.empty() && !group.variables.empty());
    }
    const std::vector<std::string> by_class = LocalsByClass(group, path);
    for (std::size_t i = 0; i < group.variables.size(); ++i) {
      const bool known = i < by_class.size() && !by_class[i].empty();
      names.locals.push_back(known ? by_class[i] : group.variables[i].key);
    }
    by_class_ = by_class_ || !by_class.empty();
    return names;
  }

  // By the class that the path or an automatic name tells; a name with "bn" in it and four vectors
  // of one length are a batch norm.
  static std::vector<std::string> LocalsByClass(const VariableGroup& group,
                                                const std::string& path) {
    for (std::size_t i = 0; i < group.variables.size(); ++i) {
      if (group.variables[i].key != std::to_string(i)) return {};
    }
    const std::vector<Shape> shapes = ShapesOf(group);
    const std::string_view last = std::string_view(path).substr(path.rfind('/') + 1);
    std::vector<std::string> names = VariableNamesOfClass(WithoutCounter(last), shapes);
    if (names.empty() && group.name) {
      names = VariableNamesOfClass(WithoutCounter(*group.name), shapes);
    }
    if (const std::vector<std::string> parts = PathParts(path);
        names.empty() && last == "cell" && parts.size() > 1) {
      // A recurrent layer calls its cell so.
      const std::string_view layer = WithoutCounter(parts[parts.size() - 2]);
      names = VariableNamesOfClass(std::string(layer) + "_cell", shapes);
    }
    // No other layer of Keras has four vectors of one length and is wrapped.
    const bool wrapped = last == "layer" && path.find("time_distributed") != std::string::npos;
    const bool batch_norm =
        wrapped || NamesBatchNorm(last) || (group.name && NamesBatchNorm(*group.name));
    if (names.empty() && batch_norm && shapes.size() == 4) {
      names = VariableNamesOfClass("batch_normalization", shapes);
    }
    return names;
  }

  void CheckKeys(const VariableGroup& group, const GroupNames& names) {
    if (!names.layer || names.weights.empty()) return;
    const auto& expected = config_->layers[*names.layer].facts.weights;
    if (!expected || group.variables.size() <= expected->size()) return;
    if (std::none_of(names.weights.begin(), names.weights.end(),
                     [](const std::string& weight) { return weight.empty(); })) {
      return;
    }
    AddProblem(ErrorCode::kCorrupt,
               "holds " + std::to_string(group.variables.size()) + " variables where the layer \"" +
                   names.scope + "\" of the config has " + std::to_string(expected->size()),
               group.stored_path());
  }

  void AddOther(const StoredDataset& other) {
    TensorInfo info;
    info.name = other.object->path.substr(1);
    const std::string name = AddTensor(std::move(info), other);
    layout_.others.push_back({other.object->path.substr(1), name});
  }

  // A name that no other tensor has.
  std::string AddTensor(TensorInfo info, const StoredDataset& dataset) {
    const Hdf5Object& object = *dataset.object;
    info.stored_as = object.path.substr(1);
    if (taken_.contains(info.name)) {
      info.name = info.stored_as;
      info.owner.clear();
      info.local_name.clear();
    }
    const std::string base = info.name;
    for (int i = 2; !taken_.insert(info.name).second; ++i) {
      info.name = base + "_" + std::to_string(i);
    }
    info.dtype = object.dtype.value_or(Dtype::kVoid);
    info.shape = object.shape;
    info.byte_size = object.byte_size;
    info.data_file = paths_[dataset.file];
    info.data_present = object.unsupported.empty();
    manifest().tensors.push_back(info);
    result_.datasets.push_back(dataset);
    return info.name;
  }

  void AddProblem(ErrorCode code, std::string message, std::string tensor,
                  std::vector<TensorId> ids = {}) {
    manifest().problems.push_back(
        {Error{code, std::move(message)}.In(paths_.empty() ? "" : paths_[0]).Of(std::move(tensor)),
         std::move(ids)});
  }

  void Sort() {
    std::vector<std::size_t> order(manifest().tensors.size());
    std::iota(order.begin(), order.end(), std::size_t{0});
    std::sort(order.begin(), order.end(), [this](std::size_t a, std::size_t b) {
      return manifest().tensors[a].name < manifest().tensors[b].name;
    });
    std::vector<TensorInfo> tensors;
    std::vector<StoredDataset> datasets;
    for (const std::size_t i : order) {
      const TensorId id{static_cast<std::uint32_t>(tensors.size())};
      ids_.emplace(manifest().tensors[i].name, id);
      tensors.push_back(std::move(manifest().tensors[i]));
      datasets.push_back(result_.datasets[i]);
      const std::string& unsupported = datasets.back().object->unsupported;
      if (!unsupported.empty()) {
        AddProblem(ErrorCode::kUnsupported, "the dataset " + unsupported, tensors.back().name,
                   {id});
      }
    }
    manifest().tensors = std::move(tensors);
    result_.datasets = std::move(datasets);
  }

  void BindLayers() {
    ModelGraph& graph = config_->graph;
    for (const Bound& bound : bound_) {
      if (bound.weight.empty()) continue;
      graph.layers[bound.layer].tensors.emplace(bound.weight, ids_.at(bound.tensor));
    }
    for (const GroupPath& layer : group_paths_.layers) {
      const auto id = layer.shared ? graph.FindLayer(layer.layer) : std::nullopt;
      const auto owner = owners_.find(layer.path);
      if (id && owner != owners_.end())
        graph.layers[*id].tensors = graph.layers[owner->second].tensors;
    }
    for (LayerId id = 0; id < config_->layers.size(); ++id) {
      const auto& expected = config_->layers[id].facts.weights;
      if (!expected) continue;
      for (const ExpectedWeight& weight : *expected) {
        Layer& layer = graph.layers[id];
        if (!layer.tensors.contains(weight.name)) layer.missing_tensors.push_back(weight.name);
      }
    }
  }

  void LinkOptimizer() {
    StoredOptimizer optimizer;
    for (const std::string& name : optimizer_) optimizer.variables.push_back(ids_.at(name));
    const VariableGroup* group = store_.Find(optimizer_path_);
    if (group && group->name) optimizer.name = *group->name;
    auto trainable = config_ ? TrainableVariables(*config_) : std::nullopt;
    if (!trainable && !optimizer.variables.empty()) {
      trainable = TrainableVariablesBySlots(TrainableGroups(), optimizer, manifest().tensors);
    }
    const auto averages = config_ ? AveragesWeights(*config_) : std::nullopt;
    if (trainable) {
      slots_ = LinkOptimizerSlots(*trainable, averages, optimizer, manifest().tensors);
    }
    if (config_) manifest().graph = std::move(config_->graph);
  }

  // Layers of a config stand in its order, whatever the file counts.
  std::vector<TrainableGroup> TrainableGroups() const {
    std::map<std::string, TrainableGroup> groups;
    for (const LayoutGroup& group : layout_.groups) {
      TrainableGroup trained{group.path};
      const auto owner = config_ ? OwnerOf(group.path) : std::nullopt;
      bool frozen = false;
      if (owner) {
        const Layer& layer = config_->graph.layers[*owner];
        const std::string& top = group_paths_.OfLayer(layer.name);
        trained.path = "layers/layer_" + std::to_string(*owner) + group.path.substr(top.size());
        frozen = !layer.trainable;
      }
      for (const LayoutVariable& variable : group.variables) {
        const TensorId id = ids_.at(variable.tensor);
        const TensorInfo& info = manifest_tensors()[id.index];
        if (!frozen && IsFloat(info.dtype) && !IsStatistic(info.local_name)) {
          trained.variables.push_back(id);
        }
      }
      if (!IsOfTraining(group.path)) groups.emplace(trained.path, std::move(trained));
    }
    std::vector<TrainableGroup> sorted;
    for (auto& [path, group] : groups) sorted.push_back(std::move(group));
    return sorted;
  }

  void Report() {
    const auto add = [this](const std::string& note) {
      manifest().note += (manifest().note.empty() ? "" : "; ") + note;
    };
    if (unnamed_) add("the file records no layer names; its groups are counted by class");
    if (by_class_) {
      add("the variables are numbered; their names follow from the class of their layer");
    }
    if (slots_ == SlotReading::kAmbiguous) {
      add("the optimizer's first variable of each weight is a slot or the weight's average "
          "(use_ema), which the file does not tell");
    }
  }

  struct Bound {
    LayerId layer;
    std::string weight;
    std::string tensor;
  };

  const VariableStore& store_;
  const std::vector<std::string>& paths_;
  ModelConfig* config_;
  int keras_major_;
  GroupPaths group_paths_;
  std::unordered_map<std::string, LayerId> owners_;  // by path
  VariableLayout layout_;
  VariableManifest result_;
  std::vector<Bound> bound_;
  std::string_view optimizer_path_ = "optimizer";
  std::vector<std::string> optimizer_;  // its variables, in their order
  SlotReading slots_ = SlotReading::kNone;
  std::unordered_set<std::string> taken_;
  std::unordered_map<std::string, TensorId> ids_;
  bool unnamed_ = false, by_class_ = false;
};

}  // namespace

VariableManifest DescribeVariables(const VariableStore& store,
                                   const std::vector<std::string>& paths, ModelConfig* config,
                                   int keras_major) {
  return VariableDescriber(store, paths, config, keras_major).Describe();
}

}  // namespace ckpt::formats::keras
