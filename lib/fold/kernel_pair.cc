#include "fold/kernel_pair.h"

#include "fold/linear_layer.h"

namespace ckpt {

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
