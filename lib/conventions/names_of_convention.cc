#include "conventions/names_of_convention.h"

#include <algorithm>

namespace ckpt {
namespace {

std::string Joined(const std::string& scope, char separator, const std::string& leaf) {
  return scope.empty() ? leaf : scope + separator + leaf;
}

std::string TorchLeaf(const TensorPart& part) {
  switch (part.role) {
    case Role::kKernel:
    case Role::kGamma:
      return "weight";
    case Role::kBias:
    case Role::kBeta:
      return "bias";
    case Role::kMovingMean:
      return "running_mean";
    case Role::kMovingVariance:
      return "running_var";
    case Role::kBatchCounter:
      return "num_batches_tracked";
    default:
      return part.leaf == "embeddings" ? "weight" : part.leaf;
  }
}

std::string KerasLeaf(const TensorPart& part, const KernelFacts* kernel) {
  switch (part.role) {
    case Role::kKernel:
      if (kernel != nullptr && kernel->embedding) return "embeddings";
      if (kernel != nullptr && kernel->depthwise) return "depthwise_kernel";
      // A separable layer has two kernels and keeps both names.
      return part.leaf.starts_with("pointwise_") ? "pointwise_kernel" : "kernel";
    case Role::kGamma:
      return "gamma";
    case Role::kBias:
      return "bias";
    case Role::kBeta:
      return "beta";
    case Role::kMovingMean:
      return "moving_mean";
    case Role::kMovingVariance:
      return "moving_variance";
    default:
      return part.leaf;
  }
}

}  // namespace

std::string ScopeIn(Framework framework, const std::string& scope) {
  std::string converted = scope;
  const bool torch = framework == Framework::kPyTorch;
  std::replace(converted.begin(), converted.end(), torch ? '/' : '.', torch ? '.' : '/');
  return converted;
}

std::string NameIn(Framework framework, const TensorPart& part, const KernelFacts* kernel,
                   bool separable) {
  std::string scope = ScopeIn(framework, part.scope);
  if (framework != Framework::kPyTorch) return Joined(scope, '/', KerasLeaf(part, kernel));
  // torch.nn has no separable convolution: two modules in one.
  if (separable) {
    const bool depthwise = part.role == Role::kKernel && kernel != nullptr && kernel->depthwise;
    scope = Joined(scope, '.', depthwise ? "depthwise" : "pointwise");
  }
  return Joined(scope, '.', TorchLeaf(part));
}

}  // namespace ckpt
