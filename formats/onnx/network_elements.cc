#include "formats/onnx/network_elements.h"

#include <algorithm>
#include <cmath>
#include <utility>
#include <variant>

#include "ckpt/network/operation_table.h"
#include "ckpt/network/shape_rules.h"

namespace ckpt::formats::onnx {
namespace {

using network::ElementKind;
using network::ValueId;
using Elements = std::optional<std::vector<double>>;

constexpr std::size_t kMostElements = 1024;

// One operation over operands whose elements are all known.
class Evaluator {
 public:
  Evaluator(const network::NetworkBuilder& builder, const std::vector<ValueId>& operands,
            const std::vector<std::vector<double>>& elements)
      : builder_(builder), operands_(operands), elements_(elements) {}

  // Where elements stay in their order.
  Elements operator()(const network::Reshape&) const { return elements_[0]; }
  Elements operator()(const network::MergeAxes&) const { return elements_[0]; }
  Elements operator()(const network::InsertAxes&) const { return elements_[0]; }
  Elements operator()(const network::DropAxes&) const { return elements_[0]; }
  Elements operator()(const network::Cast& cast) const;
  Elements operator()(const network::Unary& unary) const;
  Elements operator()(const network::Binary& binary) const;
  Elements operator()(const network::Concatenate&) const;
  Elements operator()(const network::Gather& gather) const;
  Elements operator()(const network::Slice& slice) const;
  Elements operator()(const network::Reduction& reduction) const;
  Elements operator()(const network::Select&) const;
  Elements operator()(const network::Fill& fill) const;
  Elements operator()(const network::Range&) const;
  template <class T>
  Elements operator()(const T&) const {
    return {};
  }

 private:
  bool IsVector(std::size_t i) const { return builder_.RankOf(operands_[i]) == 1; }
  bool IsAtMostVector(std::size_t i) const { return builder_.RankOf(operands_[i]) <= 1; }
  bool AllIntegers() const {
    return std::all_of(operands_.begin(), operands_.end(), [this](ValueId id) {
      return builder_.value(id).kind.value_or(ElementKind::kReal) != ElementKind::kReal;
    });
  }

