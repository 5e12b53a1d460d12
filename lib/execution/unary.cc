// Functions of one element.
#include <algorithm>
#include <cmath>
#include <numbers>

#include "execution/kernels.h"

namespace ckpt::execution {
namespace {

using network::UnaryFunction;

// Each with a result for NaN that is NaN.
double Clip(double x, double low, double high) { return x < low ? low : x > high ? high : x; }
double Sigmoid(double x) {
  if (x >= 0) return 1 / (1 + std::exp(-x));
  const double e = std::exp(x);
  return e / (1 + e);
}
double Softplus(double x) { return std::max(x, 0.0) + std::log1p(std::exp(-std::abs(x))); }
double Sign(double x) { return x > 0 ? 1 : x < 0 ? -1 : x == 0 ? 0 : x; }
double Gelu(double x) { return x * (1 + std::erf(x / std::numbers::sqrt2)) / 2; }
double GeluTanh(double x) {
  const double factor = std::sqrt(2 / std::numbers::pi);
  return x / 2 * (1 + std::tanh(factor * (x + 0.044715 * x * x * x)));
}
double Celu(double x, double a) { return x >= 0 ? x : a * std::expm1(x / a); }
double Shrink(double x, double a, double b) { return x < -a ? x + b : x > a ? x - b : 0 * x; }

template <class Function>
void Map(const Call& call, Function function) {
  const double* source = call[0].elements.data();
  std::vector<double>& elements = call.result().elements;
  for (std::size_t i = 0; i < elements.size(); ++i) elements[i] = function(source[i]);
}

// The activations; false for another function.
bool MapActivation(const network::Unary& unary, const Call& call) {
  const double a = unary.a, b = unary.b;
  switch (unary.function) {
    case UnaryFunction::kRelu:
      Map(call, [](double x) { return x < 0 ? 0 : x; });
      return true;
    case UnaryFunction::kClip:
      Map(call, [=](double x) { return Clip(x, a, b); });
      return true;
    case UnaryFunction::kLeakyRelu:
      Map(call, [=](double x) { return x < 0 ? a * x : x; });
      return true;
    case UnaryFunction::kElu:
      Map(call, [=](double x) { return x < 0 ? a * std::expm1(x) : x; });
      return true;
    case UnaryFunction::kSelu:
      Map(call, [=](double x) { return b * (x > 0 ? x : a * std::expm1(x)); });
      return true;
    case UnaryFunction::kCelu:
      Map(call, [=](double x) { return Celu(x, a); });
      return true;
    case UnaryFunction::kThresholded:
      Map(call, [=](double x) { return x <= a ? 0 : x; });
      return true;
    case UnaryFunction::kThresholdedLeaky:
      Map(call, [=](double x) { return x < a ? b * (x - a) : x; });
      return true;
    case UnaryFunction::kSigmoid:
      Map(call, Sigmoid);
      return true;
    case UnaryFunction::kHardSigmoid:
      Map(call, [=](double x) { return Clip(a * x + b, 0, 1); });
      return true;
    case UnaryFunction::kSilu:
      Map(call, [=](double x) { return x * Sigmoid(a * x); });
      return true;
    case UnaryFunction::kHardSwish:
      Map(call, [=](double x) { return x * Clip(a * x + b, 0, 1); });
      return true;
    case UnaryFunction::kSoftplus:
      Map(call, Softplus);
      return true;
    case UnaryFunction::kSoftsign:
      Map(call, [](double x) { return x / (1 + std::abs(x)); });
      return true;
    case UnaryFunction::kMish:
      Map(call, [](double x) { return x * std::tanh(Softplus(x)); });
      return true;
    case UnaryFunction::kGelu:
      Map(call, Gelu);
      return true;
    case UnaryFunction::kGeluTanh:
      Map(call, GeluTanh);
      return true;
    case UnaryFunction::kShrink:
      Map(call, [=](double x) { return Shrink(x, a, b); });
      return true;
    case UnaryFunction::kLogSigmoid:
      Map(call, [](double x) { return -Softplus(-x); });
      return true;
    default:
      return false;
  }
}

// Powers, roundings and predicates; false for another function.
bool MapArithmetic(const network::Unary& unary, const Call& call) {
  const double a = unary.a, b = unary.b;
  switch (unary.function) {
    case UnaryFunction::kIdentity:
      Map(call, [](double x) { return x; });
      return true;
    case UnaryFunction::kLinear:
      Map(call, [=](double x) { return a * x + b; });
      return true;
    case UnaryFunction::kPower:
      Map(call, [=](double x) { return std::pow(x, a); });
      return true;
    case UnaryFunction::kRsqrt:
      Map(call, [](double x) { return 1 / std::sqrt(x); });
      return true;
    case UnaryFunction::kSquare:
      Map(call, [](double x) { return x * x; });
      return true;
    case UnaryFunction::kReciprocal:
      Map(call, [](double x) { return 1 / x; });
      return true;
    case UnaryFunction::kNegate:
      Map(call, [](double x) { return -x; });
      return true;
    case UnaryFunction::kSign:
      Map(call, Sign);
      return true;
    case UnaryFunction::kNot:
      Map(call, [](double x) { return x == 0 ? 1 : 0; });
      return true;
    case UnaryFunction::kIsNan:
      Map(call, [](double x) { return std::isnan(x) ? 1 : 0; });
      return true;
    case UnaryFunction::kIsInf:
      Map(call, [](double x) { return std::isinf(x) ? 1 : 0; });
      return true;
    default:
      return false;
  }
}

// Those of the C library; null for another function.
using Elementary = double (*)(double);
Elementary ElementaryOf(UnaryFunction function) {
  switch (function) {
    case UnaryFunction::kTanh:
      return std::tanh;
    case UnaryFunction::kExp:
      return std::exp;
    case UnaryFunction::kExpm1:
      return std::expm1;
    case UnaryFunction::kLog:
      return std::log;
    case UnaryFunction::kLog1p:
      return std::log1p;
    case UnaryFunction::kSqrt:
      return std::sqrt;
    case UnaryFunction::kAbs:
      return std::fabs;
    case UnaryFunction::kFloor:
      return std::floor;
    case UnaryFunction::kCeil:
      return std::ceil;
    case UnaryFunction::kRound:
      return std::nearbyint;
    case UnaryFunction::kErf:
      return std::erf;
    case UnaryFunction::kSin:
      return std::sin;
    case UnaryFunction::kCos:
      return std::cos;
    case UnaryFunction::kTan:
      return std::tan;
    case UnaryFunction::kAsin:
      return std::asin;
    case UnaryFunction::kAcos:
      return std::acos;
    case UnaryFunction::kAtan:
      return std::atan;
    case UnaryFunction::kSinh:
      return std::sinh;
    case UnaryFunction::kCosh:
      return std::cosh;
    case UnaryFunction::kAsinh:
      return std::asinh;
    case UnaryFunction::kAcosh:
      return std::acosh;
    case UnaryFunction::kAtanh:
      return std::atanh;
    default:
      return nullptr;
  }
}

}  // namespace

Status Compute(const network::Unary& unary, const Call& call) {
  if (MapActivation(unary, call) || MapArithmetic(unary, call)) return {};
  const Elementary function = ElementaryOf(unary.function);
  if (function == nullptr) return Fail(ErrorCode::kInternal, "a function without a kernel");
  Map(call, function);
  return {};
}

Status Compute(const network::Cast& cast, const Call& call) {
  switch (cast.to) {
    case network::ElementKind::kReal:
      Map(call, [](double x) { return x; });
      break;
    case network::ElementKind::kInteger:
      Map(call, [](double x) { return std::trunc(x); });
      break;
    case network::ElementKind::kBoolean:
      Map(call, [](double x) { return x != 0 ? 1 : 0; });
      break;
  }
  return {};
}

}  // namespace ckpt::execution
