// Copies of a model that its training keeps beside it: averages of the weights over time.
#pragma once

#include <optional>
#include <string_view>
#include <unordered_map>

#include "ckpt/batch_norm.h"
#include "roles/training_state.h"

namespace ckpt {

struct AverageRoles {
  std::unordered_map<std::uint32_t, TensorRole> roles;  // by index of the tensor
  std::optional<Evidence> model_is_averaged = {};       // see Analysis::averaged
};

// Told from the model by names and shapes: "ema.conv.weight" beside "conv.weight", with or without
// wrappers between ("ema.module.", "ema.shadow."), the words in either order ("g_ema.",
// "model_ema.", "swa_model."), names without their dots (LitEma, mmcv's EMAHook), a teacher beside
// its student. Counters and lists that stand with averages are of the training, too. A file with
// averages alone holds a model.
AverageRoles FindAverages(const Manifest& manifest, const NameIndex& names);

// "ema_backbone_conv1_weight": as mmcv's EMAHook names its buffers. It exchanges them with the
// weights at the end of each epoch, before the checkpoint is saved.
bool IsExchangedAtEpochEnd(std::string_view shadow) noexcept;

}  // namespace ckpt
