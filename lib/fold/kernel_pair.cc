#include "fold/kernel_pair.h"

#include "fold/linear_layer.h"

namespace ckpt {

std::optional<TensorId> BiasBeside(const Manifest& manifest, TensorId kernel) {
  const NameParts parts = SplitName(manifest.tensors[kernel.index].name);
  for (const char* leaf : {"bias", "biases"}) {
    if (const auto found = FindTensor(manifest, parts.parent + parts.separator + leaf)) {
      return found;
    }
  }
  // Keras 1 and Chainer.
  if (parts.leaf == "W") return FindTensor(manifest, parts.parent + parts.separator + "b");
  return std::nullopt;
}

}  // namespace ckpt
