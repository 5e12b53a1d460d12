// Carries out folds one after the other: each either takes effect in every layer concerned or in
// none.
#pragma once

#include <map>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "fold/batch_norm_function.h"
#include "fold/folded_layer.h"

namespace ckpt {

// A layer that a batch norm is folded into; see GraphTarget.
struct FoldPart {
  LinearLayer layer;
  std::size_t first_channel = 0;
  bool adds_shift = true;
  ChannelOrder order = ChannelOrder::kSame;
};

// A kernel, and the layer of the graph that uses it: several may.
using LayerKey = std::pair<TensorId, std::optional<LayerId>>;
inline LayerKey KeyOf(const LinearLayer& layer) { return {layer.kernel, layer.layer}; }

class FoldSteps {
 public:
  FoldSteps(const Checkpoint& checkpoint, std::optional<Dtype> cast)
      : checkpoint_(checkpoint), cast_(cast) {}

  // Fails with kUnfit and the reason where a layer cannot take it (see FoldedLayer::Check).
  // REQUIRES: the channels of parts and function agree; each layer occurs once.
  Status Backward(const BatchNormFunction& function, const std::vector<FoldPart>& parts);
  Status Forward(const BatchNormFunction& function, const std::vector<FoldPart>& parts);

  const std::map<LayerKey, FoldedLayer>& layers() const noexcept { return layers_; }
  const std::vector<std::string>& notes() const noexcept { return notes_; }

 private:
  Result<FoldedLayer> Current(const LinearLayer& layer) const;
  Status Commit(std::vector<FoldedLayer> changed);

  const Checkpoint& checkpoint_;
  std::optional<Dtype> cast_;
  std::map<LayerKey, FoldedLayer> layers_;
  std::vector<std::string> notes_;
};

}  // namespace ckpt
