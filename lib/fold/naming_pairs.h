// Pairs that the user asked to be taken from the names or from the order of the layers. Neither is
// proof: every pair is printed with what it rests on, and nothing that the file shows contradicts
// it.
#pragma once

#include <map>
#include <set>
#include <string>
#include <vector>

#include "fold/definition_order.h"
#include "fold/kernel_layout.h"
#include "fold/kernel_pair.h"
#include "fold/name_families.h"
#include "fold/name_keys.h"
#include "fold/named_layers.h"

namespace ckpt {

class NamingPairs {
 public:
  // REQUIRES: `layers` outlives it.
  explicit NamingPairs(const NamedLayers& layers);

  // The batch norms that are left, and the kernels that they may have.
  struct Open {
    std::set<std::size_t> batch_norms;
    std::set<TensorId> settled_kernels;
  };
  // "conv1" and "bn1", "conv2d_3" and "batch_normalization_3", "x/conv" and "x/bn", "block" and
  // "block_BN", and neighbours in a numbered sequence.
  PairingResult ByName(const Open& open) const;
  // Each batch norm with the layer directly before it, in the order of definition.
  PairingResult ByOrder(const Open& open) const;

  const KernelLayouts& layouts() const noexcept { return layouts_; }

 private:
  struct Named {
    std::map<std::size_t, std::set<std::size_t>> candidates = {};  // layers by batch norm
    std::vector<NameFamilies::Member> members = {}, misfits = {};
  };
  Named FindNamed(const Open& open) const;
  Result<KernelPair> Judge(const NameFamilies& families, const NameFamilies::Member& member) const;
  void AddNeighbour(const Open& open, std::size_t batch_norm, PairingResult& result) const;
  Result<KernelPair> MakePair(std::size_t batch_norm, TensorId kernel, std::string why) const;

  const NamedLayers& layers_;
  NameKeys names_;
  KernelLayouts layouts_;
  DefinitionOrder order_;
};

}  // namespace ckpt
