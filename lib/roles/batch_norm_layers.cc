#include "roles/batch_norm_layers.h"

#include <algorithm>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <unordered_set>
#include <utility>

#include "ckpt/layer_computation.h"
#include "ckpt/natural_order.h"
#include "core/quoted.h"
#include "roles/framework_defaults.h"
#include "roles/indexed_norms.h"
#include "roles/named_scopes.h"
#include "roles/other_norms.h"
#include "roles/recorded_modules.h"
#include "roles/scope_words.h"
#include "roles/tensor_name.h"

namespace ckpt {
namespace {

using Member = NamedScope::Member;

// The dimensions that are not 1.
std::vector<std::int64_t> Squeezed(const Shape& shape) {
  std::vector<std::int64_t> dims;
  std::copy_if(shape.dims().begin(), shape.dims().end(), std::back_inserter(dims),
               [](std::int64_t dim) { return dim != 1; });
  return dims;
}

// One value per channel: [C], or [1, 1, 1, C] and the like.
bool IsVector(const Manifest& manifest, TensorId id) {
  const Shape& shape = manifest.tensors[id.index].shape;
  return shape.rank() > 0 && Squeezed(shape).size() <= 1;
}

std::vector<TensorId> Vectors(const BatchNorm& layer) {
  std::vector<TensorId> ids;
  for (const auto& id : {layer.gamma, layer.beta, layer.moving_mean, layer.moving_variance}) {
    if (id) ids.push_back(*id);
  }
  return ids;
}

// The scope that all the names share: that of their leaves, else their common prefix up to a
// separator. Empty where they share none.
std::string CommonScope(const Manifest& manifest, const std::vector<TensorId>& ids) {
  if (ids.empty()) return {};
  std::string_view common = manifest.tensors[ids.front().index].name;
  const ParsedName first = ParseName(common);
  bool same_scope = first.leaf != nullptr;
  for (const TensorId id : ids) {
    const std::string_view name = manifest.tensors[id.index].name;
    const auto [end, other] = std::mismatch(common.begin(), common.end(), name.begin(), name.end());
    common = common.substr(0, static_cast<std::size_t>(end - common.begin()));
    const ParsedName parsed = ParseName(name);
    same_scope = same_scope && parsed.leaf != nullptr && parsed.scope == first.scope;
  }
  if (same_scope) return std::string(first.scope);
  const std::size_t separator = common.find_last_of("/.");
  return separator == std::string_view::npos ? std::string()
                                             : std::string(common.substr(0, separator));
}

// The row whose statistics these are, by name; null if there is none.
const BatchNormConvention* ConventionOf(const Manifest& manifest, const BatchNorm& layer) {
  const auto leaf_of = [&](const std::optional<TensorId>& id) -> std::string_view {
    if (!id) return {};
    const ParsedName parsed = ParseName(manifest.tensors[id->index].name);
    return parsed.leaf == nullptr ? std::string_view() : parsed.leaf->leaf;
  };
  const std::string_view mean = leaf_of(layer.moving_mean), spread = leaf_of(layer.moving_variance);
  for (const BatchNormConvention& row : BatchNormConventions()) {
    if (row.mean == mean && row.variance == spread) return &row;
  }
  return nullptr;
}

std::optional<TensorId> Bound(const Layer& layer, const char* name) {
  const auto found = layer.tensors.find(name);
  return found == layer.tensors.end() ? std::nullopt : std::optional(found->second);
}

bool IsExtraName(const std::string& local_name) {
  const Leaf* leaf = FindLeaf(local_name);
  return leaf != nullptr && leaf->part == Part::kExtra;
}

EvidenceSource SourceOf(const ModelGraph& graph) noexcept {
  return graph.origin == GraphOrigin::kKerasConfig ? EvidenceSource::kFrameworkRecord
                                                   : EvidenceSource::kGraph;
}

FoundLayer FromGraph(const Manifest& manifest, LayerId id) {
  const ModelGraph& graph = *manifest.graph;
  const Layer& layer = graph.layers[id];
  const EvidenceSource source = SourceOf(graph);
  FoundLayer found;
  BatchNorm& norm = found.batch_norm;
  norm.gamma = Bound(layer, "gamma");
  norm.beta = Bound(layer, "beta");
  norm.moving_mean = Bound(layer, "moving_mean");
  norm.moving_variance = Bound(layer, "moving_variance");
  norm.batch_counter = Bound(layer, "num_batches_tracked");
  for (const auto& [name, tensor] : layer.tensors) {
    if (IsExtraName(name)) norm.extras.push_back(tensor);
  }
  norm.scope = CommonScope(manifest, Vectors(norm));
  if (norm.scope.empty()) norm.scope = layer.name;
  if (layer.epsilon) norm.epsilon = {*layer.epsilon, {source, graph.source}};
  if (layer.momentum) norm.momentum = {*layer.momentum, {source, graph.source}};
  if (layer.stores_deviation) norm.spread = SpreadKind::kStandardDeviation;
  norm.certain = true;
  norm.layer = id;
  norm.frozen = !layer.trainable;
  norm.inference_only = layer.inference_only;
  norm.training_mode = layer.training_mode;
  norm.training_mode_overridden = layer.training_mode_overridden;
  norm.evidence.push_back(
      {source, graph.source + ": layer " + Quoted(layer.name) + " is a " + layer.op_type});
  found.convention = ConventionOf(manifest, norm);
  return found;
}

bool HasStatistic(const NamedScope& scope) {
  return std::any_of(scope.members.begin(), scope.members.end(), [](const Member& member) {
    return !member.helper &&
           (member.leaf->part == Part::kMean || member.leaf->part == Part::kVariance);
  });
}

// Finds and assembles the batch norm of one scope.
class ScopeReader {
 public:
  ScopeReader(const Manifest& manifest, const NameIndex& names, const ModuleIndex& modules,
              const NamedScope& scope)
      : manifest_(manifest),
        names_(names),
        scope_(scope),
        says_batch_norm_(SaysBatchNorm(scope.scope)),
        recorded_(KindOf(modules, scope.scope)) {}

