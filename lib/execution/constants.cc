// Constants of a network as arrays.
#include <algorithm>
#include <utility>

#include "ckpt/execution/run.h"
#include "execution/strided.h"

namespace ckpt::execution {
namespace {

network::ElementKind KindOf(Dtype dtype) {
  if (dtype == Dtype::kBool) return network::ElementKind::kBoolean;
  return IsFloat(dtype) ? network::ElementKind::kReal : network::ElementKind::kInteger;
}

Error About(ErrorCode code, std::string message, const TensorInfo& tensor) {
  Error error{code, std::move(message)};
  error.tensor = tensor.name;
  return error;
}

Result<network::Sizes> ShapeOf(const network::StoredConstant& constant, const TensorInfo& tensor) {
  if (!constant.shape) {
    return network::Sizes(tensor.shape.dims().begin(), tensor.shape.dims().end());
  }
  CKPT_ASSIGN_OR_RETURN(const Shape shape, Shape::FromDims(*constant.shape));
  if (shape.element_count() != tensor.shape.element_count()) {
    return Fail(About(ErrorCode::kCorrupt, "has other elements than the network reads", tensor));
  }
  return *constant.shape;
}

// Axis i of the result is axis order[i].
Result<Array> InOrder(Array array, const network::Sizes& order, const TensorInfo& tensor) {
  if (order.empty()) return array;
  network::Sizes sorted = order;
  std::sort(sorted.begin(), sorted.end());
  for (std::size_t i = 0; i < sorted.size(); ++i) {
    if (sorted.size() != array.shape.size() || sorted[i] != static_cast<std::int64_t>(i)) {
      return Fail(About(ErrorCode::kCorrupt, "is read in an order of axes that is none", tensor));
    }
  }
  const network::Sizes strides = StridesOf(array.shape);
  Array result{{}, std::vector<double>(array.elements.size()), array.kind};
  network::Sizes read;
  for (const std::int64_t axis : order) {
    result.shape.push_back(array.shape[Index(axis)]);
    read.push_back(strides[Index(axis)]);
  }
  CopyStrided(result.shape, array.elements.data(), read, result.elements.data(),
              StridesOf(result.shape));
  return result;
}

}  // namespace

Result<Array> ReadConstant(const network::Constant& constant, const Checkpoint& weights,
                           const Budget& budget) {
  if (const auto* held = std::get_if<network::InlineConstant>(&constant)) {
    return Array{held->shape, held->elements, held->kind};
  }
  const auto& stored = std::get<network::StoredConstant>(constant);
  const auto& tensors = weights.manifest().tensors;
  if (stored.tensor.index >= tensors.size()) {
    return Fail(ErrorCode::kInternal, "a constant of the network is no tensor of the checkpoint");
  }
  const TensorInfo& tensor = tensors[stored.tensor.index];
  if (!IsReal(tensor.dtype)) {
    return Fail(About(ErrorCode::kUnsupported,
                      "cannot be computed with: its type is " + std::string(Name(tensor.dtype)),
                      tensor));
  }
  if (tensor.shape.element_count() > budget.memory_bytes / sizeof(double)) {
    Error error = About(ErrorCode::kLimitExceeded, "takes more memory than is allowed", tensor);
    error.remedy = Remedy::kMoreMemory;
    return Fail(std::move(error));
  }
  CKPT_ASSIGN_OR_RETURN(network::Sizes shape, ShapeOf(stored, tensor));
  Array array{std::move(shape), {}, KindOf(tensor.dtype)};
  CKPT_ASSIGN_OR_RETURN(array.elements,
                        ReadDoubles(weights, stored.tensor, tensor.shape.element_count()));
  return InOrder(std::move(array), stored.order, tensor);
}

}  // namespace ckpt::execution
