#include "fold/pair_doubts.h"

#include <algorithm>
#include <cmath>
#include <set>
#include <utility>

#include "fold/computed_weight.h"
#include "fold/reason.h"

namespace ckpt {
namespace {

constexpr std::size_t kFewestChannels = 8;

// P(at most `few` of `count` fair coins show heads).
double BinomialTail(std::size_t count, std::size_t few) {
  const auto n = static_cast<double>(count);
  double sum = 0;
  for (std::size_t k = 0; k <= few; ++k) {
    const auto heads = static_cast<double>(k);
    sum += std::exp(std::lgamma(n + 1) - std::lgamma(heads + 1) - std::lgamma(n - heads + 1) -
                    n * std::log(2.0));
  }
  return std::min(sum, 1.0);
}

struct Signs {
  std::size_t negative = 0, positive = 0;
  std::size_t count() const { return negative + positive; }

  void Add(std::span<const double> means) {
    for (const double mean : means) {
      negative += mean < 0;
      positive += mean > 0;
    }
  }
  // A ReLU leaves no negative mean, other activations few.
  bool LookActivated() const {
    constexpr double kChance = 1e-5;
    if (count() < kFewestChannels || 2 * negative >= count()) return false;
    return negative == 0 || BinomialTail(count(), negative) < kChance;
  }
};

KeepingReason Say(const Signs& signs, const std::string& whose) {
  return {"its input looks like that of an activation, a ReLU perhaps: " +
              (signs.negative == 0 ? "none" : "only " + std::to_string(signs.negative)) +
              " of the " + std::to_string(signs.count()) + " moving means " + whose + "is negative",
          Remedy::kGivePair};
}

using Fingerprint = std::uint64_t;

// FNV-1a over at most `most` bytes of a tensor.
Result<Fingerprint> FingerprintOf(const Checkpoint& checkpoint, TensorId id, std::uint64_t most) {
  CKPT_ASSIGN_OR_RETURN(const auto stream, checkpoint.Open(id));
  Fingerprint sum = 14695981039346656037U;
  while (most > 0) {
    CKPT_ASSIGN_OR_RETURN(auto chunk, stream->Next());
    if (chunk.empty()) break;
    chunk = chunk.first(static_cast<std::size_t>(std::min<std::uint64_t>(chunk.size(), most)));
    for (const std::byte byte : chunk) {
      sum = (sum ^ std::to_integer<Fingerprint>(byte)) * 1099511628211U;
    }
    most -= chunk.size();
  }
  return sum;
}

using Group = std::vector<TensorId>;
// Splits `group` by the fingerprints of the first `most` bytes; groups of one are dropped.
Result<std::vector<Group>> Split(const Checkpoint& checkpoint, const Group& group,
                                 std::uint64_t most) {
  std::map<Fingerprint, Group> by_fingerprint;
  for (const TensorId id : group) {
    CKPT_ASSIGN_OR_RETURN(const Fingerprint fingerprint, FingerprintOf(checkpoint, id, most));
    by_fingerprint[fingerprint].push_back(id);
  }
  std::vector<Group> groups;
  for (auto& [fingerprint, ids] : by_fingerprint) {
    if (ids.size() > 1) groups.push_back(std::move(ids));
  }
  return groups;
}

}  // namespace

PairDoubts::PairDoubts(const NamedLayers& layers, const SharedTensors& shared)
    : layers_(layers), shared_(shared) {
  for (std::size_t i = 0; i < layers.layers().size(); ++i) {
    if (!layers.layers()[i].batch_norm) others_.emplace(layers.layers()[i].scope, i);
  }
}

Status PairDoubts::Check(std::size_t batch_norm, const KernelPair& pair) const {
  CKPT_RETURN_IF_ERROR(CheckNorm(batch_norm));
  return CheckKernel(pair);
}

Status PairDoubts::CheckNorm(std::size_t batch_norm) const {
  const BatchNorm& norm = layers_.analysis().batch_norms[batch_norm];
  const auto other = others_.find(norm.scope);
  if (other != others_.end() && !norm.scope.empty()) {
    const NamedLayer& layer = layers_.layers()[other->second];
    const bool holds_kernel = layer.kernel.has_value();
    if (!holds_kernel) {
      return Refuse(
          Quoted(layers_.manifest().tensors[layer.tensors.front().index].name) +
          " stands beside its statistics, which a batch norm does not have: it may compute more");
    }
  }
  for (const auto& id : {norm.gamma, norm.beta, norm.moving_mean, norm.moving_variance}) {
    if (id && shared_.HasAbsentName(*id)) {
      return Refuse(Quoted(layers_.manifest().tensors[id->index].name) +
                    " is shared with another layer");
    }
  }
  const RecordedModule* const module = layers_.Recorded(norm.scope);
  if (module == nullptr || module->class_name.empty()) return {};
  const std::string_view name = module->class_name;
  if (name.find("Norm") != std::string_view::npos || name.find("norm") != std::string_view::npos) {
    return {};
  }
  return Refuse("it is a " + module->class_name +
                ", and nothing records what that class computes besides");
}

Status PairDoubts::CheckKernel(const KernelPair& pair) const {
  const auto at = layers_.OfKernel(pair.kernel);
  if (!at) return {};
  const NamedLayer& layer = layers_.layers()[*at];
  const std::string& name = layers_.manifest().tensors[pair.kernel.index].name;
  if (const auto computed = ComputedWeight(layers_.manifest(), pair.kernel)) {
    return Refuse(Quoted(name) + " " + *computed + "; save the module without it to fold");
  }
  const auto beside = [&](TensorId id) {
    return Refuse(Quoted(layers_.manifest().tensors[id.index].name) + " stands beside " +
                  Quoted(name) + ": the layer may compute its kernel from more than that");
  };
  for (const TensorId id : layer.tensors) {
    const Role role = layers_.analysis().roles[id.index].role;
    if (id == pair.kernel || id == pair.bias) continue;
    if (role != Role::kKernel && role != Role::kBias) return beside(id);
  }
  if (layer.parts.separator == "/" || layer.scope.empty()) return {};
  const std::string inside = layer.scope + '.';
  const auto first = others_.lower_bound(inside);
  if (first != others_.end() && first->first.starts_with(inside)) {
    return beside(layers_.layers()[first->second].tensors.front());
  }
  return {};
}

std::map<std::size_t, KeepingReason> LookActivated(const std::vector<PairedMeans>& norms) {
  std::map<std::string, Signs> by_naming;
  for (const PairedMeans& norm : norms) by_naming[norm.naming].Add(norm.means);
  std::map<std::size_t, KeepingReason> found;
  for (const PairedMeans& norm : norms) {
    Signs own;
    own.Add(norm.means);
    const Signs& all = by_naming[norm.naming];
    if (own.LookActivated()) {
      found.emplace(norm.batch_norm, Say(own, ""));
    } else if (all.LookActivated()) {
      found.emplace(norm.batch_norm, Say(all, "of the batch norms named like it "));
    }
  }
  return found;
}

Result<std::map<TensorId, TensorId>> EqualKernels(const Checkpoint& checkpoint,
                                                  const Analysis& analysis,
                                                  const std::vector<TensorId>& kernels) {
  constexpr std::uint64_t kBeginning = 4096;
  const Manifest& manifest = checkpoint.manifest();
  const auto key_of = [&](TensorId id) {
    const TensorInfo& info = manifest.tensors[id.index];
    return std::pair(info.dtype,
                     std::vector<std::int64_t>(info.shape.dims().begin(), info.shape.dims().end()));
  };
  std::map<decltype(key_of(TensorId{0})), Group> alike;
  for (const TensorId id : kernels) alike[key_of(id)];
  for (std::uint32_t t = 0; t < manifest.tensors.size(); ++t) {
    const TensorInfo& info = manifest.tensors[t];
    const bool counts = analysis.roles[t].role == Role::kKernel && info.shape.rank() >= 2 &&
                        info.section == Section::kModel && info.data_present;
    if (!counts) continue;
    const auto group = alike.find(key_of(TensorId{t}));
    if (group != alike.end()) group->second.push_back(TensorId{t});
  }
  std::map<TensorId, TensorId> equal;
  for (const auto& [key, group] : alike) {
    if (group.size() < 2) continue;
    CKPT_ASSIGN_OR_RETURN(const auto begin_alike, Split(checkpoint, group, kBeginning));
    for (const Group& candidates : begin_alike) {
      CKPT_ASSIGN_OR_RETURN(const auto same, Split(checkpoint, candidates, ~std::uint64_t{0}));
      for (const Group& ids : same) {
        for (const TensorId id : ids) equal.emplace(id, id == ids[0] ? ids[1] : ids[0]);
      }
    }
  }
  return equal;
}

}  // namespace ckpt