  std::optional<FoundLayer> WithStatistics() const {
    const bool other =
        SaysOtherNorm(scope_.scope) || HasOtherNormsTensors(manifest_, names_, scope_);
    if (!RecordedBatchNorm() && other) return std::nullopt;
    for (const bool both : {true, false}) {
      for (const BatchNormConvention& row : BatchNormConventions()) {
        const Member* mean = scope_.Find(row.mean);
        const Member* variance = scope_.Find(row.variance);
        const bool present = both ? mean && variance : mean || variance;
        if (!present) continue;
        FoundLayer found = Assemble(row, mean, variance);
        const bool affine = found.batch_norm.gamma || found.batch_norm.beta;
        if (!affine && HasCount()) continue;
        if (row.statistics_suffice || affine || says_batch_norm_ || RecordsStatistic(mean)) {
          return found;
        }
      }
    }
    return std::nullopt;
  }

  // Gamma and beta alone. `neighbours`: what those say of it ("layers of the same naming have
  // statistics"); empty for nothing.
  std::optional<FoundLayer> WithoutStatistics(std::string_view neighbours) const {
    const bool told = !neighbours.empty();
    // A record wins over names: a group norm that is called "bn1" has no statistics to lose.
    if (recorded_ ? !recorded_->batch_norm : SaysOtherNorm(scope_.scope)) return std::nullopt;
    FoundLayer found;
    BatchNorm& norm = found.batch_norm;
    norm.gamma = VectorNamed("gamma");
    norm.beta = VectorNamed("beta");
    norm.certain = says_batch_norm_ || told || RecordedBatchNorm();
    if (!norm.gamma && !norm.beta) {
      // Names that any layer may use: both, where the layer's own name says what it is. A scale
      // with an offset is what a batch norm leaves that was reduced to one of each.
      if (VectorNamed("scale") && VectorNamed("offset")) return std::nullopt;
      norm.gamma = VectorNamed("weight") ? VectorNamed("weight") : VectorNamed("scale");
      norm.beta = VectorNamed("bias") ? VectorNamed("bias") : VectorNamed("offset");
      const bool said =
          told || RecordedBatchNorm() || SaysBatchNorm(Components(scope_.scope).back());
      if (!said || !norm.gamma || !norm.beta) return std::nullopt;
    }
    // One of the two alone is many things.
    if (!norm.certain && !(norm.gamma && norm.beta)) return std::nullopt;
    Describe(norm, "no statistics");
    if (told && !says_batch_norm_) {
      norm.evidence.push_back({EvidenceSource::kNaming, std::string(neighbours)});
    }
    return found;
  }

