#include "ckpt/network/shape_rules.h"

#include <algorithm>
#include <utility>

#include "network/operand_shapes.h"

namespace ckpt::network {
namespace {

// One overload an alternative; one without does not compile.
class ShapeRule {
 public:
  ShapeRule(std::span<const OperandShape> operands, std::size_t results)
      : operands_(operands), results_(results) {}

  Result<Shapes> operator()(const Convolution& c) { return ShapeOfConvolution(c, operands_); }
  Result<Shapes> operator()(const TransposedConvolution& c) {
    return ShapeOfTransposed(c, operands_);
  }
  Result<Shapes> operator()(const MatrixProduct& c) { return ShapeOfProduct(c, operands_); }
  Result<Shapes> operator()(const Einsum& c) { return ShapeOfEinsum(c, operands_); }
  Result<Shapes> operator()(const BatchNormalization& c) { return AlongAxis(c.axis); }
  Result<Shapes> operator()(const LayerNormalization&) { return Same(); }
  Result<Shapes> operator()(const GroupNormalization& c) { return AlongAxis(c.channel_axis); }
  Result<Shapes> operator()(const LocalResponseNormalization& c) {
    return AlongAxis(c.channel_axis);
  }
  Result<Shapes> operator()(const Unary&) { return Same(); }
  Result<Shapes> operator()(const Binary&) { return Broadcasted(); }
  Result<Shapes> operator()(const Select&) { return Broadcasted(); }
  Result<Shapes> operator()(const Pool& c) { return ShapeOfPool(c, operands_); }
  Result<Shapes> operator()(const Reduction& c) { return Reduced(c); }
  Result<Shapes> operator()(const ArgExtreme& c) { return WithoutAxes({c.axis}, c.keep); }
  Result<Shapes> operator()(const Softmax& c) { return AlongAxis(c.axis); }
  Result<Shapes> operator()(const CumulativeSum& c) { return AlongAxis(c.axis); }
  Result<Shapes> operator()(const Reshape& c) { return ShapeOfReshape(c, operands_); }
  Result<Shapes> operator()(const MergeAxes& c) { return ShapeOfMerge(c, operands_); }
  Result<Shapes> operator()(const InsertAxes& c) { return ShapeOfInsert(c, operands_); }
  Result<Shapes> operator()(const DropAxes& c) { return ShapeOfDrop(c, operands_); }
  Result<Shapes> operator()(const Transpose& c) { return ShapeOfTranspose(c, operands_); }
  Result<Shapes> operator()(const Concatenate& c) { return ShapeOfConcatenation(c, operands_); }
  Result<Shapes> operator()(const Split& c) { return ShapeOfSplit(c, operands_, results_); }
  Result<Shapes> operator()(const Slice& c) { return ShapeOfSlice(c, operands_); }
  Result<Shapes> operator()(const Pad& c) { return ShapeOfPad(c, operands_); }
  Result<Shapes> operator()(const Resize& c) { return ShapeOfResize(c, operands_); }
  Result<Shapes> operator()(const Gather& c);
  Result<Shapes> operator()(const GatherNd& c);
  Result<Shapes> operator()(const ScatterNd&) { return Same(); }
  Result<Shapes> operator()(const GatherElements&) { return Shapes{operands_[1]}; }
  Result<Shapes> operator()(const OneHot& c);
  Result<Shapes> operator()(const Cast&) { return Same(); }
  Result<Shapes> operator()(const ShapeOf& c);
  Result<Shapes> operator()(const Fill&);
  Result<Shapes> operator()(const Range&);
  Result<Shapes> operator()(const BroadcastTo& c) { return ShapeOfBroadcastTo(c, operands_); }
  Result<Shapes> operator()(const Tile& c) { return ShapeOfTile(c, operands_); }
  Result<Shapes> operator()(const SpaceAndDepth& c) { return ShapeOfSpaceAndDepth(c, operands_); }
  Result<Shapes> operator()(const SpaceAndBatch& c) { return ShapeOfSpaceAndBatch(c, operands_); }
  Result<Shapes> operator()(const Recurrent& c) { return ShapeOfRecurrent(c, operands_, results_); }
  Result<Shapes> operator()(const Quantize&) { return Same(); }
  Result<Shapes> operator()(const Dequantize&) { return Same(); }
  Result<Shapes> operator()(const Unknown&) { return Shapes(results_); }

