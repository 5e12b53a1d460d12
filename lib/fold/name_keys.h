// What the names of layers say of one another: "conv1" and "bn1", "block" and "block_BN".
#pragma once

#include <map>
#include <set>
#include <string>
#include <string_view>
#include <vector>

#include "fold/named_layers.h"

namespace ckpt {

// The kernels whose names go with those of batch norms.
class NameKeys {
 public:
  // REQUIRES: `layers` outlives it.
  explicit NameKeys(const NamedLayers& layers);

  // Indices into layers(): the layers with a kernel whose names go with that of this batch norm.
  std::set<std::size_t> KernelsOf(const NamedLayer& batch_norm) const;
  bool GoTogether(const NamedLayer& kernel, const NamedLayer& batch_norm) const;

 private:
  std::map<std::string, std::vector<std::size_t>> kernels_;  // by what their names say
};

}  // namespace ckpt
