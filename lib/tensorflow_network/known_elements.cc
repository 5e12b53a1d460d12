#include "tensorflow_network/known_elements.h"

#include <algorithm>
#include <cmath>
#include <utility>
#include <variant>

#include "ckpt/network/shape_rules.h"

namespace ckpt::tf_network {
namespace {

using namespace network;

constexpr std::size_t kMostElements = 1024;
using Element = std::optional<double>;
using Known = std::optional<PartialElements>;

Element Apply(UnaryFunction function, double x) {
  switch (function) {
    case UnaryFunction::kIdentity:
      return x;
    case UnaryFunction::kFloor:
      return std::floor(x);
    case UnaryFunction::kCeil:
      return std::ceil(x);
    case UnaryFunction::kNegate:
      return -x;
    case UnaryFunction::kAbs:
      return std::abs(x);
    default:
      return std::nullopt;
  }
}

Element Apply(BinaryFunction function, double a, double b, bool integers) {
  switch (function) {
    case BinaryFunction::kAdd:
      return a + b;
    case BinaryFunction::kSubtract:
      return a - b;
    case BinaryFunction::kMultiply:
      return a * b;
    case BinaryFunction::kDivide:
      if (integers && b == 0) return std::nullopt;
      return integers ? std::trunc(a / b) : a / b;
    case BinaryFunction::kFloorDivide:
      if (b == 0) return std::nullopt;
      return std::floor(a / b);
    case BinaryFunction::kModulo:
      if (b == 0) return std::nullopt;
      return a - std::floor(a / b) * b;
    case BinaryFunction::kMaximum:
      return std::max(a, b);
    case BinaryFunction::kMinimum:
      return std::min(a, b);
    case BinaryFunction::kEqual:
      return a == b ? 1 : 0;
    case BinaryFunction::kNotEqual:
      return a != b ? 1 : 0;
    case BinaryFunction::kLess:
      return a < b ? 1 : 0;
    case BinaryFunction::kGreater:
      return a > b ? 1 : 0;
    default:
      return std::nullopt;
  }
}

// One overload for each operation that shapes are computed with; the others yield nothing.
class Evaluation {
 public:
  Evaluation(const NetworkBuilder& builder, const std::vector<ValueId>& operands,
             std::vector<Known> known)
      : builder_(builder), operands_(operands), known_(std::move(known)) {}

  Known operator()(const network::ShapeOf& shape) const {
    const PartialShape& of = builder_.ShapeOf(operands_[0]);
    if (!of || shape.begin != 0 || shape.end != INT64_MAX) return std::nullopt;
    PartialElements sizes{{static_cast<std::int64_t>(of->size())}, {}, ElementKind::kInteger};
    for (const std::int64_t size : *of) {
      sizes.elements.push_back(size == kUnknownSize ? Element()
                                                    : Element(static_cast<double>(size)));
    }
    return sizes;
  }
  Known operator()(const Unary& unary) const {
    if (!known_[0]) return std::nullopt;
    PartialElements result = *known_[0];
    for (Element& element : result.elements) {
      if (element) element = Apply(unary.function, *element);
    }
    return result;
  }
  Known operator()(const Cast& cast) const {
    if (!known_[0]) return std::nullopt;
    PartialElements result = *known_[0];
    result.kind = cast.to;
    for (Element& element : result.elements) {
      if (!element || cast.to == ElementKind::kReal) continue;
      element = cast.to == ElementKind::kInteger ? std::trunc(*element) : *element != 0;
    }
    return result;
  }
  Known operator()(const Binary& binary) const;
  Known operator()(const Reshape&) const { return Moved(); }
  Known operator()(const InsertAxes&) const { return Moved(); }
  Known operator()(const DropAxes&) const { return Moved(); }
  Known operator()(const Concatenate&) const;
  Known operator()(const Slice& slice) const;
  Known operator()(const Gather& gather) const;
  Known operator()(const Reduction& reduction) const;
  Known operator()(const Select&) const;
  Known operator()(const Fill& fill) const;
  Known operator()(const Range&) const;
  template <class T>
  Known operator()(const T&) const {
    return std::nullopt;
  }

 private:
  // The same elements under the shape that the rule finds, which is set by who asks.
  Known Moved() const { return known_[0]; }
  bool AllGiven() const {
    return std::all_of(known_.begin(), known_.end(), [](const Known& k) { return k.has_value(); });
  }

