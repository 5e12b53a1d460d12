#include "network/function_bounds.h"

#include <limits>

namespace ckpt::network {
namespace {

constexpr double kInfinity = std::numeric_limits<double>::infinity();

constexpr Bounds kNoBounds = {true};
// Linear on either side of 0, and 0 there.
constexpr Bounds kBent = {true, ShiftBound::kBendsAtZero, ScaleBound::kBendsAtZero};
constexpr Bounds kMultiplied = {true, ShiftBound::kMultiplies};
constexpr Bounds kStopped = {};
constexpr Bounds kTruth = {false, ShiftBound::kNone, ScaleBound::kNone, StopReason::kIntegers};

Bounds BoundsOfClip(double low, double high) {
  const bool below = low == -kInfinity, above = high == kInfinity;
  if (below && above) return kNoBounds;
  return (below || low == 0) && (above || high == 0) ? kBent : kStopped;
}

}  // namespace

Bounds BoundsOf(const Unary& unary) {
  switch (unary.function) {
    case UnaryFunction::kIdentity:
      return kNoBounds;
    case UnaryFunction::kRelu:
    case UnaryFunction::kLeakyRelu:
    case UnaryFunction::kAbs:
      return kBent;
    case UnaryFunction::kClip:
      return BoundsOfClip(unary.a, unary.b);
    case UnaryFunction::kThresholded:
    case UnaryFunction::kThresholdedLeaky:
      return unary.a == 0 ? kBent : kStopped;
    case UnaryFunction::kShrink:
      return unary.a == 0 && unary.b == 0 ? kNoBounds : kStopped;
    case UnaryFunction::kPower:
      return unary.a == 1 ? kNoBounds : kStopped;
    case UnaryFunction::kNegate:
      return kMultiplied;
    case UnaryFunction::kLinear:
      if (unary.b == 0) return kMultiplied;
      return {false, ShiftBound::kNone, ScaleBound::kNone, StopReason::kOffsets};
    case UnaryFunction::kElu:
    case UnaryFunction::kSelu:
    case UnaryFunction::kCelu:
    case UnaryFunction::kSigmoid:
    case UnaryFunction::kHardSigmoid:
    case UnaryFunction::kTanh:
    case UnaryFunction::kSilu:
    case UnaryFunction::kHardSwish:
    case UnaryFunction::kSoftplus:
    case UnaryFunction::kSoftsign:
    case UnaryFunction::kMish:
    case UnaryFunction::kGelu:
    case UnaryFunction::kGeluTanh:
    case UnaryFunction::kExp:
    case UnaryFunction::kExpm1:
    case UnaryFunction::kLog:
    case UnaryFunction::kLog1p:
    case UnaryFunction::kLogSigmoid:
    case UnaryFunction::kSqrt:
    case UnaryFunction::kRsqrt:
    case UnaryFunction::kSquare:
    case UnaryFunction::kReciprocal:
    case UnaryFunction::kSign:
    case UnaryFunction::kFloor:
    case UnaryFunction::kCeil:
    case UnaryFunction::kRound:
    case UnaryFunction::kErf:
    case UnaryFunction::kSin:
    case UnaryFunction::kCos:
    case UnaryFunction::kTan:
    case UnaryFunction::kAsin:
    case UnaryFunction::kAcos:
    case UnaryFunction::kAtan:
    case UnaryFunction::kSinh:
    case UnaryFunction::kCosh:
    case UnaryFunction::kAsinh:
    case UnaryFunction::kAcosh:
    case UnaryFunction::kAtanh:
      return kStopped;
    case UnaryFunction::kNot:
    case UnaryFunction::kIsNan:
    case UnaryFunction::kIsInf:
      return kTruth;
  }
  return kStopped;
}

BinaryBounds BoundsOf(BinaryFunction function, bool first) {
  switch (function) {
    case BinaryFunction::kAdd:
      return {kNoBounds, OtherOperands::kSameScale};
    case BinaryFunction::kSubtract:
      return {first ? kNoBounds : kMultiplied, OtherOperands::kSameScale};
    case BinaryFunction::kMultiply:
      return {kMultiplied};
    case BinaryFunction::kDivide:
      return {first ? kMultiplied : kStopped};
    case BinaryFunction::kMaximum:
      return {{true, ShiftBound::kNone, ScaleBound::kTakesMaximum}, OtherOperands::kSameMap};
    case BinaryFunction::kMinimum:
      return {{true, ShiftBound::kNone, ScaleBound::kTakesMinimum}, OtherOperands::kSameMap};
    case BinaryFunction::kMean:
      return {kNoBounds, OtherOperands::kSameMap};
    case BinaryFunction::kLeakyRelu:
      return {first ? kBent : kStopped};
    case BinaryFunction::kFloorDivide:
    case BinaryFunction::kModulo:
    case BinaryFunction::kRemainder:
    case BinaryFunction::kPower:
    case BinaryFunction::kSquaredDifference:
    case BinaryFunction::kAtan2:
      return {kStopped};
    case BinaryFunction::kEqual:
    case BinaryFunction::kNotEqual:
    case BinaryFunction::kLess:
    case BinaryFunction::kLessOrEqual:
    case BinaryFunction::kGreater:
    case BinaryFunction::kGreaterOrEqual:
    case BinaryFunction::kAnd:
    case BinaryFunction::kOr:
    case BinaryFunction::kXor:
      return {kTruth};
  }
  return {kStopped};
}

Bounds BoundsOf(Reduction::Kind kind) {
  switch (kind) {
    case Reduction::Kind::kMean:
      return kNoBounds;
    case Reduction::Kind::kSum:
      return {true, ShiftBound::kSums};
    case Reduction::Kind::kMaximum:
      return {true, ShiftBound::kNone, ScaleBound::kTakesMaximum};
    case Reduction::Kind::kMinimum:
      return {true, ShiftBound::kNone, ScaleBound::kTakesMinimum};
    case Reduction::Kind::kNorm1:
    case Reduction::Kind::kNorm2:
      return {true, ShiftBound::kTakesNorm, ScaleBound::kTakesNorm};
    case Reduction::Kind::kProduct:
    case Reduction::Kind::kSumOfSquares:
    case Reduction::Kind::kLogSum:
    case Reduction::Kind::kLogSumExp:
    case Reduction::Kind::kVariance:
      return kStopped;
    case Reduction::Kind::kAll:
    case Reduction::Kind::kAny:
      return kTruth;
  }
  return kStopped;
}

}  // namespace ckpt::network
