// How far the result of a step may be from the exact one when the step's constants are rounded.
#pragma once

#include <optional>
#include <span>
#include <vector>

#include "ckpt/execution/run.h"
#include "ckpt/network/network.h"

namespace ckpt {

// What an operation is to the propagation of a bound. A pending operand is one that already carries
// a bound of its own.
enum class StepKind : std::uint8_t {
  kMoves,      // only moves elements: the bound moves along
  kAffine,     // affine in each operand: constants add to the bound
  kProduct,    // affine, and sums products with a kernel: one at most in a span of steps
  kNarrowing,  // at most a fixed factor farther apart than its operands are: rectifiers, maxima
  kExact,      // no rule for pending operands; with exact operands and no constants, exact
};
StepKind KindOf(const network::Computation& computation);

// An operand of a step.
struct BoundedOperand {
  const execution::Array* value = nullptr;  // null: left out
  const execution::Array* bound = nullptr;  // of a pending one; null: exact
  bool constant = false;
  double roundoff = 0;  // u of a constant's type, 0 where it cannot be rounded
};

// Which of its results, of how many.
struct ResultPlace {
  std::size_t result = 0, of = 1;
};

// The bound of a result, by element: |y - exact| <= bound for constants that are exact ones
// rounded once. Absent: no rule (the operation, with these pending operands). A bound of zeros
// where nothing is rounded. `y` is the result. Of another than the first there is a rule only where
// the operation moves elements.
Result<std::optional<execution::Array>> BoundOf(const network::Computation& computation,
                                                std::span<const BoundedOperand> operands,
                                                const execution::Array& y, ResultPlace place,
                                                const execution::Budget& budget);

}  // namespace ckpt
