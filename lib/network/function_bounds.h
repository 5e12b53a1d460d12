// What functions of elements ask of a map that they are to pass on.
#pragma once

#include "ckpt/network/channel_rules.h"

namespace ckpt::network {

// What a function of single elements asks of the map.
struct Bounds {
  bool passes = false;
  ShiftBound shift = ShiftBound::kNone;
  ScaleBound scale = ScaleBound::kNone;
  StopReason stop = StopReason::kNotLinear;
};

// A function of several operands: what it asks of the one that is mapped, and of the others.
struct BinaryBounds {
  Bounds own;
  OtherOperands others = OtherOperands::kUnchanged;
};

Bounds BoundsOf(const Unary& unary);
// `first`: the first operand is mapped.
BinaryBounds BoundsOf(BinaryFunction function, bool first);
Bounds BoundsOf(Reduction::Kind kind);

}  // namespace ckpt::network
