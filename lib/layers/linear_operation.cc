#include "layers/linear_operation.h"

#include <algorithm>
#include <utility>

namespace ckpt {
namespace {

using network::kNoValue;
using network::Operation;
using network::OperationId;
using network::ValueId;

class Reader {
 public:
  Reader(const ValueUses& uses, OperationId id)
      : uses_(uses), operation_(uses.network().operation(id)) {
    found_.operations = {id};
    found_.output = operation_.results[0];
  }

  std::optional<LayerOfOperations> Read() {
    if (!std::visit([this](const auto& what) { return Describe(what); }, operation_.computation)) {
      return std::nullopt;
    }
    found_.data = operation_.operands[0];
    if (uses_.network().value(found_.data).constant) return std::nullopt;
    if (!layer().fed_tensors.empty()) layer() = Unknown(std::move(layer().fed_tensors));
    if (layer().has_kernel && !found_.tensors.contains("bias")) FindAddition();
    return std::move(found_);
  }

 private:
  Layer& layer() { return found_.layer; }
  static Layer Unknown(std::map<std::string, std::string> fed) {
    Layer layer;
    layer.fed_tensors = std::move(fed);
    return layer;
  }

  bool Describe(const network::Convolution& convolution) {
    DescribeWindow(convolution);
    return true;
  }
  bool Describe(const network::TransposedConvolution& convolution) {
    DescribeWindow(convolution);
    return true;
  }
  template <class T>
  void DescribeWindow(const T& convolution) {
    layer().has_kernel = true;
    layer().layout = convolution.layout;
    layer().groups = convolution.groups;
    layer().axis = convolution.channel_axis;
    if (!TakeKernel(operation_.operands[1], false)) Feed("kernel", operation_.operands[1]);
    if (operation_.operands.size() < 3 || operation_.operands[2] == kNoValue) return;
    auto bias = FindStoredTensor(uses_, operation_.operands[2]);
    if (bias && IsBindable(*bias)) {
      found_.tensors.emplace("bias", *std::move(bias));
    } else {
      Feed("bias", operation_.operands[2]);
    }
  }

  bool Describe(const network::MatrixProduct& product) {
    if (uses_.IsFixed(operation_.operands[0]) || !TakeKernel(operation_.operands[1], true)) {
      return false;
    }
    const StoredTensor& kernel = found_.tensors.at("kernel");
    layer().has_kernel = true;
    layer().layout = product.transpose_b != kernel.transposed ? KernelLayout::kOutInSpatial
                                                              : KernelLayout::kSpatialInOut;
    layer().kernel_factor = product.factor;
    if (product.transpose_a) layer().not_forward = "its input is transposed";
    layer().axis = -1;
    return true;
  }
  template <class T>
  bool Describe(const T&) {
    return false;
  }

  void Feed(const char* name, ValueId id) {
    layer().fed_tensors.emplace(name, ValueSource(uses_.network(), id));
  }

  bool TakeKernel(ValueId id, bool matrix) {
    if (id == kNoValue) return false;
    auto kernel = FindStoredTensor(uses_, id);
    if (!kernel || kernel->reshaped || kernel->filled || kernel->factor != 1 || !kernel->own ||
        (kernel->transposed && !matrix) || (matrix && kernel->shape.size() != 2)) {
      return false;
    }
    found_.tensors.emplace("kernel", *std::move(kernel));
    return true;
  }

  // One number that is read as many can become as many only where the last axis is the channels'.
  static bool IsBindable(const StoredTensor& bias) {
    return bias.own && (!bias.filled || bias.shape.size() == 1 || bias.AxesBehind() == 0U);
  }

  std::optional<std::int64_t> OutChannels() const {
    const StoredTensor& kernel = found_.tensors.at("kernel");
    const network::Sizes& shape = kernel.shape;
    const std::size_t rank = shape.size();
    if (rank < 2) return std::nullopt;
    KernelLayout layout = found_.layer.layout;
    // The shape is that which is read.
    if (kernel.transposed) return layout == KernelLayout::kOutInSpatial ? shape[1] : shape[0];
    switch (layout) {
      case KernelLayout::kSpatialInOut:
        return shape[rank - 1];
      case KernelLayout::kSpatialOutIn:
        return shape[rank - 2];
      case KernelLayout::kOutInSpatial:
        return shape[0];
      case KernelLayout::kInOutSpatial:
        return Product(shape[1], found_.layer.groups);
      case KernelLayout::kSpatialInMultiplier:
        return Product(shape[rank - 2], shape[rank - 1]);
    }
    return std::nullopt;
  }
  static std::optional<std::int64_t> Product(std::int64_t a, std::int64_t b) {
    constexpr std::int64_t kLarge = std::int64_t{1} << 31;
    if (a < 0 || b < 0 || a >= kLarge || b >= kLarge) return std::nullopt;
    return a * b;
  }

  // An addition that alone reads what the layer yields.
  void FindAddition() {
    const auto reader = uses_.OnlyReaderOf(found_.output);
    if (!reader) return;
    const Operation& add = uses_.network().operation(reader->operation);
    const auto* binary = std::get_if<network::Binary>(&add.computation);
    if (binary == nullptr || binary->function != network::BinaryFunction::kAdd ||
        add.operands.size() != 2) {
      return;
    }
    auto bias = FindStoredTensor(uses_, add.operands[1 - reader->operand]);
    const bool same_layer = add.layer == operation_.layer;
    if (!bias || !IsBindable(*bias) || (!same_layer && !FitsChannels(*bias))) return;
    if (!same_layer && bias->factor != 1) return;
    layer().bias_factor = bias->factor;
    found_.tensors.emplace("bias", *std::move(bias));
    found_.operations.push_back(reader->operation);
    found_.output = add.results[0];
  }

  // One number for each channel, along the axis of the channels.
  bool FitsChannels(const StoredTensor& bias) const {
    const auto channels = OutChannels();
    const bool dense = std::holds_alternative<network::MatrixProduct>(operation_.computation);
    const std::size_t rank = found_.tensors.at("kernel").shape.size();
    const std::size_t behind = dense || found_.layer.axis == -1 ? 0 : rank - 2;
    const std::size_t at = bias.shape.size();
    if (!channels || at <= behind || (!dense && at > rank) || !bias.IsVector()) return false;
    return bias.shape[at - 1 - behind] == *channels &&
           bias.count() == static_cast<std::uint64_t>(*channels);
  }

  const ValueUses& uses_;
  const Operation& operation_;
  LayerOfOperations found_;
};

}  // namespace

std::optional<LayerOfOperations> FindLinearOperation(const ValueUses& uses, OperationId id) {
  const Operation& operation = uses.network().operation(id);
  if (operation.operands.size() < 2 || operation.results.empty() ||
      operation.operands[0] == kNoValue || operation.operands[1] == kNoValue) {
    return std::nullopt;
  }
  return Reader(uses, id).Read();
}

}  // namespace ckpt
