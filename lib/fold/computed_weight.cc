#include "fold/computed_weight.h"

#include <string_view>
#include <utility>

#include "fold/module_names.h"

namespace ckpt {
namespace {

constexpr std::string_view kWeightNorm = "is a part of a weight norm: the weight is g * v / |v|";
constexpr std::string_view kSpectralNorm =
    "is divided by its own largest singular value before use (spectral norm)";
constexpr std::string_view kParametrised =
    "is what a parametrisation computes the weight from (torch.nn.utils.parametrize)";

bool Has(const Manifest& manifest, const std::string& name) {
  return FindTensor(manifest, name).has_value();
}

// torch/nn/utils/parametrizations.py: LAYER.parametrizations.weight.original, or original0 and
// original1 where the weight is made of two.
std::optional<std::string_view> Parametrised(const Manifest& manifest, const std::string& name) {
  const std::size_t at = name.find("parametrizations.");
  if (at == std::string::npos || (at > 0 && name[at - 1] != '.')) return std::nullopt;
  if (name.ends_with(".original0") || name.ends_with(".original1")) return kWeightNorm;
  const auto base = Without(name, ".original");
  if (!base) return std::nullopt;
  return Has(manifest, *base + ".0._u") ? kSpectralNorm : kParametrised;
}

// torch/nn/utils/weight_norm.py and spectral_norm.py.
std::optional<std::string_view> Hooked(const Manifest& manifest, const std::string& name) {
  for (const auto& [suffix, other] : {std::pair("_g", "_v"), std::pair("_v", "_g")}) {
    const auto base = Without(name, suffix);
    const bool of_weight = base && base->substr(base->rfind('.') + 1).starts_with("weight");
    if (of_weight && Has(manifest, *base + other)) return kWeightNorm;
  }
  const auto base = Without(name, "_orig");
  if (!base) return std::nullopt;
  if (Has(manifest, *base + "_u")) return kSpectralNorm;
  if (Has(manifest, *base + "_mask")) return "is multiplied by a mask before use (pruning)";
  return std::nullopt;
}

}  // namespace

std::optional<std::string> ComputedWeight(const Manifest& manifest, TensorId tensor) {
  const std::string& name = manifest.tensors[tensor.index].name;
  auto what = Parametrised(manifest, name);
  if (!what) what = Hooked(manifest, name);
  return what ? std::optional(std::string(*what)) : std::nullopt;
}

}  // namespace ckpt
