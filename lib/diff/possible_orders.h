// In which orders of axes a tensor of B may hold what a tensor of A holds.
#pragma once

#include <optional>
#include <vector>

#include "ckpt/axis_order.h"
#include "ckpt/batch_norm.h"

namespace ckpt {

// TensorFlow and Keras keep channels last, PyTorch first. Nothing where a framework is not known or
// both are of one kind.
enum class Direction : std::uint8_t { kUnknown, kToChannelsLast, kToChannelsFirst };
Direction DirectionOf(std::optional<Framework> from_b, std::optional<Framework> to_a) noexcept;

// Which way a kernel of both files went, by its shapes alone: kOther where only a transposed matrix
// says that one has its channels first and one last, kUnclear where the shapes fit several.
enum class ShapeEvidence : std::uint8_t { kUnclear, kSame, kOther, kToLast, kToFirst };
ShapeEvidence EvidenceOfShapes(const TensorInfo& a, const TensorInfo& b);

// Orders of frameworks that give `b` the shape of `a`: of convolutions, dense layers, also behind a
// flatten, and the order as it is. The likeliest first.
std::vector<AxisOrder> ConventionalOrders(const TensorInfo& a, const TensorInfo& b, Role role,
                                          Direction direction);

// All orders that give `b` the shape of `a`; the likeliest first: the conventional one, where
// `direction` says which, else the order as it is. Empty where there is none. Bounded: tensors of
// more than five axes longer than one are taken as they are only.
std::vector<AxisOrder> PossibleOrders(const TensorInfo& a, const TensorInfo& b, Role role,
                                      Direction direction);

}  // namespace ckpt
