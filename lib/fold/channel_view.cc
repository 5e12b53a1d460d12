#include "fold/channel_view.h"

#include <string>

namespace ckpt {
namespace {

Error NotAKernel(const Shape& shape, KernelLayout layout, std::int64_t groups) {
  std::string what =
      "shape " + ToString(shape) + " is no kernel in layout " + std::string(Name(layout));
  if (groups != 1) what += " with " + std::to_string(groups) + " groups";
  return {.code = ErrorCode::kUnfit, .message = what};
}

Error TooManyChannels(const Shape& shape) {
  return {
      .code = ErrorCode::kUnfit,
      .message = "a kernel of shape " + ToString(shape) + " has more channels than a fold handles"};
}

// The axes of a kernel, by what they count.
struct ViewAxes {
  std::uint64_t out, in;  // sizes of the two channel axes as stored
  std::uint64_t spatial;  // product of the spatial axes
};

ViewAxes ViewAxesOf(const Shape& shape, KernelLayout layout) {
  const std::size_t rank = shape.rank();
  const auto size = [&](std::size_t axis) { return static_cast<std::uint64_t>(shape[axis]); };
  ViewAxes axes = {};
  switch (layout) {
    case KernelLayout::kSpatialInOut:
    case KernelLayout::kSpatialInMultiplier:
      axes = {.out = size(rank - 1), .in = size(rank - 2), .spatial = 0};
      break;
    case KernelLayout::kSpatialOutIn:
      axes = {.out = size(rank - 2), .in = size(rank - 1), .spatial = 0};
      break;
    case KernelLayout::kOutInSpatial:
      axes = {.out = size(0), .in = size(1), .spatial = 0};
      break;
    case KernelLayout::kInOutSpatial:
      axes = {.out = size(1), .in = size(0), .spatial = 0};
      break;
  }
  axes.spatial = shape.element_count() / (axes.out * axes.in);
  return axes;
}

}  // namespace

Result<KernelViews> ViewsOf(const Shape& shape, KernelLayout layout, std::int64_t groups) {
  if (shape.rank() < 2 || shape.element_count() == 0 || groups < 1) {
    return Fail(NotAKernel(shape, layout, groups));
  }
  const auto [out, in, spatial] = ViewAxesOf(shape, layout);
  const auto g = static_cast<std::uint64_t>(groups);
  if (out > kMaxChannels || in > kMaxChannels || g > kMaxChannels) {
    return Fail(TooManyChannels(shape));
  }

  KernelViews views;
  views.one_spatial_tap = spatial == 1;
  switch (layout) {
    case KernelLayout::kSpatialInOut:  // [K..., I/G, O]
      if (out % g != 0) return Fail(NotAKernel(shape, layout, groups));
      views.out = {.channels_per_group = out};
      views.in = {.channels_per_group = in, .inner = out, .inner_per_group = g == 1 ? 0 : out / g};
      views.out_channels = out;
      views.in_channels = in * g;
      views.terms = spatial * in;
      break;
    case KernelLayout::kSpatialOutIn:  // [K..., O, I]
      if (g != 1) return Fail(NotAKernel(shape, layout, groups));
      views.out = {.channels_per_group = out, .inner = in};
      views.in = {.channels_per_group = in};
      views.out_channels = out;
      views.in_channels = in;
      views.terms = spatial * in;
      break;
    case KernelLayout::kSpatialInMultiplier:  // [K..., I, M]
      if (g != 1) return Fail(NotAKernel(shape, layout, groups));
      views.out = {.channels_per_group = in * out};
      views.in = {.channels_per_group = in, .inner = out};
      views.out_channels = in * out;
      views.in_channels = in;
      views.terms = spatial;
      break;
    case KernelLayout::kOutInSpatial:  // [O, I/G, K...]
      if (out % g != 0) return Fail(NotAKernel(shape, layout, groups));
      views.out = {.channels_per_group = out, .inner = in * spatial};
      views.in = {
          .channels_per_group = in, .inner = spatial, .rows_per_group = g == 1 ? 0 : out / g};
      views.out_channels = out;
      views.in_channels = in * g;
      views.terms = spatial * in;
      break;
    case KernelLayout::kInOutSpatial:  // [I, O/G, K...]
      if (in % g != 0) return Fail(NotAKernel(shape, layout, groups));
      views.out = {
          .channels_per_group = out, .inner = spatial, .rows_per_group = g == 1 ? 0 : in / g};
      views.in = {.channels_per_group = in, .inner = out * spatial};
      views.out_channels = out * g;
      views.in_channels = in;
      views.terms = spatial * (in / g);
      break;
  }
  if (views.out_channels > kMaxChannels || views.in_channels > kMaxChannels) {
    return Fail(TooManyChannels(shape));
  }
  return views;
}

}  // namespace ckpt
