#include "formats/keras/h5/bind_weights.h"

#include <algorithm>
#include <set>

#include "ckpt/layer_computation.h"
#include "formats/keras/model/weight_names.h"

namespace ckpt::formats::keras {
namespace {

const std::vector<LayerId> kNoLayers;

class GroupBinder {
 public:
  GroupBinder(const ModelConfig& config, const WeightGroup& group)
      : config_(config), group_(group) {
    const auto found = config.by_group.find(group.layer);
    if (found != config.by_group.end()) leaves_ = found->second;
    for (const LayerId id : leaves_) by_name_[PathOf(id).back()].push_back(id);
  }

  Result<std::vector<BoundWeight>> Bind() const {
    if (leaves_.empty()) return std::vector<BoundWeight>();
    if (auto bound = BindByName()) return *std::move(bound);
    if (auto bound = BindByPlace()) return *std::move(bound);
    if (IsSingle()) return BindWhatFits();
    return Fail(ErrorCode::kUnsupported, "the weights of the model \"" + group_.layer +
                                             "\" cannot be told apart by name or place");
  }

 private:
  bool IsSingle() const { return leaves_.size() == 1 && PathOf(leaves_[0]).size() == 1; }

  const std::vector<std::string>& PathOf(LayerId id) const { return config_.layers[id].path; }

  bool Expects(LayerId id, const std::string& name) const {
    const auto& weights = config_.layers[id].facts.weights;
    return !weights || std::any_of(weights->begin(), weights->end(),
                                   [&](const ExpectedWeight& w) { return w.name == name; });
  }

  // Do the two paths agree as far back from their ends as both go?
  static bool AgreeFromTheEnd(const std::vector<std::string>& a,
                              const std::vector<std::string>& b) {
    const std::size_t common = std::min(a.size(), b.size());
    return common > 0 && std::equal(a.end() - static_cast<std::ptrdiff_t>(common), a.end(),
                                    b.end() - static_cast<std::ptrdiff_t>(common));
  }

  const std::vector<LayerId>& Called(const std::string& name) const {
    const auto found = by_name_.find(name);
    return found == by_name_.end() ? kNoLayers : found->second;
  }

  // The layer whose name ends the scope, else the outermost one that the scope passes (a wrapper).
  std::optional<LayerId> OwnerOf(const std::vector<std::string>& scope) const {
    if (IsSingle()) return leaves_[0];
    std::vector<LayerId> owners;
    for (const LayerId id : scope.empty() ? kNoLayers : Called(scope.back())) {
      if (AgreeFromTheEnd(scope, PathOf(id))) owners.push_back(id);
    }
    for (std::size_t i = 0; owners.empty() && i < scope.size(); ++i) owners = Called(scope[i]);
    return owners.size() == 1 ? std::optional(owners[0]) : std::nullopt;
  }

  // A name that tells the weights of a layer apart that is not understood.
  static std::string NameWithin(const std::string& layer, const WeightName& weight) {
    const auto at = std::find(weight.scope.begin(), weight.scope.end(), layer);
    if (at == weight.scope.end()) return weight.local;
    return Joined({at + 1, weight.scope.end()}, weight.local);
  }

  BoundWeight NameOf(LayerId id, const WeightName& weight) const {
    const LayerFacts& facts = config_.layers[id].facts;
    if (!facts.has_known_class) return {id, NameWithin(PathOf(id).back(), weight)};
    return {id, CanonicalWeightName(facts, weight.local)};
  }

  std::optional<std::vector<BoundWeight>> BindByName() const {
    std::vector<BoundWeight> bound;
    std::set<std::pair<LayerId, std::string>> taken;
    for (const WeightEntry& entry : group_.weights) {
      const WeightName weight = SplitWeightName(group_.layer, entry.stored);
      const std::optional<LayerId> owner = OwnerOf(weight.scope);
      if (!owner) return std::nullopt;
      bound.push_back(NameOf(*owner, weight));
      const bool fresh = taken.emplace(*owner, bound.back().name).second;
      if (!fresh || !Expects(*owner, bound.back().name)) return std::nullopt;
    }
    return bound;
  }

  // Keras stores the trainable weights of all layers, then the others; those of a frozen layer are
  // not trainable.
  std::optional<std::vector<BoundWeight>> BindByPlace() const {
    std::vector<BoundWeight> trainable, others;
    for (const LayerId id : leaves_) {
      const auto& weights = config_.layers[id].facts.weights;
      if (!weights) return std::nullopt;
      for (const ExpectedWeight& weight : *weights) {
        const bool first = weight.trainable && config_.graph.layers[id].trainable;
        (first ? trainable : others).push_back({id, weight.name});
      }
    }
    trainable.insert(trainable.end(), others.begin(), others.end());
    if (trainable.size() != group_.weights.size()) return std::nullopt;
    return trainable;
  }

