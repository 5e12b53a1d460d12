#include "fold/fold_by_names.h"

#include <set>

#include "fold/computed_weight.h"
#include "fold/naming_pairs.h"
#include "fold/nested_pairs.h"
#include "fold/pair_doubts.h"
#include "fold/reason.h"
#include "fold/user_pairs.h"
#include "roles/scope_words.h"

namespace ckpt {
namespace {

KeepingReason NoProof() {
  return {"nothing in the file proves which layer feeds it", Remedy::kAllowPairing};
}

using Pairs = std::map<std::size_t, std::vector<KernelPair>>;

// Checks what depends on the numbers, and completes the layer.
Result<FoldPart> PartOf(const FoldContext& context, const KernelPair& pair,
                        const BatchNormFunction& function) {
  if (const auto computed = ComputedWeight(context.manifest, pair.kernel)) {
    return Refuse(Quoted(context.manifest.tensors[pair.kernel.index].name) + " " + *computed +
                  "; save the module without it to fold");
  }
  CKPT_ASSIGN_OR_RETURN(LinearLayer layer,
                        LinearLayerOfNames(context.manifest, context.shared, pair.kernel, pair.bias,
                                           pair.layout, pair.groups));
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
  explicit NameFolder(FoldContext& context)
      : context_(context),
        layers_(context.manifest, context.analysis),
        doubts_(layers_, context.shared) {}

  Status Fold() {
    CKPT_RETURN_IF_ERROR(CollectPairs());
    for (std::size_t i = 0; i < context_.candidates.size(); ++i) {
      const auto pairs = pairs_.find(i);
      if (pairs != pairs_.end() && pairs->second.front().epsilon) {
        context_.candidates[i].batch_norm.epsilon = pairs->second.front().epsilon;
      }
      CKPT_RETURN_IF_ERROR(context_.ReadFunction(i));
    }
    if (context_.options.pair_by_name || context_.options.pair_by_order) {
      CKPT_RETURN_IF_ERROR(CheckValues());
    }
    for (std::size_t i = 0; i < context_.candidates.size(); ++i) {
      Candidate& candidate = context_.candidates[i];
      if (!candidate.function) continue;
      const auto pairs = pairs_.find(i);
      if (pairs == pairs_.end()) {
        const auto refused = refused_.find(i);
        candidate.reason = refused != refused_.end() ? refused->second : NoProof();
        continue;
      }
      const Status status = FoldPairs(i, pairs->second);
      if (!status) CKPT_RETURN_IF_ERROR(context_.Explain(i, "", status.error()));
    }
    OfferProof();
    return {};
  }

 private:
  Status CollectPairs() {
    CKPT_ASSIGN_OR_RETURN(UserPairs user, ResolveUserPairs(layers_, context_.options.pairs));
    pairs_ = std::move(user.pairs);
    refused_ = std::move(user.refused);
    for (const auto& [i, pairs] : pairs_) {
      if (const auto reason = LacksGammaOrBeta(i)) refused_[i] = *reason;
    }
    std::erase_if(pairs_, [&](const auto& pair) { return refused_.contains(pair.first); });
    Take(PairByNesting(layers_));
    if (!context_.options.pair_by_name && !context_.options.pair_by_order) return {};
    const NamingPairs naming(layers_);
    if (context_.options.pair_by_name) Take(naming.ByName(Open()));
    if (context_.options.pair_by_order) Take(naming.ByOrder(Open()));
    return {};
  }

  // Of PyTorch's batch norm, gamma and beta are both there or both not: one alone was not
  // recognised.
  std::optional<std::string> LacksGammaOrBeta(std::size_t i) const {
    const BatchNorm& norm = context_.analysis.batch_norms[i];
    if (context_.analysis.framework != Framework::kPyTorch) return std::nullopt;
    if (norm.gamma.has_value() == norm.beta.has_value()) return std::nullopt;
    const TensorId known = norm.gamma ? *norm.gamma : *norm.beta;
    return Quoted(context_.manifest.tensors[known.index].name) + " is its " +
           (norm.gamma ? "gamma, and no beta" : "beta, and no gamma") +
           " is found, where PyTorch has both or neither";
  }

  // What is settled already stays; of one pair's two ways the first reason against it stays.
  void Take(PairingResult found) {
    for (auto& [i, pair] : found.pairs) {
      if (pairs_.contains(i) || doubted_.contains(i)) continue;
      const auto lacks = LacksGammaOrBeta(i);
      const Status status = lacks ? Status(Refuse(*lacks)) : doubts_.Check(i, pair);
      if (!status) {
        refused_[i] = KeepingReason(status.error());
        doubted_.insert(i);
        continue;
      }
      refused_.erase(i);
      pairs_[i].push_back(std::move(pair));
    }
    for (auto& [i, why] : found.refused) {
      if (!pairs_.contains(i)) refused_.emplace(i, std::move(why));
    }
  }

  NamingPairs::Open Open() const {
    NamingPairs::Open open;
    for (std::size_t i = 0; i < context_.candidates.size(); ++i) {
      const BatchNorm& norm = context_.analysis.batch_norms[i];
      if (!norm.moving_mean || !norm.moving_variance || pairs_.contains(i)) continue;
      if (!doubted_.contains(i)) open.batch_norms.insert(i);
    }
    for (const auto& [i, pairs] : pairs_) {
      for (const KernelPair& pair : pairs) open.settled_kernels.insert(pair.kernel);
    }
    return open;
  }

  // What the values show against pairs that the user has not given one by one.
  Status CheckValues() {
    std::vector<PairedMeans> means;
    std::vector<TensorId> kernels;
    for (const auto& [i, pairs] : pairs_) {
      const Candidate& candidate = context_.candidates[i];
      if (pairs.front().given || !candidate.function) continue;
      means.push_back({i, NamingPattern(candidate.batch_norm.scope), candidate.function->mean});
      kernels.push_back(pairs.front().kernel);
    }
    for (auto& [i, why] : LookActivated(means)) refused_[i] = std::move(why);
    CKPT_ASSIGN_OR_RETURN(const auto equal,
                          EqualKernels(context_.checkpoint, context_.analysis, kernels));
    for (const auto& [i, pairs] : pairs_) {
      const auto twin = equal.find(pairs.front().kernel);
      if (pairs.front().given || twin == equal.end()) continue;
      refused_[i] = Quoted(NameOf(twin->first)) + " and " + Quoted(NameOf(twin->second)) +
                    " are equal bit for bit: a layer that is shared, as it seems";
    }
    std::erase_if(pairs_, [&](const auto& pair) { return refused_.contains(pair.first); });
    return {};
  }

  const std::string& NameOf(TensorId id) const { return context_.manifest.tensors[id.index].name; }

  // What names and order cannot show is said once, with the way to a proof.
  void OfferProof() {
    bool any = false;
    for (std::size_t i = 0; i < context_.candidates.size(); ++i) {
      const Candidate& candidate = context_.candidates[i];
      if (!candidate.folded || candidate.evidence.front().source != EvidenceSource::kUser) continue;
      if (pairs_.at(i).front().given) continue;
      any = true;
    }
    if (!any) return;
    context_.notes.emplace_back(
        "pairs by name or order rest on what is listed; they cannot see an activation without "
        "tensors between two layers, or a layer that is called twice");
    context_.proof = context_.analysis.framework == Framework::kPyTorch ? Remedy::kProveByExport
                                                                        : Remedy::kProveByGraph;
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
  const NamedLayers layers_;
  const PairDoubts doubts_;
  Pairs pairs_;
  std::map<std::size_t, KeepingReason> refused_;
  std::set<std::size_t> doubted_;  // refused for what the layers are, whatever pairs them
  std::set<std::pair<TensorId, FoldDirection>> taken_;
};

}  // namespace

Status FoldByNames(FoldContext& context) { return NameFolder(context).Fold(); }

}  // namespace ckpt
