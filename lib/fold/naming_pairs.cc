#include "fold/naming_pairs.h"

#include <algorithm>

#include "fold/reason.h"

namespace ckpt {
namespace {

void Add(PairingResult& result, std::size_t batch_norm, Result<KernelPair> pair) {
  if (pair) {
    result.pairs.emplace(batch_norm, *std::move(pair));
  } else {
    result.refused[batch_norm] = KeepingReason(pair.error());
  }
}

}  // namespace

NamingPairs::NamingPairs(const NamedLayers& layers)
    : layers_(layers),
      names_(layers),
      layouts_(layers, layers.analysis().framework),
      order_(layers, names_, layouts_) {}

Result<KernelPair> NamingPairs::MakePair(std::size_t batch_norm, TensorId kernel,
                                         std::string why) const {
  const std::uint64_t channels = layers_.analysis().batch_norms[batch_norm].channels.value_or(0);
  CKPT_ASSIGN_OR_RETURN(FoundLayout found, layouts_.Of(kernel, channels));
  KernelPair pair{.kernel = kernel,
                  .bias = BiasBeside(layers_.manifest(), kernel),
                  .layout = found.layout,
                  .groups = found.groups};
  pair.evidence.push_back({EvidenceSource::kUser, std::move(why)});
  pair.evidence.push_back(std::move(found.evidence));
  return pair;
}

PairingResult NamingPairs::ByOrder(const Open& open) const {
  PairingResult result;
  for (const std::size_t i : open.batch_norms) {
    const auto found = order_.KernelBefore(i);
    if (!found) {
      result.refused[i] = KeepingReason(found.error());
      continue;
    }
    const std::string& kernel = layers_.manifest().tensors[found->kernel.index].name;
    if (open.settled_kernels.contains(found->kernel)) {
      result.refused[i] = "another batch norm goes with " + Quoted(kernel) + ", before it";
      continue;
    }
    Add(result, i,
        MakePair(i, found->kernel,
                 "paired by order: " + Quoted(layers_.analysis().batch_norms[i].scope) +
                     " goes with " + Quoted(kernel) + ": it " + found->rests_on));
  }
  return result;
}

// The kernels whose names go with each batch norm; for the families, who is the only one for whom.
NamingPairs::Named NamingPairs::FindNamed(const Open& open) const {
  Named named;
  std::map<std::size_t, std::size_t> claims;
  for (const std::size_t i : open.batch_norms) {
    const auto norm = layers_.OfBatchNorm(i);
    if (!norm) continue;
    std::vector<NameFamilies::Member> other;
    for (const std::size_t k : names_.KernelsOf(layers_.layers()[*norm])) {
      const TensorId kernel = *layers_.layers()[k].kernel;
      if (open.settled_kernels.contains(kernel)) continue;
      const std::uint64_t channels = layouts_.OutChannels(kernel);
      // A kernel without a layout stays one, so that the user hears of it.
      if (channels == 0 || channels == layers_.analysis().batch_norms[i].channels.value_or(0)) {
        named.candidates[i].insert(k);
      } else {
        other.push_back({k, *norm});
      }
    }
    for (const std::size_t k : named.candidates[i]) ++claims[k];
    if (!named.candidates[i].empty()) continue;
    named.misfits.insert(named.misfits.end(), other.begin(), other.end());
  }
  for (const auto& [i, of] : named.candidates) {
    if (of.size() != 1 || claims[*of.begin()] != 1) continue;
    named.members.push_back({*of.begin(), *layers_.OfBatchNorm(i)});
  }
  return named;
}

Result<KernelPair> NamingPairs::Judge(const NameFamilies& families,
                                      const NameFamilies::Member& member) const {
  const NamedLayer& norm = layers_.layers()[member.norm];
  const std::size_t i = *norm.batch_norm;
  const TensorId kernel = *layers_.layers()[member.kernel].kernel;
  CKPT_RETURN_IF_ERROR(families.CheckPair(member));
  const std::string pair = "paired by name: " + Quoted(norm.scope) + " goes with " +
                           Quoted(layers_.manifest().tensors[kernel.index].name) + ": ";
  // What stands directly before it is judged by the order alone.
  if (layers_.ordered() && member.kernel + 1 == member.norm) {
    CKPT_ASSIGN_OR_RETURN(const DefinitionOrder::Pair direct, order_.KernelBefore(i));
    return MakePair(i, kernel, pair + "it " + direct.rests_on);
  }
  CKPT_ASSIGN_OR_RETURN(const std::string decided, families.Decided(member));
  return MakePair(i, kernel, pair + decided);
}

PairingResult NamingPairs::ByName(const Open& open) const {
  PairingResult result;
  const Named named = FindNamed(open);
  const NameFamilies families(layers_, layouts_, named.members, named.misfits);
  for (const NameFamilies::Member& member : named.members) {
    Add(result, *layers_.layers()[member.norm].batch_norm, Judge(families, member));
  }
  for (const std::size_t i : open.batch_norms) {
    const auto norm = layers_.OfBatchNorm(i);
    if (result.pairs.contains(i) || result.refused.contains(i)) continue;
    if (!norm) {
      result.refused[i] = "other tensors stand among its own: it may be another norm";
      continue;
    }
    if (PlaceInSequence(layers_.layers()[*norm].parts.leaf)) {
      AddNeighbour(open, i, result);
      continue;
    }
    const auto found = named.candidates.find(i);
    std::string names;
    if (found != named.candidates.end()) {
      for (const std::size_t k : found->second) {
        const TensorId kernel = *layers_.layers()[k].kernel;
        names +=
            (names.empty() ? "" : ", ") + Quoted(layers_.manifest().tensors[kernel.index].name);
      }
    }
    result.refused[i] = names.empty()
                            ? "no kernel with as many channels has a name that goes with it"
                            : "its name is not the only one that goes with " + names;
  }
  return result;
}

void NamingPairs::AddNeighbour(const Open& open, std::size_t i, PairingResult& result) const {
  const auto direct = order_.KernelBefore(i);
  if (!direct) {
    result.refused[i] = KeepingReason(direct.error());
    return;
  }
  const NamedLayer& kernel = layers_.layers()[*layers_.OfKernel(direct->kernel)];
  const std::string& name = layers_.manifest().tensors[direct->kernel.index].name;
  if (!PlaceInSequence(kernel.parts.leaf)) {
    result.refused[i] = "its name goes with that of no kernel";
  } else if (open.settled_kernels.contains(direct->kernel)) {
    result.refused[i] = "another batch norm goes with " + Quoted(name) + ", before it";
  } else {
    Add(result, i,
        MakePair(i, direct->kernel,
                 "paired by name: " + Quoted(layers_.analysis().batch_norms[i].scope) +
                     " goes with " + Quoted(name) + ": it " + direct->rests_on));
  }
}

}  // namespace ckpt