  const NetworkBuilder& builder_;
  const std::vector<ValueId>& operands_;
  std::vector<Known> known_;
};

Known Evaluation::operator()(const Binary& binary) const {
  if (!AllGiven() || known_.size() != 2) return std::nullopt;
  const PartialElements &a = *known_[0], &b = *known_[1];
  if (a.shape.size() > 1 || b.shape.size() > 1) return std::nullopt;
  const std::size_t count = std::max(a.elements.size(), b.elements.size());
  if ((a.elements.size() != count && a.elements.size() != 1) ||
      (b.elements.size() != count && b.elements.size() != 1)) {
    return std::nullopt;
  }
  PartialElements result;
  const bool integers = a.kind != ElementKind::kReal && b.kind != ElementKind::kReal;
  for (std::size_t i = 0; i < count; ++i) {
    const Element& left = a.elements[a.elements.size() == 1 ? 0 : i];
    const Element& right = b.elements[b.elements.size() == 1 ? 0 : i];
    result.elements.push_back(left && right ? Apply(binary.function, *left, *right, integers)
                                            : Element());
  }
  return result;
}

Known Evaluation::operator()(const Concatenate&) const {
  PartialElements result;
  for (std::size_t i = 0; i < operands_.size(); ++i) {
    const PartialShape& shape = builder_.ShapeOf(operands_[i]);
    if (!shape || shape->size() != 1 || shape->front() < 0) return std::nullopt;
    const auto count = static_cast<std::size_t>(shape->front());
    if (count + result.elements.size() > kMostElements) return std::nullopt;
    if (known_[i]) {
      const auto& elements = known_[i]->elements;
      result.elements.insert(result.elements.end(), elements.begin(), elements.end());
    } else {
      result.elements.resize(result.elements.size() + count);
    }
  }
  return result;
}

Known Evaluation::operator()(const Slice& slice) const {
  if (operands_.size() != 1 || !known_[0] || known_[0]->shape.size() != 1 ||
      slice.begin.size() != 1 || slice.end.size() != 1) {
    return std::nullopt;
  }
  const std::int64_t step = slice.step.empty() ? 1 : slice.step[0];
  const auto& elements = known_[0]->elements;
  const auto size = static_cast<std::int64_t>(elements.size());
  if (step < 1 || step > size + 1) return std::nullopt;
  const auto place = [&](std::int64_t at) {
    if (at < 0) at = at < -size ? 0 : at + size;
    return std::min(at, size);
  };
  PartialElements result;
  for (std::int64_t i = place(slice.begin[0]); i < place(slice.end[0]); i += step) {
    result.elements.push_back(elements[static_cast<std::size_t>(i)]);
  }
  return result;
}

Known Evaluation::operator()(const Gather& gather) const {
  if (!AllGiven() || gather.batch_axes != 0 || known_[0]->shape.size() != 1) return std::nullopt;
  const auto& elements = known_[0]->elements;
  const auto size = static_cast<double>(elements.size());
  PartialElements result;
  for (const Element& index : known_[1]->elements) {
    if (!index || !(*index >= -size && *index < size)) return std::nullopt;
    result.elements.push_back(
        elements[static_cast<std::size_t>(*index < 0 ? *index + size : *index)]);
  }
  return result;
}

Known Evaluation::operator()(const Reduction& reduction) const {
  if (!known_[0] || operands_.size() != 1 || known_[0]->shape.size() != 1 || reduction.keep) {
    return std::nullopt;
  }
  const Axes& axes = reduction.axes;
  const bool along_it = axes.which == Axes::Which::kAll ||
                        (axes.which == Axes::Which::kListed && axes.listed.size() == 1);
  const bool product = reduction.kind == Reduction::Kind::kProduct;
  if (!along_it || !(product || reduction.kind == Reduction::Kind::kSum)) return std::nullopt;
  double total = product ? 1 : 0;
  for (const Element& element : known_[0]->elements) {
    if (!element) return std::nullopt;
    total = product ? total * *element : total + *element;
  }
  return PartialElements{{}, {total}, ElementKind::kInteger};
}

Known Evaluation::operator()(const Select&) const {
  if (!AllGiven()) return std::nullopt;
  const std::size_t count = known_[1]->elements.size();
  PartialElements result;
  for (std::size_t i = 0; i < count; ++i) {
    for (const Known& operand : known_) {
      if (operand->elements.size() != count) return std::nullopt;
    }
    const Element& holds = known_[0]->elements[i];
    result.elements.push_back(holds ? known_[*holds != 0 ? 1 : 2]->elements[i] : Element());
  }
  return result;
}

Known Evaluation::operator()(const Fill& fill) const {
  if (!known_[0] || !known_[0]->AllKnown() || known_[0]->elements.size() > 1) return std::nullopt;
  const double count = known_[0]->elements.empty() ? 1 : *known_[0]->elements[0];
  if (!(count >= 0 && count <= kMostElements)) return std::nullopt;
  Element value = fill.value;
  if (known_.size() > 1) {
    if (!known_[1] || known_[1]->elements.size() != 1) return std::nullopt;
    value = known_[1]->elements[0];
  }
  PartialElements result;
  result.elements.assign(static_cast<std::size_t>(count), value);
  return result;
}

Known Evaluation::operator()(const Range&) const {
  if (!AllGiven()) return std::nullopt;
  double bounds[3] = {};
  for (std::size_t i = 0; i < 3; ++i) {
    if (known_[i]->elements.size() != 1 || !known_[i]->elements[0]) return std::nullopt;
    bounds[i] = *known_[i]->elements[0];
  }
  const double count = std::ceil((bounds[1] - bounds[0]) / bounds[2]);
  if (!(count >= 0 && count <= kMostElements)) return std::nullopt;
  PartialElements result;
  for (double i = 0; i < count; ++i) result.elements.emplace_back(bounds[0] + i * bounds[2]);
  return result;
}

// A network's shape rule on the operands as the builder has them.
std::optional<Sizes> ShapeBy(const NetworkBuilder& builder, const Computation& computation,
                             const std::vector<ValueId>& operands,
                             const std::vector<Known>& known) {
  std::vector<OperandShape> shapes;
  for (std::size_t i = 0; i < operands.size(); ++i) {
    OperandShape operand{operands[i] != kNoValue, {}, {}, {}};
    if (operand.given) {
      operand.shape = builder.ShapeOf(operands[i]);
      operand.kind = builder.value(operands[i]).kind;
    }
    if (known[i] && known[i]->AllKnown()) {
      operand.elements.emplace();
      for (const Element& element : known[i]->elements) operand.elements->push_back(*element);
    }
    shapes.push_back(std::move(operand));
  }
  const auto found = ResultShapes(computation, shapes, 1);
  if (!found || !found->front()) return std::nullopt;
  const Sizes& shape = *found->front();
  if (std::find(shape.begin(), shape.end(), kUnknownSize) != shape.end()) return std::nullopt;
  return shape;
}

}  // namespace

bool PartialElements::AllKnown() const {
  return std::all_of(elements.begin(), elements.end(),
                     [](const Element& element) { return element.has_value(); });
}

std::optional<PartialElements> KnownElements::Of(ValueId value) const {
  if (value == kNoValue) return std::nullopt;
  if (const auto known = partial_.find(value); known != partial_.end()) return known->second;
  const network::Value& of = builder_.value(value);
  const auto* constant = of.constant ? std::get_if<InlineConstant>(&*of.constant) : nullptr;
  if (constant == nullptr || constant->elements.size() > kMostElements) return std::nullopt;
  return PartialElements{
      constant->shape, {constant->elements.begin(), constant->elements.end()}, constant->kind};
}

std::optional<PartialElements> KnownElements::Evaluate(const Computation& computation,
                                                       const std::vector<ValueId>& operands) const {
  std::vector<Known> known;
  for (const ValueId operand : operands) known.push_back(Of(operand));
  Known result = std::visit(Evaluation(builder_, operands, known), computation);
  if (!result || result->elements.size() > kMostElements) return std::nullopt;
  const auto shape = ShapeBy(builder_, computation, operands, known);
  if (!shape || shape->size() > 1) return std::nullopt;
  const std::size_t count = shape->empty() ? 1 : static_cast<std::size_t>(shape->front());
  if (count != result->elements.size()) return std::nullopt;
  result->shape = *shape;
  std::vector<OperandShape> kinds;
  for (const ValueId operand : operands) {
    if (operand != kNoValue) kinds.push_back({true, {}, {}, builder_.value(operand).kind});
  }
  result->kind = ResultKind(computation, kinds, 0);
  return result;
}

ValueId KnownElements::Add(Computation computation, std::vector<ValueId> operands,
                           std::string name) {
  auto known = Evaluate(computation, operands);
  if (known && known->AllKnown()) {
    InlineConstant constant{known->shape, {}, known->kind};
    for (const Element& element : known->elements) constant.elements.push_back(*element);
    return builder_.AddInline(std::move(constant), std::move(name));
  }
  const Computation copy = computation;
  const ValueId result = builder_.Add(std::move(computation), operands, std::move(name));
  if (known) partial_.emplace(result, *std::move(known));
  RecordSizes(copy, operands, result);
  return result;
}

void KnownElements::RecordSizes(const Computation& computation,
                                const std::vector<ValueId>& operands, ValueId result) {
  // Which operand says the shape.
  const bool fills = std::holds_alternative<Fill>(computation);
  const bool reshapes = std::holds_alternative<Reshape>(computation);
  const bool transposes = std::holds_alternative<TransposedConvolution>(computation);
  const std::size_t at = fills ? 0 : transposes ? 3 : 1;
  if (!(fills || reshapes || transposes || std::holds_alternative<BroadcastTo>(computation)) ||
      at >= operands.size()) {
    return;
  }
  const auto said = Of(operands[at]);
  if (!said || said->shape.size() != 1 || said->AllKnown()) return;
  const auto of_result = builder_.RankOf(result);
  if (of_result && *of_result != static_cast<std::int64_t>(said->elements.size())) return;
  Sizes sizes;
  for (const Element& element : said->elements) {
    const bool known = element && *element >= 0 && *element < 4e18;
    sizes.push_back(known ? static_cast<std::int64_t>(*element) : kUnknownSize);
  }
  builder_.Record(result, sizes);
}

}  // namespace ckpt::tf_network
