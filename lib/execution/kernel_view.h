// The elements of a convolution's kernel by tap, channel in and channel out.
#pragma once

#include <vector>

#include "ckpt/execution/array.h"
#include "ckpt/result.h"

namespace ckpt::execution {

// Element (tap, in, out) of group g at base[g * group + tap_offsets[tap] + in * in + out * out],
// channels counted within the group.
struct KernelView {
  const double* base = nullptr;
  std::int64_t groups = 1, ins = 0, outs = 0;  // ins, outs: of one group
  std::int64_t group = 0, in = 0, out = 0;
  network::Sizes size = {};         // of the spatial axes
  network::Sizes tap_offsets = {};  // taps in C order of the spatial axes, turned round if flipped
  // Where the taps lie `tap` apart and in order; 0 otherwise.
  std::int64_t tap = 0;
};

// `channels`: of the data that it is for. kCorrupt where the groups do not divide the channels.
Result<KernelView> ViewOf(const Array& kernel, KernelLayout layout, std::int64_t groups,
                          std::int64_t channels, bool flipped);

// The same kernel as [groups, taps, ins, outs] in `storage`.
KernelView TapsFirst(const KernelView& view, std::vector<double>& storage);

}  // namespace ckpt::execution
