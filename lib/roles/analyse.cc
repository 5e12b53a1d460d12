#include <algorithm>
#include <map>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "ckpt/batch_norm.h"
#include "ckpt/layer_computation.h"
#include "ckpt/op_analysis.h"
#include "roles/averages.h"
#include "roles/batch_norm_layers.h"
#include "roles/framework_defaults.h"
#include "roles/op_layers.h"
#include "roles/recorded_hyperparameters.h"
#include "roles/recorded_modules.h"
#include "roles/scope_words.h"
#include "roles/tensor_name.h"
#include "roles/training_state.h"

namespace ckpt {
namespace {

// Builds an Analysis step by step; a role that was settled by stronger evidence stays.
class Analyser {
 public:
  Analyser(const Manifest& manifest, const AnalysisOptions& options)
      : manifest_(manifest),
        options_(options),
        names_(manifest),
        modules_(manifest),
        settled_(manifest.tensors.size(), false) {
    analysis_.roles.resize(manifest.tensors.size());
  }

  Analysis Run() {
    std::vector<FoundLayer> layers = LayersOfGraph(manifest_);
    for (const FoundLayer& layer : layers) SettleLayer(layer.batch_norm);
    ReadGraphLayers();
    // By operations where no graph of layers knows the tensors.
    std::vector<FoundLayer> of_ops;
    if (manifest_.ops) {
      analysis_.ops = std::make_shared<OpAnalysis>(manifest_.ops);
      of_ops = LayersOfOps(manifest_, *analysis_.ops);
    }
    std::erase_if(of_ops, [&](const FoundLayer& layer) { return Overlaps(layer.batch_norm); });
    std::vector<bool> usable(settled_);
    for (const FoundLayer& layer : of_ops) SettleLayer(layer.batch_norm);
    TakeHelpers(layers);
    ReadTrainingState();
    // Names are read over the tensors of the operations' layers too: helpers and counters have no
    // other link to them.
    for (std::uint32_t i = 0; i < usable.size(); ++i) {
      const bool of_layer = settled_[i] && !usable[i] && IsPartOfBatchNorm(analysis_.roles[i].role);
      usable[i] = !settled_[i] || of_layer;
    }
    for (FoundLayer& layer :
         Joined(std::move(of_ops), LayersByName(manifest_, names_, modules_, usable))) {
      SettleLayer(layer.batch_norm);
      layers.push_back(std::move(layer));
    }
    SettleByName();
    ReadTrainable();
    ReadOptimizerShapes(layers);
    for (FoundLayer& layer : layers) Complete(layer);
    for (TensorRole& role : analysis_.roles) SortByStrength(role.evidence);
    analysis_.framework = manifest_.framework;
    if (!analysis_.framework) analysis_.framework = FrameworkByNames(layers);
    for (FoundLayer& layer : layers) {
      analysis_.batch_norms.push_back(std::move(layer.batch_norm));
    }
    analysis_.step = ChooseStep(manifest_, analysis_.roles);
    return std::move(analysis_);
  }

 private:
  const TensorInfo& Info(TensorId id) const { return manifest_.tensors[id.index]; }

  bool Overlaps(const BatchNorm& norm) const {
    for (const auto& id : {norm.gamma, norm.beta, norm.moving_mean, norm.moving_variance}) {
      if (id && settled_[id->index]) return true;
    }
    return false;
  }

  // Counters and helpers stand beside the statistics of a graph's layer, and no operation reads
  // them at serving.
  void TakeHelpers(std::vector<FoundLayer>& layers) {
    std::map<TensorId, FoundLayer*> by_statistic;
    std::vector<bool> usable(settled_.size());
    for (std::size_t i = 0; i < usable.size(); ++i) usable[i] = !settled_[i];
    for (FoundLayer& layer : layers) {
      const BatchNorm& norm = layer.batch_norm;
      for (const auto& id : {norm.gamma, norm.beta, norm.moving_mean, norm.moving_variance}) {
        if (id) usable[id->index] = true;
      }
      for (const auto& id : {norm.moving_mean, norm.moving_variance}) {
        if (id) by_statistic.emplace(*id, &layer);
      }
    }
    if (by_statistic.empty()) return;
    for (const FoundLayer& named : LayersByName(manifest_, names_, modules_, usable)) {
      for (const auto& id : {named.batch_norm.moving_mean, named.batch_norm.moving_variance}) {
        const auto found = id ? by_statistic.find(*id) : by_statistic.end();
        if (found == by_statistic.end()) continue;
        BatchNorm& norm = found->second->batch_norm;
        if (!norm.batch_counter) norm.batch_counter = named.batch_norm.batch_counter;
        if (norm.extras.empty()) norm.extras = named.batch_norm.extras;
        SettleLayer(norm);
        break;
      }
    }
  }

