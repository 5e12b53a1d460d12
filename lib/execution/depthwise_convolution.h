// Convolutions in which each channel of the data is looked at by itself.
#pragma once

#include "execution/kernel_view.h"
#include "execution/spatial_data.h"

namespace ckpt::execution {

// Adds to `result`. REQUIRES: kernel.ins == 1.
void ConvolveDepthwise(const Array& data, const KernelView& kernel, const SpatialData& in,
                       const SpatialData& out, const WindowAxes& windows, bool single,
                       Array& result);

}  // namespace ckpt::execution
