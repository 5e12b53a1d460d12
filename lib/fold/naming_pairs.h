// Pairs that the user asked to be taken from the names or from the order of the layers. Neither is
// proof: every pair is printed, has equal channel counts, and is the only possible one.
#pragma once

#include "fold/kernel_pair.h"

namespace ckpt {

struct OpenLayers {
  std::vector<std::size_t> batch_norms;  // indices into the analysis, in its order
  std::vector<TensorId> kernels;         // in natural order of their names
};
// The batch norms that have statistics, and the kernels, without those that are settled already.
OpenLayers LayersLeft(const Manifest& manifest, const Analysis& analysis,
                      const std::set<std::size_t>& settled,
                      const std::set<TensorId>& settled_kernels);

// "conv1" and "bn1", "conv2d_3" and "batch_normalization_3", "x/conv" and "x/bn", "block" and
// "block_BN".
PairingResult PairByName(const Manifest& manifest, const Analysis& analysis,
                         const OpenLayers& layers);
// The batch norms in order, each with a kernel of its own, in the order of the kernels.
PairingResult PairByOrder(const Manifest& manifest, const Analysis& analysis,
                          const OpenLayers& layers);

}  // namespace ckpt