  std::vector<BoundWeight> BindWhatFits() const {
    std::vector<BoundWeight> bound;
    std::set<std::string> taken;
    for (const WeightEntry& entry : group_.weights) {
      bound.push_back(NameOf(leaves_[0], SplitWeightName(group_.layer, entry.stored)));
      std::string& name = bound.back().name;
      if (!Expects(leaves_[0], name) || !taken.insert(name).second) name.clear();
    }
    return bound;
  }

  const ModelConfig& config_;
  const WeightGroup& group_;
  std::vector<LayerId> leaves_;
  std::unordered_map<std::string, std::vector<LayerId>> by_name_;  // the last part of the path
};

void FindMissing(const LayerFacts& facts, Layer& layer) {
  if (!facts.weights) return;
  for (const ExpectedWeight& weight : *facts.weights) {
    if (!layer.tensors.contains(weight.name)) layer.missing_tensors.push_back(weight.name);
  }
}

// "block/bn/gamma" of a layer that is not understood -> "/block/bn"
std::string ScopeWithin(const std::string& weight) {
  const std::size_t slash = weight.rfind('/');
  return slash == std::string::npos ? std::string() : "/" + weight.substr(0, slash);
}

// Convolution1D of Keras 1 has kernels [length, 1, in, filters], and [filters, in, length, 1]
// before 1.1; Keras tells them apart in this way.
void SetKeras1Layout(const LayerFacts& facts, const Shape& kernel, Layer& layer) {
  const bool plain = IsConvolution(layer) && !IsDepthwise(layer) && !IsSeparable(layer);
  if (!plain || facts.spatial_axes != 1 || kernel.rank() != 4) return;
  const bool length_first = kernel[0] == facts.kernel_length && kernel[1] == 1;
  layer.layout = length_first && kernel[3] == facts.filters ? KernelLayout::kSpatialInOut
                                                            : KernelLayout::kOutInSpatial;
  std::get<network::Convolution>(layer.computation).layout = layer.layout;
}

// Keras 2 stores bfloat16 as opaque bytes and does not say so; the layer's config does.
void RecogniseBfloat16(const LayerRecord& record, TensorInfo& info) {
  if (info.dtype != Dtype::kVoid || info.byte_size != 2 * info.shape.element_count()) return;
  const Json* dtype = Find(*Find(*record.entry, "config"), "dtype");
  const Json* policy = dtype ? Find(*dtype, "config") : nullptr;
  const Json* name = policy ? Find(*policy, "name") : dtype;
  if (name && *name == "bfloat16") info.dtype = Dtype::kBF16;
}

}  // namespace

Result<std::vector<BoundWeight>> BindGroup(const ModelConfig& config, const WeightGroup& group) {
  return GroupBinder(config, group).Bind();
}

Status BindWeights(ModelConfig& config, const WeightOrder& order, int keras_major,
                   std::vector<TensorInfo>& tensors) {
  std::unordered_map<std::string_view, std::uint32_t> ids;
  for (std::uint32_t i = 0; i < tensors.size(); ++i) ids.emplace(tensors[i].name, i);
  for (const WeightGroup& group : order.groups) {
    if (group.kind != WeightGroup::Kind::kLayer) continue;
    CKPT_ASSIGN_OR_RETURN(const std::vector<BoundWeight> bound, BindGroup(config, group));
    for (std::size_t i = 0; i < bound.size(); ++i) {
      const auto id = ids.find(group.weights[i].tensor);
      if (id == ids.end() || bound[i].name.empty()) continue;
      Layer& layer = config.graph.layers[bound[i].layer];
      layer.tensors.emplace(bound[i].name, TensorId{id->second});
      TensorInfo& info = tensors[id->second];
      info.owner = layer.name + ScopeWithin(bound[i].name);
      info.local_name = SplitWeightName(group.layer, group.weights[i].stored).local;
      RecogniseBfloat16(*config.layers[bound[i].layer].record, info);
      if (keras_major == 1 && bound[i].name == "kernel") {
        SetKeras1Layout(config.layers[bound[i].layer].facts, info.shape, layer);
      }
    }
  }
  for (std::size_t i = 0; i < config.layers.size(); ++i) {
    FindMissing(config.layers[i].facts, config.graph.layers[i]);
  }
  return {};
}

}  // namespace ckpt::formats::keras
