#include "layers/operation_description.h"

#include <algorithm>
#include <cstdint>
#include <set>

#include "ckpt/network/shape_rules.h"

namespace ckpt {
namespace {

using network::PartialShape;
using network::Sizes;
using network::ValueId;

class Describer {
 public:
  Describer(const ValueUses& uses, const network::Operation& operation,
            const ElementsLookup& elements, Layer& layer)
      : uses_(uses), operation_(operation), elements_(elements), layer_(layer) {}

  void operator()(const network::Unary& unary) const {
    const bool passes = unary.function == network::UnaryFunction::kIdentity ||
                        unary.function == network::UnaryFunction::kLinear;
    if (!passes) BeActivation();
  }
  void operator()(const network::Softmax&) const { BeActivation(); }

  void operator()(const network::Binary& binary) const {
    using Function = network::BinaryFunction;
    if (binary.function == Function::kLeakyRelu && !uses_.IsFixed(operation_.operands[0]) &&
        uses_.IsFixed(operation_.operands[1])) {
      BeActivation();
    }
  }

  void operator()(const network::Concatenate& joined) const { layer_.axis = joined.axis; }

  void operator()(const network::Pool& pool) const { layer_.axis = pool.channel_axis; }

  void operator()(const network::Reduction& reduction) const {
    using Kind = network::Reduction::Kind;
    if (reduction.kind != Kind::kMean && reduction.kind != Kind::kMaximum) return;
    layer_.axis = AxisBesides(reduction);
  }

  void operator()(const network::Pad& pad) const {
    const auto changed = AxesPadded(pad);
    if (!changed) return;
    layer_.axis = AxisOutside(*changed);
    if (changed->empty()) layer_.computation = network::Unary{};
  }

  void operator()(const network::Resize& resize) const {
    const auto changed = AxesResized(resize);
    if (changed) layer_.axis = AxisOutside(*changed);
  }

  void operator()(const network::Reshape& reshape) const {
    if (KeepsExamples(reshape)) layer_.computation = network::MergeAxes{1, -1};
  }

  // One whose vectors are no tensors of the file, or that is part of more.
  void operator()(const network::BatchNormalization&) const {
    layer_.computation = network::Unknown{layer_.op_type, "it is no layer by itself"};
  }

  template <class T>
  void operator()(const T&) const {}

 private:
  void BeActivation() const { layer_.activation = layer_.op_type; }
  ValueId Operand(std::size_t i) const {
    return i < operation_.operands.size() ? operation_.operands[i] : network::kNoValue;
  }
  const PartialShape& Shape() const { return uses_.network().value(Operand(0)).shape; }
  std::optional<std::int64_t> Rank() const {
    if (!Shape()) return std::nullopt;
    return static_cast<std::int64_t>(Shape()->size());
  }
  std::optional<Sizes> Integers(std::size_t operand) const {
    const auto elements = elements_(Operand(operand));
    if (!elements) return std::nullopt;
    Sizes integers;
    for (const double element : *elements) {
      if (!(element >= -9.0e15 && element <= 9.0e15)) return std::nullopt;
      integers.push_back(static_cast<std::int64_t>(element));
    }
    return integers;
  }

  // The channel axis of an operation that keeps apart all axes but these: the second, or the last
  // where the second is one of them.
  std::optional<std::int64_t> AxisOutside(const std::set<std::int64_t>& axes) const {
    if (axes.contains(0)) return std::nullopt;
    if (!axes.contains(1)) return 1;
    const auto rank = Rank();
    if (!rank || *rank < 3 || axes.contains(*rank - 1)) return std::nullopt;
    return -1;
  }

  // Counted from the front; absent: that is not known.
  std::optional<std::set<std::int64_t>> FromFront(const Sizes& axes) const {
    std::set<std::int64_t> found;
    for (std::int64_t axis : axes) {
      if (axis < 0 && !Rank()) return std::nullopt;
      if (axis < 0) axis += *Rank();
      if (axis < 0) return std::nullopt;
      found.insert(axis);
    }
    return found;
  }

