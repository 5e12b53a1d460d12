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

// Something that training keeps beside a variable, and not recorded as something else.
bool IsStateOfAVariable(const TensorRole& role) {
  if (role.of_training && !role.evidence.empty()) return false;
  return role.role == Role::kOptimizerSlot || role.role == Role::kEmaShadow ||
         role.role == Role::kBnExtra;
}

// Empty where it is no reason.
std::string WhyByRole(const TensorInfo& info, const TensorRole& role) {
  if (role.of_training && !role.evidence.empty()) return role.evidence.front().detail;
  switch (role.role) {
    case Role::kOptimizerSlot:
      return "optimizer state";
    case Role::kEmaShadow:
      return "moving average";
    case Role::kStep:
      return "training step";
    case Role::kBnExtra:
      return "batch norm state of training";
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

std::optional<Dropped> WhyNotServed(const Manifest& manifest, const Analysis& analysis,
                                    TensorId id) {
  const TensorInfo& info = manifest.tensors[id.index];
  const TensorRole& role = analysis.roles[id.index];
  Dropped dropped{info.name, WhyByRole(info, role)};
  if (dropped.reason.empty() || GraphNeeds(manifest, id)) return std::nullopt;
  if (role.of && IsStateOfAVariable(role)) dropped.of = manifest.tensors[role.of->index].name;
  return dropped;
}

std::string InWords(const Dropped& dropped) {
  std::string words = dropped.reason;
  if (!dropped.of.empty()) words += " of \"" + dropped.of + '"';
  if (dropped.of_folded) words += ", which was folded";
  return words;
}

bool DescribesItsFile(const TensorInfo& info) noexcept {
  return info.section == Section::kBookkeeping && info.dtype == Dtype::kString;
}

}  // namespace ckpt