 private:
  bool RecordedBatchNorm() const { return recorded_ && recorded_->batch_norm; }

  FoundLayer Assemble(const BatchNormConvention& row, const Member* mean,
                      const Member* variance) const {
    FoundLayer found;
    found.convention = &row;
    BatchNorm& norm = found.batch_norm;
    if (mean != nullptr) norm.moving_mean = mean->id;
    if (variance != nullptr) norm.moving_variance = variance->id;
    norm.gamma = FirstNamed(row.gammas);
    norm.beta = FirstNamed(row.betas);
    norm.certain = true;
    Describe(norm, "statistics named as by " + std::string(row.name));
    return found;
  }

  void Describe(BatchNorm& norm, std::string how) const {
    norm.scope = CommonScope(manifest_, Vectors(norm));
    if (norm.scope.empty() || scope_.numbered) norm.scope = scope_.scope;
    norm.evidence.push_back({EvidenceSource::kNaming, std::move(how)});
    if (says_batch_norm_) {
      norm.evidence.push_back({EvidenceSource::kNaming, "the scope says batch norm"});
    }
    if (RecordedBatchNorm()) norm.evidence.push_back(recorded_->evidence);
    for (const Member& member : scope_.members) {
      if (member.leaf->part == Part::kExtra || member.helper) norm.extras.push_back(member.id);
      if (member.leaf->part == Part::kCounter) norm.batch_counter = member.id;
    }
  }

  // "gamma" and "beta" whatever their shape; weaker names only where they hold a vector.
  std::optional<TensorId> FirstNamed(std::span<const std::string_view> names) const {
    for (const std::string_view name : names) {
      const Member* member = scope_.Find(name);
      if (member == nullptr) continue;
      if (name == "gamma" || name == "beta" || IsVector(manifest_, member->id)) return member->id;
    }
    return std::nullopt;
  }

  std::optional<TensorId> VectorNamed(std::string_view name) const {
    const Member* member = scope_.Find(name);
    const bool vector = member != nullptr && IsVector(manifest_, member->id);
    return vector ? std::optional(member->id) : std::nullopt;
  }

  // Flax keeps statistics apart from parameters, which its files record.
  bool RecordsStatistic(const Member* member) const {
    return manifest_.framework == Framework::kFlax && member != nullptr &&
           manifest_.tensors[member->id.index].trainable == false;
  }

  // A count beside mean and variance: a Normalization layer, or a running normaliser of inputs.
  bool HasCount() const {
    return names_.Find(scope_.scope + "/count") || names_.Find(scope_.scope + ".count");
  }

