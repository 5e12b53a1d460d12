#include "serving/linear_ops.h"

#include <algorithm>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace ckpt {
namespace {

struct LinearType {
  std::string_view type;
  KernelLayout layout;
  std::size_t data_input;
};

const LinearType* FindLinear(std::string_view type) {
  static constexpr LinearType kTypes[] = {
      {"Conv2D", KernelLayout::kSpatialInOut, 0},
      {"DepthwiseConv2dNative", KernelLayout::kSpatialInMultiplier, 0},
      {"Conv2DBackpropInput", KernelLayout::kSpatialOutIn, 2},
      {"Conv3D", KernelLayout::kSpatialInOut, 0},
      {"Conv3DBackpropInputV2", KernelLayout::kSpatialOutIn, 2},
      {"MatMul", KernelLayout::kSpatialInOut, 0},
  };
  for (const LinearType& one : kTypes) {
    if (one.type == type) return &one;
  }
  return nullptr;
}

// The kernel's last two axes are its channels, and those of a matrix are all that it has.
bool IsReadAsStored(const BodyView& body, const Weight& kernel, bool matrix) {
  const auto stored = body.tensor(kernel.tensor).shape.dims();
  const auto& read = kernel.shape;
  if (stored.size() < 2 || read.size() < 2 || (matrix && stored.size() != 2)) return false;
  return std::equal(stored.end() - 2, stored.end(), read.end() - 2);
}

bool IsSet(const Op& op, std::string_view attr) {
  const bool* value = FindAttr<bool>(op, attr);
  return value != nullptr && *value;
}

}  // namespace

bool ChannelsFirst(const Op& op) {
  const auto* format = FindAttr<std::string>(op, "data_format");
  return format != nullptr && format->starts_with("NC");
}

std::optional<LinearOp> ReadLinearOp(const BodyView& body, OpId id) {
  const Op& op = body.op(id);
  const LinearType* type = FindLinear(op.type);
  if (type == nullptr || op.inputs.size() <= std::max<std::size_t>(type->data_input, 1))
    return std::nullopt;
  const bool dense = op.type == "MatMul";
  const auto kernel = body.WeightOf(op.inputs[1]);
  if (!kernel || body.IsConstant(op.inputs[type->data_input]) ||
      !IsReadAsStored(body, *kernel, dense) || (dense && IsSet(op, "transpose_a"))) {
    return std::nullopt;
  }
  LinearOp linear;
  linear.kernel = *kernel;
  linear.data_input = type->data_input;
  linear.channels_first = !dense && ChannelsFirst(op);
  Layer& layer = linear.layer;
  layer.op_type = op.type;
  layer.has_kernel = true;
  layer.layout = dense && IsSet(op, "transpose_b") ? KernelLayout::kOutInSpatial : type->layout;
  layer.tensors["kernel"] = kernel->tensor;
  layer.axis = linear.channels_first ? 1 : -1;
  layer.can_gain_bias = layer.can_rebind = true;
  return linear;
}

std::string SourceOfComputedKernel(const BodyView& body, OpId id) {
  const Op& op = body.op(id);
  if (FindLinear(op.type) == nullptr || op.inputs.size() < 2 || body.WeightOf(op.inputs[1]))
    return {};
  const Op& kernel = body.op(op.inputs[1].op);
  return "computed by \"" + kernel.name + "\" (" + kernel.type + ")";
}

}  // namespace ckpt