  std::optional<std::int64_t> AxisBesides(const network::Reduction& reduction) const {
    if (reduction.axes.which == network::Axes::Which::kSpatial) {
      return reduction.axes.channel_axis;
    }
    if (reduction.axes.which == network::Axes::Which::kAll) return std::nullopt;
    Sizes axes = reduction.axes.listed;
    if (Operand(1) != network::kNoValue) {
      const auto given = Integers(1);
      if (!given) return std::nullopt;
      axes = *given;
    }
    const auto found = FromFront(axes);
    if (!found || found->empty()) return std::nullopt;
    return AxisOutside(*found);
  }

  std::optional<std::set<std::int64_t>> AxesPadded(const network::Pad& pad) const {
    Sizes before = pad.before, after = pad.after;
    if (Operand(1) != network::kNoValue) {
      const auto amounts = Integers(1);
      if (!amounts || amounts->size() % 2 != 0) return std::nullopt;
      const auto middle = amounts->begin() + static_cast<std::ptrdiff_t>(amounts->size() / 2);
      before.assign(amounts->begin(), middle);
      after.assign(middle, amounts->end());
    }
    Sizes axes = pad.axes;
    if (Operand(3) != network::kNoValue) {
      const auto given = Integers(3);
      if (!given) return std::nullopt;
      axes = *given;
    }
    if (before.size() != after.size() || (!axes.empty() && axes.size() != before.size())) {
      return std::nullopt;
    }
    Sizes changed;
    for (std::size_t i = 0; i < before.size(); ++i) {
      if (before[i] == 0 && after[i] == 0) continue;
      changed.push_back(axes.empty() ? static_cast<std::int64_t>(i) : axes[i]);
    }
    return FromFront(changed);
  }

  std::optional<std::set<std::int64_t>> AxesResized(const network::Resize& resize) const {
    Sizes changed;
    const auto axis_of = [&](std::size_t i) {
      return resize.axes.empty() ? static_cast<std::int64_t>(i) : resize.axes[i];
    };
    const std::size_t count = std::max(resize.sizes.size(), resize.scales.size());
    if (count == 0 || (!resize.axes.empty() && resize.axes.size() != count)) return std::nullopt;
    const auto shape = Shape();
    for (std::size_t i = 0; i < count; ++i) {
      if (resize.scales.empty()) {
        const auto from = FromFront({axis_of(i)});
        if (!from || !shape) return std::nullopt;
        const auto at = static_cast<std::size_t>(*from->begin());
        if (at < shape->size() && (*shape)[at] == resize.sizes[i]) continue;
      } else if (resize.scales[i] == 1 && !resize.scale_from_sizes) {
        continue;
      }
      changed.push_back(axis_of(i));
    }
    return FromFront(changed);
  }

  // Does each example become one row?
  bool KeepsExamples(const network::Reshape& reshape) const {
    if (reshape.of_example) return reshape.shape == Sizes{network::Reshape::kRest};
    Sizes to = reshape.shape;
    if (Operand(1) != network::kNoValue) {
      const auto given = Integers(1);
      if (!given) return false;
      to = *given;
    }
    if (to.size() != 2) return false;
    if (to == Sizes{network::Reshape::kCopy, network::Reshape::kRest}) return reshape.zero_copies;
    return to[1] > 0 && ElementsOfExample() == to[1];
  }
  // Absent: not known. Nothing is flattened where there is but one axis behind the examples.
  std::optional<std::int64_t> ElementsOfExample() const {
    if (!Shape() || Shape()->size() < 3) return std::nullopt;
    std::int64_t count = 1;
    for (std::size_t i = 1; i < Shape()->size(); ++i) {
      const std::int64_t size = (*Shape())[i];
      if (size < 1 || count > (std::int64_t{1} << 40) / size) return std::nullopt;
      count *= size;
    }
    return count;
  }

  const ValueUses& uses_;
  const network::Operation& operation_;
  const ElementsLookup& elements_;
  Layer& layer_;
};

}  // namespace

void DescribeOperation(const ValueUses& uses, const network::Operation& operation,
                       const ElementsLookup& elements, Layer& layer) {
  std::visit(Describer(uses, operation, elements, layer), operation.computation);
}

}  // namespace ckpt
