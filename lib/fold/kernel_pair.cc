#include "fold/kernel_pair.h"

#include <algorithm>
#include <array>
#include <cctype>

#include "fold/linear_layer.h"
#include "fold/reason.h"

namespace ckpt {
namespace {

std::string Lower(std::string_view text) {
  std::string lower(text);
  std::transform(lower.begin(), lower.end(), lower.begin(), [](char c) {
    return static_cast<char>(std::tolower(static_cast<unsigned char>(c)));
  });
  return lower;
}

}  // namespace

bool SaysTransposed(std::string_view name) {
  const std::string lower = Lower(name);
  constexpr std::array<std::string_view, 4> kWords = {"transpose", "deconv", "upconv", "convt"};
  return std::any_of(kWords.begin(), kWords.end(),
                     [&](std::string_view word) { return lower.find(word) != std::string::npos; });
}

Result<KernelLayout> ConventionalLayout(const Manifest& manifest,
                                        std::optional<Framework> framework, TensorId kernel) {
  const TensorInfo& info = manifest.tensors[kernel.index];
  if (info.shape.rank() > 2 && SaysTransposed(info.name)) {
    return Refuse("the name of " + Quoted(info.name) +
                  " speaks of a transposed convolution; --pairs can give its layout");
  }
  if (!framework) {
    return Refuse(
        "the layout of " + Quoted(info.name) +
        " is not known: nothing says which framework wrote the file; --pairs can give it");
  }
  switch (*framework) {
    case Framework::kTensorFlow:
    case Framework::kKeras:
      return SplitName(info.name).leaf.starts_with("depthwise_")
                 ? KernelLayout::kSpatialInMultiplier
                 : KernelLayout::kSpatialInOut;
    case Framework::kFlax:
      return KernelLayout::kSpatialInOut;
    case Framework::kPyTorch:
    case Framework::kCaffe:
    case Framework::kDarknet:
    case Framework::kMxNet:
    case Framework::kChainer:
      return KernelLayout::kOutInSpatial;
  }
  return Refuse("the layout of " + Quoted(info.name) + " is not known");
}

std::optional<TensorId> BiasBeside(const Manifest& manifest, TensorId kernel) {
  const std::string& name = manifest.tensors[kernel.index].name;
  const std::string conventional = BiasNameFor(name);
  if (const auto found = FindTensor(manifest, conventional)) return found;
  const NameParts parts = SplitName(name);
  // Without a scope a plain "bias" may be any layer's.
  if (parts.parent.empty() && conventional != "bias" && conventional != "biases") return {};
  for (const char* leaf : {"bias", "biases"}) {
    if (const auto found = FindTensor(manifest, parts.parent + parts.separator + leaf)) {
      return found;
    }
  }
  return std::nullopt;
}

}  // namespace ckpt
