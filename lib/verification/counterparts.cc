#include "verification/counterparts.h"

#include <algorithm>

namespace ckpt {

using network::kNoValue;
using network::Operation;
using network::Sizes;

std::optional<network::ValueId> Counterparts::TwinOf(std::size_t index) const {
  const Operation& op = b_.operation(index);
  std::vector<network::ValueId> wanted;
  for (const network::ValueId operand : op.operands) {
    if (operand == kNoValue || b_[operand].constant) continue;
    if (!b_[operand].twin) return std::nullopt;
    wanted.push_back(a_.Alias(*b_[operand].twin));
  }
  return a_.SameOver(wanted, op.computation, b_.LayerOf(index));
}

std::optional<network::ValueId> Counterparts::Of(std::size_t index, const Sizes& shape) const {
  const auto twin = TwinOf(index);
  if (twin && IsSpanOfOne(*twin, index)) return twin;
  return EndOfSpan(index, shape);
}

// A's product may go on with a batch norm where B's has taken it in: then the ends correspond.
bool Counterparts::IsSpanOfOne(network::ValueId twin, std::size_t index) const {
  if (KindOf(b_.operation(index).computation) != StepKind::kProduct) return true;
  return a_.GoesOn(twin) == AffineReaderInB(index);
}

bool Counterparts::AffineReaderInB(std::size_t index) const {
  const network::ValueId id = b_.operation(index).results[0];
  const std::vector<std::uint32_t>& readers = b_.ReadersOf(id);
  if (readers.empty()) return false;
  const Operation& op = b_.operation(readers.front());
  return IsAffineStep(op) &&
         std::all_of(op.operands.begin(), op.operands.end(), [&](network::ValueId operand) {
           return operand == kNoValue || operand == id || b_.network().value(operand).constant;
         });
}

// The end of the span of affine steps that begins with the product over the same values.
std::optional<network::ValueId> Counterparts::EndOfSpan(std::size_t index,
                                                        const Sizes& shape) const {
  if (AffineReaderInB(index)) return std::nullopt;  // B's span goes on
  const auto start = SpanStart(index);
  if (!start) return std::nullopt;
  const auto twin = TwinOf(*start);
  if (!twin) return std::nullopt;
  const network::ValueId end = a_.EndOfAffineSteps(*twin);
  if (!a_.values().Has(end) || a_.OrdersTo(end, shape).empty()) return std::nullopt;
  return end;
}

// The product that the span of affine steps up to this one begins with.
std::optional<std::size_t> Counterparts::SpanStart(std::size_t index) const {
  constexpr int kMostSteps = 16;
  std::size_t at = index;
  for (int steps = 0; steps < kMostSteps; ++steps) {
    const Operation& op = b_.operation(at);
    if (KindOf(op.computation) == StepKind::kProduct) return at;
    if (!IsAffineStep(op)) return std::nullopt;
    std::optional<std::size_t> before;
    for (const network::ValueId operand : op.operands) {
      if (operand == kNoValue || b_[operand].constant) continue;
      const auto& producer = b_.network().value(operand).producer;
      if (!producer || before) return std::nullopt;
      before = producer->index;
    }
    if (!before) return std::nullopt;
    at = *before;
  }
  return std::nullopt;
}

}  // namespace ckpt
