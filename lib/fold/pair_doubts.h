// Reasons to keep a batch norm although a name, an order or a nesting gives it a kernel. None of
// them proves a pair.
#pragma once

#include <map>
#include <span>
#include <string>
#include <vector>

#include "fold/kernel_pair.h"
#include "fold/linear_layer.h"
#include "fold/named_layers.h"

namespace ckpt {

// What the names, shapes and records show: another norm than batch norm, a kernel that its layer
// computes anew, a layer that is shared.
class PairDoubts {
 public:
  // REQUIRES: both outlive it.
  PairDoubts(const NamedLayers& layers, const SharedTensors& shared);
  Status Check(std::size_t batch_norm, const KernelPair& pair) const;

 private:
  Status CheckNorm(std::size_t batch_norm) const;
  Status CheckKernel(const KernelPair& pair) const;

  const NamedLayers& layers_;
  const SharedTensors& shared_;
  std::map<std::string, std::size_t> others_;  // layers that are no batch norm, by scope
};

// The moving means of a paired batch norm.
struct PairedMeans {
  std::size_t batch_norm;
  std::string naming;  // of its scope, numbers aside: what one way of calling is expected of
  std::span<const double> means;
};
// By batch norm, why its input looks as if an activation had produced it: without one, about half
// of the means are negative. Of a batch norm by itself, or of all of one naming together.
std::map<std::size_t, KeepingReason> LookActivated(const std::vector<PairedMeans>& norms);

// By kernel of `kernels`, another kernel of the file with the same values, bit for bit. Reads the
// kernels that share type and shape with another, as far as their beginnings agree.
Result<std::map<TensorId, TensorId>> EqualKernels(const Checkpoint& checkpoint,
                                                  const Analysis& analysis,
                                                  const std::vector<TensorId>& kernels);

}  // namespace ckpt