  const Manifest& manifest_;
  const NameIndex& names_;
  const NamedScope& scope_;
  const bool says_batch_norm_;
  const std::optional<RecordedKind> recorded_;
};

constexpr std::string_view kSiblingsHaveStatistics = "layers of the same naming have statistics";
constexpr std::string_view kBesideConvolution =
    "a weight and a bias beside a convolution of their length, in a file whose batch norms have no "
    "statistics";

bool AnyCertain(const std::vector<FoundLayer>& layers) {
  return std::any_of(layers.begin(), layers.end(),
                     [](const FoundLayer& layer) { return layer.batch_norm.certain; });
}

// Those that a Sequential numbers, in a file whose batch norms that have a name lost their
// statistics: they lost theirs, too.
void AddIndexed(const Manifest& manifest, const NameIndex& names, const ModuleIndex& modules,
                const std::vector<NamedScope>& scopes, std::vector<FoundLayer>& layers) {
  std::set<TensorId> known;
  for (const FoundLayer& layer : layers) {
    for (const TensorId id : Vectors(layer.batch_norm)) known.insert(id);
  }
  for (const std::size_t i : NormsBesideConvolutions(manifest, scopes)) {
    auto found =
        ScopeReader(manifest, names, modules, scopes[i]).WithoutStatistics(kBesideConvolution);
    if (!found || known.contains(*found->batch_norm.gamma)) continue;
    layers.push_back(*std::move(found));
  }
  std::stable_sort(layers.begin(), layers.end(), [](const FoundLayer& a, const FoundLayer& b) {
    return NaturalLess(a.batch_norm.scope, b.batch_norm.scope);
  });
}

// EvoNorm B1 and B2 keep a variance, no mean and no counter, in every layer.
void EraseVarianceNorms(std::vector<FoundLayer>& layers) {
  const auto is_one = [](const FoundLayer& layer) {
    const BatchNorm& norm = layer.batch_norm;
    return layer.convention != nullptr && layer.convention->framework == Framework::kPyTorch &&
           norm.moving_variance && !norm.moving_mean && !norm.batch_counter && norm.gamma &&
           norm.beta;
  };
  const bool any_mean = std::any_of(layers.begin(), layers.end(), [](const FoundLayer& layer) {
    return layer.batch_norm.moving_mean.has_value();
  });
  if (!any_mean) std::erase_if(layers, is_one);
}

}  // namespace

void SetChannels(const Manifest& manifest, BatchNorm& batch_norm) {
  batch_norm.channels.reset();
  const std::vector<TensorId> ids = Vectors(batch_norm);
  if (ids.empty()) return;
  const Shape& first = manifest.tensors[ids.front().index].shape;
  for (const TensorId id : ids) {
    if (Squeezed(manifest.tensors[id.index].shape) != Squeezed(first)) return;
  }
  batch_norm.channels = first.element_count();
}

void FinishOpLayer(const Manifest& manifest, FoundLayer& layer, const std::string& op_name) {
  BatchNorm& norm = layer.batch_norm;
  norm.scope = CommonScope(manifest, Vectors(norm));
  if (norm.scope.empty()) norm.scope = op_name.substr(0, op_name.rfind('/'));
  layer.convention = ConventionOf(manifest, norm);
}

std::vector<FoundLayer> LayersOfGraph(const Manifest& manifest) {
  std::vector<FoundLayer> layers;
  if (!manifest.graph) return layers;
  const ModelGraph& graph = *manifest.graph;
  std::vector<LayerId> order;
  std::vector<bool> seen(graph.layers.size(), false);
  const auto take = [&](LayerId id) {
    if (seen[id]) return;
    seen[id] = true;
    order.push_back(id);
  };
  for (const Node& node : graph.nodes) take(node.layer);
  for (LayerId id = 0; id < graph.layers.size(); ++id) take(id);  // never called
  for (const LayerId id : order) {
    if (IsBatchNorm(graph.layers[id])) layers.push_back(FromGraph(manifest, id));
  }
  return layers;
}

std::vector<FoundLayer> LayersByName(const Manifest& manifest, const NameIndex& names,
                                     const ModuleIndex& modules, const std::vector<bool>& usable) {
  const std::vector<NamedScope> scopes = GroupByScope(manifest, usable);
  // Of a million scopes few are batch norms: only those take room.
  std::vector<std::pair<std::size_t, FoundLayer>> with_statistics;
  std::unordered_set<std::string> patterns;
  for (std::size_t i = 0; i < scopes.size(); ++i) {
    if (!HasStatistic(scopes[i])) continue;
    auto found = ScopeReader(manifest, names, modules, scopes[i]).WithStatistics();
    if (!found) continue;
    with_statistics.emplace_back(i, *std::move(found));
    patterns.insert(NamingPattern(scopes[i].scope));
  }
  std::vector<FoundLayer> layers;
  auto next = with_statistics.begin();
  for (std::size_t i = 0; i < scopes.size(); ++i) {
    if (next != with_statistics.end() && next->first == i) {
      layers.push_back(std::move((next++)->second));
      continue;
    }
    const bool sibling = !patterns.empty() && patterns.contains(NamingPattern(scopes[i].scope));
    auto found = ScopeReader(manifest, names, modules, scopes[i])
                     .WithoutStatistics(sibling ? kSiblingsHaveStatistics : std::string_view());
    if (found) layers.push_back(*std::move(found));
  }
  if (with_statistics.empty() && AnyCertain(layers))
    AddIndexed(manifest, names, modules, scopes, layers);
  EraseVarianceNorms(layers);
  return layers;
}

}  // namespace ckpt
