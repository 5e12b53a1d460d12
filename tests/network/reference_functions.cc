// Functions of single elements.
#include <algorithm>
#include <cmath>

#include "tests/network/reference_operations.h"

namespace ckpt::network::reference {
namespace {

double Sigmoid(double x) { return 1 / (1 + std::exp(-x)); }
double Truth(bool value) { return value ? 1 : 0; }

}  // namespace

double Evaluated(const Unary& unary, double x) {
  const double a = unary.a, b = unary.b;
  switch (unary.function) {
    case UnaryFunction::kIdentity:
      return x;
    case UnaryFunction::kRelu:
      return x > 0 ? x : 0;
    case UnaryFunction::kClip:
      return std::max(a, std::min(x, b));
    case UnaryFunction::kLeakyRelu:
      return x < 0 ? a * x : x;
    case UnaryFunction::kElu:
      return x < 0 ? a * (std::exp(x) - 1) : x;
    case UnaryFunction::kSelu:
      return b * (x > 0 ? x : a * (std::exp(x) - 1));
    case UnaryFunction::kCelu:
      return std::max(0.0, x) + std::min(0.0, a * (std::exp(x / a) - 1));
    case UnaryFunction::kThresholded:
      return x > a ? x : 0;
    case UnaryFunction::kThresholdedLeaky:
      return x >= a ? x : b * (x - a);
    case UnaryFunction::kSigmoid:
      return Sigmoid(x);
    case UnaryFunction::kHardSigmoid:
      return std::max(0.0, std::min(1.0, a * x + b));
    case UnaryFunction::kTanh:
      return std::tanh(x);
    case UnaryFunction::kSilu:
      return x * Sigmoid(a * x);
    case UnaryFunction::kHardSwish:
      return x * std::max(0.0, std::min(1.0, a * x + b));
    case UnaryFunction::kSoftplus:
      return std::log(1 + std::exp(x));
    case UnaryFunction::kSoftsign:
      return x / (1 + std::abs(x));
    case UnaryFunction::kMish:
      return x * std::tanh(std::log(1 + std::exp(x)));
    case UnaryFunction::kGelu:
      return x * (1 + std::erf(x / std::sqrt(2.0))) / 2;
    case UnaryFunction::kGeluTanh:
      return x / 2 * (1 + std::tanh(std::sqrt(2 / std::acos(-1.0)) * (x + 0.044715 * x * x * x)));
    case UnaryFunction::kLinear:
      return a * x + b;
    case UnaryFunction::kShrink:
      return x < -a ? x + b : x > a ? x - b : 0;
    case UnaryFunction::kPower:
      return std::pow(x, a);
    case UnaryFunction::kExp:
      return std::exp(x);
    case UnaryFunction::kExpm1:
      return std::exp(x) - 1;
    case UnaryFunction::kLog:
      return std::log(x);
    case UnaryFunction::kLog1p:
      return std::log(1 + x);
    case UnaryFunction::kLogSigmoid:
      return std::log(Sigmoid(x));
    case UnaryFunction::kSqrt:
      return std::sqrt(x);
    case UnaryFunction::kRsqrt:
      return 1 / std::sqrt(x);
    case UnaryFunction::kSquare:
      return x * x;
    case UnaryFunction::kReciprocal:
      return 1 / x;
    case UnaryFunction::kNegate:
      return -x;
    case UnaryFunction::kAbs:
      return std::abs(x);
    case UnaryFunction::kSign:
      return x > 0 ? 1 : x < 0 ? -1 : 0;
    case UnaryFunction::kFloor:
      return std::floor(x);
    case UnaryFunction::kCeil:
      return std::ceil(x);
    case UnaryFunction::kRound:
      return std::nearbyint(x);
    case UnaryFunction::kErf:
      return std::erf(x);
    case UnaryFunction::kSin:
      return std::sin(x);
    case UnaryFunction::kCos:
      return std::cos(x);
    case UnaryFunction::kTan:
      return std::tan(x);
    case UnaryFunction::kAsin:
      return std::asin(x);
    case UnaryFunction::kAcos:
      return std::acos(x);
    case UnaryFunction::kAtan:
      return std::atan(x);
    case UnaryFunction::kSinh:
      return std::sinh(x);
    case UnaryFunction::kCosh:
      return std::cosh(x);
    case UnaryFunction::kAsinh:
      return std::asinh(x);
    case UnaryFunction::kAcosh:
      return std::acosh(x);
    case UnaryFunction::kAtanh:
      return std::atanh(x);
    case UnaryFunction::kNot:
      return Truth(x == 0);
    case UnaryFunction::kIsNan:
      return Truth(std::isnan(x));
    case UnaryFunction::kIsInf:
      return Truth(std::isinf(x));
  }
  return x;
}

double Evaluated(BinaryFunction function, double a, double b) {
  switch (function) {
    case BinaryFunction::kAdd:
    case BinaryFunction::kMean:  // of the sum, by the caller
      return a + b;
    case BinaryFunction::kSubtract:
      return a - b;
    case BinaryFunction::kMultiply:
      return a * b;
    case BinaryFunction::kDivide:
      return a / b;
    case BinaryFunction::kFloorDivide:
      return std::floor(a / b);
    case BinaryFunction::kModulo:
      return a - b * std::floor(a / b);
    case BinaryFunction::kRemainder:
      return std::fmod(a, b);
    case BinaryFunction::kPower:
      return std::pow(a, b);
    case BinaryFunction::kMaximum:
      return std::max(a, b);
    case BinaryFunction::kMinimum:
      return std::min(a, b);
    case BinaryFunction::kSquaredDifference:
      return (a - b) * (a - b);
    case BinaryFunction::kLeakyRelu:
      return a < 0 ? a * b : a;
    case BinaryFunction::kEqual:
      return Truth(a == b);
    case BinaryFunction::kNotEqual:
      return Truth(a != b);
    case BinaryFunction::kLess:
      return Truth(a < b);
    case BinaryFunction::kLessOrEqual:
      return Truth(a <= b);
    case BinaryFunction::kGreater:
      return Truth(a > b);
    case BinaryFunction::kGreaterOrEqual:
      return Truth(a >= b);
    case BinaryFunction::kAnd:
      return Truth(a != 0 && b != 0);
    case BinaryFunction::kOr:
      return Truth(a != 0 || b != 0);
    case BinaryFunction::kXor:
      return Truth((a != 0) != (b != 0));
    case BinaryFunction::kAtan2:
      return std::atan2(a, b);
  }
  return a;
}

}  // namespace ckpt::network::reference
