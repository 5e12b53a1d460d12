#include "roles/op_layers.h"

#include <algorithm>
#include <iterator>
#include <map>
#include <set>
#include <string>
#include <utility>

#include "ckpt/elements.h"
#include "ckpt/op_analysis.h"

namespace ckpt {
namespace {

using TensorSlot = std::optional<TensorId> BatchNorm::*;
constexpr TensorSlot kSlots[] = {&BatchNorm::gamma, &BatchNorm::beta, &BatchNorm::moving_mean,
                                 &BatchNorm::moving_variance};

// Layers that share one tensor and are looked at: the work stays linear.
constexpr std::ptrdiff_t kMaxSharing = 64;

std::string_view FormName(OpBatchNormForm form) {
  switch (form) {
    case OpBatchNormForm::kFused:
      return "FusedBatchNorm";
    case OpBatchNormForm::kUnfused:
      return "tf.nn.batch_normalization";
    case OpBatchNormForm::kWrittenOut:
      return "gamma * (x - mean) / sqrt(variance + epsilon) + beta";
    case OpBatchNormForm::kGlobal:
      return "BatchNormWithGlobalNormalization";
  }
  return "";
}

class OpLayerReader {
 public:
  OpLayerReader(const Manifest& manifest, const OpAnalysis& ops)
      : manifest_(manifest), ops_(ops), bodies_(ops.bodies), variables_(ops.variables) {}

  std::vector<FoundLayer> Read() {
    for (std::size_t i = 0; i < ops_.found.norms.size(); ++i) {
      const OpBatchNorm& norm = ops_.found.norms[i];
      BatchNorm layer;
      layer.gamma = Of(norm.gamma);
      layer.beta = Of(norm.beta);
      layer.moving_mean = norm.moving_mean.empty() ? Of(norm.mean) : Named(norm.moving_mean);
      layer.moving_variance =
          norm.moving_variance.empty() ? Of(norm.variance) : Named(norm.moving_variance);
      const bool none = std::none_of(std::begin(kSlots), std::end(kSlots),
                                     [&](TensorSlot slot) { return (layer.*slot).has_value(); });
      if (!none) Merge(norm, Trains(i), std::move(layer));
    }
    return std::move(layers_);
  }

 private:
  // On the path of a graph that serves, whatever a phase is fed.
  bool Trains(std::size_t norm) const {
    const std::vector<std::size_t>& norms = ops_.serving.training_norms;  // ascending
    return ops_.serves && std::binary_search(norms.begin(), norms.end(), norm);
  }

  std::optional<TensorId> Named(const std::string& name) const {
    if (const OpVariable* variable = variables_.Find(name)) return TensorOf(manifest_, *variable);
    return FindTensor(manifest_, name);
  }

  std::optional<TensorId> Of(const OpBatchNormVector& vector) const {
    if (vector.kind == OpBatchNormVector::Kind::kVariable) return Named(vector.variable);
    if (vector.kind != OpBatchNormVector::Kind::kConstant || !vector.origin) return std::nullopt;
    return bodies_.op(*vector.origin).tensor;
  }

  // The layer that has one of these tensors already, and no other one in the same place: two batch
  // norms may share a gamma, as constants of frozen graphs do, and are two all the same.
  FoundLayer* Known(const BatchNorm& layer) {
    for (const TensorSlot slot : kSlots) {
      if (!(layer.*slot)) continue;
      const auto [first, last] = by_tensor_.equal_range(*(layer.*slot));
      for (auto it = first; it != last; ++it) {
        if (Agree(layers_[it->second].batch_norm, layer)) return &layers_[it->second];
      }
    }
    return nullptr;
  }

  static bool Agree(const BatchNorm& a, const BatchNorm& b) {
    return std::all_of(std::begin(kSlots), std::end(kSlots), [&](TensorSlot slot) {
      return !(a.*slot) || !(b.*slot) || *(a.*slot) == *(b.*slot);
    });
  }

  void Merge(const OpBatchNorm& norm, bool trains, BatchNorm layer) {
    FoundLayer* known = Known(layer);
    if (known == nullptr) {
      layer.certain = true;
      layer.evidence.push_back(
          {EvidenceSource::kGraph, manifest_.ops->source + ": " + std::string(FormName(norm.form)) +
                                       " \"" + bodies_.Describe({norm.body, norm.output}) + '"'});
      layers_.push_back({std::move(layer)});
      known = &layers_.back();
    } else {
      for (const TensorSlot slot : kSlots) {
        if (!(known->batch_norm.*slot)) known->batch_norm.*slot = layer.*slot;
      }
    }
    const std::size_t index = static_cast<std::size_t>(known - layers_.data());
    BatchNorm& merged = known->batch_norm;
    for (const TensorSlot slot : kSlots) {
      if (!(merged.*slot)) continue;
      const auto [first, last] = by_tensor_.equal_range(*(merged.*slot));
      const bool there =
          std::any_of(first, last, [&](const auto& entry) { return entry.second == index; });
      if (!there && std::distance(first, last) < kMaxSharing)
        by_tensor_.emplace(*(merged.*slot), index);
    }
    if (trains && merged.training_mode.empty()) {
      merged.training_mode =
          '"' + bodies_.Describe({norm.body, norm.output}) + "\" is in training mode";
    }
    const Evidence evidence{EvidenceSource::kGraph, manifest_.ops->source};
    if (!merged.epsilon && (norm.epsilon_recorded || norm.form == OpBatchNormForm::kFused)) {
      merged.epsilon = {norm.epsilon, evidence};
    }
    if (!merged.momentum && norm.momentum) merged.momentum = {*norm.momentum, evidence};
    FinishOpLayer(manifest_, *known, bodies_.Describe({norm.body, norm.output}));
  }

