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

namespace {

bool Contains(const std::vector<network::ValueId>& ids, network::ValueId id) {
  return std::find(ids.begin(), ids.end(), id) != ids.end();
}

}  // namespace

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

ReferenceSide::ReferenceSide(const Runnable& a, const ReferenceValues& values,
                             const execution::Budget& budget)
    : network_(*a.network),
      weights_(*a.weights),
      values_(values),
      budget_(budget),
      alias_(network_.values.size()),
      streamed_(execution::StreamedConstants(network_, weights_)) {
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
  const Sizes& mine = values_.ShapeOf(id);
  std::vector<Sizes> orders;
  for (const Sizes& order : LikelyOrders(mine.size())) {
    if (Squeezed(Ordered(mine, order)) == Squeezed(shape)) orders.push_back(order);
  }
  return orders;
}

Result<Array> ReferenceSide::Constant(network::ValueId id) const {
  return execution::ReadOperand(*network_.value(id).constant, weights_, budget_,
                                streamed_[id.index]);
}

Result<std::optional<Array>> ReferenceSide::WideBound(network::ValueId id, const Sizes& order,
                                                      const Array* bound) {
  constexpr int kMostSteps = 64;
  if (bound == nullptr || LargestOf(*bound) == 0) return std::optional<Array>{};
  if (bounded_ != id) {
    own_bound_.reset();
    CKPT_ASSIGN_OR_RETURN(own_bound_, OwnBound(id, {1, kMostSteps, nullptr}));
    bounded_ = id;
  }
  std::optional<Array> wide = *bound;
  if (!own_bound_) return wide;
  const Array mine = Ordered(*own_bound_, order);
  for (std::size_t i = 0; i < wide->elements.size(); ++i) {
    wide->elements[i] = std::max(wide->elements[i], mine.elements[i]);
  }
  return wide;
}

Result<std::optional<Array>> ReferenceSide::SpanBound(
    network::ValueId id, const std::vector<network::ValueId>& from) const {
  constexpr int kMostSteps = 16;
  return OwnBound(id, {0, kMostSteps, &from});
}

// Back over the operations that made it. Where what is exact is not said, a step without a rule and
// a product too many count as exact; where it is said, they have no bound.
Result<std::optional<Array>> ReferenceSide::OwnBound(network::ValueId id, Extent extent) const {
  const std::optional<Array> none;
  const auto& producer = network_.value(id).producer;
  // Sizes and indices are exact.
  if (!producer || !values_.Has(id) || !values_.IsReal(id) || extent.steps == 0) return none;
  const Operation& op = network_.operation(*producer);
  const StepKind kind = KindOf(op.computation);
  const bool is_product = kind == StepKind::kProduct;
  const bool is_open = extent.exact_from == nullptr;
  const auto at = std::find(op.results.begin(), op.results.end(), id);
  const ResultPlace place{static_cast<std::size_t>(at - op.results.begin()), op.results.size()};
  if ((kind == StepKind::kExact && is_open) || (is_product && extent.products == 0) ||
      at == op.results.end()) {
    return none;
  }
  --extent.steps;
  if (is_product) --extent.products;
  std::vector<SharedArray> read(op.operands.size());
  std::vector<std::optional<Array>> bounds(op.operands.size());
  std::vector<BoundedOperand> operands(op.operands.size());
  for (std::size_t i = 0; i < op.operands.size(); ++i) {
    const network::ValueId operand = op.operands[i];
    if (operand == kNoValue) continue;
    if (const auto& constant = network_.value(operand).constant) {
      CKPT_ASSIGN_OR_RETURN(Array array, Constant(operand));
      read[i] = std::make_shared<const Array>(std::move(array));
      operands[i] = {read[i].get(), nullptr, true, RoundoffOf(*constant, weights_)};
      continue;
    }
    if (!values_.Has(operand)) return none;
    CKPT_ASSIGN_OR_RETURN(read[i], values_.Get(operand));
    operands[i] = {read[i].get(), nullptr, false, 0};
    if (!is_open && Contains(*extent.exact_from, Alias(operand))) continue;
    CKPT_ASSIGN_OR_RETURN(bounds[i], OwnBound(operand, extent));
    if (!bounds[i] && !is_open && values_.IsReal(operand)) return none;
    if (bounds[i]) operands[i].bound = &*bounds[i];
  }
  CKPT_ASSIGN_OR_RETURN(const SharedArray y, values_.Get(id));
  return BoundOf(op.computation, operands, *y, place, budget_);
}

Result<std::optional<ReferenceSide::ConstantPart>> ReferenceSide::ConstantPartOf(
    network::ValueId id) const {
  const std::optional<ConstantPart> none;
  const auto& producer = network_.value(id).producer;
  if (!producer) return none;
  const Operation& op = network_.operation(*producer);
  const bool is_product = KindOf(op.computation) == StepKind::kProduct;
  if ((!is_product && !IsAffineStep(op)) || op.results[0] != id) return none;
  std::vector<Array> read(op.operands.size()), bounds(op.operands.size());
  std::vector<BoundedOperand> operands(op.operands.size());
  std::vector<const Array*> values(op.operands.size(), nullptr);
  for (std::size_t i = 0; i < op.operands.size(); ++i) {
    const network::ValueId operand = op.operands[i];
    if (operand == kNoValue) continue;
    values[i] = &read[i];
    if (const auto& constant = network_.value(operand).constant) {
      CKPT_ASSIGN_OR_RETURN(read[i], Constant(operand));
      operands[i] = {&read[i], nullptr, true, RoundoffOf(*constant, weights_)};
    } else if (is_product) {
      if (!values_.Has(operand)) return none;
      CKPT_ASSIGN_OR_RETURN(const SharedArray value, values_.Get(operand));
      read[i] = *value;
      if (read[i].kind == network::ElementKind::kReal) {
        std::fill(read[i].elements.begin(), read[i].elements.end(), 0.0);
      }
      operands[i] = {&read[i], nullptr, false, 0};
    } else {
      CKPT_ASSIGN_OR_RETURN(auto part, ConstantPartOf(operand));
      if (!part) return none;
      read[i] = std::move(part->value);
      bounds[i] = std::move(part->bound);
      operands[i] = {&read[i], &bounds[i], false, 0};
    }
  }
  CKPT_ASSIGN_OR_RETURN(std::vector<Array> made,
                        execution::Evaluate(op.computation, values, op.results.size(), budget_));
  CKPT_ASSIGN_OR_RETURN(std::optional<Array> bound, BoundOf(op.computation, operands, made[0],
                                                            {0, op.results.size()}, budget_));
  if (!bound) return none;
  return std::optional(ConstantPart{std::move(made[0]), *std::move(bound)});
}

}  // namespace ckpt