  const network::NetworkBuilder& builder_;
  const std::vector<ValueId>& operands_;
  const std::vector<std::vector<double>>& elements_;
};

Elements Evaluator::operator()(const network::Cast& cast) const {
  std::vector<double> result = elements_[0];
  for (double& element : result) {
    if (cast.to == ElementKind::kInteger) element = std::trunc(element);
    if (cast.to == ElementKind::kBoolean) element = element != 0 ? 1 : 0;
  }
  return result;
}

Elements Evaluator::operator()(const network::Unary& unary) const {
  std::vector<double> result = elements_[0];
  for (double& element : result) {
    switch (unary.function) {
      case network::UnaryFunction::kIdentity:
        break;
      case network::UnaryFunction::kNot:
        element = element == 0 ? 1 : 0;
        break;
      case network::UnaryFunction::kNegate:
        element = -element;
        break;
      case network::UnaryFunction::kFloor:
        element = std::floor(element);
        break;
      case network::UnaryFunction::kCeil:
        element = std::ceil(element);
        break;
      default:
        return {};
    }
  }
  return result;
}

std::optional<double> Combine(network::BinaryFunction function, double a, double b, bool integers) {
  using Function = network::BinaryFunction;
  switch (function) {
    case Function::kAdd:
      return a + b;
    case Function::kSubtract:
      return a - b;
    case Function::kMultiply:
      return a * b;
    case Function::kDivide:
      if (b == 0) return std::nullopt;
      return integers ? std::trunc(a / b) : a / b;
    case Function::kModulo:
      if (b == 0) return std::nullopt;
      return a - std::floor(a / b) * b;
    case Function::kMaximum:
      return std::max(a, b);
    case Function::kMinimum:
      return std::min(a, b);
    case Function::kEqual:
      return a == b ? 1 : 0;
    case Function::kNotEqual:
      return a != b ? 1 : 0;
    case Function::kLess:
      return a < b ? 1 : 0;
    case Function::kLessOrEqual:
      return a <= b ? 1 : 0;
    case Function::kGreater:
      return a > b ? 1 : 0;
    case Function::kGreaterOrEqual:
      return a >= b ? 1 : 0;
    case Function::kAnd:
      return a != 0 && b != 0 ? 1 : 0;
    case Function::kOr:
      return a != 0 || b != 0 ? 1 : 0;
    default:
      return std::nullopt;
  }
}

Elements Evaluator::operator()(const network::Binary& binary) const {
  if (elements_.size() != 2 || !IsAtMostVector(0) || !IsAtMostVector(1)) return {};
  const auto &a = elements_[0], &b = elements_[1];
  if (a.size() != b.size() && a.size() != 1 && b.size() != 1) return {};
  if (a.empty() || b.empty()) return {};
  std::vector<double> result(std::max(a.size(), b.size()));
  for (std::size_t i = 0; i < result.size(); ++i) {
    const auto element =
        Combine(binary.function, a[a.size() == 1 ? 0 : i], b[b.size() == 1 ? 0 : i], AllIntegers());
    if (!element) return {};
    result[i] = *element;
  }
  return result;
}

Elements Evaluator::operator()(const network::Concatenate&) const {
  std::vector<double> result;
  for (std::size_t i = 0; i < elements_.size(); ++i) {
    if (!IsVector(i)) return {};
    result.insert(result.end(), elements_[i].begin(), elements_[i].end());
  }
  return result;
}

Elements Evaluator::operator()(const network::Gather& gather) const {
  if (!IsVector(0) || gather.batch_axes != 0) return {};
  std::vector<double> result;
  for (double index : elements_[1]) {
    const auto size = static_cast<double>(elements_[0].size());
    if (index < 0) index += size;
    if (!(index >= 0 && index < size)) return {};
    result.push_back(elements_[0][static_cast<std::size_t>(index)]);
  }
  return result;
}

Elements Evaluator::operator()(const network::Slice& slice) const {
  // ONNX before 10 has attributes, later operands: begin, end, axes, step.
  const auto bound = [&](std::size_t i, const network::Sizes& attribute,
                         double otherwise) -> std::optional<double> {
    if (i < elements_.size() && operands_[i] != network::kNoValue) {
      return elements_[i].size() == 1 ? std::optional(elements_[i][0]) : std::nullopt;
    }
    if (attribute.empty()) return otherwise;
    return attribute.size() == 1 ? std::optional(static_cast<double>(attribute[0])) : std::nullopt;
  };
  const auto begin = bound(1, slice.begin, 0), end = bound(2, slice.end, 9.3e18),
             step = bound(4, slice.step, 1);
  if (!IsVector(0) || !begin || !end || step != 1.0) return {};
  const auto size = static_cast<double>(elements_[0].size());
  const auto place = [&](double at) { return std::clamp(at < 0 ? at + size : at, 0.0, size); };
  std::vector<double> result;
  for (double at = place(*begin); at < place(*end); ++at) {
    result.push_back(elements_[0][static_cast<std::size_t>(at)]);
  }
  return result;
}

Elements Evaluator::operator()(const network::Reduction& reduction) const {
  if (!IsVector(0) || elements_[0].empty() || reduction.none_is_identity) return {};
  double result = elements_[0][0];
  for (std::size_t i = 1; i < elements_[0].size(); ++i) {
    const double element = elements_[0][i];
    switch (reduction.kind) {
      case network::Reduction::Kind::kProduct:
        result *= element;
        break;
      case network::Reduction::Kind::kSum:
        result += element;
        break;
      case network::Reduction::Kind::kMaximum:
        result = std::max(result, element);
        break;
      case network::Reduction::Kind::kMinimum:
        result = std::min(result, element);
        break;
      default:
        return {};
    }
  }
  return std::vector<double>{result};
}

Elements Evaluator::operator()(const network::Select&) const {
  std::size_t count = 1;
  for (std::size_t i = 0; i < 3; ++i) {
    if (!IsAtMostVector(i) || elements_[i].empty()) return {};
    if (elements_[i].size() != 1 && count != 1 && elements_[i].size() != count) return {};
    count = std::max(count, elements_[i].size());
  }
  std::vector<double> result(count);
  const auto at = [&](std::size_t operand, std::size_t i) {
    return elements_[operand][elements_[operand].size() == 1 ? 0 : i];
  };
  for (std::size_t i = 0; i < count; ++i) result[i] = at(0, i) != 0 ? at(1, i) : at(2, i);
  return result;
}

Elements Evaluator::operator()(const network::Fill& fill) const {
  double count = 1;
  for (const double size : elements_[0]) count *= size;
  if (operands_.size() > 1 || !(count >= 0 && count <= kMostElements)) return {};
  return std::vector<double>(static_cast<std::size_t>(count), fill.value);
}

Elements Evaluator::operator()(const network::Range&) const {
  for (const auto& bound : elements_) {
    if (bound.size() != 1) return {};
  }
  const double start = elements_[0][0], delta = elements_[2][0];
  const double count = std::ceil((elements_[1][0] - start) / delta);
  if (!(count >= 0 && count <= kMostElements)) return {};
  std::vector<double> result;
  for (double i = 0; i < count; ++i) result.push_back(start + i * delta);
  return result;
}

// The sizes of a value whose shape is known.
Elements SizesOf(const network::ShapeOf& shape, const network::PartialShape& known) {
  if (!known) return {};
  const auto rank = static_cast<std::int64_t>(known->size());
  const auto place = [&](std::int64_t at) {
    return std::clamp<std::int64_t>(at < 0 ? at + rank : at, 0, rank);
  };
  std::vector<double> sizes;
  for (std::int64_t i = place(shape.begin); i < place(shape.end); ++i) {
    const std::int64_t size = (*known)[static_cast<std::size_t>(i)];
    // Integers up to 2^53 are exact.
    if (size == network::kUnknownSize || size > (std::int64_t{1} << 53)) return {};
    sizes.push_back(static_cast<double>(size));
  }
  return sizes;
}

}  // namespace

Elements KnownElements::Of(ValueId id) const {
  if (id == network::kNoValue) return {};
  if (const auto found = known_.find(id.index); found != known_.end()) return found->second;
  const network::Value& value = builder_.value(id);
  if (!value.constant) return {};
  if (const auto* constant = std::get_if<network::InlineConstant>(&*value.constant)) {
    if (constant->elements.size() > kMostElements) return {};
    return constant->elements;
  }
  const auto& stored = std::get<network::StoredConstant>(*value.constant);
  const TensorInfo& info = weights_.manifest().tensors[stored.tensor.index];
  if (!IsReal(info.dtype) || info.shape.element_count() > kMostElements || !stored.order.empty()) {
    return {};
  }
  auto elements = ReadDoubles(weights_, stored.tensor, kMostElements);
  return elements ? std::optional(*std::move(elements)) : std::nullopt;
}

std::optional<Dtype> KnownElements::DtypeOf(ValueId id) const {
  if (id == network::kNoValue || !builder_.value(id).constant) return {};
  const auto* stored = std::get_if<network::StoredConstant>(&*builder_.value(id).constant);
  if (stored == nullptr) return {};
  return weights_.manifest().tensors[stored->tensor.index].dtype;
}

void KnownElements::Learn(const network::Computation& computation,
                          const std::vector<ValueId>& operands,
                          const std::vector<ValueId>& results) {
  if (operands.size() < network::RowOf(computation).least_operands) return;
  if (const auto* shape = std::get_if<network::ShapeOf>(&computation)) {
    if (auto sizes = SizesOf(*shape, builder_.ShapeOf(operands[0]))) {
      known_[results[0].index] = *std::move(sizes);
    }
    return;
  }
  std::vector<network::OperandShape> shapes;
  std::vector<std::vector<double>> elements;
  bool all = !operands.empty(), derived = false;
  for (const ValueId id : operands) {
    if (id == network::kNoValue) {
      shapes.push_back({false, {}, {}, {}});
      elements.emplace_back();
      continue;
    }
    const network::Value& value = builder_.value(id);
    // What is stored decides no shape, but how long a range of reals is, and need not be read.
    const bool stored =
        value.constant && std::holds_alternative<network::StoredConstant>(*value.constant);
    const bool read = !stored || std::holds_alternative<network::Range>(computation);
    auto known = read ? Of(id) : std::nullopt;
    derived = derived || (stored && known);
    all = all && known;
    derived = derived || known_.contains(id.index);
    shapes.push_back({true, value.shape, known, value.kind});
    elements.push_back(known.value_or(std::vector<double>()));
  }
  if (derived) {
    const auto found = network::ResultShapes(computation, shapes, results.size());
    for (std::size_t i = 0; found && i < results.size(); ++i) {
      builder_.Record(results[i], (*found)[i]);
    }
  }
  if (!all || results.size() != 1) return;
  auto result = std::visit(Evaluator(builder_, operands, elements), computation);
  if (result && result->size() <= kMostElements) known_[results[0].index] = *std::move(result);
}

void KnownElements::Note(const std::string& note) {
  if (notes_.insert(note).second) builder_.AddNote(note);
}

}  // namespace ckpt::formats::onnx
