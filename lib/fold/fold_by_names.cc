#include "fold/fold_by_names.h"

#include <set>

#include "fold/computed_weight.h"
#include "fold/naming_pairs.h"
#include "fold/nested_pairs.h"
#include "fold/reason.h"
#include "fold/user_pairs.h"

namespace ckpt {
namespace {

constexpr std::string_view kNoProof =
    "nothing in the file proves which layer feeds it; --pairs, --pair-by-name or --pair-by-order "
    "can say";

using Pairs = std::map<std::size_t, std::vector<KernelPair>>;

// Checks what depends on the numbers, and completes the layer.
Result<FoldPart> PartOf(const FoldContext& context, const KernelPair& pair,
                        const BatchNormFunction& function) {
  if (const auto computed = ComputedWeight(context.manifest, pair.kernel)) {
    return Refuse(Quoted(context.manifest.tensors[pair.kernel.index].name) + " " + *computed +
                  "; save the module without it to fold");
  }
  CKPT_ASSIGN_OR_RETURN(LinearLayer layer, LinearLayerOfNames(context.manifest, context.shared,
                                                              pair.kernel, pair.bias, pair.layout));
  const TensorInfo& kernel = context.manifest.tensors[pair.kernel.index];
  const bool forward = pair.direction == FoldDirection::kForward;
  const std::uint64_t channels = forward ? layer.views.in_channels : layer.views.out_channels;
  if (channels != function.channels()) {
    return Refuse(Quoted(kernel.name) + " in layout " + std::string(Name(pair.layout)) + " has " +
                  std::to_string(channels) + (forward ? " in" : " out") +
                  " channels, and the batch norm has " + std::to_string(function.channels()));
  }
  const bool transposed =
      pair.layout == KernelLayout::kSpatialOutIn || pair.layout == KernelLayout::kInOutSpatial;
  const bool padding_matters =
      kernel.shape.rank() > 2 && (transposed || !layer.views.one_spatial_tap);
  if (forward && padding_matters && !function.ShiftIsZero(0, function.channels())) {
    return Refuse("its shift is not 0, and nothing says that " + Quoted(kernel.name) +
                  " is applied without padding");
  }
  return FoldPart{.layer = std::move(layer)};
}

class NameFolder {
 public:
  explicit NameFolder(FoldContext& context) : context_(context) {}

  Status Fold() {
    CKPT_RETURN_IF_ERROR(CollectPairs());
    for (std::size_t i = 0; i < context_.candidates.size(); ++i) {
      Candidate& candidate = context_.candidates[i];
      const auto pairs = pairs_.find(i);
      if (pairs != pairs_.end() && pairs->second.front().epsilon) {
        candidate.batch_norm.epsilon = pairs->second.front().epsilon;
      }
      CKPT_RETURN_IF_ERROR(context_.ReadFunction(i));
      if (!candidate.function) continue;
      if (pairs != pairs_.end()) {
        const Status status = FoldPairs(i, pairs->second);
        if (!status) CKPT_RETURN_IF_ERROR(context_.Explain(i, "", status.error()));
      } else {
        const auto refused = refused_.find(i);
        candidate.reason = refused != refused_.end() ? refused->second : kNoProof;
      }
    }
    return {};
  }

 private:
  Status CollectPairs() {
    CKPT_ASSIGN_OR_RETURN(UserPairs user, ResolveUserPairs(context_.manifest, context_.analysis,
                                                           context_.options.pairs));
    pairs_ = std::move(user.pairs);
    refused_ = std::move(user.refused);
    Take(PairByNesting(context_.manifest, context_.analysis), false);
    if (context_.options.pair_by_name) {
      Take(PairByName(context_.manifest, context_.analysis, Left()), true);
    }
    if (const auto computed = FirstComputedWeight(context_.manifest);
        computed && context_.options.pair_by_order) {
      RefuseOrder(*computed);
    } else if (context_.options.pair_by_order) {
      Take(PairByOrder(context_.manifest, context_.analysis, Left()), true);
    }
    return {};
  }

  // A weight that is not there as such leaves a gap in the order of the kernels.
  void RefuseOrder(TensorId computed) {
    const std::string& name = context_.manifest.tensors[computed.index].name;
    for (std::size_t i = 0; i < context_.candidates.size(); ++i) {
      if (pairs_.contains(i)) continue;
      refused_.emplace(i, "the order of the kernels has a gap: " + Quoted(name) + " " +
                              *ComputedWeight(context_.manifest, computed));
    }
  }

  // What is settled already stays.
  void Take(PairingResult found, bool print) {
    for (auto& [i, pair] : found.pairs) {
      if (pairs_.contains(i) || refused_.contains(i)) continue;
      if (print) {
        context_.notes.push_back(
            pair.evidence.front().detail + " (" +
            std::to_string(context_.candidates[i].batch_norm.channels.value_or(0)) + " channels)");
      }
      pairs_[i].push_back(std::move(pair));
    }
    for (auto& [i, why] : found.refused) {
      if (!pairs_.contains(i)) refused_.emplace(i, std::move(why));
    }
  }

  OpenLayers Left() const {
    std::set<std::size_t> settled;
    std::set<TensorId> kernels;
    for (const auto& [i, pairs] : pairs_) {
      settled.insert(i);
      for (const KernelPair& pair : pairs) kernels.insert(pair.kernel);
    }
    return LayersLeft(context_.manifest, context_.analysis, settled, kernels);
  }

  Status FoldPairs(std::size_t i, const std::vector<KernelPair>& pairs) {
    const BatchNormFunction& function = *context_.candidates[i].function;
    std::vector<FoldPart> parts;
    for (const KernelPair& pair : pairs) {
      if (taken_.contains({pair.kernel, pair.direction})) {
        return Refuse("another batch norm is folded into " +
                      Quoted(context_.manifest.tensors[pair.kernel.index].name) + " already");
      }
      CKPT_ASSIGN_OR_RETURN(FoldPart part, PartOf(context_, pair, function));
      parts.push_back(std::move(part));
    }
    const FoldDirection direction = pairs.front().direction;
    CKPT_RETURN_IF_ERROR(direction == FoldDirection::kBackward
                             ? context_.steps.Backward(function, parts)
                             : context_.steps.Forward(function, parts));
    for (const KernelPair& pair : pairs) taken_.insert({pair.kernel, pair.direction});
    context_.SetFolded(i, direction, parts, pairs.front().evidence);
    return {};
  }

  FoldContext& context_;
  Pairs pairs_;
  std::map<std::size_t, std::string> refused_;
  std::set<std::pair<TensorId, FoldDirection>> taken_;
};

}  // namespace

Status FoldByNames(FoldContext& context) { return NameFolder(context).Fold(); }

}  // namespace ckpt
