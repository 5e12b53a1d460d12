#include <cmath>
#include <string>
#include <utility>

#include "ckpt/batch_norm.h"

namespace ckpt {
namespace {

// More than any network has; a bound on what is read at once.
constexpr std::uint64_t kMaxChannels = std::uint64_t{1} << 26;

tl::unexpected<Error> Unfit(const BatchNorm& batch_norm, std::string message) {
  Error error{ErrorCode::kUnfit, std::move(message)};
  error.tensor = batch_norm.scope;
  return Fail(std::move(error));
}

}  // namespace

std::string_view Name(Role role) noexcept {
  switch (role) {
    case Role::kKernel:
      return "kernel";
    case Role::kBias:
      return "bias";
    case Role::kGamma:
      return "gamma";
    case Role::kBeta:
      return "beta";
    case Role::kMovingMean:
      return "moving_mean";
    case Role::kMovingVariance:
      return "moving_variance";
    case Role::kBnExtra:
      return "bn_extra";
    case Role::kBatchCounter:
      return "batch_counter";
    case Role::kOptimizerSlot:
      return "optimizer_slot";
    case Role::kEmaShadow:
      return "ema_shadow";
    case Role::kStep:
      return "step";
    case Role::kOther:
      return "other";
  }
  return "other";
}

Result<BatchNormValues> ReadValues(const Checkpoint& checkpoint, const BatchNorm& batch_norm) {
  if (!batch_norm.moving_mean || !batch_norm.moving_variance) {
    return Unfit(batch_norm, "batch norm has no moving statistics");
  }
  if (!batch_norm.epsilon) return Unfit(batch_norm, "nothing says the epsilon of the batch norm");
  if (!batch_norm.channels) return Unfit(batch_norm, "tensors of the batch norm differ in size");
  const auto channels = static_cast<std::size_t>(*batch_norm.channels);
  BatchNormValues values;
  values.epsilon = batch_norm.epsilon->value;
  const auto read = [&](const std::optional<TensorId>& id, double absent,
                        std::vector<double>& out) -> Status {
    if (!id) {
      out.assign(channels, absent);
      return {};
    }
    CKPT_ASSIGN_OR_RETURN(out, ReadDoubles(checkpoint, *id, kMaxChannels));
    if (out.size() != channels)
      return Unfit(batch_norm, "tensors of the batch norm differ in size");
    return {};
  };
  // The statistics first: `channels` is a size of the file only where a tensor has it.
  CKPT_RETURN_IF_ERROR(read(batch_norm.moving_mean, 0, values.mean));
  CKPT_RETURN_IF_ERROR(read(batch_norm.moving_variance, 1, values.variance));
  CKPT_RETURN_IF_ERROR(read(batch_norm.gamma, 1, values.gamma));
  CKPT_RETURN_IF_ERROR(read(batch_norm.beta, 0, values.beta));
  if (batch_norm.spread == SpreadKind::kStandardDeviation) {
    for (double& spread : values.variance) {
      const double denominator = spread + values.epsilon;
      spread = denominator * denominator - values.epsilon;
    }
  }
  return values;
}

ScaleShift EffectiveScaleShift(const BatchNormValues& values) {
  const std::size_t channels = values.mean.size();
  ScaleShift result;
  result.scale.resize(channels);
  result.shift.resize(channels);
  for (std::size_t c = 0; c < channels; ++c) {
    result.scale[c] = values.gamma[c] / std::sqrt(values.variance[c] + values.epsilon);
    result.shift[c] = values.beta[c] - values.mean[c] * result.scale[c];
  }
  return result;
}

}  // namespace ckpt
