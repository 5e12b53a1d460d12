// The shape of what an operation yields, by the shapes of what it reads.
#pragma once

#include <optional>
#include <span>
#include <string>
#include <vector>

#include "ckpt/network/network.h"
#include "ckpt/result.h"

namespace ckpt::network {

// An operand as a shape rule looks at it.
struct OperandShape {
  bool given = true;  // false: left out
  PartialShape shape = {};
  // The elements, where they are known and the rule may need them: integers that say a shape, axes,
  // sizes. Absent: not known.
  std::optional<std::vector<double>> elements = {};
  std::optional<ElementKind> kind = {};
};

// One for each result. A size that cannot be known from what is known is kUnknownSize, a rank none.
// Where all is known (all sizes, and the elements of operands that decide a shape), all of the
// result is. Fails with kCorrupt where the operands contradict the operation (sizes that do not fit
// one another, an axis that is not there, a negative size) and kLimitExceeded where a size or the
// number of elements of a result passes 2^62; Unknown yields unknown shapes. Every number may be
// hostile.
Result<std::vector<PartialShape>> ResultShapes(const Computation& computation,
                                               std::span<const OperandShape> operands,
                                               std::size_t results);

// What kind of elements the results have, by those of the operands (kReal where one is not known).
ElementKind ResultKind(const Computation& computation, std::span<const OperandShape> operands,
                       std::size_t result);

// Along one axis: how many windows there are, and how many elements pad it before.
struct Windows {
  std::int64_t count = 0, before = 0;
};
// REQUIRES: size >= 0, window >= 1, stride >= 1, dilation >= 1. kCorrupt where the window is larger
// than the padded data.
Result<Windows> WindowsAlong(std::int64_t size, std::int64_t window, std::int64_t stride,
                             std::int64_t dilation, const Padding& padding, std::size_t axis,
                             bool ceil);
// Of a transposed convolution: the length of y and the elements cut off before it.
Result<Windows> TransposedAlong(const TransposedConvolution& convolution, std::int64_t size,
                                std::int64_t window, std::size_t axis,
                                std::optional<std::int64_t> given);

// The axes of a Reduction in a value of this rank, sorted, none twice; kCorrupt where one is not
// there.
Result<Sizes> AxesIn(const Axes& axes, std::int64_t rank);
// An axis counted from the front; kCorrupt where it is not there.
Result<std::int64_t> AxisIn(std::int64_t axis, std::int64_t rank);
// The shape that both broadcast to.
Result<Sizes> Broadcast(std::span<const Sizes> shapes);

}  // namespace ckpt::network
