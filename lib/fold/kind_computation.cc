#include "fold/kind_computation.h"

#include <numeric>

namespace ckpt {
namespace {

using network::Sizes;

// The spatial axes, counted from the end where the channels stand if the rank is not known.
Sizes SpatialAxes(std::int64_t channel_axis, std::optional<std::int64_t> rank) {
  if (!rank) return channel_axis < 0 ? Sizes{-2, -3, -4} : Sizes{2, 3, 4};
  Sizes axes;
  for (std::int64_t axis = 1; axis < *rank; ++axis) {
    if (axis != channel_axis && axis - *rank != channel_axis) axes.push_back(axis);
  }
  return axes;
}

network::Padding PaddingOf(const Layer& layer) {
  using network::PaddingRule;
  switch (layer.padding) {
    case Padding::kNone:
      return {};
    case Padding::kSame:
      return {PaddingRule::kSameUpper, {}, {}};
    case Padding::kZeros:
    case Padding::kUnknown:
      break;
  }
  return {PaddingRule::kExplicit, {1}, {1}};
}

network::Computation PoolOf(network::Pool::Kind kind, std::int64_t axis,
                            std::optional<std::int64_t> rank) {
  network::Pool pool;
  pool.kind = kind;
  pool.size.assign(SpatialAxes(axis, rank).size(), 1);
  pool.channel_axis = axis;
  return pool;
}

network::Computation GlobalPool(network::Reduction::Kind kind, std::int64_t axis, bool keep) {
  network::Reduction reduction;
  reduction.kind = kind;
  reduction.axes = {network::Axes::Which::kSpatial, {}, axis};
  reduction.keep = keep;
  return reduction;
}

network::Computation PadOf(std::int64_t axis, std::optional<std::int64_t> rank) {
  network::Pad pad;
  pad.axes = SpatialAxes(axis, rank);
  pad.before.assign(pad.axes.size(), 1);
  pad.after = pad.before;
  return pad;
}

network::Computation UpsampleOf(std::int64_t axis, std::optional<std::int64_t> rank) {
  network::Resize resize;
  resize.axes = SpatialAxes(axis, rank);
  resize.scales.assign(resize.axes.size(), 2);
  return resize;
}

network::Computation ConvolutionOf(const Layer& layer, std::int64_t axis) {
  network::Convolution convolution;
  convolution.padding = PaddingOf(layer);
  convolution.groups = layer.groups;
  convolution.layout = layer.layout;
  convolution.channel_axis = axis;
  return convolution;
}

network::Computation TransposedOf(const Layer& layer, std::int64_t axis) {
  network::TransposedConvolution convolution;
  convolution.groups = layer.groups;
  convolution.layout = layer.layout;
  convolution.channel_axis = axis;
  return convolution;
}

// Keras moves the channels last first where it is told that they come first.
std::vector<network::Computation> FlattenOf(const Layer& layer, std::optional<std::int64_t> rank) {
  const network::MergeAxes merge{1, -1};
  if (layer.axis != 1 || !rank || *rank < 3) return {merge};
  Sizes order(static_cast<std::size_t>(*rank));
  std::iota(order.begin(), order.end(), 0);
  order.erase(order.begin() + 1);
  order.push_back(1);
  return {network::Transpose{order}, merge};
}

network::Computation OfKind(const Layer& layer, std::optional<std::int64_t> rank, bool keeps_rank) {
  const network::Unknown unknown{layer.op_type, "its format says no more than its kind"};
  switch (layer.kind) {
    case OpKind::kDense:
      return network::MatrixProduct{};
    case OpKind::kIdentity:
    case OpKind::kActivation:
      return network::Unary{};
    case OpKind::kAdd:
      return network::Binary{network::BinaryFunction::kAdd};
    case OpKind::kInput:
    case OpKind::kReshape:
    case OpKind::kOther:
    case OpKind::kFlatten:
      return unknown;
    default:
      break;
  }
  if (!layer.axis) return unknown;
  const std::int64_t axis = *layer.axis;
  switch (layer.kind) {
    case OpKind::kConv:
    case OpKind::kDepthwiseConv:
    case OpKind::kSeparableConv:
      return ConvolutionOf(layer, axis);
    case OpKind::kConvTranspose:
      return TransposedOf(layer, axis);
    case OpKind::kBatchNorm:
      return network::BatchNormalization{axis, layer.epsilon.value_or(0)};
    case OpKind::kConcat:
      return network::Concatenate{axis};
    case OpKind::kMaxPool:
      return PoolOf(network::Pool::Kind::kMaximum, axis, rank);
    case OpKind::kAveragePool:
      return PoolOf(network::Pool::Kind::kAverage, axis, rank);
    case OpKind::kGlobalMaxPool:
      return GlobalPool(network::Reduction::Kind::kMaximum, axis, keeps_rank);
    case OpKind::kGlobalAveragePool:
      return GlobalPool(network::Reduction::Kind::kMean, axis, keeps_rank);
    case OpKind::kZeroPad:
      return PadOf(axis, rank);
    case OpKind::kUpsample:
      return UpsampleOf(axis, rank);
    default:
      return unknown;
  }
}

}  // namespace

std::vector<network::Computation> ComputationsOf(const Layer& layer,
                                                 std::optional<std::int64_t> rank,
                                                 std::optional<std::int64_t> result_rank) {
  if (!std::holds_alternative<network::Unknown>(layer.computation)) return {layer.computation};
  if (layer.kind == OpKind::kFlatten) return FlattenOf(layer, rank);
  return {OfKind(layer, rank, rank && rank == result_rank)};
}

}  // namespace ckpt
