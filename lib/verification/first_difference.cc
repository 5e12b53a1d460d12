#include "verification/first_difference.h"

#include <cmath>
#include <utility>

#include "ckpt/network/operation_table.h"
#include "verification/axis_orders.h"
#include "verification/network_reading.h"

namespace ckpt {

using execution::Array;
using network::kNoValue;
using network::Operation;
using network::Sizes;

namespace {

// By the operation's own channel axis.
std::optional<std::int64_t> ChannelOf(const Operation& op, const std::vector<std::int64_t>& place) {
  std::int64_t axis = -1;
  if (const auto* conv = std::get_if<network::Convolution>(&op.computation)) {
    axis = conv->channel_axis;
  } else if (const auto* transposed =
                 std::get_if<network::TransposedConvolution>(&op.computation)) {
    axis = transposed->channel_axis;
  } else if (const auto* norm = std::get_if<network::BatchNormalization>(&op.computation)) {
    axis = norm->axis;
  } else if (const auto* pool = std::get_if<network::Pool>(&op.computation)) {
    axis = pool->channel_axis;
  }
  const auto rank = static_cast<std::int64_t>(place.size());
  if (axis < 0) axis += rank;
  if (axis < 0 || axis >= rank) return std::nullopt;
  return place[static_cast<std::size_t>(axis)];
}

}  // namespace

Result<StepDifference> DescribedStep(const ReferenceSide& a, const WalkedValues& b,
                                     std::size_t index, network::ValueId id, network::ValueId twin,
                                     const Sizes& order, const Comparison& found) {
  const Operation& op = b.operation(index);
  StepDifference step;
  step.layer_a = LayerOf(a.network(), twin);
  step.layer_b = b.LayerOf(index);
  step.ratio = found.ratio;
  step.operation = std::string(Name(op.computation));
  CKPT_ASSIGN_OR_RETURN(const SharedArray theirs, a.values().Get(twin));
  if (theirs->elements.empty()) return step;
  const SharedArray expected = Ordered(theirs, order);
  const auto place = PlaceOf(expected->shape, found.element);
  step.place = place;
  if (!order.empty() && place.size() == order.size()) {
    for (std::size_t i = 0; i < order.size(); ++i) {
      step.place[static_cast<std::size_t>(order[i])] = place[i];
    }
  }
  if (place.size() > 1) step.channel = ChannelOf(op, place);
  step.value_a = expected->elements[found.element];
  step.value_b = b[id].value->elements[found.element];
  step.bound = found.bound;
  return step;
}

Result<std::optional<StepDifference>> FirstDifference::Before(std::size_t index) {
  const std::vector<bool> pending = PendingBefore(index);
  for (const auto& [step, result] : noted_) {
    if (!pending[step]) continue;
    CKPT_ASSIGN_OR_RETURN(auto difference, At(step, result));
    if (difference) return difference;
  }
  return std::optional<StepDifference>{};
}

// By operation: this one, and those that it is reached from over values that were not confirmed.
std::vector<bool> FirstDifference::PendingBefore(std::size_t index) const {
  std::vector<bool> pending(b_.network().operations.size(), false);
  std::vector<std::size_t> open = {index};
  while (!open.empty()) {
    const std::size_t at = open.back();
    open.pop_back();
    if (pending[at]) continue;
    pending[at] = true;
    for (const network::ValueId operand : b_.operation(at).operands) {
      if (operand == kNoValue || b_[operand].twin || b_[operand].constant) continue;
      if (const auto& producer = b_.network().value(operand).producer) {
        open.push_back(producer->index);
      }
    }
  }
  return pending;
}

Result<std::optional<StepDifference>> FirstDifference::At(std::size_t index, std::size_t result) {
  const std::optional<StepDifference> none;
  const network::ValueId id = b_.operation(index).results[result];
  const WalkedValue& held = b_[id];
  if (!held.value || held.twin) return none;
  const auto twin = counterparts_.Of(index, held.value->shape);
  if (!twin) return none;
  const Array* bound = held.bound ? &*held.bound : nullptr;
  std::optional<std::pair<Sizes, Comparison>> closest;
  for (const Sizes& order : a_.OrdersTo(*twin, held.value->shape)) {
    CKPT_ASSIGN_OR_RETURN(const auto wide, a_.WideBound(*twin, order, bound));
    CKPT_ASSIGN_OR_RETURN(const SharedArray theirs, a_.values().Get(*twin));
    const Comparison found =
        Compare(*Ordered(theirs, order), *held.value, wide ? &*wide : bound, wide ? 5 : 1);
    if (!closest || found.ratio < closest->second.ratio) closest.emplace(order, found);
  }
  if (!closest) {
    closest.emplace(Sizes{}, Comparison{HUGE_VAL, 0, 0, HUGE_VAL});
  } else if (closest->second.ratio <= 1) {
    CKPT_ASSIGN_OR_RETURN(const bool agree,
                          confirmation_.ConstantPartsAgree(index, *twin, closest->first));
    if (agree) return none;
    CKPT_ASSIGN_OR_RETURN(const SharedArray theirs, a_.values().Get(*twin));
    closest->second = Compare(*Ordered(theirs, closest->first), *held.value, bound, 1);
  }
  CKPT_ASSIGN_OR_RETURN(StepDifference difference,
                        DescribedStep(a_, b_, index, id, *twin, closest->first, closest->second));
  return std::optional(std::move(difference));
}

}  // namespace ckpt
