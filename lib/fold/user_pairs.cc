#include "fold/user_pairs.h"

#include <algorithm>
#include <cmath>

#include "fold/kernel_layout.h"
#include "fold/reason.h"

namespace ckpt {
namespace {

auto Contradiction(const UserPair& pair, const std::string& what) {
  return Fail(ErrorCode::kInvalidArgument,
              "the pair of " + Quoted(pair.batch_norm) + " and " + Quoted(pair.into) + ": " + what);
}

bool HasPrefix(const Manifest& manifest, const BatchNorm& batch_norm, std::string_view prefix) {
  bool any = false;
  for (const auto& id :
       {batch_norm.gamma, batch_norm.beta, batch_norm.moving_mean, batch_norm.moving_variance}) {
    if (!id) continue;
    const TensorInfo& info = manifest.tensors[id->index];
    if (!info.name.starts_with(prefix) && !info.stored_as.starts_with(prefix)) return false;
    any = true;
  }
  return any;
}

Result<std::size_t> FindBatchNorm(const Manifest& manifest, const Analysis& analysis,
                                  const UserPair& pair) {
  std::string_view scope = pair.batch_norm;
  while (!scope.empty() && (scope.back() == '/' || scope.back() == '.')) scope.remove_suffix(1);
  std::vector<std::size_t> by_prefix;
  for (std::size_t i = 0; i < analysis.batch_norms.size(); ++i) {
    if (analysis.batch_norms[i].scope == scope) return i;
    if (!pair.batch_norm.empty() && HasPrefix(manifest, analysis.batch_norms[i], pair.batch_norm)) {
      by_prefix.push_back(i);
    }
  }
  if (by_prefix.size() == 1) return by_prefix.front();
  return Contradiction(
      pair, by_prefix.empty() ? "the file has no such batch norm" : "several batch norms begin so");
}

Result<TensorId> FindNamed(const Manifest& manifest, const UserPair& pair,
                           const std::string& name) {
  const auto id = FindTensor(manifest, name);
  if (!id) return Contradiction(pair, "the file has no tensor " + Quoted(name));
  return *id;
}

Result<std::optional<SourcedNumber>> EpsilonOf(const BatchNorm& batch_norm, const UserPair& pair) {
  if (!pair.epsilon) return std::optional<SourcedNumber>{};
  const double epsilon = *pair.epsilon;
  if (!std::isfinite(epsilon) || epsilon < 0) {
    return Contradiction(pair, "epsilon is " + FormatNumber(epsilon));
  }
  const auto& found = batch_norm.epsilon;
  const bool recorded = found && (found->evidence.source == EvidenceSource::kGraph ||
                                  found->evidence.source == EvidenceSource::kFrameworkRecord);
  if (recorded && SameEpsilon(found->value, epsilon)) return found;
  if (recorded) {
    return Contradiction(pair, "epsilon is " + FormatNumber(epsilon) + ", and the file records " +
                                   FormatNumber(found->value));
  }
  return std::optional<SourcedNumber>{{epsilon, {EvidenceSource::kUser, "a given pair"}}};
}

Status CheckAgainst(const std::vector<KernelPair>& earlier, const KernelPair& pair,
                    const UserPair& given) {
  for (const KernelPair& other : earlier) {
    if (other.kernel == pair.kernel || pair.direction == FoldDirection::kBackward ||
        other.direction == FoldDirection::kBackward) {
      return Contradiction(given, "another pair settles this batch norm already");
    }
    if (other.epsilon.has_value() != pair.epsilon.has_value() ||
        (pair.epsilon && other.epsilon->value != pair.epsilon->value)) {
      return Contradiction(given, "the pairs of one batch norm disagree on epsilon");
    }
  }
  return {};
}

Status SettleLayout(const KernelLayouts& layouts, const UserPair& given,
                    const BatchNorm& batch_norm, KernelPair& pair) {
  if (given.layout) {
    pair.layout = *given.layout;
    return {};
  }
  const std::uint64_t channels = batch_norm.channels.value_or(0);
  CKPT_ASSIGN_OR_RETURN(FoundLayout found, given.forward ? layouts.OfReader(pair.kernel)
                                                         : layouts.Of(pair.kernel, channels));
  pair.layout = found.layout;
  pair.groups = found.groups;
  pair.evidence.push_back(std::move(found.evidence));
  return {};
}

}  // namespace

Result<UserPairs> ResolveUserPairs(const NamedLayers& layers, const std::vector<UserPair>& pairs) {
  const Manifest& manifest = layers.manifest();
  const Analysis& analysis = layers.analysis();
  const KernelLayouts layouts(layers, analysis.framework);
  UserPairs resolved;
  std::set<TensorId> backward;
  for (const UserPair& given : pairs) {
    CKPT_ASSIGN_OR_RETURN(const std::size_t i, FindBatchNorm(manifest, analysis, given));
    const BatchNorm& batch_norm = analysis.batch_norms[i];
    if (manifest.graph) {
      if (!batch_norm.layer || manifest.graph->layers[*batch_norm.layer].unproved_class.empty()) {
        return Contradiction(given, "the graph in the file says already what feeds what");
      }
      CKPT_RETURN_IF_ERROR(EpsilonOf(batch_norm, given));
      CKPT_ASSIGN_OR_RETURN(resolved.vouched[i], FindNamed(manifest, given, given.into));
      continue;
    }
    KernelPair pair;
    pair.direction = given.forward ? FoldDirection::kForward : FoldDirection::kBackward;
    CKPT_ASSIGN_OR_RETURN(pair.kernel, FindNamed(manifest, given, given.into));
    if (given.bias) {
      CKPT_ASSIGN_OR_RETURN(pair.bias, FindNamed(manifest, given, *given.bias));
    }
    CKPT_ASSIGN_OR_RETURN(pair.epsilon, EpsilonOf(batch_norm, given));
    CKPT_RETURN_IF_ERROR(CheckAgainst(resolved.pairs[i], pair, given));
    if (!given.forward && !backward.insert(pair.kernel).second) {
      return Contradiction(given, "another pair folds into this kernel already");
    }
    pair.evidence.push_back({EvidenceSource::kUser, "a given pair"});
    pair.given = true;
    const Status layout = SettleLayout(layouts, given, batch_norm, pair);
    if (!layout) resolved.refused[i] = KeepingReason(layout.error());
    resolved.pairs[i].push_back(std::move(pair));
  }
  for (const auto& [i, why] : resolved.refused) resolved.pairs.erase(i);
  return resolved;
}

}  // namespace ckpt
