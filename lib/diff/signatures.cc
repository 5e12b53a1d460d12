#include "diff/signatures.h"

#include <algorithm>
#include <charconv>
#include <cmath>
#include <optional>
#include <string>
#include <string_view>
#include <utility>

#include "ckpt/elements.h"
#include "core/quoted.h"

namespace ckpt {
namespace {

constexpr std::uint64_t kMaxChannels = std::uint64_t{1} << 26;

// The moving statistics of one layer in both files, at least one of which changed.
struct MovedLayer {
  const LayerMatch* layer;
  std::vector<double> mean_a, mean_b, variance_a, variance_b;
  bool mean_changed, variance_changed;
  double roundoff;  // relative, of the coarser stored type
};

std::string Number(double value, int digits) {
  char text[32];
  const auto end =
      std::to_chars(text, text + sizeof(text), value, std::chars_format::general, digits).ptr;
  return std::string(text, end);
}

std::string Layers(std::size_t count) {
  return std::to_string(count) + (count == 1 ? " layer" : " layers");
}

const TensorDiff* Find(const ComparedTensors& compared, const std::optional<TensorId>& id) {
  if (!id) return nullptr;
  const auto found = compared.find(*id);
  return found == compared.end() ? nullptr : found->second;
}

bool IsChanged(const ComparedTensors& compared, const std::optional<TensorId>& id) {
  const TensorDiff* diff = Find(compared, id);
  return diff != nullptr && !IsUnchanged(*diff);
}

bool CanRead(const Manifest& manifest, const BatchNorm& layer) {
  return layer.moving_mean && layer.moving_variance &&
         manifest.tensors[layer.moving_mean->index].data_present &&
         manifest.tensors[layer.moving_variance->index].data_present;
}

Result<std::vector<MovedLayer>> ReadMovedLayers(const Checkpoint& a, const Checkpoint& b,
                                                const std::vector<LayerMatch>& layers,
                                                const ComparedTensors& compared) {
  std::vector<MovedLayer> moved;
  for (const LayerMatch& layer : layers) {
    if (layer.a == nullptr || layer.b == nullptr) continue;
    if (!CanRead(a.manifest(), *layer.a) || !CanRead(b.manifest(), *layer.b)) continue;
    MovedLayer read{};
    read.layer = &layer;
    read.mean_changed = IsChanged(compared, layer.a->moving_mean);
    read.variance_changed = IsChanged(compared, layer.a->moving_variance);
    if (!read.mean_changed && !read.variance_changed) continue;
    CKPT_ASSIGN_OR_RETURN(read.mean_a, ReadDoubles(a, *layer.a->moving_mean, kMaxChannels));
    CKPT_ASSIGN_OR_RETURN(read.mean_b, ReadDoubles(b, *layer.b->moving_mean, kMaxChannels));
    CKPT_ASSIGN_OR_RETURN(read.variance_a, ReadDoubles(a, *layer.a->moving_variance, kMaxChannels));
    CKPT_ASSIGN_OR_RETURN(read.variance_b, ReadDoubles(b, *layer.b->moving_variance, kMaxChannels));
    if (read.mean_a.size() != read.mean_b.size() ||
        read.variance_a.size() != read.variance_b.size()) {
      continue;
    }
    read.roundoff =
        std::max(UnitRoundoff(a.manifest().tensors[layer.a->moving_variance->index].dtype),
                 UnitRoundoff(b.manifest().tensors[layer.b->moving_variance->index].dtype));
    moved.push_back(std::move(read));
  }
  return moved;
}

// Two different values at least: with one, a factor and an offset cannot be told apart.
bool Varies(const std::vector<double>& values) {
  return std::any_of(values.begin(), values.end(), [&](double v) { return v != values.front(); });
}

// The one factor between the variances of a layer, if there is one that rounding does not explain.
struct Factor {
  double ratio;      // B over A
  double deviation;  // largest relative deviation of a channel from it
};
std::optional<Factor> CommonFactor(const MovedLayer& layer) {
  std::vector<double> ratios;
  for (std::size_t c = 0; c < layer.variance_a.size(); ++c) {
    const double a = layer.variance_a[c], b = layer.variance_b[c];
    if (a == 0 && b == 0) continue;
    if (!(a > 0) || !(b > 0)) return std::nullopt;
    ratios.push_back(b / a);
  }
  if (ratios.size() < 2 || !Varies(layer.variance_a)) return std::nullopt;
  const auto middle = ratios.begin() + static_cast<std::ptrdiff_t>(ratios.size() / 2);
  std::nth_element(ratios.begin(), middle, ratios.end());
  Factor factor{*middle, 0};
  for (const double ratio : ratios) {
    factor.deviation = std::max(factor.deviation, std::fabs(ratio / factor.ratio - 1));
  }
  // Averages in float32 drift by a few roundings more than one store does.
  constexpr double kDrift = 1e-5;
  const double noise = std::max(factor.deviation, 2 * layer.roundoff);
  const bool constant = factor.deviation <= std::max(kDrift, 4 * layer.roundoff);
  return constant && std::fabs(factor.ratio - 1) > 10 * noise ? std::optional(factor)
                                                              : std::nullopt;
}

// N of a ratio N / (N - 1) (or its inverse), if the ratio can be one.
struct SampleCount {
  double n;
  double uncertainty;
};
std::optional<SampleCount> BesselCount(const Factor& factor, double roundoff) {
  const double ratio = factor.ratio > 1 ? factor.ratio : 1 / factor.ratio;
  SampleCount count{ratio / (ratio - 1), 0};
  count.uncertainty = count.n * count.n * std::max(factor.deviation, 2 * roundoff);
  const double rest = std::fabs(count.n - std::round(count.n));
  const bool whole = rest <= std::max(count.uncertainty, 1e-3);
  return count.n > 1.5 && whole ? std::optional(count) : std::nullopt;
}

std::string CountText(const SampleCount& count) {
  return count.uncertainty < 0.5 ? std::to_string(std::llround(count.n))
                                 : "about " + Number(count.n, 3);
}

std::optional<Signature> FindBessel(const std::vector<MovedLayer>& moved) {
  Signature signature{"bessel", {}, {}};
  std::optional<bool> b_is_larger;
  std::vector<std::string> counts;
  for (const MovedLayer& layer : moved) {
    if (!layer.variance_changed) continue;
    const std::optional<Factor> factor = CommonFactor(layer);
    if (!factor) return std::nullopt;
    const std::optional<SampleCount> count = BesselCount(*factor, layer.roundoff);
    if (!count || (b_is_larger && *b_is_larger != (factor->ratio > 1))) return std::nullopt;
    b_is_larger = factor->ratio > 1;
    const std::string text = CountText(*count);
    if (std::find(counts.begin(), counts.end(), text) == counts.end()) counts.push_back(text);
    signature.subjects.push_back(layer.layer->a->scope);
  }
  if (counts.empty()) return std::nullopt;
  std::string list;
  for (const std::string& count : counts) list += (list.empty() ? "" : ", ") + count;
  signature.message = "the variances of " + Layers(signature.subjects.size()) + " are larger in " +
                      (*b_is_larger ? "B" : "A") + " by N/(N-1), N = " + list +
                      ": one side corrects the variance of a batch of N values (Bessel), the other "
                      "does not";
  return signature;
}

// The one difference between the variances of all layers, B minus A.
std::optional<double> CommonOffset(const std::vector<MovedLayer>& moved) {
  std::optional<double> offset;
  double smallest = 0;  // variance that the offset was read from: it tells it best
  for (const MovedLayer& layer : moved) {
    for (std::size_t c = 0; c < layer.variance_a.size(); ++c) {
      const double size = std::max(std::fabs(layer.variance_a[c]), std::fabs(layer.variance_b[c]));
      if (offset && size >= smallest) continue;
      offset = layer.variance_b[c] - layer.variance_a[c];
      smallest = size;
    }
  }
  return offset;
}

std::optional<Signature> FindEpsilonOffset(const std::vector<MovedLayer>& moved) {
  constexpr double kLargestEpsilon = 0.1;
  const std::optional<double> offset = CommonOffset(moved);
  if (!offset || *offset == 0 || !(std::fabs(*offset) <= kLargestEpsilon)) return std::nullopt;
  Signature signature{"epsilon-offset", {}, {}};
  std::vector<double> informative;  // variances small enough to show the offset
  for (const MovedLayer& layer : moved) {
    if (!layer.variance_changed) return std::nullopt;
    for (std::size_t c = 0; c < layer.variance_a.size(); ++c) {
      const double a = layer.variance_a[c], b = layer.variance_b[c];
      const double rounding =
          4 * layer.roundoff * std::max({std::fabs(a), std::fabs(b), std::fabs(*offset)});
      if (!(std::fabs(b - a - *offset) <= rounding)) return std::nullopt;
      if (std::fabs(*offset) > 100 * rounding) informative.push_back(a);
    }
    signature.subjects.push_back(layer.layer->a->scope);
  }
  if (informative.size() < 2 || !Varies(informative)) return std::nullopt;
  signature.message = "every variance of " + Layers(signature.subjects.size()) + " is " +
                      Number(std::fabs(*offset), 3) + (*offset < 0 ? " smaller" : " larger") +
                      " in B: an epsilon was " + (*offset < 0 ? "taken from" : "added to") +
                      " the variances";
  return signature;
}

bool AreInitial(const std::vector<double>& mean, const std::vector<double>& variance) {
  return std::all_of(mean.begin(), mean.end(), [](double x) { return x == 0; }) &&
         std::all_of(variance.begin(), variance.end(), [](double x) { return x == 1; });
}

bool IsWeight(Role role) noexcept {
  return role == Role::kKernel || role == Role::kBias || role == Role::kGamma ||
         role == Role::kBeta;
}

std::optional<Signature> FindReset(const std::vector<MovedLayer>& moved,
                                   const ComparedTensors& compared) {
  Signature signature{"statistics-reset", {}, {}};
  for (const MovedLayer& layer : moved) {
    if (!AreInitial(layer.mean_b, layer.variance_b)) return std::nullopt;
    signature.subjects.push_back(layer.layer->a->scope);
  }
  bool any_weight = false;
  for (const auto& [id, diff] : compared) {
    if (!IsWeight(diff->role)) continue;
    if (!IsUnchanged(*diff)) return std::nullopt;
    any_weight = true;
  }
  if (signature.subjects.empty() || !any_weight) return std::nullopt;
  signature.message = "the statistics of " + Layers(signature.subjects.size()) +
                      " are 0 and 1 in B and were not in A, while all weights are equal: a warm "
                      "start or a restore that left them out";
  return signature;
}

std::string_view Parent(std::string_view name) {
  const std::size_t end = name.find_last_of("/.");
  return end == std::string_view::npos ? std::string_view() : name.substr(0, end);
}

// Is a kernel of the block that the layer stands in changed? At the root there is no block.
bool KernelBesideChanged(const BatchNorm& layer, const ComparedTensors& compared) {
  const std::string_view block = Parent(layer.scope);
  if (block.empty()) return false;
  return std::any_of(compared.begin(), compared.end(), [&](const auto& item) {
    const TensorDiff& diff = *item.second;
    if (diff.role != Role::kKernel || IsUnchanged(diff)) return false;
    const std::string_view scope = Parent(diff.name_a);
    return scope == block || Parent(scope) == block;
  });
}

std::optional<Signature> FindFrozenDrift(const std::vector<MovedLayer>& moved,
                                         const ComparedTensors& compared) {
  Signature signature{"frozen-drift", {}, {}};
  for (const MovedLayer& layer : moved) {
    const BatchNorm& norm = *layer.layer->a;
    const bool affine =
        Find(compared, norm.gamma) != nullptr || Find(compared, norm.beta) != nullptr;
    if (!affine || IsChanged(compared, norm.gamma) || IsChanged(compared, norm.beta)) continue;
    if (KernelBesideChanged(norm, compared)) continue;
    signature.subjects.push_back(norm.scope);
  }
  if (signature.subjects.empty()) return std::nullopt;
  signature.message =
      Layers(signature.subjects.size()) +
      " with gamma, beta and kernels unchanged moved their statistics: frozen layers "
      "that ran in training mode, or statistics computed anew";
  return signature;
}

Signature PrefixSignature(const Matching& matching) {
  Signature signature{"prefix", {}, {}};
  signature.message =
      (matching.agreeing == matching.of ? "all " : "") + std::to_string(matching.agreeing) +
      (matching.agreeing == matching.of ? "" : " of " + std::to_string(matching.of)) +
      " names agree after stripping ";
  if (!matching.prefix_a.empty()) {
    signature.message += Quoted(matching.prefix_a) + " in A";
    signature.subjects.push_back(matching.prefix_a);
  }
  if (!matching.prefix_b.empty()) {
    signature.message +=
        (matching.prefix_a.empty() ? "" : " and ") + Quoted(matching.prefix_b) + " in B";
    signature.subjects.push_back(matching.prefix_b);
  }
  return signature;
}

}  // namespace

bool IsUnchanged(const TensorDiff& diff) noexcept {
  if (diff.status == TensorStatus::kEqual) return true;
  return diff.status == TensorStatus::kRetyped && diff.by == ComparedBy::kBytes &&
         diff.differing == 0;
}

Result<std::vector<Signature>> FindSignatures(const Checkpoint& a, const Checkpoint& b,
                                              const std::vector<LayerMatch>& layers,
                                              const ComparedTensors& compared,
                                              const Matching& matching) {
  std::vector<Signature> signatures;
  if (!matching.prefix_a.empty() || !matching.prefix_b.empty()) {
    signatures.push_back(PrefixSignature(matching));
  }
  CKPT_ASSIGN_OR_RETURN(const std::vector<MovedLayer> moved,
                        ReadMovedLayers(a, b, layers, compared));
  // The first that explains the statistics; the last claims least.
  std::optional<Signature> found = FindReset(moved, compared);
  if (!found) found = FindBessel(moved);
  if (!found) found = FindEpsilonOffset(moved);
  if (!found) found = FindFrozenDrift(moved, compared);
  if (found) signatures.push_back(std::move(*found));
  return signatures;
}

}  // namespace ckpt
