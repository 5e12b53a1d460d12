#include "fold/definition_order.h"

#include <algorithm>

#include "fold/computed_weight.h"
#include "fold/reason.h"
#include "roles/scope_words.h"

namespace ckpt {
namespace {

// Pairs of layers that have one naming, numbers aside.
std::string Family(const NamedLayer& kernel, const NamedLayer& norm) {
  return NamingPattern(kernel.scope) + '\n' + NamingPattern(norm.scope);
}

bool SameParent(const NamedLayer& a, const NamedLayer& b) {
  return a.parts.parent == b.parts.parent && a.parts.separator == b.parts.separator;
}

bool AreNeighbours(const NamedLayer& a, const NamedLayer& b) {
  const auto of_a = PlaceInSequence(a.parts.leaf), of_b = PlaceInSequence(b.parts.leaf);
  return of_a && of_b && *of_b - *of_a == 1;
}

std::string WithoutNumbers(const NameParts& parts) {
  std::string pattern = parts.parent + '\n' + NamingPattern(parts.leaf);
  std::erase(pattern, '#');
  return pattern;
}

}  // namespace

DefinitionOrder::DefinitionOrder(const NamedLayers& layers, const NameKeys& names,
                                 KernelLayouts& layouts)
    : layers_(layers), names_(names), layouts_(layouts) {
  std::map<std::string, bool> before;  // by module: each batch norm fits the kernel behind it
  for (std::size_t i = 0; i < layers.layers().size(); ++i) {
    const NamedLayer& at = layer(i);
    if (PlaceInSequence(at.parts.leaf)) sequence_.emplace(at.scope, i);
    if (at.kernel) NoteNaming(at);
    if (!at.batch_norm) continue;
    const NamedLayer* const next = i + 1 < layers.layers().size() ? &layer(i + 1) : nullptr;
    const bool fits = next && next->kernel && SameParent(*next, at) && Fits(*next, at);
    bool& all = before.emplace(at.parts.parent, true).first->second;
    all = all && fits;
  }
  for (const auto& [parent, all] : before) {
    if (all) may_come_before_.insert(parent);
  }
  ReadFamilies(layouts);
}

// A module around the kernel alone counts, too: "conv.c", "conv.bn" are the convolution "conv" to
// what stands beside it.
void DefinitionOrder::NoteNaming(const NamedLayer& kernel) {
  kernels_of_naming_[WithoutNumbers(kernel.parts)].insert(kernel.parts.leaf);
  if (kernel.parts.parent.empty()) return;
  const NameParts around = SplitName(kernel.parts.parent);
  kernels_of_naming_[WithoutNumbers(around)].insert(around.leaf);
}

void DefinitionOrder::ReadFamilies(KernelLayouts& layouts) {
  for (std::size_t i = 1; i < layers_.layers().size(); ++i) {
    const NamedLayer &kernel = layer(i - 1), &norm = layer(i);
    if (!kernel.kernel || !norm.batch_norm || !SameParent(kernel, norm)) continue;
    if (!layers_.ordered() && !AreNeighbours(kernel, norm)) continue;
    ++(HasBias(kernel) ? with_bias_ : without_bias_);
    if (layouts.FitsOnlyTransposed(*kernel.kernel, Channels(norm))) {
      layouts.NoteTransposed(*kernel.kernel);
    }
    if (!layers_.ordered() || PlaceInSequence(norm.parts.leaf)) continue;
    if (!Fits(kernel, norm)) misfits_.emplace(Family(kernel, norm), norm.scope);
  }
}

bool DefinitionOrder::HasBias(const NamedLayer& kernel) const {
  return std::any_of(kernel.tensors.begin(), kernel.tensors.end(), [&](TensorId id) {
    return layers_.analysis().roles[id.index].role == Role::kBias;
  });
}

std::uint64_t DefinitionOrder::Channels(const NamedLayer& norm) const {
  return layers_.analysis().batch_norms[*norm.batch_norm].channels.value_or(0);
}

bool DefinitionOrder::Fits(const NamedLayer& kernel, const NamedLayer& norm) const {
  const std::uint64_t channels = layouts_.OutChannels(*kernel.kernel);
  return channels == 0 || channels == Channels(norm);
}

Result<DefinitionOrder::Pair> DefinitionOrder::KernelBefore(std::size_t batch_norm) const {
  const auto at = layers_.OfBatchNorm(batch_norm);
  if (!at) return Refuse("other tensors stand among its own: it may be another norm");
  if (layers_.ordered()) return Stored(*at);
  if (PlaceInSequence(layer(*at).parts.leaf)) return InSequence(layer(*at));
  return Refuse("the file keeps no order of its layers (a .pt does)", Remedy::kPairWithoutOrder);
}

// Numbered neighbours: "net.3" and "net.4".
Result<DefinitionOrder::Pair> DefinitionOrder::InSequence(const NamedLayer& norm) const {
  const std::int64_t place = *PlaceInSequence(norm.parts.leaf);
  const auto at = [&](std::int64_t number) -> const NamedLayer* {
    const auto found =
        sequence_.find(norm.parts.parent + norm.parts.separator + std::to_string(number));
    return found == sequence_.end() ? nullptr : &layer(found->second);
  };
  const NamedLayer* const before = place > 0 ? at(place - 1) : nullptr;
  if (before == nullptr) {
    return Refuse("no layer with tensors stands directly before it in its sequence");
  }
  if (!before->kernel) return Refuse(Quoted(before->scope) + ", before it, has no kernel");
  if (const NamedLayer* const next = at(place + 1); next != nullptr && next->batch_norm) {
    return Refuse("two batch norms follow each other: the numbers are no order of calls");
  }
  return Pair{*before->kernel, "has the next number in one sequence"};
}

Result<DefinitionOrder::Pair> DefinitionOrder::Stored(std::size_t at) const {
  const NamedLayer& norm = layer(at);
  if (at == 0) return Refuse("no layer is stored before it");
  const NamedLayer& before = layer(at - 1);
  CKPT_RETURN_IF_ERROR(CheckNotComputed(at - 1));
  if (!before.kernel) {
    return Refuse("the layer stored directly before it, " + Quoted(before.scope) +
                  (before.batch_norm ? ", is a batch norm" : ", has no kernel"));
  }
  if (!SameParent(before, norm)) {
    return Refuse("the layer stored directly before it, " + Quoted(before.scope) +
                  ", belongs to another module");
  }
  if (const auto between = layers_.RecordedBetween(before.scope, norm.scope)) {
    return Refuse("the file records a module between it and " + Quoted(before.scope) + ": " +
                  Quoted(*between));
  }
  const auto kernel_place = PlaceInSequence(before.parts.leaf);
  const auto norm_place = PlaceInSequence(norm.parts.leaf);
  if (kernel_place && norm_place) {
    if (*norm_place - *kernel_place != 1) {
      return Refuse("by their numbers another module stands between it and " +
                        Quoted(before.scope) + ", an activation perhaps",
                    Remedy::kGivePair);
    }
    CKPT_RETURN_IF_ERROR(CheckKinds(at, true));
    return Pair{*before.kernel, "is stored directly behind it and has the next number"};
  }
  CKPT_RETURN_IF_ERROR(CheckNames(before, norm));
  const bool agree = names_.GoTogether(before, norm);
  CKPT_RETURN_IF_ERROR(CheckKinds(at, agree));
  if (const auto misfit = misfits_.find(Family(before, norm)); misfit != misfits_.end()) {
    return Refuse("of the same naming, " + Quoted(misfit->second) +
                  " does not fit the layer stored before it: the order is no evidence here");
  }
  return Pair{*before.kernel, agree ? "is stored directly behind it, and its name agrees"
                                    : "is stored directly behind it, in the same module"};
}

// A parametrisation keeps what it computes a kernel from in modules inside the layer.
Status DefinitionOrder::CheckNotComputed(std::size_t at) const {
  const std::string module = layer(at).scope.substr(0, layer(at).scope.find(".parametrizations."));
  for (std::size_t i = at + 1; i-- > 0 && layer(i).scope.starts_with(module);) {
    for (const TensorId id : layer(i).tensors) {
      const auto computed = ComputedWeight(layers_.manifest(), id);
      if (!computed) continue;
      return Refuse(Quoted(layers_.manifest().tensors[id.index].name) + " " + *computed);
    }
    if (layer(i).scope == module || module.empty()) break;
  }
  return {};
}

Status DefinitionOrder::CheckNames(const NamedLayer& kernel, const NamedLayer& norm) const {
  const auto of_kernel = NumbersIn(kernel.parts.leaf), of_norm = NumbersIn(norm.parts.leaf);
  if (!of_kernel.empty() && !of_norm.empty() && of_kernel != of_norm) {
    return Refuse("its number is not that of the layer stored before it, " + Quoted(kernel.scope));
  }
  const std::set<std::size_t> named = names_.KernelsOf(norm);
  const bool other = std::any_of(named.begin(), named.end(),
                                 [&](std::size_t i) { return layer(i).scope != kernel.scope; });
  if (other && !names_.GoTogether(kernel, norm)) {
    return Refuse("by its name it goes with " + Quoted(layer(*named.begin()).scope) + ", and " +
                  Quoted(kernel.scope) + " is stored before it");
  }
  // "conv1", "bn", "conv2": the one batch norm may well follow both, or their sum.
  if (of_norm.empty() && !of_kernel.empty() &&
      kernels_of_naming_.at(WithoutNumbers(kernel.parts)).size() > 1) {
    return Refuse("it has no number, and there are several layers like " + Quoted(kernel.scope) +
                  ": it may follow another one, too");
  }
  return {};
}

// Definitions grouped by kind, or each batch norm before its kernel, prove nothing by their order.
Status DefinitionOrder::CheckKinds(std::size_t at, bool names_agree) const {
  const NamedLayer &norm = layer(at), &kernel = layer(at - 1);
  if (at + 1 < layers_.layers().size() && layer(at + 1).batch_norm &&
      SameParent(layer(at + 1), norm)) {
    return Refuse("another batch norm is defined directly behind it, " +
                  Quoted(layer(at + 1).scope) + ": the order is no evidence there");
  }
  if (names_agree) return {};
  if (with_bias_ < without_bias_ && HasBias(kernel)) {
    return Refuse(Quoted(kernel.scope) +
                  " has a bias, which most layers before a batch norm in this file have not: the "
                  "sum of several may come between");
  }
  if (at >= 2 && layer(at - 2).kernel && SameParent(layer(at - 2), kernel) &&
      Fits(layer(at - 2), norm)) {
    return Refuse("two layers that fit are defined before it, " + Quoted(layer(at - 2).scope) +
                  " and " + Quoted(kernel.scope) + ": the order is no evidence there");
  }
  if (may_come_before_.contains(norm.parts.parent)) {
    return Refuse("it fits " + Quoted(layer(at + 1).scope) +
                  ", defined behind it, as well: the order is no evidence there");
  }
  return {};
}

}  // namespace ckpt