  static bool IsPartOfBatchNorm(Role role) {
    return role == Role::kGamma || role == Role::kBeta || role == Role::kMovingMean ||
           role == Role::kMovingVariance;
  }

  void Settle(TensorId id, TensorRole role) {
    if (settled_[id.index]) return;
    settled_[id.index] = true;
    analysis_.roles[id.index] = std::move(role);
  }

  void ReadTrainingState() {
    AverageRoles averages = FindAverages(manifest_, names_);
    analysis_.averaged = std::move(averages.model_is_averaged);
    for (std::uint32_t i = 0; i < manifest_.tensors.size(); ++i) {
      if (manifest_.tensors[i].section == Section::kBookkeeping) {
        Settle({i}, {Role::kOther,
                     false,
                     {{EvidenceSource::kFrameworkRecord, "bookkeeping of the file"}},
                     {}});
      } else if (manifest_.tensors[i].section == Section::kTransient) {
        Settle({i}, {Role::kOther,
                     false,
                     {{EvidenceSource::kFrameworkRecord, "no part of the model's state"}},
                     {}});
      } else if (manifest_.tensors[i].section == Section::kConstant) {
        Settle({i},
               {Role::kOther, false, {{EvidenceSource::kGraph, "a constant of the graph"}}, {}});
      } else if (auto role = TrainingRole(manifest_, names_, {i})) {
        Settle({i}, std::move(*role));
      } else if (const auto copy = averages.roles.find(i); copy != averages.roles.end()) {
        Settle({i}, std::move(copy->second));
      }
    }
    if (const auto step = FindUnnamedStep(manifest_, analysis_.roles)) {
      Settle(*step,
             {Role::kStep,
              false,
              {{EvidenceSource::kNaming,
                "the only integer scalar beside optimizer slots, without a name of its own"}},
              {}});
    }
  }

  // Tensors that a graph binds to layers other than batch norms.
  void ReadGraphLayers() {
    if (!manifest_.graph) return;
    for (const Layer& layer : manifest_.graph->layers) {
      if (IsBatchNorm(layer)) continue;
      const bool other_norm = layer.op_type == "Normalization" || SaysOtherNorm(layer.op_type);
      const bool of_others = MayHandTensorsOn(layer);
      const bool scale = ScalesChannels(layer);
      if (of_others && !other_norm && !scale) continue;
      for (const auto& [name, id] : layer.tensors) {
        // Nothing says that a scale and an offset were trained: statistics may be in them.
        const std::optional<bool> trainable =
            scale ? std::nullopt : std::optional(!name.starts_with("moving_"));
        Settle(id, {RoleOfLeaf(name, Info(id)),
                    trainable,
                    {{EvidenceSource::kFrameworkRecord, manifest_.graph->source + ": " + name +
                                                            " of the " + layer.op_type + " \"" +
                                                            layer.name + '"'}},
                    {}});
      }
    }
  }

  void SettleLayer(const BatchNorm& norm) {
    const auto settle = [&](const std::optional<TensorId>& id, Role role) {
      if (!id) return;
      TensorRole result{role, {}, norm.evidence, {}};
      if (role != Role::kGamma && role != Role::kBeta) {
        result.trainable = false;
      } else if (norm.layer) {
        result.trainable = true;
      }
      Settle(*id, std::move(result));
    };
    settle(norm.gamma, Role::kGamma);
    settle(norm.beta, Role::kBeta);
    settle(norm.moving_mean, Role::kMovingMean);
    settle(norm.moving_variance, Role::kMovingVariance);
    settle(norm.batch_counter, Role::kBatchCounter);
    for (const TensorId extra : norm.extras) settle(extra, Role::kBnExtra);
  }

