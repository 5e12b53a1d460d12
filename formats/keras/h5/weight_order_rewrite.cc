#include "formats/keras/h5/weight_order_rewrite.h"

#include <algorithm>
#include <iterator>
#include <limits>
#include <optional>
#include <unordered_set>

#include "formats/keras/h5/bind_weights.h"
#include "formats/keras/model/variable_names.h"
#include "formats/keras/model/weight_names.h"

namespace ckpt::formats::keras {
namespace {

constexpr std::size_t kNowhere = std::numeric_limits<std::size_t>::max();

struct PlacedWeight {
  WeightEntry entry;
  BoundWeight bound;
};

// `leaf` in the manner of the sibling's stored name, where reading it back gives the tensor's name.
WeightEntry EntryBeside(const std::string& group, const WeightEntry& sibling,
                        const std::string& leaf) {
  WeightEntry entry{Beside(sibling.tensor, leaf), {}};
  const std::string_view name = WithoutOutputNumber(sibling.stored);
  const std::string local = SplitWeightName(group, sibling.stored).local;
  entry.stored = std::string(name.substr(0, name.size() - local.size())) + leaf +
                 sibling.stored.substr(name.size());
  if (TensorName(group, entry.stored) != entry.tensor) entry.stored = entry.tensor;
  return entry;
}

class OrderRewriter {
 public:
  OrderRewriter(const ModelConfig& config, const GraphEdits& edits,
                const std::vector<LayerId>& kept)
      : config_(config),
        removed_(edits.removed.begin(), edits.removed.end()),
        gained_bias_(edits.gained_bias.begin(), edits.gained_bias.end()),
        affine_(edits.to_affine.begin(), edits.to_affine.end()),
        places_(config.layers.size(), kNowhere) {
    for (std::size_t i = 0; i < kept.size(); ++i) places_[kept[i]] = i;
  }

  Result<WeightOrder> Rewrite(const WeightOrder& order) const {
    WeightOrder result;
    for (const WeightGroup& group : order.groups) {
      if (group.kind != WeightGroup::Kind::kLayer) {
        result.groups.push_back(group);
        continue;
      }
      CKPT_ASSIGN_OR_RETURN(std::optional<WeightGroup> rewritten, RewriteGroup(group));
      if (rewritten) result.groups.push_back(*std::move(rewritten));
    }
    const auto layers_end = std::stable_partition(
        result.groups.begin(), result.groups.end(),
        [](const WeightGroup& group) { return group.kind == WeightGroup::Kind::kLayer; });
    std::stable_sort(result.groups.begin(), layers_end,
                     [this](const WeightGroup& a, const WeightGroup& b) {
                       return PlaceOf(a.layer) < PlaceOf(b.layer);
                     });
    return result;
  }

 private:
  const std::vector<LayerId>& LeavesOf(const std::string& group) const {
    static const std::vector<LayerId> kNone;
    const auto found = config_.by_group.find(group);
    return found == config_.by_group.end() ? kNone : found->second;
  }

  std::size_t PlaceOf(const std::string& group) const {
    std::size_t place = kNowhere;
    for (const LayerId id : LeavesOf(group)) place = std::min(place, places_[id]);
    return place;
  }

  // Nothing for a layer that is gone.
  Result<std::optional<WeightGroup>> RewriteGroup(const WeightGroup& group) const {
    const std::vector<LayerId>& leaves = LeavesOf(group.layer);
    if (leaves.size() == 1 && config_.layers[leaves[0]].path.size() == 1 &&
        removed_.contains(leaves[0])) {
      return std::optional<WeightGroup>();
    }
    CKPT_ASSIGN_OR_RETURN(const std::vector<BoundWeight> bound, BindGroup(config_, group));
    if (bound.empty()) return std::optional(group);
    std::vector<PlacedWeight> before, weights;
    for (std::size_t i = 0; i < bound.size(); ++i) before.push_back({group.weights[i], bound[i]});
    for (const PlacedWeight& weight : before) AddWithNew(group.layer, weight, weights);
    if (MustSort(leaves)) {
      CKPT_RETURN_IF_ERROR(CheckSorted(group.layer, before));
      Sort(weights);
    }
    WeightGroup result{group.kind, group.layer};
    for (PlacedWeight& weight : weights) result.weights.push_back(std::move(weight.entry));
    return std::optional(std::move(result));
  }

