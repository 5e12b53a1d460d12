#include "verification/walked_values.h"

#include <algorithm>
#include <utility>

#include "verification/axis_orders.h"
#include "verification/network_reading.h"
#include "verification/reference_side.h"

namespace ckpt {

using execution::Array;
using network::kNoValue;
using network::Operation;

WalkedValues::WalkedValues(const Runnable& b, const ReferenceValues& of_a,
                           const execution::Budget& budget,
                           const std::vector<network::ValueId>& wanted)
    : network_(*b.network),
      weights_(*b.weights),
      of_a_(of_a),
      budget_(budget),
      streamed_(execution::StreamedConstants(network_, weights_)),
      needed_(NeededFor(network_, wanted)),
      held_(network_.values.size()),
      readers_(network_.values.size()),
      readers_left_(network_.values.size(), 0),
      settled_(network_.values.size(), false) {
  for (const network::ValueId id : wanted) {
    ++readers_left_[id.index];
    streamed_[id.index] = false;
  }
  for (std::uint32_t i = 0; i < network_.operations.size(); ++i) {
    for (const network::ValueId operand : network_.operations[i].operands) {
      if (operand == kNoValue) continue;
      readers_[operand.index].push_back(i);
      if (needed_[i]) ++readers_left_[operand.index];
    }
  }
}

Status WalkedValues::Fetch(network::ValueId id) {
  WalkedValue& held = held_[id.index];
  if (held.value) return {};
  const network::Value& value = network_.value(id);
  if (held.twin) {
    CKPT_ASSIGN_OR_RETURN(const SharedArray twin, of_a_.Get(*held.twin));
    held.value = Ordered(twin, held.order);
    return {};
  }
  if (!value.constant) {
    return Fail(ErrorCode::kInternal, "a value of the network is read before it is made");
  }
  CKPT_ASSIGN_OR_RETURN(
      Array array, execution::ReadOperand(*value.constant, weights_, budget_, streamed_[id.index]));
  held.value = std::make_shared<const Array>(std::move(array));
  held.constant = true;
  held.roundoff = RoundoffOf(*value.constant, weights_);
  return {};
}

std::vector<const Array*> WalkedValues::OperandsOf(std::size_t index) const {
  std::vector<const Array*> operands;
  for (const network::ValueId operand : operation(index).operands) {
    operands.push_back(operand == kNoValue ? nullptr : held_[operand.index].value.get());
  }
  return operands;
}

bool WalkedValues::IsConstant(std::size_t index) const {
  const Operation& op = operation(index);
  return std::all_of(op.operands.begin(), op.operands.end(), [&](network::ValueId id) {
    return id == kNoValue || held_[id.index].constant;
  });
}

bool WalkedValues::AnyPending(std::size_t index) const {
  const Operation& op = operation(index);
  return std::any_of(op.operands.begin(), op.operands.end(), [&](network::ValueId id) {
    return id != kNoValue && held_[id.index].bound.has_value();
  });
}

int WalkedValues::ProductsBefore(std::size_t index) const {
  int products = 0;
  for (const network::ValueId operand : operation(index).operands) {
    if (operand != kNoValue) products = std::max(products, held_[operand.index].products);
  }
  return products;
}

double WalkedValues::LargestRoundoff(std::size_t index) const {
  double roundoff = 0;
  for (const network::ValueId operand : operation(index).operands) {
    if (operand != kNoValue) roundoff = std::max(roundoff, held_[operand.index].roundoff);
  }
  return roundoff;
}

void WalkedValues::LetGo(std::size_t index) {
  for (const network::ValueId operand : operation(index).operands) {
    if (operand == kNoValue) continue;
    WalkedValue& held = held_[operand.index];
    std::size_t& left = readers_left_[operand.index];
    if (left > 0) --left;
    if (left > 0) continue;
    if (held.twin || held.constant) held.value.reset();
    held.bound.reset();
  }
  // A value that was confirmed settles what it was made of.
  for (const network::ValueId operand : operation(index).operands) {
    if (operand != kNoValue) LetGoOfPending(operand);
  }
}

bool WalkedValues::IsSettled(network::ValueId id) const {
  const WalkedValue& held = held_[id.index];
  if (held.twin || held.constant || settled_[id.index]) return true;
  if (readers_left_[id.index] > 0) return false;
  const std::vector<std::uint32_t>& readers = readers_[id.index];
  return std::all_of(readers.begin(), readers.end(), [&](std::uint32_t reader) {
    if (!needed_[reader]) return true;
    const auto& results = network_.operations[reader].results;
    return std::all_of(results.begin(), results.end(), [&](network::ValueId result) {
      const WalkedValue& made = held_[result == kNoValue ? 0 : result.index];
      return result == kNoValue || made.twin || made.constant || settled_[result.index];
    });
  });
}

void WalkedValues::LetGoOfPending(network::ValueId id) {
  std::vector<network::ValueId> open = {id};
  while (!open.empty()) {
    const network::ValueId at = open.back();
    open.pop_back();
    WalkedValue& held = held_[at.index];
    if (held.twin || held.constant || settled_[at.index] || !IsSettled(at)) continue;
    settled_[at.index] = true;
    held.value.reset();
    held.bound.reset();
    const auto& producer = network_.value(at).producer;
    if (!producer) continue;
    for (const network::ValueId operand : network_.operation(*producer).operands) {
      if (operand != kNoValue) open.push_back(operand);
    }
  }
}

}  // namespace ckpt
