#include "layers/settled_operation.h"

#include <algorithm>
#include <utility>

namespace ckpt {
namespace {

using network::Computation;
using network::kNoValue;
using network::Sizes;

class Settler {
 public:
  Settler(const ValueUses& uses, const network::Operation& operation,
          const ElementsLookup& elements)
      : uses_(uses), operation_(operation), elements_(elements) {}

  Computation operator()(const network::Reshape& reshape) const {
    network::Reshape settled = reshape;
    if (Given() <= 2 && Take(1, settled.shape)) return settled;
    // A shape that is computed says itself what is known of the result's.
    if (Given() != 2 || operation_.results.size() != 1) return None();
    const network::PartialShape& shape = uses_.network().value(operation_.results[0]).shape;
    if (!shape || std::count(shape->begin(), shape->end(), network::kUnknownSize) > 1) {
      return None();
    }
    return network::Reshape{*shape};
  }
  Computation operator()(network::InsertAxes insert) const {
    return Take(1, insert.axes) ? Computation(std::move(insert)) : None();
  }
  Computation operator()(network::DropAxes drop) const {
    return Take(1, drop.axes) ? Computation(std::move(drop)) : None();
  }
  Computation operator()(network::Reduction reduction) const {
    return Take(1, reduction.axes.listed) ? Computation(std::move(reduction)) : None();
  }
  Computation operator()(network::Slice slice) const {
    const bool known =
        Take(1, slice.begin) && Take(2, slice.end) && Take(3, slice.axes) && Take(4, slice.step);
    return known ? Computation(std::move(slice)) : None();
  }
  Computation operator()(network::Pad pad) const {
    Sizes amounts;
    if (!Take(1, amounts) || amounts.size() % 2 != 0 || !Take(3, pad.axes)) return None();
    if (Has(1)) {
      const auto middle = amounts.begin() + static_cast<std::ptrdiff_t>(amounts.size() / 2);
      pad.before.assign(amounts.begin(), middle);
      pad.after.assign(middle, amounts.end());
    }
    if (Has(2)) {
      const auto value = elements_(operation_.operands[2]);
      if (!value || value->size() != 1) return None();
      pad.value = value->front();
    }
    return pad;
  }
  // Its kernel and bias are tensors of the layer.
  Computation operator()(const network::Convolution& convolution) const { return convolution; }
  // How long its result is that says itself.
  Computation operator()(const network::TransposedConvolution& convolution) const {
    return convolution;
  }
  Computation operator()(const network::MatrixProduct& product) const { return product; }
  Computation operator()(const network::BatchNormalization& norm) const { return norm; }
  // Slopes of the file are parameters.
  Computation operator()(const network::Binary& binary) const {
    const bool sloped = binary.function == network::BinaryFunction::kLeakyRelu &&
                        !uses_.IsFixed(operation_.operands[0]);
    return sloped ? Computation(binary) : OfData(binary);
  }
  template <class T>
  Computation operator()(const T& other) const {
    return OfData(other);
  }

 private:
  Computation OfData(const Computation& other) const {
    const bool data =
        std::all_of(operation_.operands.begin(), operation_.operands.end(),
                    [this](network::ValueId id) { return id == kNoValue || !uses_.IsFixed(id); });
    return data ? other : None();
  }
  static Computation None() { return network::Unknown{}; }
  std::size_t Given() const { return operation_.operands.size(); }
  bool Has(std::size_t operand) const {
    return operand < Given() && operation_.operands[operand] != kNoValue;
  }
  // Nothing changes where there is no such operand.
  bool Take(std::size_t operand, Sizes& attribute) const {
    if (!Has(operand)) return true;
    const auto elements = elements_(operation_.operands[operand]);
    if (!elements) return false;
    attribute.clear();
    for (const double element : *elements) {
      // Beyond 2^53 only the largest integers are met, which say "to the end".
      if (!(element >= -9.0e15)) return false;
      attribute.push_back(element > 9.0e15 ? network::Slice::kToEnd
                                           : static_cast<std::int64_t>(element));
    }
    return true;
  }

  const ValueUses& uses_;
  const network::Operation& operation_;
  const ElementsLookup& elements_;
};

}  // namespace

Computation SettledOperation(const ValueUses& uses, const network::Operation& operation,
                             const ElementsLookup& elements) {
  return std::visit(Settler(uses, operation, elements), operation.computation);
}

}  // namespace ckpt
