// Source: tensorflow/core/ops/nn_ops.cc, core/framework/common_shape_fns.cc.
#include "tensorflow_network/windows.h"

namespace ckpt::tf_network {
namespace {

using network::Convolution;
using network::TransposedConvolution;

// How many groups: the kernel says for how many channels each of them is. One where the data's are
// not known: a network that has more is then refused for its shapes when it runs.
std::int64_t Groups(const PartialShape& data, std::int64_t channel_axis,
                    const PartialShape& kernel) {
  if (!data || !kernel || data->size() < 2 || kernel->size() < 2) return 1;
  const std::int64_t channels = channel_axis == 1 ? (*data)[1] : data->back();
  const std::int64_t in = (*kernel)[kernel->size() - 2];
  return channels > 0 && in > 0 && channels % in == 0 ? channels / in : 1;
}

Outcome Convolve(Node& node, std::size_t rank, KernelLayout layout) {
  const auto windows = WindowsOf(node, rank);
  if (!windows) return NotUnderstood(windows.error());
  Convolution convolution;
  convolution.stride = windows->stride;
  convolution.dilation = windows->dilation;
  convolution.padding = windows->padding;
  convolution.channel_axis = windows->channel_axis;
  convolution.layout = layout;
  if (layout == KernelLayout::kSpatialInOut) {
    convolution.groups = Groups(node.Shape(0), convolution.channel_axis, node.Shape(1));
  }
  return node.Yield(convolution, {node.Input(0), node.Input(1)});
}

Outcome Conv2D(Node& node) { return Convolve(node, 4, KernelLayout::kSpatialInOut); }
Outcome Conv3D(Node& node) { return Convolve(node, 5, KernelLayout::kSpatialInOut); }
Outcome Depthwise(Node& node) { return Convolve(node, 4, KernelLayout::kSpatialInMultiplier); }

// Any number of spatial axes; the groups stand in an attribute too.
Outcome Conv(Node& node) {
  const auto rank = node.Rank(0);
  if (!rank || *rank < 3 || *rank > 5 || node.Int("batch_dims", 1) != 1) {
    return NotUnderstood("axes before the examples' own");
  }
  return Convolve(node, static_cast<std::size_t>(*rank), KernelLayout::kSpatialInOut);
}

// The gradient of a convolution by its data. Inputs: sizes of y, kernel, x.
Outcome ConvolveBack(Node& node, std::size_t rank) {
  const auto windows = WindowsOf(node, rank);
  if (!windows) return NotUnderstood(windows.error());
  TransposedConvolution transposed;
  transposed.stride = windows->stride;
  transposed.dilation = windows->dilation;
  transposed.padding = windows->padding;
  transposed.channel_axis = windows->channel_axis;
  transposed.layout = KernelLayout::kSpatialOutIn;
  transposed.length = TransposedConvolution::Length::kGiven;
  const auto sizes = node.Partly(0);
  if (sizes && sizes->elements.size() == rank) {
    const std::size_t channel = transposed.channel_axis == 1 ? 1 : rank - 1;
    Sizes of_y(rank, kUnknownSize);
    of_y[channel] = static_cast<std::int64_t>(sizes->elements[channel].value_or(kUnknownSize));
    transposed.groups = Groups(of_y, transposed.channel_axis, node.Shape(1));
  }
  return node.Yield(transposed, {node.Input(2), node.Input(1), kNoValue, node.Input(0)});
}

Outcome Conv2DBack(Node& node) { return ConvolveBack(node, 4); }
Outcome Conv3DBack(Node& node) { return ConvolveBack(node, 5); }

constexpr Row kConvolutionRows[] = {
    {"Conv2D", 2, Conv2D},
    {"Conv3D", 2, Conv3D},
    {"Conv", 2, Conv},
    {"DepthwiseConv2dNative", 2, Depthwise},
    {"Conv2DBackpropInput", 3, Conv2DBack},
    {"Conv3DBackpropInputV2", 3, Conv3DBack},
};

}  // namespace

std::span<const Row> ConvolutionRows() { return kConvolutionRows; }

}  // namespace ckpt::tf_network