 private:
  Result<Shapes> Same() const { return Shapes{operands_[0]}; }
  // The same shape, which has the axis.
  Result<Shapes> AlongAxis(std::int64_t axis) const {
    if (operands_[0]) {
      CKPT_RETURN_IF_ERROR(AxisIn(axis, static_cast<std::int64_t>(operands_[0]->size())));
    }
    return Same();
  }
  Result<Shapes> Broadcasted() const {
    std::vector<PartialShape> shapes;
    for (std::size_t i = 0; i < operands_.size(); ++i) shapes.push_back(operands_[i]);
    CKPT_ASSIGN_OR_RETURN(PartialShape result, BroadcastOf(shapes));
    return Shapes{std::move(result)};
  }
  Result<Shapes> Reduced(const Reduction& reduction) const;
  Result<Shapes> WithoutAxes(const Sizes& axes, bool keep) const;

  OperandShapes operands_;
  std::size_t results_;
};

Result<Shapes> ShapeRule::WithoutAxes(const Sizes& axes, bool keep) const {
  if (!operands_[0]) return Shapes{PartialShape{}};
  const Sizes& data = *operands_[0];
  CKPT_ASSIGN_OR_RETURN(const Sizes sorted, AxesIn({Axes::Which::kListed, axes},
                                                   static_cast<std::int64_t>(data.size())));
  Sizes result;
  for (std::size_t i = 0; i < data.size(); ++i) {
    if (!std::binary_search(sorted.begin(), sorted.end(), static_cast<std::int64_t>(i))) {
      result.push_back(data[i]);
    } else if (keep) {
      result.push_back(1);
    }
  }
  return Shapes{std::move(result)};
}

Result<Shapes> ShapeRule::Reduced(const Reduction& reduction) const {
  if (!operands_[0]) return Shapes{PartialShape{}};
  const auto rank = static_cast<std::int64_t>(operands_[0]->size());
  Axes axes = reduction.axes;
  if (operands_.Given(1)) {
    CKPT_ASSIGN_OR_RETURN(const auto listed, operands_.Integers(1));
    if (!listed) return Shapes{reduction.keep ? OfRank(operands_[0]->size()) : PartialShape{}};
    axes = {Axes::Which::kListed, *listed};
  }
  const bool none = axes.which == Axes::Which::kListed && axes.listed.empty();
  if (none && reduction.none_is_identity) return Same();
  if (none) axes.which = Axes::Which::kAll;
  CKPT_ASSIGN_OR_RETURN(const Sizes listed, AxesIn(axes, rank));
  return WithoutAxes(listed, reduction.keep);
}

Result<Shapes> ShapeRule::operator()(const Gather& gather) {
  if (!operands_[0] || !operands_[1]) return Shapes{PartialShape{}};
  const Sizes &data = *operands_[0], &indices = *operands_[1];
  CKPT_ASSIGN_OR_RETURN(const std::int64_t axis,
                        AxisIn(gather.axis, static_cast<std::int64_t>(data.size())));
  const auto batch = static_cast<std::size_t>(std::max<std::int64_t>(gather.batch_axes, 0));
  if (batch > indices.size() || gather.batch_axes < 0 || gather.batch_axes > axis) {
    return Fail(Contradiction("a gather of " + ToText(data) + " by " + ToText(indices)));
  }
  Sizes result(data.begin(), data.begin() + static_cast<std::ptrdiff_t>(axis));
  result.insert(result.end(), indices.begin() + static_cast<std::ptrdiff_t>(batch), indices.end());
  result.insert(result.end(), data.begin() + static_cast<std::ptrdiff_t>(axis) + 1, data.end());
  return Shapes{std::move(result)};
}

Result<Shapes> ShapeRule::operator()(const GatherNd& gather) {
  if (!operands_[0] || !operands_[1]) return Shapes{PartialShape{}};
  const Sizes &data = *operands_[0], &indices = *operands_[1];
  if (indices.empty()) return Fail(Contradiction("a gather by a scalar"));
  if (!IsKnown(indices.back())) return Shapes{PartialShape{}};
  const std::int64_t used = indices.back() + gather.batch_axes;
  if (indices.back() < 0 || gather.batch_axes < 0 || gather.batch_axes > 254 ||
      indices.back() > 254 || used > static_cast<std::int64_t>(data.size())) {
    return Fail(Contradiction("a gather of " + ToText(data) + " by " + ToText(indices)));
  }
  Sizes result(indices.begin(), indices.end() - 1);
  result.insert(result.end(), data.begin() + static_cast<std::ptrdiff_t>(used), data.end());
  return Shapes{std::move(result)};
}

Result<Shapes> ShapeRule::operator()(const OneHot& one_hot) {
  if (!operands_[0]) return Shapes{PartialShape{}};
  Sizes result = *operands_[0];
  CKPT_ASSIGN_OR_RETURN(const std::int64_t axis,
                        AxisIn(one_hot.axis, static_cast<std::int64_t>(result.size()) + 1));
  CKPT_ASSIGN_OR_RETURN(const auto depth, operands_.Integers(1));
  const bool known = depth && depth->size() == 1;
  if (known && depth->front() < 0) return Fail(Contradiction("a depth below 0"));
  result.insert(result.begin() + static_cast<std::ptrdiff_t>(axis),
                known ? depth->front() : kUnknownSize);
  return Shapes{std::move(result)};
}

Result<Shapes> ShapeRule::operator()(const network::ShapeOf& shape) {
  if (!operands_[0]) return Shapes{OfRank(1)};
  const auto rank = static_cast<std::int64_t>(operands_[0]->size());
  return Shapes{Sizes{StretchOf(rank, shape.begin, shape.end, 1).count}};
}

Result<Shapes> ShapeRule::operator()(const Fill&) {
  CKPT_ASSIGN_OR_RETURN(const auto shape, operands_.Integers(0));
  if (shape) {
    if (std::any_of(shape->begin(), shape->end(), [](std::int64_t size) { return size < 0; })) {
      return Fail(Contradiction("a shape of " + ToText(*shape)));
    }
    return Shapes{*shape};
  }
  const PartialShape& length = operands_[0];
  if (!length || length->size() != 1 || (*length)[0] < 0 || (*length)[0] > 254) {
    return Shapes{PartialShape{}};
  }
  return Shapes{OfRank(static_cast<std::size_t>((*length)[0]))};
}

Result<Shapes> ShapeRule::operator()(const Range&) {
  double bounds[3] = {};
  for (std::size_t i = 0; i < 3; ++i) {
    const auto& elements = operands_.Elements(i);
    if (!elements || elements->size() != 1) return Shapes{OfRank(1)};
    bounds[i] = elements->front();
  }
  const double count = std::ceil((bounds[1] - bounds[0]) / bounds[2]);
  if (std::isnan(count) || count > static_cast<double>(kLargestSize)) {
    return Fail(ErrorCode::kLimitExceeded, "a range passes 2^62");
  }
  return Shapes{Sizes{static_cast<std::int64_t>(std::max(count, 0.0))}};
}

// No result may have more elements than can be counted.
Status CheckCounts(const Shapes& shapes) {
  for (const PartialShape& shape : shapes) {
    if (!shape) continue;
    if (shape->size() > 254)
      return Fail(ErrorCode::kLimitExceeded, "a value of more than 254 axes");
    CKPT_RETURN_IF_ERROR(ProductOf(*shape));
  }
  return {};
}

}  // namespace

Result<std::optional<Sizes>> OperandShapes::Integers(std::size_t i) const {
  if (!Given(i) || !operands_[i].elements) return std::optional<Sizes>{};
  Sizes integers;
  for (const double element : *operands_[i].elements) {
    constexpr double kLargest = 9.2e18;
    if (!(std::abs(element) <= 9.3e18) || std::floor(element) != element) {
      return Fail(Contradiction("a size or an axis that is no integer"));
    }
    integers.push_back(element >= kLargest    ? Slice::kToEnd
                       : element <= -kLargest ? -Slice::kToEnd
                                              : static_cast<std::int64_t>(element));
  }
  return std::optional<Sizes>(std::move(integers));
}

Result<std::vector<PartialShape>> ResultShapes(const Computation& computation,
                                               std::span<const OperandShape> operands,
                                               std::size_t results) {
  CKPT_ASSIGN_OR_RETURN(Shapes shapes, std::visit(ShapeRule(operands, results), computation));
  CKPT_RETURN_IF_ERROR(CheckCounts(shapes));
  shapes.resize(results);
  return shapes;
}

namespace {

ElementKind KindOf(std::span<const OperandShape> operands, std::size_t i) {
  return i < operands.size() && operands[i].given && operands[i].kind ? *operands[i].kind
                                                                      : ElementKind::kReal;
}

// A real one if any of them is, else an integer.
ElementKind Widest(std::span<const OperandShape> operands) {
  for (std::size_t i = 0; i < operands.size(); ++i) {
    if (KindOf(operands, i) == ElementKind::kReal) return ElementKind::kReal;
  }
  return ElementKind::kInteger;
}

ElementKind KindOf(const Unary& unary, ElementKind kind) {
  switch (unary.function) {
    case UnaryFunction::kNot:
    case UnaryFunction::kIsNan:
    case UnaryFunction::kIsInf:
      return ElementKind::kBoolean;
    case UnaryFunction::kIdentity:
    case UnaryFunction::kRelu:
    case UnaryFunction::kClip:
    case UnaryFunction::kNegate:
    case UnaryFunction::kAbs:
    case UnaryFunction::kSign:
    case UnaryFunction::kSquare:
    case UnaryFunction::kFloor:
    case UnaryFunction::kCeil:
    case UnaryFunction::kRound:
      return kind;
    default:
      return ElementKind::kReal;
  }
}

bool IsPredicate(BinaryFunction function) {
  return function == BinaryFunction::kEqual || function == BinaryFunction::kNotEqual ||
         function == BinaryFunction::kLess || function == BinaryFunction::kLessOrEqual ||
         function == BinaryFunction::kGreater || function == BinaryFunction::kGreaterOrEqual ||
         function == BinaryFunction::kAnd || function == BinaryFunction::kOr ||
         function == BinaryFunction::kXor;
}

}  // namespace

ElementKind ResultKind(const Computation& computation, std::span<const OperandShape> operands,
                       std::size_t) {
  const ElementKind first = KindOf(operands, 0);
  if (const auto* unary = std::get_if<Unary>(&computation)) return KindOf(*unary, first);
  if (const auto* binary = std::get_if<Binary>(&computation)) {
    if (IsPredicate(binary->function)) return ElementKind::kBoolean;
    return Widest(operands);
  }
  if (std::holds_alternative<Select>(computation)) return KindOf(operands, 1);
  if (const auto* cast = std::get_if<Cast>(&computation)) return cast->to;
  if (const auto* fill = std::get_if<Fill>(&computation)) {
    return operands.size() > 1 && operands[1].given ? KindOf(operands, 1) : fill->kind;
  }
  if (std::holds_alternative<ArgExtreme>(computation) ||
      std::holds_alternative<network::ShapeOf>(computation)) {
    return ElementKind::kInteger;
  }
  if (std::holds_alternative<OneHot>(computation)) return KindOf(operands, 2);
  if (std::holds_alternative<Range>(computation) ||
      std::holds_alternative<Concatenate>(computation)) {
    return Widest(operands);
  }
  const auto* reduction = std::get_if<Reduction>(&computation);
  if (reduction != nullptr &&
      (reduction->kind == Reduction::Kind::kAll || reduction->kind == Reduction::Kind::kAny)) {
    return ElementKind::kBoolean;
  }
  const bool moves =
      std::holds_alternative<Reshape>(computation) ||
      std::holds_alternative<MergeAxes>(computation) ||
      std::holds_alternative<InsertAxes>(computation) ||
      std::holds_alternative<DropAxes>(computation) ||
      std::holds_alternative<Transpose>(computation) ||
      std::holds_alternative<Split>(computation) || std::holds_alternative<Slice>(computation) ||
      std::holds_alternative<Pad>(computation) || std::holds_alternative<Gather>(computation) ||
      std::holds_alternative<GatherNd>(computation) ||
      std::holds_alternative<ScatterNd>(computation) ||
      std::holds_alternative<GatherElements>(computation) ||
      std::holds_alternative<BroadcastTo>(computation) ||
      std::holds_alternative<Tile>(computation) || std::holds_alternative<Einsum>(computation) ||
      std::holds_alternative<CumulativeSum>(computation) ||
      std::holds_alternative<MatrixProduct>(computation) || reduction != nullptr;
  return moves ? first : ElementKind::kReal;
}

Result<std::int64_t> AxisIn(std::int64_t axis, std::int64_t rank) {
  const std::int64_t counted = axis < 0 ? axis + rank : axis;
  if (counted < 0 || counted >= rank) {
    return Fail(Contradiction("no axis " + std::to_string(axis) + " in a value of " +
                              std::to_string(rank) + " axes"));
  }
  return counted;
}

Result<Sizes> AxesIn(const Axes& axes, std::int64_t rank) {
  Sizes sorted;
  if (axes.which == Axes::Which::kListed) {
    for (const std::int64_t axis : axes.listed) {
      CKPT_ASSIGN_OR_RETURN(const std::int64_t counted, AxisIn(axis, rank));
      sorted.push_back(counted);
    }
    std::sort(sorted.begin(), sorted.end());
    sorted.erase(std::unique(sorted.begin(), sorted.end()), sorted.end());
    return sorted;
  }
  std::int64_t channel = -1;
  const bool spatial = axes.which == Axes::Which::kSpatial;
  if (spatial) {
    CKPT_ASSIGN_OR_RETURN(channel, AxisIn(axes.channel_axis, rank));
  }
  for (std::int64_t axis = spatial ? 1 : 0; axis < rank; ++axis) {
    if (axis != channel) sorted.push_back(axis);
  }
  return sorted;
}

Result<PartialShape> BroadcastOf(std::span<const PartialShape> shapes) {
  std::size_t rank = 0;
  for (const PartialShape& shape : shapes) {
    if (!shape) return PartialShape{};
    rank = std::max(rank, shape->size());
  }
  Sizes result(rank, 1);
  for (const PartialShape& shape : shapes) {
    const std::size_t skipped = rank - shape->size();
    for (std::size_t i = 0; i < shape->size(); ++i) {
      std::int64_t& size = result[skipped + i];
      const std::int64_t other = (*shape)[i];
      if (other == 1 || other == size) continue;
      if (size == 1) {
        size = other;
      } else if (!IsKnown(size)) {
        size = other;
      } else if (IsKnown(other)) {
        return Fail(Contradiction(ToText(result) + " and " + ToText(*shape) +
                                  " do not broadcast to one shape"));
      }
    }
  }
  return PartialShape(std::move(result));
}

Result<Sizes> Broadcast(std::span<const Sizes> shapes) {
  std::vector<PartialShape> partial(shapes.begin(), shapes.end());
  CKPT_ASSIGN_OR_RETURN(const PartialShape result, BroadcastOf(partial));
  return *result;
}

}  // namespace ckpt::network
