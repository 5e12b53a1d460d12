#include "formats/onnx/network_step.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <utility>

#include "formats/onnx/node_attributes.h"

namespace ckpt::formats::onnx {

using network::ValueId;

const onnx_proto::AttributeProto* Step::Find(std::string_view name) const {
  const auto* attribute = FindAttribute(node_, name);
  if (attribute == nullptr || attribute->ref_attr_name().empty()) return attribute;
  const auto given = arguments_.find(attribute->ref_attr_name());
  return given == arguments_.end() ? nullptr : given->second;
}

std::int64_t Step::Int(std::string_view name, std::int64_t otherwise) const {
  const auto* attribute = Find(name);
  return attribute == nullptr ? otherwise : attribute->i();
}

double Step::Float(std::string_view name, float otherwise) const {
  const auto* attribute = Find(name);
  return static_cast<double>(attribute == nullptr ? otherwise : attribute->f());
}

std::string Step::Text(std::string_view name, std::string_view otherwise) const {
  const auto* attribute = Find(name);
  return attribute == nullptr ? std::string(otherwise) : attribute->s();
}

network::Sizes Step::Ints(std::string_view name) const {
  const auto* attribute = Find(name);
  if (attribute == nullptr) return {};
  return {attribute->ints().begin(), attribute->ints().end()};
}

std::vector<double> Step::Floats(std::string_view name) const {
  const auto* attribute = Find(name);
  if (attribute == nullptr) return {};
  return {attribute->floats().begin(), attribute->floats().end()};
}

std::size_t Step::OutputCount() const {
  auto count = static_cast<std::size_t>(node_.output_size());
  while (count > 0 && node_.output(static_cast<int>(count) - 1).empty()) --count;
  return count;
}

bool Step::Yields(std::size_t output) const {
  return output < OutputCount() && !node_.output(static_cast<int>(output)).empty();
}

std::optional<std::vector<double>> Step::Elements(std::size_t i) const {
  return known_.Of(Input(i));
}

std::optional<network::Sizes> Step::Integers(std::size_t i) const {
  const auto elements = Elements(i);
  if (!elements) return std::nullopt;
  network::Sizes integers;
  for (const double element : *elements) {
    // Beyond 2^53 only the largest integers are met, which say "to the end".
    if (!(std::abs(element) <= 9.0e15) || std::floor(element) != element) return std::nullopt;
    integers.push_back(static_cast<std::int64_t>(element));
  }
  return integers;
}

ValueId Step::Scalar(double value, network::ElementKind kind) {
  return builder_.AddScalar(value, kind);
}

std::vector<ValueId> Step::Emit(network::Computation computation, std::vector<ValueId> operands,
                                std::size_t results, std::string name) {
  while (!operands.empty() && operands.back() == network::kNoValue) operands.pop_back();
  auto made = builder_.AddMany(computation, operands, results, std::move(name));
  known_.Learn(computation, operands, made);
  return made;
}

ValueId Step::Inner(network::Computation computation, std::vector<ValueId> operands) {
  return Emit(std::move(computation), std::move(operands), 1, {})[0];
}
std::vector<ValueId> Step::InnerMany(network::Computation computation,
                                     std::vector<ValueId> operands, std::size_t results) {
  return Emit(std::move(computation), std::move(operands), results, {});
}
ValueId Step::Inner(network::UnaryFunction function, ValueId x, double a, double b) {
  return Inner(network::Unary{function, a, b}, {x});
}
ValueId Step::Inner(network::BinaryFunction function, ValueId a, ValueId b) {
  return Inner(network::Binary{function}, {a, b});
}

Outcome Step::Yield(network::Computation computation, std::vector<ValueId> operands) {
  return Emit(std::move(computation), std::move(operands), 1, name_);
}
Outcome Step::YieldMany(network::Computation computation, std::vector<ValueId> operands,
                        std::size_t results) {
  return Emit(std::move(computation), std::move(operands), results, name_);
}

Outcome Step::OfRank(std::size_t rank, Outcome outcome) {
  if (outcome) {
    builder_.Record(outcome->front(), network::Sizes(rank, network::kUnknownSize));
  }
  return outcome;
}

const OperatorRule* FindOperatorRule(std::string_view op_type) {
  static const auto kRules = [] {
    std::map<std::string_view, const OperatorRule*> rules;
    for (const auto family :
         {WindowOperators(), NormalizationOperators(), ProductOperators(), UnaryOperators(),
          BinaryOperators(), ReductionOperators(), LayoutOperators(), SelectionOperators(),
          ResizeOperators(), RecurrentOperators(), QuantizationOperators()}) {
      for (const OperatorRule& rule : family) rules.emplace(rule.op_type, &rule);
    }
    return rules;
  }();
  const auto found = kRules.find(op_type);
  return found == kRules.end() ? nullptr : found->second;
}

network::Sizes ListOr(const network::Sizes& list, std::size_t count, std::int64_t neutral) {
  return list.empty() ? network::Sizes(count, neutral) : list;
}

}  // namespace ckpt::formats::onnx
