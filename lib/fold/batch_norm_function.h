// A batch norm as the function that it is at inference, once everything about it is known to be
// sound.
#pragma once

#include <string>
#include <vector>

#include "ckpt/fold.h"

namespace ckpt {

// y = (x - mean) * scale + beta per channel, with scale = gamma / sqrt(variance + epsilon).
struct BatchNormFunction {
  std::vector<double> gamma, mean, scale, beta;

  std::size_t channels() const noexcept { return scale.size(); }
  // beta - mean * scale, what an input of 0 becomes.
  double Shift(std::size_t channel) const noexcept {
    return beta[channel] - mean[channel] * scale[channel];
  }
  bool ShiftIsZero(std::size_t first, std::size_t count) const noexcept;
  bool ScaleIsNotNegative(std::size_t first, std::size_t count) const noexcept;

  // See Folded::error_bound, for a batch norm that is evaluated in `dtype` as written above.
  double ErrorBound(Dtype dtype) const;

  // Channel c becomes channel first_channel + c of `next` after this. See
  // FoldedLayer::FoldBackward.
  void Append(const BatchNormFunction& next, std::size_t first_channel, bool adds_shift);
};

// Reads the vectors and checks them. Fails with kUnfit and the reason where the batch norm cannot
// be trusted to be a known affine map: missing or shapeless statistics, values that are not finite,
// variance + epsilon <= 0, an epsilon that is unknown (or assumed, under --strict). Passes on read
// errors. Appends to `notes` what is legitimate but worth saying.
Result<BatchNormFunction> ReadBatchNormFunction(const Checkpoint& checkpoint,
                                                const BatchNorm& batch_norm,
                                                const FoldOptions& options,
                                                std::vector<std::string>& notes);

// gamma * x + beta, of a layer that scales channels and has no statistics.
Result<BatchNormFunction> ReadScaleFunction(const Checkpoint& checkpoint, const BatchNorm& scale);

}  // namespace ckpt
