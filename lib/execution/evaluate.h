// One operation: its shapes, what it takes, its results.
#pragma once

#include <span>
#include <vector>

#include "ckpt/execution/run.h"
#include "ckpt/network/shape_rules.h"

namespace ckpt::execution {

// True where the elements of an operand may decide the shape of a result.
bool DecidesShape(const network::Computation& computation, std::size_t operand);

// What is known of an operation before it runs.
struct Outline {
  std::vector<network::Sizes> shapes = {};  // of the results
  std::vector<network::ElementKind> kinds = {};
  std::uint64_t multiply_adds = 0;
  std::uint64_t scratch_bytes = 0;
};
// kUnsupported for what is not understood, and where a shape depends on elements that are not
// known.
Result<Outline> OutlineOf(const network::Computation& computation,
                          std::span<const network::OperandShape> operands, std::size_t results);

// True where result 0 may take the place of operand 0.
bool RunsInPlace(const network::Computation& computation, const network::Sizes& operand,
                 const network::Sizes& result);

// `dying` is operand 0 where it may be overwritten, else null. REQUIRES: the outline is that of the
// operands, and the budget allows it.
Result<std::vector<Array>> ComputeResults(const network::Computation& computation,
                                          std::span<const Array* const> operands,
                                          const Outline& outline, Precision precision,
                                          Array* dying);

void RoundToFloat(Array& array);

}  // namespace ckpt::execution
