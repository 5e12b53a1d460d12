#include "fold/named_layers.h"

#include <algorithm>
#include <array>
#include <cctype>
#include <charconv>
#include <numeric>

#include "ckpt/natural_order.h"
#include "roles/tensor_name.h"

namespace ckpt {
namespace {

bool IsDigit(char c) { return std::isdigit(static_cast<unsigned char>(c)) != 0; }

bool IsPartOfModel(const Manifest& manifest, const Analysis& analysis, TensorId id) {
  if (manifest.tensors[id.index].section != Section::kModel) return false;
  switch (analysis.roles[id.index].role) {
    case Role::kOptimizerSlot:
    case Role::kEmaShadow:
    case Role::kStep:
      return false;
    default:
      return true;
  }
}

std::string ScopeOf(const std::string& name) {
  const ParsedName parsed = ParseName(name);
  return parsed.leaf != nullptr ? std::string(parsed.scope) : SplitName(name).parent;
}

// By tensor: the batch norm whose vector it is.
std::vector<std::optional<std::size_t>> BatchNormsOfTensors(const Manifest& manifest,
                                                            const Analysis& analysis) {
  std::vector<std::optional<std::size_t>> norm_of(manifest.tensors.size());
  for (std::size_t i = 0; i < analysis.batch_norms.size(); ++i) {
    const BatchNorm& norm = analysis.batch_norms[i];
    for (const auto& id :
         {norm.gamma, norm.beta, norm.moving_mean, norm.moving_variance, norm.batch_counter}) {
      if (id) norm_of[id->index] = i;
    }
    for (const TensorId id : norm.extras) norm_of[id.index] = i;
  }
  return norm_of;
}

// Of two kernels in one layer: that of a separable convolution whose output leaves the layer.
std::optional<TensorId> LastOf(const Manifest& manifest, TensorId a, TensorId b) {
  const auto starts = [&](TensorId id, std::string_view word) {
    return SplitName(manifest.tensors[id.index].name).leaf.starts_with(word);
  };
  if (starts(a, "depthwise_") && starts(b, "pointwise_")) return b;
  if (starts(b, "depthwise_") && starts(a, "pointwise_")) return a;
  return std::nullopt;
}

// Modules that pass on what they get when the model serves.
bool PassesOn(const RecordedModule& module) {
  constexpr std::array<std::string_view, 2> kNames = {"torch.nn.modules.linear.Identity",
                                                      "torch.nn.modules.dropout.Dropout"};
  return std::find(kNames.begin(), kNames.end(), module.class_name) != kNames.end();
}

}  // namespace

NamedLayers::NamedLayers(const Manifest& manifest, const Analysis& analysis)
    : manifest_(manifest), analysis_(analysis) {
  std::vector<TensorId> order = manifest.stored_order;
  if (order.empty()) {
    for (std::uint32_t t = 0; t < manifest.tensors.size(); ++t) order.push_back(TensorId{t});
    std::stable_sort(order.begin(), order.end(), [&](TensorId a, TensorId b) {
      return NaturalLess(ScopeOf(manifest.tensors[a.index].name),
                         ScopeOf(manifest.tensors[b.index].name));
    });
  }
  const auto norm_of = BatchNormsOfTensors(manifest, analysis);
  for (const TensorId id : order) {
    if (IsPartOfModel(manifest, analysis, id)) Add(id, norm_of);
  }
  for (std::size_t i = 0; i < layers_.size(); ++i) {
    NamedLayer& layer = layers_[i];
    layer.parts = SplitName(layer.scope);
    if (layer.kernel) of_kernel_[*layer.kernel] = i;
  }
  for (std::size_t i = 0; i < manifest.modules.size(); ++i) {
    recorded_.emplace(manifest.modules[i].scope, i);
  }
}

void NamedLayers::Add(TensorId id, const std::vector<std::optional<std::size_t>>& norm_of) {
  const auto& norm = norm_of[id.index];
  const std::string scope =
      norm ? analysis_.batch_norms[*norm].scope : ScopeOf(manifest_.tensors[id.index].name);
  const bool same =
      !layers_.empty() && layers_.back().scope == scope && layers_.back().batch_norm == norm;
  if (!same) {
    layers_.push_back({.scope = scope, .batch_norm = norm});
    if (norm) {
      const auto [place, first] = of_batch_norm_.emplace(*norm, layers_.size() - 1);
      if (!first) place->second.reset();
    }
  }
  NamedLayer& layer = layers_.back();
  const bool is_kernel = analysis_.roles[id.index].role == Role::kKernel &&
                         manifest_.tensors[id.index].shape.rank() >= 2;
  if (is_kernel) {
    const bool first = std::none_of(layer.tensors.begin(), layer.tensors.end(), [&](TensorId t) {
      return analysis_.roles[t.index].role == Role::kKernel;
    });
    if (first) {
      layer.kernel = id;
    } else if (layer.kernel) {
      layer.kernel = LastOf(manifest_, *layer.kernel, id);
    }
  }
  layer.tensors.push_back(id);
}

std::optional<std::size_t> NamedLayers::OfBatchNorm(std::size_t batch_norm) const {
  const auto found = of_batch_norm_.find(batch_norm);
  return found == of_batch_norm_.end() ? std::nullopt : found->second;
}

std::optional<std::size_t> NamedLayers::OfKernel(TensorId kernel) const {
  const auto found = of_kernel_.find(kernel);
  return found == of_kernel_.end() ? std::nullopt : std::optional(found->second);
}

const RecordedModule* NamedLayers::Recorded(std::string_view scope) const {
  const auto found = recorded_.find(scope);
  return found == recorded_.end() ? nullptr : &manifest_.modules[found->second];
}

std::optional<std::string> NamedLayers::RecordedBetween(const std::string& first,
                                                        const std::string& second) const {
  const auto from = recorded_.find(first), to = recorded_.find(second);
  if (from == recorded_.end() || to == recorded_.end()) return std::nullopt;
  for (std::size_t i = from->second + 1; i < to->second; ++i) {
    const RecordedModule& module = manifest_.modules[i];
    if (!module.scope.starts_with(first + ".") && !PassesOn(module)) return module.scope;
  }
  return std::nullopt;
}

std::optional<std::int64_t> PlaceInSequence(std::string_view leaf) {
  std::int64_t value = 0;
  const char* const end = leaf.data() + leaf.size();
  const auto [stop, error] = std::from_chars(leaf.data(), end, value);
  const bool is_number =
      !leaf.empty() && IsDigit(leaf.front()) && error == std::errc() && stop == end;
  return is_number ? std::optional(value) : std::nullopt;
}

std::vector<std::string> NumbersIn(std::string_view leaf) {
  std::vector<std::string> numbers;
  for (std::size_t at = 0; at < leaf.size();) {
    if (!IsDigit(leaf[at])) {
      ++at;
      continue;
    }
    std::size_t end = at;
    while (end < leaf.size() && IsDigit(leaf[end])) ++end;
    const auto letter = [&](std::size_t i) {
      return i < leaf.size() ? std::tolower(static_cast<unsigned char>(leaf[i])) : 0;
    };
    const bool rank = letter(end) == 'd' && std::isalnum(letter(end + 1)) == 0;
    const bool size = (letter(end) == 'x' && std::isdigit(letter(end + 1)) != 0) ||
                      (at >= 2 && letter(at - 1) == 'x' && IsDigit(leaf[at - 2]));
    if (!rank && !size) {
      while (at + 1 < end && leaf[at] == '0') ++at;
      numbers.emplace_back(leaf.substr(at, end - at));
    }
    at = end;
  }
  return numbers;
}

}  // namespace ckpt
