// What becomes of an affine map per channel at an operation.
//
// The map: an operand x is replaced by a_c x + b_c, c being the place along one axis of it, the
// channels. The rule says whether the result is then mapped like that, too, on which of its axes
// and under which conditions; whether a kernel can take the map in instead; or why neither holds.
// Every rule that is no Stops is exact in real arithmetic; a Stops may be more careful than it need
// be. What a batch norm may pass on its way into a layer is read off these rules alone.
//
// Sizes that are not known weaken a rule and never make it wrong, but for one: of operands that
// broadcast, this one is taken to have as many channels as the result, and whoever follows the map
// compares the counts at its end.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <variant>

#include "ckpt/network/operation.h"
#include "ckpt/network/shape_rules.h"

namespace ckpt::network {

// Why the shift b has to be 0.
enum class ShiftBound : std::uint8_t {
  kNone,         // it need not be
  kZerosPad,     // zeros stand beside the data, which the map does not reach
  kBorderTaps,   // at the borders fewer elements of the kernel take part
  kSums,         // an element of the result is a weighted sum whose weights do not sum to one
  kMultiplies,   // x is multiplied, and the shift would be, too
  kBendsAtZero,  // a function that is linear on either side of 0
  kTakesNorm,
};
// Why the scale a must not be negative.
enum class ScaleBound : std::uint8_t {
  kNone,  // it may be
  kTakesMaximum,
  kTakesMinimum,
  kBendsAtZero,
  kTakesNorm,
};

// Where the channels stand along the axis of the result, which has S places, x having C channels.
enum class ChannelPlaces : std::uint8_t {
  kSame,     // place j is channel j
  kFastest,  // place j is channel j mod C
  kSlowest,  // place j is channel j / (S / C)
  kPart,     // place j is channel first + j * step; the others are left out
  kAmong,    // place first + j is channel j; the others are of other operands
};

// What has to become of the other operands that are data, so that the result is mapped.
enum class OtherOperands : std::uint8_t {
  kUnchanged,    // nothing, or there are none
  kSameMap,      // all of them are mapped alike
  kSameScale,    // they are scaled alike and not shifted
  kOwnChannels,  // each is mapped as its own places of the result ask
};

// The result is mapped along `axis` by the same a and b, at the places that `places` says.
struct Passes {
  std::int64_t axis = -1;  // of the result, counted from the front or the back
  ChannelPlaces places = ChannelPlaces::kSame;
  std::int64_t first = 0, step = 1;  // kUnknownSize: `first` is not known
  OtherOperands others = OtherOperands::kUnchanged;
  ShiftBound shift = ShiftBound::kNone;
  ScaleBound scale = ScaleBound::kNone;
};

// A parameter takes the map in: with the elements of operand `by` that meet channel c multiplied by
// a_c, the operation yields of x what it did of the mapped x, but for an addend that depends on the
// place along ParameterAxis() of the result alone: a bias. Where `shift` names a bound, that holds
// for b = 0 alone, and the addend is 0. Of a recurrent layer the bias is that in front of the
// gates.
struct Absorbed {
  std::size_t by = 1;
  ShiftBound shift = ShiftBound::kNone;
};

enum class StopReason : std::uint8_t {
  kNotLinear,     // a function that is not linear, of single elements
  kMixes,         // elements of several channels, or of the axis, make one of the result
  kNormalizes,    // divides by a statistic of the data
  kOffsets,       // adds something of its own that is not mapped
  kAxisLost,      // no axis of the result has the channels
  kParameter,     // the operand is a weight
  kNotData,       // the operand, or what is read of it, says sizes, places or a choice
  kIntegers,      // integers or truth values
  kSizesUnknown,  // a rank, a size or an operand's elements are not known
  kUnknown,       // the operation is not understood
};
struct Stops {
  StopReason reason = StopReason::kUnknown;
};

using ChannelRule = std::variant<Passes, Absorbed, Stops>;

// The rule for a map on `operand` along `axis` of it; of an operation with several results, for
// this one. Axes and all numbers of the computation may be hostile.
ChannelRule RuleOf(const Computation& computation, std::size_t operand,
                   std::span<const OperandShape> operands, std::int64_t axis,
                   std::size_t result = 0);

// The same from behind: the axis of the operand a map on which becomes one along `result_axis` of
// the result, with its rule (a Passes); where there is none, a Stops.
struct OperandRule {
  std::int64_t axis = -1;
  ChannelRule rule = Stops{};
};
OperandRule RuleBehind(const Computation& computation, std::size_t operand,
                       std::span<const OperandShape> operands, std::int64_t result_axis);

// The axis of the result along which the parameters can take any affine map: the kernel, or the
// scale, and the bias. Absent where the operation has no such parameters.
std::optional<std::int64_t> ParameterAxis(const Computation& computation);

enum class AxisMatch : std::uint8_t { kSame, kDifferent, kUnknown };
// Are `a` and `b`, each counted from the front or from the back, one axis of a value of this rank?
AxisMatch CompareAxes(std::int64_t a, std::int64_t b, std::optional<std::int64_t> rank) noexcept;

}  // namespace ckpt::network
