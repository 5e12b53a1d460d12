#include "roles/training_state.h"

#include <algorithm>
#include <cctype>
#include <utility>
#include <vector>

#include "core/quoted.h"
#include "roles/naming_conventions.h"
#include "roles/scope_words.h"
#include "roles/tensor_name.h"

namespace ckpt {
namespace {

bool IsInteger(Dtype dtype) noexcept {
  return IsReal(dtype) && !IsFloat(dtype) && dtype != Dtype::kBool;
}

// `name` from the component `first` on; both are views of the same text.
std::string_view From(std::string_view name, std::string_view first) noexcept {
  return name.substr(static_cast<std::size_t>(first.data() - name.data()));
}

// `name` up to the separator before the component `first`.
std::string_view Before(std::string_view name, std::string_view first) noexcept {
  const auto length = static_cast<std::size_t>(first.data() - name.data());
  return length == 0 ? std::string_view() : name.substr(0, length - 1);
}

TensorRole TrainingOnly(Role role, EvidenceSource source, std::string detail,
                        std::optional<TensorId> of = {}) {
  return {role, false, {Evidence{source, std::move(detail)}}, of};
}

// A counter of steps by its name and type; `step` in PyTorch's per-parameter state is none.
bool IsStep(const TensorInfo& info, const std::vector<std::string_view>& components) {
  if (info.shape.element_count() != 1) return false;
  const std::string_view last = WithoutNumber(components.back());
  const int rank = StepNameRank(last);
  if (rank == 0) return false;
  if (components.size() > 1 && IsNumber(components[components.size() - 2])) return false;
  const bool plain_step = last == "step";
  return IsInteger(info.dtype) || (IsFloat(info.dtype) && !plain_step);
}

// Keras: "Adam/m/conv1/kernel", "training/Adam/conv1/kernel/m", "training/SGD/Variable_3".
std::optional<TensorRole> KerasSlot(std::string_view name, const NameIndex& names,
                                    const std::vector<std::string_view>& components) {
  for (std::size_t i = 0; i + 1 < components.size(); ++i) {
    if (!IsOptimizerName(WithoutNumber(components[i]))) continue;
    std::string_view base = From(name, components[i + 1]);
    const bool in_front = i + 2 < components.size() && IsKerasSlotName(components[i + 1]);
    const bool behind = i + 2 < components.size() && IsKerasSlotName(components.back());
    if (in_front) {
      base = From(name, components[i + 2]);
    } else if (behind) {
      base = Before(base, components.back());
    }
    const std::optional<TensorId> of = names.Find(base);
    const bool in_training = i > 0 && components[i - 1] == "training";
    if (of || in_training || (i == 0 && (in_front || behind))) {
      return TrainingOnly(Role::kOptimizerSlot, EvidenceSource::kNaming,
                          "name puts it under the optimizer " + Quoted(components[i]), of);
    }
  }
  return std::nullopt;
}

std::optional<TensorRole> NamedSlot(const TensorInfo& info, const NameIndex& names,
                                    const std::vector<std::string_view>& components) {
  const std::string_view name = info.name;
  const auto role = [](std::string detail, std::optional<TensorId> of = {}) {
    return TrainingOnly(Role::kOptimizerSlot, EvidenceSource::kNaming, std::move(detail), of);
  };
  constexpr std::string_view kObjectSlot = "/.OPTIMIZER_SLOT/";
  if (const std::size_t at = name.find(kObjectSlot); at != std::string_view::npos) {
    return role("name contains .OPTIMIZER_SLOT", names.Find(name.substr(0, at)));
  }
  const std::string_view last = WithoutNumber(components.back());
  if (components.size() > 1 && IsSlotSuffix(last)) {
    return role("name ends in " + std::string(components.back()),
                names.FindVariable(Before(name, components.back()), info.shape));
  }
  if (IsOptimizerScalar(last)) return role("name is that of an optimizer's accumulator");
  if (IsTorchSlotKey(components.back())) return role("name is a key of PyTorch's optimizer state");
  if (auto keras = KerasSlot(name, names, components)) return keras;
  static constexpr std::string_view kRoots[] = {"optimizer", "optimizer_weights", "optimizer_state",
                                                "optimizer_state_dict", "optimizer_states"};
  const bool under_root = components.size() > 1 && std::find(std::begin(kRoots), std::end(kRoots),
                                                             components[0]) != std::end(kRoots);
  if (under_root) return role("name puts it under " + Quoted(components[0]));
  return std::nullopt;
}

// "<variable>/ExponentialMovingAverage", and what its debiasing keeps beside it.
std::optional<TensorRole> ShadowBySuffix(const TensorInfo& info, const NameIndex& names,
                                         const std::vector<std::string_view>& components) {
  const std::string_view name = info.name;
  std::size_t at = components.size() - 1;
  const bool helper = components[at] == "biased" || components[at] == "local_step";
  if (helper && at > 0) --at;
  if (at == 0 || !IsShadowSuffix(WithoutNumber(components[at]))) return std::nullopt;
  const std::string_view base = Before(name, components[at]);
  const std::optional<TensorId> exact = names.Find(base);
  // "mean/EMA" and averages of tf.nn.moments are the statistics themselves.
  const ParsedName parsed = ParseName(name);
  const bool statistic = parsed.leaf != nullptr &&
                         (parsed.leaf->part == Part::kMean || parsed.leaf->part == Part::kVariance);
  if (statistic && !exact) return std::nullopt;
  return TrainingOnly(Role::kEmaShadow, EvidenceSource::kNaming,
                      "name ends in " + std::string(From(name, components[at])),
                      exact ? exact : names.FindVariable(base, info.shape));
}

// The state of a random generator, as PyTorch's trainers save it: whole numbers under a name that
// says so.
bool IsRandomState(const Manifest& manifest, const TensorInfo& info,
                   const std::vector<std::string_view>& components) {
  if (manifest.framework && manifest.framework != Framework::kPyTorch) return false;
  if (info.shape.rank() > 1 || !IsInteger(info.dtype)) return false;
  return std::any_of(components.begin(), components.end(), [](std::string_view component) {
    static constexpr std::string_view kStates[] = {"random_state", "random_states",
                                                   "generator_state"};
    if (std::find(std::begin(kStates), std::end(kStates), component) != std::end(kStates)) {
      return true;
    }
    for (std::size_t at = component.find("rng"); at != std::string_view::npos;
         at = component.find("rng", at + 1)) {
      const bool begins = at == 0 || component[at - 1] == '_';
      const std::size_t end = at + 3;
      const bool ends = end == component.size() || component[end] == '_' ||
                        (component[end] == 's' && end + 1 == component.size());
      if (begins && ends) return true;
    }
    return false;
  });
}

TensorRole RecordedSlot(const Manifest& manifest, const NameIndex& names, const TensorInfo& info) {
  if (info.slot_of && info.slot_name == "average") {  // Keras' optimizers with use_ema
    return TrainingOnly(Role::kEmaShadow, EvidenceSource::kFrameworkRecord,
                        "recorded as the optimizer's average of " +
                            Quoted(manifest.tensors[info.slot_of->index].name),
                        info.slot_of);
  }
  if (info.slot_of) {
    return TrainingOnly(Role::kOptimizerSlot, EvidenceSource::kFrameworkRecord,
                        "recorded as the slot " + Quoted(info.slot_name) + " of " +
                            Quoted(manifest.tensors[info.slot_of->index].name),
                        info.slot_of);
  }
  TensorRole role = TrainingOnly(Role::kOptimizerSlot, EvidenceSource::kFrameworkRecord,
                                 "recorded as state of the optimizer");
  if (const auto named = NamedSlot(info, names, Components(info.name))) role.of = named->of;
  return role;
}

}  // namespace

NameIndex::NameIndex(const Manifest& manifest) : manifest_(manifest) {
  ids_.reserve(manifest.tensors.size());
  for (std::uint32_t i = 0; i < manifest.tensors.size(); ++i) {
    ids_.emplace(manifest.tensors[i].name, TensorId{i});
  }
}

std::optional<TensorId> NameIndex::Find(std::string_view name) const {
  const auto found = ids_.find(name);
  return found == ids_.end() ? std::nullopt : std::optional(found->second);
}

std::optional<TensorId> NameIndex::FindVariable(std::string_view name, const Shape& shape) const {
  if (const auto exact = Find(name)) return exact;
  for (std::size_t separator = name.find_first_of("/."); separator != std::string_view::npos;
       separator = name.find_first_of("/.")) {
    name.remove_prefix(separator + 1);
    const auto found = Find(name);
    if (found && manifest_.tensors[found->index].shape == shape) return found;
  }
  return std::nullopt;
}

std::optional<TensorRole> TrainingRole(const Manifest& manifest, const NameIndex& names,
                                       TensorId id) {
  const TensorInfo& info = manifest.tensors[id.index];
  const std::vector<std::string_view> components = Components(info.name);
  if (info.slot_of) return RecordedSlot(manifest, names, info);
  if (IsStep(info, components)) {
    return TrainingOnly(Role::kStep, EvidenceSource::kNaming,
                        "a scalar named " + Quoted(components.back()));
  }
  if (info.section == Section::kOptimizer) {
    if (!info.local_name.empty() && IsStep(info, Components(info.local_name))) {
      return TrainingOnly(Role::kStep, EvidenceSource::kFrameworkRecord,
                          "recorded as the optimizer's " + Quoted(info.local_name));
    }
    return RecordedSlot(manifest, names, info);
  }
  if (auto slot = NamedSlot(info, names, components)) return slot;
  if (auto shadow = ShadowBySuffix(info, names, components)) return shadow;
  if (!IsRandomState(manifest, info, components)) return std::nullopt;
  TensorRole state =
      TrainingOnly(Role::kOther, EvidenceSource::kNaming, "state of a random generator");
  state.of_training = true;
  return state;
}

OptimizerShapes::OptimizerShapes(const Manifest& manifest, const std::vector<TensorRole>& roles) {
  for (std::uint32_t i = 0; i < roles.size(); ++i) {
    const TensorInfo& info = manifest.tensors[i];
    if (info.shape.rank() == 0) continue;
    const Role role = roles[i].role;
    if (role == Role::kOptimizerSlot) {
      if (roles[i].of) {  // this file says which
        any_ = false;
        return;
      }
      any_ = true;
      ++counts_[ToString(info.shape)].variables;
    } else if (info.section == Section::kModel && IsFloat(info.dtype) &&
               role != Role::kMovingMean && role != Role::kMovingVariance &&
               role != Role::kBnExtra && role != Role::kBatchCounter && role != Role::kStep) {
      ++counts_[ToString(info.shape)].weights;
    }
  }
  // State of other shapes than any weight's (flattened, factored) tells nothing.
  any_ = any_ && std::none_of(counts_.begin(), counts_.end(),
                              [](const auto& entry) { return entry.second.weights == 0; });
  if (!any_) return;
  const auto each = [](const Count& count) {
    return count.variables % count.weights != 0 ? std::size_t{0} : count.variables / count.weights;
  };
  const std::size_t first = each(counts_.begin()->second);
  cover_all_ = first != 0 && std::all_of(counts_.begin(), counts_.end(), [&](const auto& entry) {
                 return each(entry.second) == first;
               });
}

bool OptimizerShapes::Lack(const Shape& shape) const {
  const auto count = counts_.find(ToString(shape));
  return any_ && (count == counts_.end() || count->second.variables == 0);
}

std::optional<TensorId> ChooseStep(const Manifest& manifest, const std::vector<TensorRole>& roles) {
  std::optional<TensorId> best;
  int best_rank = -1, ties = 0;
  for (std::uint32_t i = 0; i < roles.size(); ++i) {
    if (roles[i].role != Role::kStep) continue;
    const std::vector<std::string_view> components = Components(manifest.tensors[i].name);
    // Of equal names the one at the root is the program's own: "global_step".
    const int rank =
        2 * StepNameRank(WithoutNumber(components.back())) + (components.size() == 1 ? 1 : 0);
    if (rank > best_rank) {
      best = TensorId{i};
      best_rank = rank;
      ties = 1;
    } else if (rank == best_rank) {
      ++ties;
    }
  }
  return ties == 1 ? best : std::nullopt;
}

std::optional<TensorId> FindUnnamedStep(const Manifest& manifest,
                                        const std::vector<TensorRole>& roles) {
  std::optional<TensorId> scalar;
  bool has_slots = false;
  for (std::uint32_t i = 0; i < roles.size(); ++i) {
    const TensorInfo& info = manifest.tensors[i];
    has_slots = has_slots || roles[i].role == Role::kOptimizerSlot;
    if (!IsInteger(info.dtype) || info.shape.rank() != 0) continue;
    if (scalar) return std::nullopt;
    scalar = TensorId{i};
  }
  if (!scalar || !has_slots) return std::nullopt;
  const bool unnamed = WithoutNumber(manifest.tensors[scalar->index].name) == "Variable";
  return unnamed ? scalar : std::nullopt;
}

}  // namespace ckpt
