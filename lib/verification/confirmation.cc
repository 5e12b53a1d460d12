#include "verification/confirmation.h"

#include <algorithm>
#include <cmath>
#include <utility>

#include "verification/axis_orders.h"

namespace ckpt {

using execution::Array;
using network::kNoValue;
using network::Operation;
using network::Sizes;

namespace {

// Values of A that one value of B is held against for its content.
constexpr std::size_t kMostCandidates = 8;

}  // namespace

Result<std::optional<CounterpartMatch>> Confirmation::Find(std::size_t index, network::ValueId id,
                                                           const Array* bound) {
  std::vector<network::ValueId> candidates;
  const auto add = [&](std::optional<network::ValueId> candidate) {
    const bool is_new = candidate && std::find(candidates.begin(), candidates.end(), *candidate) ==
                                         candidates.end();
    if (is_new) candidates.push_back(*candidate);
    return is_new;
  };
  const Sizes shape = b_[id].value->shape;
  for (const auto& candidate : {counterparts_.Of(index, shape), counterparts_.TwinOf(index)}) {
    if (!add(candidate)) continue;
    CKPT_ASSIGN_OR_RETURN(auto match, Within(index, id, *candidate, bound, false));
    if (match) return match;
  }
  for (const network::ValueId like : a_.values().Like(*b_[id].value, bound, kMostCandidates)) {
    if (!add(like)) continue;
    CKPT_ASSIGN_OR_RETURN(auto match, Within(index, id, like, bound, false));
    if (match) return match;
  }
  const bool rounds = bound != nullptr && LargestOf(*bound) > 0;
  for (const network::ValueId candidate : candidates) {
    CKPT_ASSIGN_OR_RETURN(auto match, rounds ? Within(index, id, candidate, bound, true)
                                             : WithinRoundingOfA(index, id, candidate));
    if (match) return match;
  }
  return std::optional<CounterpartMatch>{};
}

// B has one operation where A has several with constants, which round what B's has exactly.
Result<std::optional<CounterpartMatch>> Confirmation::WithinRoundingOfA(
    std::size_t index, network::ValueId id, network::ValueId candidate) {
  const std::optional<CounterpartMatch> none;
  if (b_[id].value->kind != network::ElementKind::kReal) return none;
  std::vector<network::ValueId> from;
  for (const network::ValueId operand : b_.operation(index).operands) {
    if (operand == kNoValue || b_[operand].constant) continue;
    if (!b_[operand].twin) return none;
    from.push_back(a_.Alias(*b_[operand].twin));
  }
  CKPT_ASSIGN_OR_RETURN(const auto bound, a_.SpanBound(candidate, from));
  if (!bound) return none;
  CKPT_ASSIGN_OR_RETURN(const SharedArray twin, a_.values().Get(candidate));
  for (const Sizes& order : a_.OrdersTo(candidate, b_[id].value->shape)) {
    const Array mine = Ordered(*bound, order);
    const Comparison found = Compare(*Ordered(twin, order), *b_[id].value, &mine, 1);
    if (found.ratio <= 1) return std::optional(CounterpartMatch{candidate, order, found, 1});
  }
  return none;
}

Result<std::optional<CounterpartMatch>> Confirmation::Within(std::size_t index, network::ValueId id,
                                                             network::ValueId candidate,
                                                             const Array* bound, bool wide) {
  const Array& value = *b_[id].value;
  for (const Sizes& order : a_.OrdersTo(candidate, value.shape)) {
    CKPT_ASSIGN_OR_RETURN(const SharedArray twin, a_.values().Get(candidate));
    const SharedArray expected = Ordered(twin, order);
    if (!wide) {
      const Comparison found = Compare(*expected, value, bound, 1);
      if (found.ratio <= 1)
        return std::optional(CounterpartMatch{candidate, order, found, found.largest > 0});
      continue;
    }
    CKPT_ASSIGN_OR_RETURN(const auto wider, a_.WideBound(candidate, order, bound));
    if (!wider) continue;
    const Comparison found = Compare(*expected, value, &*wider, 5);
    if (!(found.ratio <= 1)) continue;
    CKPT_ASSIGN_OR_RETURN(const bool agree, ConstantPartsAgree(index, candidate, order));
    if (agree) return std::optional(CounterpartMatch{candidate, order, found, 5});
  }
  return std::optional<CounterpartMatch>{};
}

Result<bool> Confirmation::ConstantPartsAgree(std::size_t index, network::ValueId twin,
                                              const Sizes& order) {
  const Operation& op = b_.operation(index);
  if (KindOf(op.computation) != StepKind::kProduct) return true;
  CKPT_ASSIGN_OR_RETURN(const auto part, a_.ConstantPartOf(twin));
  if (!part) return true;
  for (const network::ValueId operand : op.operands) {
    if (operand == kNoValue) continue;
    const bool can_be_had =
        b_[operand].value || b_[operand].twin || b_.network().value(operand).constant.has_value();
    if (!can_be_had) return true;
    CKPT_RETURN_IF_ERROR(b_.Fetch(operand));
  }
  std::vector<Array> zeros(op.operands.size());
  std::vector<const Array*> operands = b_.OperandsOf(index);
  for (std::size_t i = 0; i < op.operands.size(); ++i) {
    if (operands[i] == nullptr || b_[op.operands[i]].constant ||
        operands[i]->kind != network::ElementKind::kReal) {
      continue;
    }
    zeros[i] = *operands[i];
    std::fill(zeros[i].elements.begin(), zeros[i].elements.end(), 0.0);
    operands[i] = &zeros[i];
  }
  CKPT_ASSIGN_OR_RETURN(const std::vector<Array> mine,
                        execution::Evaluate(op.computation, operands, 1, budget_));
  Array bound = Ordered(part->bound, order);
  const double u = b_.LargestRoundoff(index);
  for (std::size_t i = 0; i < bound.elements.size(); ++i) {
    bound.elements[i] += u * std::abs(mine[0].elements[i]);
  }
  return Compare(Ordered(part->value, order), mine[0], &bound, 5).ratio <= 1;
}

Result<bool> Confirmation::HidesAConstant(std::size_t index, const Array& bound) {
  const network::ValueId id = b_.operation(index).results[0];
  const Array& y = *b_[id].value;
  const auto twin = counterparts_.Of(index, y.shape);
  if (!twin) return false;
  for (const Sizes& order : a_.OrdersTo(*twin, y.shape)) {
    CKPT_ASSIGN_OR_RETURN(const auto wide, a_.WideBound(*twin, order, &bound));
    if (!wide) continue;
    CKPT_ASSIGN_OR_RETURN(const SharedArray theirs, a_.values().Get(*twin));
    if (!(Compare(*Ordered(theirs, order), y, &*wide, 5).ratio <= 1)) continue;
    CKPT_ASSIGN_OR_RETURN(const bool agree, ConstantPartsAgree(index, *twin, order));
    return !agree;
  }
  return false;
}

}  // namespace ckpt
