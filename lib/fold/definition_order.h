// Batch norms that stand directly behind a kernel in the order in which the model defines its
// layers, or in a numbered sequence of them.
#pragma once

#include <map>
#include <optional>
#include <set>
#include <string>

#include "fold/kernel_layout.h"
#include "fold/name_keys.h"

namespace ckpt {

class DefinitionOrder {
 public:
  // REQUIRES: all outlive it. Notes in `layouts` what shapes show of transposed convolutions.
  DefinitionOrder(const NamedLayers& layers, const NameKeys& names, KernelLayouts& layouts);

  struct Pair {
    TensorId kernel;
    std::string rests_on;  // "is stored directly behind it, in the same module"
  };
  // The kernel directly before a batch norm. Fails with kUnfit where another layer stands between,
  // or where the order is no evidence.
  Result<Pair> KernelBefore(std::size_t batch_norm) const;

 private:
  Result<Pair> InSequence(const NamedLayer& norm) const;
  Result<Pair> Stored(std::size_t at) const;
  Status CheckNotComputed(std::size_t at) const;
  Status CheckNames(const NamedLayer& kernel, const NamedLayer& norm) const;
  Status CheckKinds(std::size_t at, bool names_agree) const;
  void NoteNaming(const NamedLayer& kernel);
  void ReadFamilies(KernelLayouts& layouts);

  const NamedLayer& layer(std::size_t at) const { return layers_.layers()[at]; }
  std::uint64_t Channels(const NamedLayer& norm) const;
  bool HasBias(const NamedLayer& kernel) const;
  bool Fits(const NamedLayer& kernel, const NamedLayer& norm) const;

  const NamedLayers& layers_;
  const NameKeys& names_;
  const KernelLayouts& layouts_;
  // Modules in which each batch norm fits the kernel that is defined directly behind it.
  std::set<std::string> may_come_before_;
  std::map<std::string, std::size_t> sequence_;  // layers in a numbered sequence, by scope
  std::map<std::string, std::string> misfits_;   // families in which the order is refuted
  // Kernels directly before a batch norm. Whoever writes one for it leaves its bias out, or never
  // thinks of it; a bias among kernels without one says that it was not written for a batch norm.
  std::size_t with_bias_ = 0, without_bias_ = 0;
  // Modules that are a kernel or hold one, by their parent and their name without numbers.
  std::map<std::string, std::set<std::string>> kernels_of_naming_;
};

}  // namespace ckpt
