#include "execution/spatial_data.h"

#include "execution/strided.h"
#include "network/size_arithmetic.h"

namespace ckpt::execution {

SpatialData SpatialOf(const network::Sizes& shape, std::int64_t channel_axis) {
  const network::Sizes strides = StridesOf(shape);
  const std::size_t channel = channel_axis == 1 ? 1 : shape.size() - 1;
  SpatialData data;
  data.examples = shape[0];
  data.example_stride = strides[0];
  data.channels = shape[channel];
  data.channel_stride = strides[channel];
  for (std::size_t axis = 1; axis < shape.size(); ++axis) {
    if (axis == channel) continue;
    data.sizes.push_back(shape[axis]);
    data.strides.push_back(strides[axis]);
  }
  data.points = CountOf(data.sizes);
  return data;
}

Result<WindowAxes> WindowsOver(const network::Sizes& data, const network::Sizes& size,
                               const network::Sizes& stride, const network::Sizes& dilation,
                               const network::Padding& padding, bool ceil) {
  WindowAxes axes;
  axes.size = size;
  for (std::size_t i = 0; i < size.size(); ++i) {
    axes.stride.push_back(network::Along(stride, i, 1));
    axes.dilation.push_back(network::Along(dilation, i, 1));
    CKPT_ASSIGN_OR_RETURN(const network::Windows windows,
                          network::WindowsAlong(data[i], size[i], axes.stride[i], axes.dilation[i],
                                                padding, i, ceil));
    axes.before.push_back(windows.before);
    axes.count.push_back(windows.count);
  }
  axes.taps = CountOf(size);
  return axes;
}

}  // namespace ckpt::execution
