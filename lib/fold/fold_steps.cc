#include "fold/fold_steps.h"

#include <algorithm>

namespace ckpt {

Result<FoldedLayer> FoldSteps::Current(const LinearLayer& layer) const {
  const auto known = layers_.find(KeyOf(layer));
  if (known != layers_.end()) return known->second;
  return FoldedLayer::Read(checkpoint_, layer, cast_);
}

Status FoldSteps::Commit(std::vector<FoldedLayer> changed) {
  std::vector<std::string> notes;
  for (FoldedLayer& layer : changed) CKPT_RETURN_IF_ERROR(layer.Check(checkpoint_, notes));
  for (FoldedLayer& layer : changed) {
    layers_.insert_or_assign(KeyOf(layer.layer()), std::move(layer));
  }
  // A layer that takes several batch norms is checked, and may be noted, each time.
  for (std::string& note : notes) {
    if (std::find(notes_.begin(), notes_.end(), note) == notes_.end()) {
      notes_.push_back(std::move(note));
    }
  }
  return {};
}

Status FoldSteps::Backward(const BatchNormFunction& function, const std::vector<FoldPart>& parts) {
  std::vector<FoldedLayer> changed;
  for (const FoldPart& part : parts) {
    CKPT_ASSIGN_OR_RETURN(FoldedLayer layer, Current(part.layer));
    layer.FoldBackward(function, part.first_channel, part.adds_shift);
    changed.push_back(std::move(layer));
  }
  return Commit(std::move(changed));
}

Status FoldSteps::Forward(const BatchNormFunction& function, const std::vector<FoldPart>& parts) {
  std::vector<FoldedLayer> changed;
  for (const FoldPart& part : parts) {
    CKPT_ASSIGN_OR_RETURN(FoldedLayer layer, Current(part.layer));
    CKPT_RETURN_IF_ERROR(layer.FoldForward(checkpoint_, function, part.order));
    changed.push_back(std::move(layer));
  }
  return Commit(std::move(changed));
}

}  // namespace ckpt
