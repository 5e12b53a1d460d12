#include "ckpt/axis_order.h"

#include <algorithm>
#include <numeric>

#include "ckpt/checkpoint.h"

namespace ckpt {
namespace {

using Dims = std::vector<std::int64_t>;

tl::unexpected<Error> NoKernel(const Shape& shape, KernelLayout layout) {
  return Fail(ErrorCode::kUnfit, "has shape " + ToString(shape) +
                                     ", which is no kernel of layout " + std::string(Name(layout)));
}

// "HWIO -> OIHW", for the number of axes that there are: "IO -> OI", "WIO -> OIW".
std::string Arrow(std::size_t rank, KernelLayout from, KernelLayout to) {
  const auto letters = [&](KernelLayout layout) {
    constexpr std::string_view kSpatial = "DHW";
    const std::size_t spatial = rank - 2;
    const std::string_view all = Name(layout);
    const bool first = all.starts_with("HW");
    const std::string channels(first ? all.substr(2) : all.substr(0, 2));
    const std::string axes(spatial > 3 ? kSpatial : kSpatial.substr(3 - spatial));
    return first ? axes + channels : channels + axes;
  };
  return letters(from) + " -> " + letters(to);
}

bool IsSpatialFirst(KernelLayout layout) {
  return layout == KernelLayout::kSpatialInOut || layout == KernelLayout::kSpatialOutIn;
}

// [K..., x, y] and [y, x, K...] are each other's inverse in this order of axes.
std::vector<std::size_t> ReversedChannels(std::size_t rank, bool spatial_first) {
  std::vector<std::size_t> axes;
  if (spatial_first) {
    axes = {rank - 1, rank - 2};
    for (std::size_t i = 0; i + 2 < rank; ++i) axes.push_back(i);
  } else {
    for (std::size_t i = 2; i < rank; ++i) axes.push_back(i);
    axes.push_back(1);
    axes.push_back(0);
  }
  return axes;
}

Result<AxisOrder> Finish(AxisOrder order, std::optional<Dims> joined = {}) {
  Dims dims;
  if (joined) {
    dims = *std::move(joined);
  } else {
    for (const std::size_t axis : order.axes) dims.push_back(order.split[axis]);
  }
  CKPT_ASSIGN_OR_RETURN(order.result, Shape::FromDims(dims));
  return order;
}

Result<AxisOrder> FromDepthwise(const Shape& shape) {
  const std::size_t rank = shape.rank();
  AxisOrder order;
  order.split.assign(shape.dims().begin(), shape.dims().end());
  order.axes = {rank - 2, rank - 1};
  Dims joined = {shape[rank - 2] * shape[rank - 1], 1};
  for (std::size_t i = 0; i + 2 < rank; ++i) {
    order.axes.push_back(i);
    joined.push_back(shape[i]);
  }
  order.name =
      "depthwise " + Arrow(rank, KernelLayout::kSpatialInMultiplier, KernelLayout::kOutInSpatial);
  return Finish(std::move(order), std::move(joined));
}

Result<AxisOrder> ToDepthwise(const Shape& shape, std::int64_t multiplier) {
  const std::size_t rank = shape.rank();
  if (shape[1] != 1 || multiplier <= 0 || shape[0] % multiplier != 0) {
    return Fail(ErrorCode::kUnfit, "has shape " + ToString(shape) +
                                       ", which is no depthwise kernel of multiplier " +
                                       std::to_string(multiplier));
  }
  AxisOrder order;
  order.split = {shape[0] / multiplier, multiplier};
  for (std::size_t i = 2; i < rank; ++i) {
    order.split.push_back(shape[i]);
    order.axes.push_back(i);
  }
  order.axes.push_back(0);
  order.axes.push_back(1);
  order.name =
      "depthwise " + Arrow(rank, KernelLayout::kOutInSpatial, KernelLayout::kSpatialInMultiplier);
  return Finish(std::move(order));
}

}  // namespace

bool IsChannelsFirst(Framework framework) noexcept {
  switch (framework) {
    case Framework::kTensorFlow:
    case Framework::kKeras:
    case Framework::kFlax:
      return false;
    case Framework::kPyTorch:
    case Framework::kCaffe:
    case Framework::kDarknet:
    case Framework::kMxNet:
    case Framework::kChainer:
      return true;
  }
  return false;
}

bool IsIdentity(const AxisOrder& order) noexcept {
  // Axes of one element move freely.
  std::size_t last = 0;
  for (const std::size_t axis : order.axes) {
    if (order.split[axis] == 1) continue;
    if (axis < last) return false;
    last = axis;
  }
  return true;
}

Result<AxisOrder> OrderBetween(const Shape& from_shape, KernelLayout from, KernelLayout to,
                               std::int64_t multiplier) {
  const std::size_t rank = from_shape.rank();
  if (rank < 2) return NoKernel(from_shape, from);
  if (from == to) {
    AxisOrder order;
    order.split.assign(from_shape.dims().begin(), from_shape.dims().end());
    order.axes.resize(rank);
    std::iota(order.axes.begin(), order.axes.end(), std::size_t{0});
    return Finish(std::move(order));
  }
  const auto is = [&](KernelLayout x, KernelLayout y) { return from == x && to == y; };
  using enum KernelLayout;
  if (is(kSpatialInMultiplier, kOutInSpatial) && rank > 2) return FromDepthwise(from_shape);
  if (is(kOutInSpatial, kSpatialInMultiplier) && rank > 2) {
    return ToDepthwise(from_shape, multiplier);
  }
  if (is(kSpatialInOut, kOutInSpatial) || is(kOutInSpatial, kSpatialInOut) ||
      is(kSpatialOutIn, kInOutSpatial) || is(kInOutSpatial, kSpatialOutIn)) {
    AxisOrder order;
    order.split.assign(from_shape.dims().begin(), from_shape.dims().end());
    order.axes = ReversedChannels(rank, IsSpatialFirst(from));
    order.name = Arrow(rank, from, to);
    return Finish(std::move(order));
  }
  return Fail(ErrorCode::kUnfit, "is of layout " + std::string(Name(from)) +
                                     ", which has no counterpart in " + std::string(Name(to)));
}

Result<AxisOrder> OrderBehindFlatten(const Shape& shape, KernelLayout from, std::int64_t channels) {
  const bool last = from == KernelLayout::kSpatialInOut;
  if (shape.rank() != 2 || (!last && from != KernelLayout::kOutInSpatial)) {
    return NoKernel(shape, from);
  }
  const std::int64_t inputs = shape[last ? 0 : 1], outputs = shape[last ? 1 : 0];
  if (channels <= 0 || inputs % channels != 0) {
    return Fail(ErrorCode::kUnfit, "has " + std::to_string(inputs) +
                                       " inputs, which are no multiple of the " +
                                       std::to_string(channels) + " channels that are flattened");
  }
  const std::int64_t places = inputs / channels;
  AxisOrder order;
  order.split = last ? Dims{places, channels, outputs} : Dims{outputs, channels, places};
  order.axes = {2, 1, 0};
  order.name = (last ? "IO -> OI" : "OI -> IO") + std::string(", inputs permuted from ") +
               (last ? "channels-last to channels-first" : "channels-first to channels-last") +
               " (" + std::to_string(channels) + " channels flattened)";
  return Finish(std::move(order), last ? Dims{outputs, inputs} : Dims{inputs, outputs});
}

}  // namespace ckpt