  void SettleByName() {
    for (std::uint32_t i = 0; i < manifest_.tensors.size(); ++i) {
      if (settled_[i]) continue;
      const TensorInfo& info = manifest_.tensors[i];
      const ParsedName parsed = ParseName(info.name);
      const std::string_view last = Components(info.name).back();
      const Role role = parsed.leaf == nullptr ? RoleOfLeaf(last, info) : RoleOfPart(parsed, info);
      if (role == Role::kOther) continue;
      Settle({i}, {role, {}, {{EvidenceSource::kNaming, "name ends in " + std::string(last)}}, {}});
      if (role == Role::kMovingMean || role == Role::kMovingVariance) {
        analysis_.roles[i].trainable = false;
      }
    }
  }

  static Role RoleOfPart(const ParsedName& parsed, const TensorInfo& info) {
    if (parsed.of_statistic) return Role::kBnExtra;
    switch (parsed.leaf->part) {
      case Part::kGamma:
        return parsed.leaf->leaf == "gamma" ? Role::kGamma : Role::kOther;
      case Part::kBeta:
        return parsed.leaf->leaf == "beta" ? Role::kBeta : Role::kOther;
      // Distinctive names only: "mean" and "sigma" are many things outside a batch norm.
      case Part::kMean:
        return parsed.leaf->joinable ? Role::kMovingMean : Role::kOther;
      case Part::kVariance:
        return parsed.leaf->joinable ? Role::kMovingVariance : Role::kOther;
      case Part::kExtra:
        return Role::kBnExtra;
      case Part::kCounter:
        return Role::kBatchCounter;
      case Part::kKernel:
        if (info.shape.rank() >= 2) return Role::kKernel;
        return SaysNorm(parsed.scope) ? Role::kGamma : Role::kOther;
      case Part::kBias:
        return SaysNorm(parsed.scope) ? Role::kBeta : Role::kBias;
    }
    return Role::kOther;
  }

  static bool SaysNorm(std::string_view scope) {
    const std::string_view last = Components(scope).back();
    return SaysOtherNorm(last) || last.find("norm") != std::string_view::npos;
  }

  // By the words in a name that no table knows: "kernelExtra0", "shortcutWeights", "fc_bias".
  static Role RoleOfLeaf(std::string_view name, const TensorInfo& info) {
    if (const Leaf* leaf = FindLeaf(name)) return RoleOfPart({{}, leaf}, info);
    const auto contains = [&](std::string_view word) {
      return name.find(word) != std::string_view::npos;
    };
    const bool weights = contains("kernel") || contains("weight") || contains("Weight");
    if (weights && info.shape.rank() >= 2) return Role::kKernel;
    if (contains("bias") && info.shape.rank() >= 1) return Role::kBias;
    return Role::kOther;
  }

  // Recorded flags first, then slots: a variable that has them was trained.
  void ReadTrainable() {
    for (std::uint32_t i = 0; i < manifest_.tensors.size(); ++i) {
      const TensorRole& slot = analysis_.roles[i];
      if (slot.role != Role::kOptimizerSlot || !slot.of) continue;
      TensorRole& owner = analysis_.roles[slot.of->index];
      if (owner.role == Role::kOptimizerSlot || owner.role == Role::kEmaShadow) continue;
      if (HasSlots(owner)) continue;
      owner.trainable = true;
      owner.evidence.push_back(
          {EvidenceSource::kSlots, "has the optimizer slot \"" + manifest_.tensors[i].name + '"'});
    }
    for (RecordedTrainable& recorded : TrainableByOps(manifest_)) {
      TensorRole& role = analysis_.roles[recorded.tensor.index];
      role.trainable = recorded.trainable;
      role.evidence.insert(role.evidence.begin(), std::move(recorded.evidence));
    }
    for (std::uint32_t i = 0; i < manifest_.tensors.size(); ++i) {
      if (!manifest_.tensors[i].trainable) continue;
      analysis_.roles[i].trainable = manifest_.tensors[i].trainable;
      analysis_.roles[i].evidence.insert(
          analysis_.roles[i].evidence.begin(),
          {EvidenceSource::kFrameworkRecord, "the file records the trainable flag"});
    }
  }

