// What of a checkpoint moved since an older one of the same run.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <vector>

#include "audit/layer_values.h"
#include "audit/older_tensors.h"
#include "audit/same_tensor.h"
#include "audit/tensor_reader.h"
#include "ckpt/batch_norm.h"

namespace ckpt::audit {

// Is it what an optimizer trains?
bool IsTrained(Role role) noexcept;

enum class Change : std::uint8_t { kUnknown, kSame, kMoved };

// Tensors are compared when they are asked for, each once, by stored checksums where both have one.
class CheckpointChange {
 public:
  // All must outlive it.
  CheckpointChange(const Checkpoint& newer, const Analysis& analysis, const Checkpoint& older)
      : manifest_(newer.manifest()),
        analysis_(analysis),
        older_tensors_(newer.manifest(), analysis, older.manifest()),
        older_reader_(older),
        comparison_(newer, older) {}

  // The tensor of the older one that `id` of the newer one was; of the same type and shape.
  std::optional<TensorId> Older(TensorId id) const { return older_tensors_.Find(id); }
  // "backbone.X is X" where names were related by more than equality; else empty.
  const std::string& how() const noexcept { return older_tensors_.how(); }
  // All elements that `id` had; nothing as in TensorReader::Doubles, or where it was not there.
  std::optional<std::vector<double>> OlderValues(const std::optional<TensorId>& id);
  // The statistics that the layer had.
  LayerValues OlderStatistics(const BatchNorm& layer);

  Change Of(TensorId id);
  // Of gamma and beta: moved if one did, the same if all that exist are.
  Change OfAffine(const BatchNorm& layer);
  // Of the kernels and biases whose names share most with the layer's: those trained with it.
  Change OfKernels(const BatchNorm& layer);
  // Did anything that an optimizer trains move?
  bool AnyWeightMoved();
  // Of what the layer is trained by: gamma and beta, or where it has none, any weight.
  bool WasTrained(const BatchNorm& layer);

  // What kept the older checkpoint from being read in full; null: nothing did.
  const Error* failure() const;

 private:
  const Manifest& manifest_;
  const Analysis& analysis_;
  OlderTensors older_tensors_;
  TensorReader older_reader_;
  TensorComparison comparison_;
  std::map<TensorId, Change> changes_;
  std::optional<bool> any_weight_moved_;
};

}  // namespace ckpt::audit
