#include "convert/training_state.h"

namespace ckpt {
namespace {

// The model cannot be loaded without what its graph gives to a layer.
bool GraphNeeds(const Manifest& manifest, TensorId id) {
  if (!manifest.graph) return false;
  for (const Layer& layer : manifest.graph->layers) {
    for (const auto& [name, tensor] : layer.tensors) {
      if (tensor == id) return true;
    }
  }
  return false;
}

std::string WhyByRole(const Manifest& manifest, const Analysis& analysis, TensorId id) {
  const TensorInfo& info = manifest.tensors[id.index];
  const TensorRole& role = analysis.roles[id.index];
  const auto of = [&](const std::string& what) {
    return role.of ? what + " of \"" + manifest.tensors[role.of->index].name + '"' : what;
  };
  if (role.of_training && !role.evidence.empty()) return role.evidence.front().detail;
  switch (role.role) {
    case Role::kOptimizerSlot:
      return of("optimizer state");
    case Role::kEmaShadow:
      return of("moving average");
    case Role::kStep:
      return "training step";
    case Role::kBnExtra:
      return of("batch norm state of training");
    case Role::kKernel:
    case Role::kBias:
    case Role::kGamma:
    case Role::kBeta:
    case Role::kMovingMean:
    case Role::kMovingVariance:
    case Role::kBatchCounter:  // PyTorch refuses a state dict without it
    case Role::kOther:
      break;
  }
  switch (info.section) {
    case Section::kOptimizer:
      return "optimizer state";
    case Section::kTransient:
      return "no part of the model's state: a plain attribute or a buffer that is not persistent";
    case Section::kBookkeeping:
      return "bookkeeping of the checkpoint";
    case Section::kModel:
    case Section::kConstant:  // the graph needs it
      break;
  }
  return {};
}

}  // namespace

std::string WhyNotServed(const Manifest& manifest, const Analysis& analysis, TensorId id) {
  std::string why = WhyByRole(manifest, analysis, id);
  return !why.empty() && GraphNeeds(manifest, id) ? std::string() : why;
}

bool DescribesItsFile(const TensorInfo& info) noexcept {
  return info.section == Section::kBookkeeping && info.dtype == Dtype::kString;
}

}  // namespace ckpt
