#include <algorithm>
#include <cmath>

#include "execution/kernels.h"

namespace ckpt::execution {
namespace {

using network::UnaryFunction;

double Sigmoid(double x) { return 1 / (1 + std::exp(-x)); }
double Softplus(double x) { return std::max(x, 0.0) + std::log1p(std::exp(-std::abs(x))); }
double HardSigmoid(double x, double a, double b) { return std::clamp(a * x + b, 0.0, 1.0); }
double Elu(double x, double a) { return x > 0 ? x : a * std::expm1(x); }
double GeluTanh(double x) {
  const double inner = std::sqrt(2 / M_PI) * (x + 0.044715 * x * x * x);
  return 0.5 * x * (1 + std::tanh(inner));
}
// NaN stays what it is.
double Clip(double x, double low, double high) { return x < low ? low : x > high ? high : x; }

double Rectified(UnaryFunction function, double x, double a, double b) {
  switch (function) {
    case UnaryFunction::kRelu:
      return x < 0 ? 0 : x;
    case UnaryFunction::kClip:
      return Clip(x, a, b);
    case UnaryFunction::kLeakyRelu:
      return x < 0 ? a * x : x;
    case UnaryFunction::kElu:
      return Elu(x, a);
    case UnaryFunction::kSelu:
      return b * Elu(x, a);
    case UnaryFunction::kCelu:
      return std::max(0.0, x) + std::min(0.0, a * std::expm1(x / a));
    case UnaryFunction::kThresholded:
      return x > a ? x : 0;
    case UnaryFunction::kThresholdedLeaky:
      return x >= a ? x : b * (x - a);
    case UnaryFunction::kShrink:
      return x < -a ? x + b : x > a ? x - b : 0;
    default:
      return x;
  }
}

double Smooth(UnaryFunction function, double x, double a, double b) {
  switch (function) {
    case UnaryFunction::kSigmoid:
      return Sigmoid(x);
    case UnaryFunction::kHardSigmoid:
      return HardSigmoid(x, a, b);
    case UnaryFunction::kTanh:
      return std::tanh(x);
    case UnaryFunction::kSilu:
      return x * Sigmoid(a * x);
    case UnaryFunction::kHardSwish:
      return x * HardSigmoid(x, a, b);
    case UnaryFunction::kSoftplus:
      return Softplus(x);
    case UnaryFunction::kSoftsign:
      return x / (1 + std::abs(x));
    case UnaryFunction::kMish:
      return x * std::tanh(Softplus(x));
    case UnaryFunction::kGelu:
      return 0.5 * x * (1 + std::erf(x / std::sqrt(2.0)));
    case UnaryFunction::kGeluTanh:
      return GeluTanh(x);
    case UnaryFunction::kLogSigmoid:
      return -Softplus(-x);
    case UnaryFunction::kErf:
      return std::erf(x);
    default:
      return x;
  }
}

double Arithmetic(UnaryFunction function, double x, double a, double b) {
  switch (function) {
    case UnaryFunction::kLinear:
      return a * x + b;
    case UnaryFunction::kPower:
      return std::pow(x, a);
    case UnaryFunction::kExp:
      return std::exp(x);
    case UnaryFunction::kExpm1:
      return std::expm1(x);
    case UnaryFunction::kLog:
      return std::log(x);
    case UnaryFunction::kLog1p:
      return std::log1p(x);
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
      return x > 0 ? 1 : x < 0 ? -1 : x;
    case UnaryFunction::kFloor:
      return std::floor(x);
    case UnaryFunction::kCeil:
      return std::ceil(x);
    case UnaryFunction::kRound:
      return std::nearbyint(x);
    case UnaryFunction::kNot:
      return x == 0;
    case UnaryFunction::kIsNan:
      return std::isnan(x);
    case UnaryFunction::kIsInf:
      return std::isinf(x);
    default:
      return x;
  }
}

double Trigonometric(UnaryFunction function, double x) {
  switch (function) {
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
    default:
      return x;
  }
}

template <class Function>
void ForEach(const Call& call, Function function) {
  const std::vector<double>& x = call[0].elements;
  std::vector<double>& y = call.result().elements;
  for (std::size_t i = 0; i < x.size(); ++i) y[i] = function(x[i]);
}

}  // namespace

Status Compute(const network::Unary& unary, const Call& call) {
  const auto [f, a, b] = unary;
  const UnaryFunction function = f;
  const double first = a, second = b;
  ForEach(call, [=](double x) {
    if (function <= UnaryFunction::kThresholdedLeaky || function == UnaryFunction::kShrink) {
      return Rectified(function, x, first, second);
    }
    if (function <= UnaryFunction::kGeluTanh || function == UnaryFunction::kLogSigmoid ||
        function == UnaryFunction::kErf) {
      return Smooth(function, x, first, second);
    }
    if (function >= UnaryFunction::kSin && function <= UnaryFunction::kAtanh) {
      return Trigonometric(function, x);
    }
    return Arithmetic(function, x, first, second);
  });
  return {};
}

Status Compute(const network::Cast& cast, const Call& call) {
  switch (cast.to) {
    case network::ElementKind::kReal:
      ForEach(call, [](double x) { return x; });
      break;
    case network::ElementKind::kInteger:
      ForEach(call, [](double x) { return std::trunc(x); });
      break;
    case network::ElementKind::kBoolean:
      ForEach(call, [](double x) { return x != 0 ? 1.0 : 0.0; });
      break;
  }
  return {};
}

}  // namespace ckpt::execution
