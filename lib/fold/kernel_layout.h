// Which axis of a kernel counts what, where no graph says: by the class that the file records, else
// by the convention of the framework, as long as the kernel may not as well be one of a transposed
// convolution, whose two channel axes lie the other way round.
#pragma once

#include <string>
#include <string_view>

#include "fold/kernel_pair.h"
#include "fold/named_layers.h"

namespace ckpt {

// Does the name speak of a transposed convolution?
bool SaysTransposed(std::string_view name);

// The layout of a kernel by the convention of the framework whose names the file follows: HWIO for
// TensorFlow and Keras (HWIM for depthwise kernels), OIHW for PyTorch. Fails with kUnfit where
// nothing settles it, or where the name speaks of a transposed convolution.
Result<KernelLayout> ConventionalLayout(const Manifest& manifest,
                                        std::optional<Framework> framework, TensorId kernel);

struct FoundLayout {
  KernelLayout layout;
  std::int64_t groups = 1;  // 1 where the layout needs none to tell the channels
  Evidence evidence;
};

class KernelLayouts {
 public:
  // REQUIRES: `layers` outlives it.
  KernelLayouts(const NamedLayers& layers, std::optional<Framework> framework)
      : layers_(layers), framework_(framework) {}

  // The layout of a kernel whose out channels are those of a batch norm. Fails with kUnfit where
  // the kernel does not fit, or fits a transposed convolution, too, and there is a reason to think
  // of one.
  Result<FoundLayout> Of(TensorId kernel, std::uint64_t channels) const;
  // The layout of a kernel behind a batch norm.
  Result<FoundLayout> OfReader(TensorId kernel) const;
  // The out channels by what is recorded or conventional; 0 where neither says.
  std::uint64_t OutChannels(TensorId kernel) const;
  // Shapes have shown that the file has transposed convolutions, as this one.
  void NoteTransposed(TensorId kernel) { transposed_ = kernel; }
  // The out channels fit a plain convolution no way, and those of a transposed one.
  bool FitsOnlyTransposed(TensorId kernel, std::uint64_t channels) const;

 private:
  Result<std::optional<FoundLayout>> Recorded(TensorId kernel) const;
  Status CheckTransposed(TensorId kernel, KernelLayout plain, std::uint64_t channels) const;

  const NamedLayers& layers_;
  std::optional<Framework> framework_;
  std::optional<TensorId> transposed_ = {};
};

}  // namespace ckpt
