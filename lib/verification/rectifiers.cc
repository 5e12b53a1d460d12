#include "verification/rectifiers.h"

#include <algorithm>
#include <cmath>
#include <utility>

#include "ckpt/network/operation_table.h"
#include "verification/network_reading.h"

namespace ckpt {

using execution::Array;
using network::Unary;
using network::UnaryFunction;

namespace {

// Functions that are constant or linear where values may never lie.
bool IsRectifier(const Unary& unary) {
  return unary.function == UnaryFunction::kRelu || unary.function == UnaryFunction::kClip ||
         unary.function == UnaryFunction::kThresholded ||
         unary.function == UnaryFunction::kThresholdedLeaky;
}

// Neither behind nor before another function of one value.
bool IsLone(const WalkedValues& b, std::size_t index) {
  const auto is_function = [](const network::Operation& op) {
    const auto* unary = std::get_if<Unary>(&op.computation);
    return unary != nullptr && unary->function != UnaryFunction::kIdentity;
  };
  const network::Operation& op = b.operation(index);
  const auto& before = b.network().value(op.operands[0]).producer;
  if (before && is_function(b.network().operation(*before))) return false;
  const std::vector<std::uint32_t>& readers = b.ReadersOf(op.results[0]);
  return std::none_of(readers.begin(), readers.end(),
                      [&](std::uint32_t reader) { return is_function(b.operation(reader)); });
}

// Where either function may bend, and beside that.
Array GridOf(const Unary& mine, const Unary& theirs) {
  Array grid{{0}, {}, {}};
  for (const double size : {0.0, 1e-3, 0.1, 0.5, 0.9, 1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0, 20.0, 50.0,
                            mine.a, mine.b, theirs.a, theirs.b}) {
    for (const double at : {size, -size, size + 0.1, size - 0.1}) {
      if (std::isfinite(at) && std::abs(at) < 100) grid.elements.push_back(at);
    }
  }
  grid.shape[0] = static_cast<std::int64_t>(grid.elements.size());
  return grid;
}

}  // namespace

std::optional<StepDifference> UnseenDifference(const ReferenceSide& a, const WalkedValues& b,
                                               std::size_t index, network::ValueId twin) {
  const auto* mine = std::get_if<Unary>(&b.operation(index).computation);
  const Unary* theirs = a.LoneFunctionOf(twin);
  if (mine == nullptr || theirs == nullptr || !IsRectifier(*mine) || !IsRectifier(*theirs) ||
      !IsLone(b, index)) {
    return std::nullopt;
  }
  const Array grid = GridOf(*mine, *theirs);
  const Array* operands[] = {&grid};
  const auto here = execution::Evaluate(*mine, operands, 1, {});
  const auto there = execution::Evaluate(*theirs, operands, 1, {});
  if (!here || !there) return std::nullopt;
  for (std::size_t i = 0; i < grid.elements.size(); ++i) {
    const double of_b = (*here)[0].elements[i], of_a = (*there)[0].elements[i];
    if (!(std::abs(of_b - of_a) > 1e-5 * std::max(1.0, std::abs(of_a)))) continue;
    StepDifference step;
    step.layer_a = LayerOf(a.network(), twin);
    step.layer_b = b.LayerOf(index);
    step.operation = std::string(Name(mine->function));
    step.value_a = of_a;
    step.value_b = of_b;
    step.ratio = HUGE_VAL;
    return step;
  }
  return std::nullopt;
}

bool PassesFactors(const Unary& unary) {
  return unary.function == UnaryFunction::kIdentity || unary.function == UnaryFunction::kRelu ||
         unary.function == UnaryFunction::kLeakyRelu || unary.function == UnaryFunction::kNegate ||
         unary.function == UnaryFunction::kAbs || unary.function == UnaryFunction::kLinear;
}

}  // namespace ckpt