  // What the optimizer keeps nothing for was not trained, and where it keeps as much for every
  // weight, all were.
  void ReadOptimizerShapes(std::vector<FoundLayer>& layers) {
    if (manifest_.framework != Framework::kKeras) return;  // elsewhere statistics move all the same
    const OptimizerShapes shapes(manifest_, analysis_.roles);
    for (FoundLayer& layer : layers) {
      BatchNorm& norm = layer.batch_norm;
      std::vector<TensorId> weights;
      for (const auto& id : {norm.gamma, norm.beta}) {
        if (id) weights.push_back(*id);
      }
      for (const TensorId id : weights) {
        if (shapes.CoverAll()) {
          analysis_.roles[id.index].evidence.push_back(
              {EvidenceSource::kSlots, "the optimizer keeps as much for every weight"});
        }
      }
      const bool lacking = std::all_of(weights.begin(), weights.end(),
                                       [&](TensorId id) { return shapes.Lack(Info(id).shape); });
      if (norm.layer || weights.empty() || !lacking) continue;
      norm.frozen = true;
      norm.evidence.push_back({EvidenceSource::kSlots,
                               "the optimizer keeps nothing of the shape of its gamma and beta"});
    }
  }

  static bool HasSlots(const TensorRole& role) {
    return std::any_of(role.evidence.begin(), role.evidence.end(), [](const Evidence& evidence) {
      return evidence.source == EvidenceSource::kSlots;
    });
  }

  static void SortByStrength(std::vector<Evidence>& evidence) {
    std::stable_sort(evidence.begin(), evidence.end(),
                     [](const Evidence& a, const Evidence& b) { return a.source < b.source; });
  }

  void Complete(FoundLayer& found) {
    BatchNorm& norm = found.batch_norm;
    SetChannels(manifest_, norm);
    for (const auto& id : {norm.gamma, norm.beta}) {
      if (id && HasSlots(analysis_.roles[id->index])) {
        norm.evidence.push_back(
            {EvidenceSource::kSlots, '"' + Info(*id).name + "\" has optimizer slots"});
      }
    }
    SortByStrength(norm.evidence);
    if (norm.moving_variance && found.convention != nullptr &&
        found.convention->variance == "running_std") {
      norm.spread = KerasOneSpread(manifest_);
    }
    ReadModule(modules_, norm);
    if (!norm.cumulative) norm.cumulative = InAveragedModel(names_, norm.scope);
    const RecordedHyperparameters recorded = RecordedFor(manifest_, norm.scope);
    const auto known = [](const std::optional<SourcedNumber>& number) {
      return number && number->evidence.source != EvidenceSource::kDefault;
    };
    if (!norm.epsilon && known(recorded.epsilon)) norm.epsilon = recorded.epsilon;
    if (!norm.momentum && known(recorded.momentum)) norm.momentum = recorded.momentum;
    if (!norm.epsilon && options_.epsilon) {
      norm.epsilon = {*options_.epsilon, {EvidenceSource::kUser, "what was given"}};
    }
    if (!norm.momentum && options_.momentum) {
      norm.momentum = {*options_.momentum, {EvidenceSource::kUser, "what was given"}};
    }
    if (!norm.epsilon) norm.epsilon = recorded.epsilon;
    if (!norm.momentum) norm.momentum = recorded.momentum;
    if (found.convention == nullptr) return;
    const auto defaults = FrameworkDefaults(manifest_, *found.convention, norm);
    if (!defaults) return;
    const Evidence evidence{EvidenceSource::kDefault, defaults->detail};
    if (!norm.epsilon) norm.epsilon = {defaults->epsilon, evidence};
    if (!norm.momentum && defaults->decay) norm.momentum = {*defaults->decay, evidence};
  }

  static std::optional<Framework> FrameworkByNames(const std::vector<FoundLayer>& layers) {
    std::optional<Framework> framework;
    for (const FoundLayer& layer : layers) {
      if (layer.convention == nullptr) continue;
      if (!layer.convention->framework) return std::nullopt;
      if (framework && framework != layer.convention->framework) return std::nullopt;
      framework = layer.convention->framework;
    }
    return framework;
  }

  const Manifest& manifest_;
  const AnalysisOptions& options_;
  const NameIndex names_;
  const ModuleIndex modules_;
  std::vector<bool> settled_;
  Analysis analysis_;
};

}  // namespace

Analysis Analyse(const Manifest& manifest, const AnalysisOptions& options) {
  return Analyser(manifest, options).Run();
}

}  // namespace ckpt
