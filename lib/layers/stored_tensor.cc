#include "layers/stored_tensor.h"

#include <algorithm>
#include <cmath>
#include <iterator>
#include <utility>

namespace ckpt {
namespace {

using network::Sizes;
using network::ValueId;

constexpr int kMostSteps = 8;  // exporters need three

bool IsKnown(const network::PartialShape& shape) {
  return shape && std::none_of(shape->begin(), shape->end(),
                               [](std::int64_t size) { return size == network::kUnknownSize; });
}

std::uint64_t CountOf(const Sizes& shape) {
  std::uint64_t count = 1;
  for (const std::int64_t size : shape) {
    if (size != 0 && count > (std::uint64_t{1} << 62) / static_cast<std::uint64_t>(size)) return 0;
    count *= static_cast<std::uint64_t>(size);
  }
  return count;
}

// What an operation makes of the tensor, whose result has the known shape `to`; false: another one.
struct Step {
  StoredTensor& tensor;
  const Sizes& to;

  // A vector under any shape of as many elements; else the same axes of more than one element in
  // the same order.
  bool Reshaped() const {
    if (to == tensor.shape) return true;
    const bool same =
        tensor.IsVector() ? CountOf(to) == tensor.count() : WideAxes(to) == WideAxes(tensor.shape);
    if (!same) return false;
    tensor.shape = to;
    tensor.reshaped = true;
    return true;
  }
  static Sizes WideAxes(const Sizes& shape) {
    Sizes wide;
    std::copy_if(shape.begin(), shape.end(), std::back_inserter(wide),
                 [](std::int64_t size) { return size != 1; });
    return wide;
  }
  bool operator()(const network::Reshape&) const { return Reshaped(); }
  bool operator()(const network::MergeAxes&) const { return Reshaped(); }
  bool operator()(const network::InsertAxes&) const { return Reshaped(); }
  bool operator()(const network::DropAxes&) const { return Reshaped(); }
  bool operator()(const network::Transpose& transpose) const {
    // The order of a vector's only wide axis is none.
    if (tensor.shape.size() != 2) return tensor.IsVector() && Reshaped();
    const bool stays = transpose.order == Sizes{0, 1} || transpose.order == Sizes{-2, -1};
    if (!stays) tensor.transposed = !tensor.transposed;
    tensor.shape = to;
    return true;
  }
  bool operator()(const network::BroadcastTo&) const {
    if (CountOf(to) != tensor.count()) {
      if (tensor.count() != 1) return false;
      tensor.filled = true;
    }
    tensor.shape = to;
    return true;
  }
  bool operator()(const network::Unary& unary) const {
    if (unary.function == network::UnaryFunction::kIdentity) return true;
    if (unary.function != network::UnaryFunction::kLinear || unary.b != 0) return false;
    tensor.factor *= unary.a;
    return true;
  }
  template <class T>
  bool operator()(const T&) const {
    return false;
  }
};

}  // namespace

std::uint64_t StoredTensor::count() const { return CountOf(shape); }

bool StoredTensor::IsVector() const {
  return std::count_if(shape.begin(), shape.end(), [](std::int64_t size) { return size != 1; }) <=
         1;
}

bool StoredTensor::IsAlong(std::int64_t axis, const network::PartialShape& data,
                           std::uint64_t elements) const {
  if (!data || !IsVector() || filled || shape.size() > data->size() || count() != elements) {
    return false;
  }
  const auto rank = static_cast<std::int64_t>(data->size());
  if (axis < 0) axis += rank;
  const auto behind = AxesBehind();
  return elements == 1 || (behind && static_cast<std::int64_t>(*behind) == rank - 1 - axis);
}

std::optional<std::size_t> StoredTensor::AxesBehind() const {
  for (std::size_t i = 0; i < shape.size(); ++i) {
    if (shape[i] != 1) return shape.size() - 1 - i;
  }
  return std::nullopt;
}

std::optional<StoredTensor> FindStoredTensor(const ValueUses& uses, ValueId id) {
  std::vector<const network::Operation*> operations;  // from the reader to the tensor
  bool own = true;
  while (id != network::kNoValue && !uses.network().value(id).constant) {
    const network::Operation* const producer = uses.ProducerOf(id);
    if (producer == nullptr || operations.size() == kMostSteps || producer->operands.empty() ||
        !IsKnown(uses.network().value(id).shape) || !uses.IsFixed(id)) {
      return std::nullopt;
    }
    own = own && uses.OnlyReaderOf(id).has_value();
    operations.push_back(producer);
    id = producer->operands[0];
  }
  if (id == network::kNoValue) return std::nullopt;
  const network::Value& value = uses.network().value(id);
  const auto* stored = std::get_if<network::StoredConstant>(&*value.constant);
  if (stored == nullptr || !IsKnown(value.shape) || !stored->order.empty()) return std::nullopt;
  StoredTensor found{stored->tensor, *value.shape, *value.shape};
  found.recast = stored->shape.has_value();
  found.own = own;
  for (auto at = operations.rbegin(); at != operations.rend(); ++at) {
    const Sizes& to = *uses.network().value((*at)->results[0]).shape;
    if (!std::visit(Step{found, to}, (*at)->computation)) return std::nullopt;
    if (found.layers.empty() || found.layers.back() != (*at)->layer) {
      found.layers.push_back((*at)->layer);
    }
  }
  return found;
}

}  // namespace ckpt
