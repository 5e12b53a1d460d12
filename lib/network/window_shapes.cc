// Lengths along the spatial axes: convolutions and pooling.
//
// Sources: the operator documentation of ONNX (Conv, ConvTranspose, the poolings), TensorFlow's
// tensorflow/core/framework/kernel_shape_util.cc, PyTorch's aten/src/ATen/native/Pool.h.
#include <algorithm>
#include <utility>

#include "network/operand_shapes.h"

namespace ckpt::network {
namespace {

constexpr std::size_t kMostSpatialAxes = 8;

struct KernelSizes {
  Sizes spatial;
  std::int64_t in_of_group = 0, out_of_group = 0;  // as stored
  std::int64_t out = 0;                            // of the operation; kUnknownSize where unknown
  std::int64_t in = 0;
};

Result<KernelSizes> SizesOf(const Sizes& kernel, KernelLayout layout, std::int64_t groups) {
  if (groups < 1) return Fail(Contradiction(std::to_string(groups) + " groups"));
  if (kernel.size() < 2) return Fail(Contradiction("a kernel of shape " + ToText(kernel)));
  const bool spatial_first =
      layout != KernelLayout::kOutInSpatial && layout != KernelLayout::kInOutSpatial;
  const std::size_t at = spatial_first ? kernel.size() - 2 : 0;
  const std::int64_t first = kernel[at], second = kernel[at + 1];
  KernelSizes sizes;
  const auto begin = kernel.begin() + (spatial_first ? 0 : 2);
  sizes.spatial = Sizes(begin, begin + static_cast<std::ptrdiff_t>(kernel.size()) - 2);
  const auto times = [](std::int64_t a, std::int64_t b) -> Result<std::int64_t> {
    if (!IsKnown(a) || !IsKnown(b)) return kUnknownSize;
    return Times(a, b);
  };
  switch (layout) {
    case KernelLayout::kSpatialInOut: {
      CKPT_ASSIGN_OR_RETURN(sizes.in, times(first, groups));
      sizes.out = second;
      break;
    }
    case KernelLayout::kSpatialOutIn: {
      CKPT_ASSIGN_OR_RETURN(sizes.out, times(first, groups));
      sizes.in = second;
      break;
    }
    case KernelLayout::kSpatialInMultiplier: {
      sizes.in = first;
      CKPT_ASSIGN_OR_RETURN(sizes.out, times(first, second));
      break;
    }
    case KernelLayout::kOutInSpatial: {
      sizes.out = first;
      CKPT_ASSIGN_OR_RETURN(sizes.in, times(second, groups));
      break;
    }
    case KernelLayout::kInOutSpatial: {
      sizes.in = first;
      CKPT_ASSIGN_OR_RETURN(sizes.out, times(second, groups));
      break;
    }
  }
  return sizes;
}

// Strides and dilations of at least 1, amounts of padding that are not negative.
Status CheckSteps(const Sizes& stride, const Sizes& dilation, const Padding& padding,
                  std::size_t spatial) {
  for (const Sizes* list : {&stride, &dilation}) {
    if (!list->empty() && list->size() != spatial) {
      return Fail(Contradiction(std::to_string(list->size()) + " steps for " +
                                std::to_string(spatial) + " spatial axes"));
    }
    for (const std::int64_t step : *list) {
      if (step < 1 || step > kLargestSize) {
        return Fail(Contradiction("a stride or dilation of " + std::to_string(step)));
      }
    }
  }
  for (const Sizes* list : {&padding.before, &padding.after}) {
    if (!list->empty() && list->size() != spatial) {
      return Fail(Contradiction("paddings for " + std::to_string(list->size()) + " of " +
                                std::to_string(spatial) + " spatial axes"));
    }
    for (const std::int64_t amount : *list) {
      if (amount < 0 || amount > kLargestSize) {
        return Fail(Contradiction("a padding of " + std::to_string(amount)));
      }
    }
  }
  return {};
}

// The data's spatial axes in their order.
struct SpatialAxes {
  std::size_t first = 0, count = 0, channel = 0;
};
Result<SpatialAxes> SpatialOf(const Sizes& data, std::int64_t channel_axis) {
  if (data.size() < 2 || data.size() > kMostSpatialAxes + 2) {
    return Fail(Contradiction("data of rank " + std::to_string(data.size())));
  }
  SpatialAxes axes{1, data.size() - 2, data.size() - 1};
  if (channel_axis == 1) axes = {2, data.size() - 2, 1};
  return axes;
}

// What data and kernel are to each other, for both kinds of convolution.
struct Fitted {
  KernelSizes sizes;
  SpatialAxes axes;
};

template <class T>
Result<Fitted> Fit(const T& convolution, const Sizes& data, const Sizes& kernel) {
  Fitted fitted;
  CKPT_ASSIGN_OR_RETURN(fitted.sizes, SizesOf(kernel, convolution.layout, convolution.groups));
  CKPT_ASSIGN_OR_RETURN(fitted.axes, SpatialOf(data, convolution.channel_axis));
  if (fitted.axes.count != fitted.sizes.spatial.size()) {
    return Fail(Contradiction("data " + ToText(data) + " and a kernel " + ToText(kernel)));
  }
  CKPT_RETURN_IF_ERROR(
      CheckSteps(convolution.stride, convolution.dilation, convolution.padding, fitted.axes.count));
  const std::int64_t channels = data[fitted.axes.channel];
  if (IsKnown(fitted.sizes.in) && IsKnown(channels) && fitted.sizes.in != channels) {
    return Fail(Contradiction("data of " + std::to_string(channels) +
                              " channels, and a kernel for " + std::to_string(fitted.sizes.in)));
  }
  return fitted;
}

// Where the shape of the data or of the kernel is not known: the rank of the other.
Shapes RankOfEither(const PartialShape& data, const PartialShape& kernel) {
  const PartialShape& known = data ? data : kernel;
  return Shapes{known ? OfRank(known->size()) : PartialShape{}};
}

}  // namespace

Result<Windows> WindowsAlong(std::int64_t size, std::int64_t window, std::int64_t stride,
                             std::int64_t dilation, const Padding& padding, std::size_t axis,
                             bool ceil) {
  CKPT_ASSIGN_OR_RETURN(std::int64_t reach, Times(window - 1, dilation));
  CKPT_ASSIGN_OR_RETURN(reach, Plus(reach, 1));
  Windows windows;
  if (padding.rule != PaddingRule::kExplicit) {
    windows.count = size == 0 ? 0 : (size - 1) / stride + 1;
    CKPT_ASSIGN_OR_RETURN(std::int64_t total,
                          Times(std::max<std::int64_t>(windows.count - 1, 0), stride));
    CKPT_ASSIGN_OR_RETURN(total, Plus(total, reach));
    total = std::max<std::int64_t>(total - size, 0);
    windows.before = padding.rule == PaddingRule::kSameUpper ? total / 2 : total - total / 2;
    return windows;
  }
  windows.before = Along(padding.before, axis, 0);
  CKPT_ASSIGN_OR_RETURN(std::int64_t padded, Plus(size, windows.before));
  CKPT_ASSIGN_OR_RETURN(padded, Plus(padded, Along(padding.after, axis, 0)));
  if (padded < reach) {
    return Fail(Contradiction("a window of " + std::to_string(reach) + " over " +
                              std::to_string(padded) + " elements"));
  }
  const std::int64_t steps = padded - reach;
  windows.count = steps / stride + 1;
  if (ceil && steps % stride != 0 && windows.count * stride < size + windows.before) {
    ++windows.count;
  }
  return windows;
}

Result<Windows> TransposedAlong(const TransposedConvolution& convolution, std::int64_t size,
                                std::int64_t window, std::size_t axis,
                                std::optional<std::int64_t> given) {
  using Length = TransposedConvolution::Length;
  const std::int64_t stride = Along(convolution.stride, axis, 1);
  CKPT_ASSIGN_OR_RETURN(std::int64_t reach,
                        Times(window - 1, Along(convolution.dilation, axis, 1)));
  CKPT_ASSIGN_OR_RETURN(reach, Plus(reach, 1));
  CKPT_ASSIGN_OR_RETURN(std::int64_t full, Times(std::max<std::int64_t>(size - 1, 0), stride));
  CKPT_ASSIGN_OR_RETURN(full, Plus(full, reach));
  Windows windows;
  if (convolution.length == Length::kTimesStride) {
    CKPT_ASSIGN_OR_RETURN(windows.count, Times(size, stride));
    windows.before = std::max<std::int64_t>(reach - stride, 0) / 2;
    return windows;
  }
  const Padding& cut = convolution.padding;
  if (convolution.length == Length::kGiven) {
    windows.count = given.value_or(kUnknownSize);
    const std::int64_t total = std::max<std::int64_t>(full - windows.count, 0);
    windows.before = cut.rule == PaddingRule::kExplicit    ? Along(cut.before, axis, 0)
                     : cut.rule == PaddingRule::kSameUpper ? total / 2
                                                           : total - total / 2;
    return windows;
  }
  windows.before = Along(cut.before, axis, 0);
  CKPT_ASSIGN_OR_RETURN(windows.count, Plus(full, Along(convolution.more, axis, 0)));
  CKPT_ASSIGN_OR_RETURN(windows.count, Minus(windows.count, windows.before));
  CKPT_ASSIGN_OR_RETURN(windows.count, Minus(windows.count, Along(cut.after, axis, 0)));
  if (size == 0) windows.count = 0;
  if (windows.count < 0) return Fail(Contradiction("more is cut off than there is"));
  return windows;
}

Result<Shapes> ShapeOfConvolution(const Convolution& convolution, const OperandShapes& operands) {
  const PartialShape& kernel = operands[1];
  if (!kernel || !operands[0]) return RankOfEither(operands[0], kernel);
  const Sizes& data = *operands[0];
  CKPT_ASSIGN_OR_RETURN(const Fitted fitted, Fit(convolution, data, *kernel));
  const auto& [sizes, axes] = fitted;
  Sizes result = data;
  result[axes.channel] = sizes.out;
  for (std::size_t i = 0; i < axes.count; ++i) {
    std::int64_t& size = result[axes.first + i];
    if (!IsKnown(size) || !IsKnown(sizes.spatial[i])) {
      size = kUnknownSize;
      continue;
    }
    if (sizes.spatial[i] < 1) return Fail(Contradiction("a kernel of shape " + ToText(*kernel)));
    CKPT_ASSIGN_OR_RETURN(
        const Windows windows,
        WindowsAlong(size, sizes.spatial[i], Along(convolution.stride, i, 1),
                     Along(convolution.dilation, i, 1), convolution.padding, i, false));
    size = windows.count;
  }
  return Shapes{std::move(result)};
}

Result<Shapes> ShapeOfTransposed(const TransposedConvolution& convolution,
                                 const OperandShapes& operands) {
  const PartialShape& kernel = operands[1];
  if (!kernel || !operands[0]) return RankOfEither(operands[0], kernel);
  const Sizes& data = *operands[0];
  CKPT_ASSIGN_OR_RETURN(const Fitted fitted, Fit(convolution, data, *kernel));
  const auto& [sizes, axes] = fitted;
  CKPT_ASSIGN_OR_RETURN(std::optional<Sizes> given, operands.Integers(3));
  if (!operands.Given(3) && !convolution.given.empty()) given = convolution.given;
  const std::size_t skipped = given && given->size() == data.size() ? axes.first : 0;
  if (given && given->size() != data.size() && given->size() != axes.count) {
    return Fail(Contradiction(std::to_string(given->size()) + " sizes for data " + ToText(data)));
  }
  Sizes result = data;
  result[axes.channel] = sizes.out;
  for (std::size_t i = 0; i < axes.count; ++i) {
    std::int64_t& size = result[axes.first + i];
    const auto along = given ? std::optional((*given)[skipped + i]) : std::nullopt;
    const bool needs_given = convolution.length == TransposedConvolution::Length::kGiven;
    if (!IsKnown(size) || !IsKnown(sizes.spatial[i]) || (needs_given && !along)) {
      size = needs_given && along ? *along : kUnknownSize;
      continue;
    }
    if (sizes.spatial[i] < 1 || (along && *along < 0)) {
      return Fail(Contradiction("a kernel of shape " + ToText(*kernel)));
    }
    CKPT_ASSIGN_OR_RETURN(const Windows windows,
                          TransposedAlong(convolution, size, sizes.spatial[i], i, along));
    size = windows.count;
  }
  return Shapes{std::move(result)};
}

Result<Shapes> ShapeOfPool(const Pool& pool, const OperandShapes& operands) {
  if (!operands[0]) return Shapes{OfRank(pool.size.size() + 2)};
  Sizes result = *operands[0];
  CKPT_ASSIGN_OR_RETURN(const SpatialAxes axes, SpatialOf(result, pool.channel_axis));
  if (axes.count != pool.size.size()) {
    return Fail(Contradiction("data " + ToText(result) + " and a window " + ToText(pool.size)));
  }
  CKPT_RETURN_IF_ERROR(CheckSteps(pool.stride, pool.dilation, pool.padding, axes.count));
  for (std::size_t i = 0; i < axes.count; ++i) {
    if (pool.size[i] < 1) return Fail(Contradiction("a window " + ToText(pool.size)));
    std::int64_t& size = result[axes.first + i];
    if (!IsKnown(size)) continue;
    CKPT_ASSIGN_OR_RETURN(const Windows windows,
                          WindowsAlong(size, pool.size[i], Along(pool.stride, i, 1),
                                       Along(pool.dilation, i, 1), pool.padding, i, pool.ceil));
    size = windows.count;
  }
  return Shapes{std::move(result)};
}

}  // namespace ckpt::network
