// Data of examples, channels and spatial axes, wherever its channels stand; windows over it.
#pragma once

#include "ckpt/execution/array.h"
#include "ckpt/network/shape_rules.h"
#include "ckpt/result.h"

namespace ckpt::execution {

// Strides by axis of a value [N, C, spatial...] or [N, spatial..., C].
struct SpatialData {
  std::int64_t examples = 1, channels = 1, points = 1;  // points: of all spatial axes together
  std::int64_t example_stride = 0, channel_stride = 0;
  network::Sizes sizes = {}, strides = {};  // of the spatial axes
};
// REQUIRES: a rank of at least 2.
SpatialData SpatialOf(const network::Sizes& shape, std::int64_t channel_axis);

// How windows lie along each spatial axis: window i covers stride * i - before + dilation * k.
struct WindowAxes {
  network::Sizes size = {}, stride = {}, dilation = {}, before = {}, count = {};
  std::int64_t taps = 1;  // places in a window
};
Result<WindowAxes> WindowsOver(const network::Sizes& data, const network::Sizes& size,
                               const network::Sizes& stride, const network::Sizes& dilation,
                               const network::Padding& padding, bool ceil);

}  // namespace ckpt::execution