  const Manifest& manifest_;
  const OpAnalysis& ops_;
  const OpBodies& bodies_;
  const OpVariables& variables_;
  std::vector<FoundLayer> layers_ = {};
  std::multimap<TensorId, std::size_t> by_tensor_ = {};
};

}  // namespace

std::optional<TensorId> TensorOf(const Manifest& manifest, const OpVariable& variable) {
  if (!variable.checkpoint_key.empty()) {
    if (const auto id = FindTensor(manifest, variable.checkpoint_key)) return id;
  }
  if (!variable.full_name.empty()) {
    if (const auto id = FindTensor(manifest, variable.full_name)) return id;
  }
  return FindTensor(manifest, variable.name);
}

std::vector<FoundLayer> LayersOfOps(const Manifest& manifest, const OpAnalysis& ops) {
  return OpLayerReader(manifest, ops).Read();
}

std::vector<FoundLayer> Joined(std::vector<FoundLayer> ops, std::vector<FoundLayer> named) {
  std::map<TensorId, std::size_t> by_tensor;
  for (std::size_t i = 0; i < ops.size(); ++i) {
    for (const TensorSlot slot : kSlots) {
      if (ops[i].batch_norm.*slot) by_tensor.emplace(*(ops[i].batch_norm.*slot), i);
    }
  }
  for (FoundLayer& layer : named) {
    BatchNorm& other = layer.batch_norm;
    std::set<std::size_t> shared;
    for (const TensorSlot slot : kSlots) {
      const auto found = other.*slot ? by_tensor.find(*(other.*slot)) : by_tensor.end();
      if (found != by_tensor.end()) shared.insert(found->second);
    }
    if (shared.empty()) {
      ops.push_back(std::move(layer));
      continue;
    }
    if (shared.size() > 1) continue;  // the graph knows better than a misleading name
    FoundLayer& graph_layer = ops[*shared.begin()];
    BatchNorm& norm = graph_layer.batch_norm;
    for (const TensorSlot slot : kSlots) {
      const bool taken = other.*slot && by_tensor.count(*(other.*slot)) != 0;
      if (!(norm.*slot) && !taken) norm.*slot = other.*slot;
    }
    if (norm.extras.empty()) norm.extras = std::move(other.extras);
    if (!norm.batch_counter) norm.batch_counter = other.batch_counter;
    if (graph_layer.convention == nullptr) graph_layer.convention = layer.convention;
    norm.scope = other.scope;
    norm.evidence.insert(norm.evidence.end(), other.evidence.begin(), other.evidence.end());
  }
  return ops;
}

std::vector<RecordedTrainable> TrainableByOps(const Manifest& manifest) {
  std::vector<RecordedTrainable> recorded;
  if (!manifest.ops) return recorded;
  const OpGraph& graph = *manifest.ops;
  const bool collections =
      std::any_of(graph.variables.begin(), graph.variables.end(),
                  [](const OpVariable& variable) { return variable.in_trainable_variables; });
  for (const OpVariable& variable : graph.variables) {
    const auto id = TensorOf(manifest, variable);
    if (!id || !IsReal(manifest.tensors[id->index].dtype) ||
        UnitRoundoff(manifest.tensors[id->index].dtype) == 0) {
      continue;
    }
    if (collections && (variable.in_variables || variable.in_trainable_variables)) {
      const bool trains = variable.in_trainable_variables;
      recorded.push_back(
          {*id,
           trains,
           {EvidenceSource::kGraph, graph.source + (trains ? ": in" : ": in variables and not in") +
                                        " the collection trainable_variables"}});
    } else if (graph.records_trainable && variable.in_variables) {
      recorded.push_back({*id,
                          variable.trainable.value_or(false),
                          {EvidenceSource::kGraph, graph.source + ": VariableDef.trainable"}});
    } else if (variable.from_object_graph && variable.trainable) {
      recorded.push_back({*id,
                          *variable.trainable,
                          {EvidenceSource::kGraph, graph.source + ": SavedVariable.trainable"}});
    }
  }
  return recorded;
}

}  // namespace ckpt