  // The weight, if it stays, and what is new beside it.
  void AddWithNew(const std::string& group, const PlacedWeight& weight,
                  std::vector<PlacedWeight>& weights) const {
    const auto& [layer, name] = weight.bound;
    if (removed_.contains(layer)) return;
    if (affine_.contains(layer)) {
      if (name != "gamma" && name != "beta" && name != "moving_mean" && name != "moving_variance") {
        return;  // statistics of renormalisation
      }
      for (const char* leaf : {"gamma", "beta"}) {
        if (name != "moving_mean" || Has(layer, leaf)) continue;
        weights.push_back({EntryBeside(group, weight.entry, leaf), {layer, leaf}});
      }
    }
    weights.push_back(weight);
    if (name == "kernel" && gained_bias_.contains(layer)) {
      weights.push_back({EntryBeside(group, weight.entry, "bias"), {layer, "bias"}});
    }
  }

  bool Has(LayerId layer, const std::string& name) const {
    const auto& weights = *config_.layers[layer].facts.weights;
    return std::any_of(weights.begin(), weights.end(),
                       [&](const ExpectedWeight& weight) { return weight.name == name; });
  }

  // The place of a weight within a batch norm that became affine; 0 for other layers.
  int AffineRank(const BoundWeight& weight) const {
    if (!affine_.contains(weight.layer)) return 0;
    const std::string& name = weight.name;
    return name == "gamma" ? 0 : name == "beta" ? 1 : name == "moving_mean" ? 2 : 3;
  }

  // Have the layers of a nested model changed places, or must a weight stand away from its others?
  bool MustSort(const std::vector<LayerId>& leaves) const {
    std::size_t last = 0;
    for (const LayerId id : leaves) {
      if (affine_.contains(id) && !(Has(id, "gamma") && Has(id, "beta"))) return true;
      if (places_[id] == kNowhere) continue;
      if (places_[id] < last) return true;
      last = places_[id];
    }
    return false;
  }

  // Does Keras count the weight among the trainable ones, which stand first? Absent: not known.
  std::optional<bool> IsTrainable(const BoundWeight& weight) const {
    const LayerFacts& facts = config_.layers[weight.layer].facts;
    if (!config_.graph.layers[weight.layer].trainable) return false;
    if (!facts.weights) return facts.all_trainable ? std::optional(true) : std::nullopt;
    return weight.name != "moving_mean" && weight.name != "moving_variance" &&
           weight.name != "moving_stddev" && !weight.name.starts_with("renorm_");
  }

  Status CheckSorted(const std::string& group, const std::vector<PlacedWeight>& weights) const {
    bool sorted = true, others = false;
    LayerId last = 0;
    for (const PlacedWeight& weight : weights) {
      const auto trainable = IsTrainable(weight.bound);
      if (!trainable || (others && *trainable)) sorted = false;
      if (trainable && !*trainable && !others) {
        others = true;
        last = 0;
      }
      if (weight.bound.layer < last) sorted = false;  // ids are in the order of the config
      last = weight.bound.layer;
    }
    if (sorted) return {};
    return Fail(ErrorCode::kUnsupported,
                "the order of the weights of the model \"" + group +
                    "\" after the fold cannot be told: it has layers of unknown classes");
  }

  void Sort(std::vector<PlacedWeight>& weights) const {
    std::stable_sort(weights.begin(), weights.end(),
                     [this](const PlacedWeight& a, const PlacedWeight& b) {
                       const bool first_a = *IsTrainable(a.bound), first_b = *IsTrainable(b.bound);
                       if (first_a != first_b) return first_a;
                       const std::size_t place_a = places_[a.bound.layer];
                       const std::size_t place_b = places_[b.bound.layer];
                       if (place_a != place_b) return place_a < place_b;
                       return AffineRank(a.bound) < AffineRank(b.bound);
                     });
  }

  const ModelConfig& config_;
  std::unordered_set<LayerId> removed_, gained_bias_, affine_;
  std::vector<std::size_t> places_;  // by LayerId, in the rewritten config
};

}  // namespace

Result<WeightOrder> RewriteWeightOrder(const ModelConfig& config, const GraphEdits& edits,
                                       const std::vector<LayerId>& kept, const WeightOrder& order) {
  return OrderRewriter(config, edits, kept).Rewrite(order);
}

}  // namespace ckpt::formats::keras
