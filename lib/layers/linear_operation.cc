#include "layers/linear_operation.h"

#include <algorithm>
#include <utility>

#include "ckpt/layer_computation.h"
#include "layers/settled_operation.h"
#include "layers/wrapped_convolution.h"

namespace ckpt {
namespace {

using network::kNoValue;
using network::Operation;
using network::OperationId;
using network::ValueId;

class Reader {
 public:
  Reader(const ValueUses& uses, const ElementsLookup& elements, bool copies_ways, OperationId id)
      : uses_(uses),
        elements_(elements),
        copies_ways_(copies_ways),
        operation_(uses.network().operation(id)) {
    found_.operations = {id};
    found_.first = id;
    found_.output = operation_.results[0];
  }

  std::optional<LayerOfOperations> Read() {
    layer().computation = operation_.computation;
    if (!std::visit([this](const auto& what) { return Describe(what); }, operation_.computation)) {
      return std::nullopt;
    }
    found_.data = operation_.operands[0];
    if (uses_.network().value(found_.data).constant) return std::nullopt;
    if (!layer().fed_tensors.empty()) layer() = Unknown(std::move(layer().fed_tensors));
    if (!layer().has_kernel) return std::move(found_);
    TakeSurroundings();
    if (!found_.tensors.contains("bias")) FindAddition();
    return std::move(found_);
  }

 private:
  Layer& layer() { return found_.layer; }
  const Layer& layer() const { return found_.layer; }
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
      Take("bias", *std::move(bias), {found_.first, 2});
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

  void Take(const char* name, StoredTensor tensor, OperandPlace place) {
    found_.tensors.emplace(name, std::move(tensor));
    found_.places.emplace(name, place);
  }

  bool TakeKernel(ValueId id, bool matrix) {
    if (id == kNoValue) return false;
    auto kernel = FindStoredTensor(uses_, id);
    if (!kernel || kernel->recast || kernel->filled || kernel->factor != 1 || !IsOwn(*kernel) ||
        (kernel->transposed && !matrix) || (matrix && kernel->shape.size() != 2) ||
        (kernel->reshaped && (matrix || !KeepsChannels(*kernel)))) {
      return false;
    }
    Take("kernel", *std::move(kernel), {found_.first, 1});
    return true;
  }
  bool IsOwn(const StoredTensor& tensor) const { return tensor.own || copies_ways_; }

  bool HasChannelsInFront() const {
    return layer().layout == KernelLayout::kOutInSpatial ||
           layer().layout == KernelLayout::kInOutSpatial;
  }
  // Its axes of channels are where they are in the stored one.
  bool KeepsChannels(const StoredTensor& kernel) const {
    const network::Sizes &read = kernel.shape, &stored = kernel.stored_shape;
    if (stored.size() < 2 || read.size() < 2) return false;
    return HasChannelsInFront() ? std::equal(stored.begin(), stored.begin() + 2, read.begin())
                                : std::equal(stored.end() - 2, stored.end(), read.end() - 2);
  }

  // One number that is read as many can become as many only where the last axis is the channels'.
  bool IsBindable(const StoredTensor& bias) const {
    return IsOwn(bias) && (!bias.filled || bias.shape.size() == 1 || bias.AxesBehind() == 0U);
  }

  // Operations around it that are one layer with it.
  void TakeSurroundings() {
    constexpr int kMostWraps = 3;  // around a convolution
    if (IsDense(layer())) {
      TakeRows();
      return;
    }
    SetWindow();
    for (int i = 0; i < kMostWraps && TakeWrap(); ++i) {
    }
  }

  bool TakeWrap() {
    const network::Network& network = uses_.network();
    const auto first = network.value(found_.data).producer;
    const auto reader = uses_.OnlyReaderOf(found_.output);
    if (!first || !reader || reader->operand != 0 || !uses_.OnlyReaderOf(found_.data)) return false;
    const Operation& before = network.operation(*first);
    const Operation& after = network.operation(reader->operation);
    if (before.results.size() != 1 || after.results.size() != 1 || before.operands.empty() ||
        before.operands[0] == kNoValue || uses_.IsFixed(before.operands[0])) {
      return false;
    }
    if (!Unwrap(Settled(before), Settled(after), window_, layer().computation)) return false;
    found_.operations.insert(found_.operations.end(), {*first, reader->operation});
    found_.first = *first;
    found_.data = before.operands[0];
    found_.output = after.results[0];
    return true;
  }

  void SetWindow() {
    if (found_.tensors.at("kernel").shape.size() < 2) return;
    window_ = found_.tensors.at("kernel").shape;
    const auto channels = HasChannelsInFront() ? window_.begin() : window_.end() - 2;
    window_.erase(channels, channels + 2);
  }
  // Parts are some, whatever decides their amounts.
  network::Computation Settled(const Operation& operation) const {
    const bool parts = std::holds_alternative<network::SpaceAndBatch>(operation.computation);
    return parts ? operation.computation : SettledOperation(uses_, operation, elements_);
  }

  // Rows that are given their axes again, or others: the units stay the last axis.
  void TakeRows() {
    const auto reader = uses_.OnlyReaderOfElements(found_.output);
    if (!reader || reader->operand != 0) return;
    const Operation& next = uses_.network().operation(reader->operation);
    const auto units = OutChannels();
    if (!std::holds_alternative<network::Reshape>(next.computation) || next.results.size() != 1 ||
        !units) {
      return;
    }
    const network::PartialShape& shape = uses_.network().value(next.results[0]).shape;
    if (!shape || shape->empty() || shape->back() != *units) return;
    found_.operations.push_back(reader->operation);
    found_.output = next.results[0];
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
    Take("bias", *std::move(bias), {reader->operation, 1 - reader->operand});
    found_.addition = reader->operation;
    found_.operations.push_back(reader->operation);
    found_.output = add.results[0];
  }

  // One number for each channel, along the axis of the channels.
  bool FitsChannels(const StoredTensor& bias) const {
    const auto channels = OutChannels();
    const bool dense = IsDense(found_.layer);
    const std::size_t behind = dense || found_.layer.axis == -1 ? 0 : window_.size();
    const std::size_t at = bias.shape.size();
    const bool too_long = !dense && at > window_.size() + 2;
    if (!channels || at <= behind || too_long || !bias.IsVector()) return false;
    return bias.shape[at - 1 - behind] == *channels &&
           bias.count() == static_cast<std::uint64_t>(*channels);
  }

  const ValueUses& uses_;
  const ElementsLookup& elements_;
  const bool copies_ways_;
  const Operation& operation_;
  LayerOfOperations found_;
  network::Sizes window_ = {};  // of the kernel, along the spatial axes that its data have
};

}  // namespace

std::optional<LayerOfOperations> FindLinearOperation(const ValueUses& uses,
                                                     const ElementsLookup& elements,
                                                     bool copies_ways, OperationId id) {
  const Operation& operation = uses.network().operation(id);
  if (operation.operands.size() < 2 || operation.results.empty() ||
      operation.operands[0] == kNoValue || operation.operands[1] == kNoValue) {
    return std::nullopt;
  }
  return Reader(uses, elements, copies_ways, id).Read();
}

}  // namespace ckpt
