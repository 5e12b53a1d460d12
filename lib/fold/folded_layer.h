// The arithmetic of folding batch norms into one linear layer, in double.
//
// Several batch norms may end in one layer (two in a row, one before and one after it, the slices
// of a concatenation). Each step changes the factors and the bias as they stand:
//   backward  out *= scale,  b' = (b - mean) * scale + beta        (subtracted first)
//   forward   b' = b + out * sum of w * in * shift,  in *= scale
// where out and in are the factors per channel that the kernel is multiplied with when it is
// written.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "ckpt/dtype.h"
#include "fold/batch_norm_function.h"
#include "fold/linear_layer.h"

namespace ckpt {

// How the channels of a batch norm lie in the input of the layer that it feeds.
enum class ChannelOrder : std::uint8_t {
  kSame,           // in channel i is channel i
  kRepeatedInner,  // flattened with the channels last: in channel i is channel i % channels
  kRepeatedOuter,  // flattened with the channels first: channel i / (in channels / channels)
};

class FoldedLayer {
 public:
  // Reads the bias. `cast`: the type that the output is written in, if not the tensors' own.
  static Result<FoldedLayer> Read(const Checkpoint& checkpoint, LinearLayer layer,
                                  std::optional<Dtype> cast);

  // Out channel o of the layer is channel first_channel + o of the batch norm. Where several layers
  // are added up before the batch norm, one of them takes the shift.
  // REQUIRES: first_channel + out channels <= channels of the function.
  void FoldBackward(const BatchNormFunction& function, std::size_t first_channel, bool adds_shift);

  // REQUIRES: in channels == channels of the function, or a multiple for the repeated orders.
  Status FoldForward(const Checkpoint& checkpoint, const BatchNormFunction& function,
                     ChannelOrder order);

  // To be called after the folds: reads the kernel once, as it will be written. Fails with kUnfit
  // where it holds NaN or infinity, where a folded value exceeds the range of its type, or where a
  // bias is needed and the layer cannot have one; notes values that go subnormal.
  Status Check(const Checkpoint& checkpoint, std::vector<std::string>& notes);

  // See Folded::error_bound. REQUIRES: Check() succeeded after the last fold.
  double ErrorBound() const;

  bool NeedsNewBias() const;
  // The kernel and, where there is one, the bias. REQUIRES: as ErrorBound.
  std::vector<FoldedTensor> Tensors(const Manifest& manifest) const;

  const LinearLayer& layer() const noexcept { return layer_; }

 private:
  explicit FoldedLayer(LinearLayer layer) : layer_(std::move(layer)) {}
  // As stored: before the layer's factor.
  std::vector<double> WrittenBias() const;
  Status CheckBias(const Manifest& manifest, std::vector<std::string>& notes) const;

  LinearLayer layer_;
  Dtype kernel_dtype_ = Dtype::kF32, bias_dtype_ = Dtype::kF32;  // as written
  std::vector<double> out_factors_, in_factors_;                 // empty: all one
  std::vector<double> bias_;         // one per out channel, as it is added to the output
  std::vector<double> bias_terms_;   // sum of the magnitudes that bias_ was summed from
  std::vector<double> kernel_sums_;  // sum |w'| per out channel, set by Check
  int steps_ = 0;
};

}  // namespace ckpt
