#include "verification/reference_side.h"

#include <algorithm>
#include <utility>

#include "ckpt/elements.h"
#include "verification/axis_orders.h"
#include "verification/comparison.h"

namespace ckpt {

using execution::Array;
using network::kNoValue;
using network::Operation;
using network::Sizes;

double RoundoffOf(const network::Constant& constant, const Checkpoint& weights) {
  const auto* stored = std::get_if<network::StoredConstant>(&constant);
  if (stored == nullptr) {
    const bool real =
        std::get<network::InlineConstant>(constant).kind == network::ElementKind::kReal;
    return real ? 0x1p-24 : 0;
  }
  return UnitRoundoff(weights.manifest().tensors[stored->tensor.index].dtype);
}

bool IsAffineStep(const Operation& operation) {
  return KindOf(operation.computation) == StepKind::kAffine && operation.operands.size() > 1;
}

ReferenceSide::ReferenceSide(const Runnable& a, const RecordedValues& values,
                             const execution::Budget& budget)
    : network_(*a.network),
      weights_(*a.weights),
      values_(values),
      budget_(budget),
      alias_(network_.values.size()) {
  for (std::uint32_t i = 0; i < alias_.size(); ++i) alias_[i] = network::ValueId{i};
  for (std::uint32_t i = 0; i < network_.operations.size(); ++i) {
    const Operation& op = network_.operations[i];
    const auto* unary = std::get_if<network::Unary>(&op.computation);
    const bool same = unary != nullptr && unary->function == network::UnaryFunction::kIdentity;
    if (same && op.results[0] != kNoValue) alias_[op.results[0].index] = Alias(op.operands[0]);
    for (const network::ValueId operand : op.operands) {
      if (operand != kNoValue) readers_[Alias(operand)].push_back(i);
    }
  }
}

bool ReferenceSide::ReadsAll(const Operation& operation,
                             const std::vector<network::ValueId>& wanted) const {
  return std::all_of(wanted.begin(), wanted.end(), [&](network::ValueId id) {
    return std::any_of(
        operation.operands.begin(), operation.operands.end(),
        [&](network::ValueId operand) { return operand != kNoValue && Alias(operand) == id; });
  });
}

std::optional<network::ValueId> ReferenceSide::SameOver(
    const std::vector<network::ValueId>& operands, const network::Computation& like,
    const std::string& name) const {
  if (operands.empty()) return std::nullopt;
  const auto readers = readers_.find(operands[0]);
  if (readers == readers_.end()) return std::nullopt;
  std::optional<network::ValueId> only;
  for (const std::uint32_t reader : readers->second) {
    const Operation& op = network_.operations[reader];
    if (op.computation.index() != like.index() || !ReadsAll(op, operands)) continue;
    if (op.results.empty() || op.results[0] == kNoValue || !values_.Has(op.results[0])) continue;
    if (only && network_.layers[op.layer].name != name) continue;
    only = op.results[0];
  }
  return only;
}

std::optional<std::uint32_t> ReferenceSide::AffineReader(network::ValueId id) const {
  const auto found = readers_.find(Alias(id));
  if (found == readers_.end() || found->second.size() != 1) return std::nullopt;
  const Operation& op = network_.operations[found->second[0]];
  if (!IsAffineStep(op)) return std::nullopt;
  // Its other operands are constants.
  for (const network::ValueId operand : op.operands) {
    if (operand != kNoValue && Alias(operand) != Alias(id) && !network_.value(operand).constant) {
      return std::nullopt;
    }
  }
  return found->second[0];
}

const network::Unary* ReferenceSide::LoneFunctionOf(network::ValueId id) const {
  const auto function_of = [this](network::ValueId value) -> const network::Unary* {
    const auto& producer = network_.value(Alias(value)).producer;
    return producer ? std::get_if<network::Unary>(&network_.operation(*producer).computation)
                    : nullptr;
  };
  const network::Unary* function = function_of(id);
  if (function == nullptr) return nullptr;
  const Operation& op = network_.operation(*network_.value(Alias(id)).producer);
  if (function_of(op.operands[0]) != nullptr) return nullptr;
  const auto readers = readers_.find(Alias(id));
  if (readers == readers_.end()) return function;
  for (const std::uint32_t reader : readers->second) {
    const auto* next = std::get_if<network::Unary>(&network_.operations[reader].computation);
    if (next != nullptr && next->function != network::UnaryFunction::kIdentity) return nullptr;
  }
  return function;
}

network::ValueId ReferenceSide::EndOfAffineSteps(network::ValueId id) const {
  constexpr int kMostSteps = 16;
  for (int steps = 0; steps < kMostSteps; ++steps) {
    const auto next = AffineReader(id);
    if (!next || network_.operations[*next].results[0] == kNoValue) break;
    id = network_.operations[*next].results[0];
  }
  return id;
}

std::vector<Sizes> ReferenceSide::OrdersTo(network::ValueId id, const Sizes& shape) const {
  const Array& array = values_[id];
  std::vector<Sizes> orders;
  for (const Sizes& order : LikelyOrders(array.shape.size())) {
    if (Squeezed(Ordered(array.shape, order)) == Squeezed(shape)) orders.push_back(order);
  }
  return orders;
}

std::optional<Array> ReferenceSide::WideBound(network::ValueId id, const Sizes& order,
                                              const Array* bound) {
  if (bound == nullptr || LargestOf(*bound) == 0) return std::nullopt;
  auto known = own_bounds_.find(id);
  if (known == own_bounds_.end()) known = own_bounds_.emplace(id, OwnBound(id, 1)).first;
  Array wide = *bound;
  if (!known->second) return wide;
  const Array mine = Ordered(*known->second, order);
  for (std::size_t i = 0; i < wide.elements.size(); ++i) {
    wide.elements[i] = std::max(wide.elements[i], mine.elements[i]);
  }
  return wide;
}

// Back over the affine operations that made it, and `products` with a kernel.
std::optional<Array> ReferenceSide::OwnBound(network::ValueId id, int products) const {
  const auto& producer = network_.value(id).producer;
  // Sizes and indices are exact.
  if (!producer || values_[id].kind != network::ElementKind::kReal) return std::nullopt;
  const Operation& op = network_.operation(*producer);
  const StepKind kind = KindOf(op.computation);
  const bool is_product = kind == StepKind::kProduct;
  if (kind == StepKind::kExact || (is_product && products == 0)) return std::nullopt;
  std::vector<Array> read(op.operands.size());
  std::vector<std::optional<Array>> bounds(op.operands.size());
  std::vector<BoundedOperand> operands(op.operands.size());
  for (std::size_t i = 0; i < op.operands.size(); ++i) {
    const network::ValueId operand = op.operands[i];
    if (operand == kNoValue) continue;
    if (const auto& constant = network_.value(operand).constant) {
      auto array = execution::ReadConstant(*constant, weights_, budget_);
      if (!array) return std::nullopt;
      read[i] = *std::move(array);
      operands[i] = {&read[i], nullptr, true, RoundoffOf(*constant, weights_)};
      continue;
    }
    if (!values_.Has(operand)) return std::nullopt;
    bounds[i] = OwnBound(operand, products - (is_product ? 1 : 0));
    operands[i] = {&values_[operand], bounds[i] ? &*bounds[i] : nullptr, false, 0};
  }
  auto bound = BoundOf(op.computation, operands, values_[id], budget_);
  if (!bound || !*bound || op.results[0] != id) return std::nullopt;
  return **std::move(bound);
}

std::optional<ReferenceSide::ConstantPart> ReferenceSide::ConstantPartOf(
    network::ValueId id) const {
  const auto& producer = network_.value(id).producer;
  if (!producer) return std::nullopt;
  const Operation& op = network_.operation(*producer);
  const bool is_product = KindOf(op.computation) == StepKind::kProduct;
  if ((!is_product && !IsAffineStep(op)) || op.results[0] != id) return std::nullopt;
  std::vector<Array> read(op.operands.size()), bounds(op.operands.size());
  std::vector<BoundedOperand> operands(op.operands.size());
  std::vector<const Array*> values(op.operands.size(), nullptr);
  for (std::size_t i = 0; i < op.operands.size(); ++i) {
    const network::ValueId operand = op.operands[i];
    if (operand == kNoValue) continue;
    values[i] = &read[i];
    if (const auto& constant = network_.value(operand).constant) {
      auto array = execution::ReadConstant(*constant, weights_, budget_);
      if (!array) return std::nullopt;
      read[i] = *std::move(array);
      operands[i] = {&read[i], nullptr, true, RoundoffOf(*constant, weights_)};
    } else if (is_product) {
      if (!values_.Has(operand)) return std::nullopt;
      read[i] = values_[operand];
      if (read[i].kind == network::ElementKind::kReal) {
        std::fill(read[i].elements.begin(), read[i].elements.end(), 0.0);
      }
      operands[i] = {&read[i], nullptr, false, 0};
    } else {
      auto part = ConstantPartOf(operand);
      if (!part) return std::nullopt;
      read[i] = std::move(part->value);
      bounds[i] = std::move(part->bound);
      operands[i] = {&read[i], &bounds[i], false, 0};
    }
  }
  auto made = execution::Evaluate(op.computation, values, 1, budget_);
  if (!made) return std::nullopt;
  auto bound = BoundOf(op.computation, operands, (*made)[0], budget_);
  if (!bound || !*bound) return std::nullopt;
  return ConstantPart{std::move((*made)[0]), **std::move(bound)};
}

}  // namespace ckpt
