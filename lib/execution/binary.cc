// Functions of two elements and selections, broadcast as in NumPy.
#include <algorithm>
#include <cmath>

#include "execution/kernels.h"
#include "execution/strided.h"

namespace ckpt::execution {
namespace {

using network::BinaryFunction;

// y = f(a, b) over the shape of y. `y` may be `a` where their shapes are the same.
template <class Function>
void Combine(const Array& a, const Array& b, Array& y, Function function) {
  const double *left = a.elements.data(), *right = b.elements.data();
  double* target = y.elements.data();
  const std::int64_t all = Length(y);
  if (all == 0) return;
  if (Length(a) == all && Length(b) == all) {
    for (std::int64_t i = 0; i < all; ++i) target[i] = function(left[i], right[i]);
    return;
  }
  if (y.shape.empty()) {
    *target = function(*left, *right);
    return;
  }
  Sizes rows = y.shape, left_strides = BroadcastStrides(a.shape, y.shape),
        right_strides = BroadcastStrides(b.shape, y.shape);
  // Trailing axes that lie behind one another in both are one row.
  std::int64_t count = rows.back(), left_step = left_strides.back(),
               right_step = right_strides.back();
  rows.pop_back();
  while (!rows.empty() && left_strides[rows.size() - 1] == left_step * count &&
         right_strides[rows.size() - 1] == right_step * count) {
    count *= rows.back();
    rows.pop_back();
  }
  left_strides.resize(rows.size());
  right_strides.resize(rows.size());
  Counter counter(rows);
  do {
    const double* l = left + OffsetOf(counter.index(), left_strides);
    const double* r = right + OffsetOf(counter.index(), right_strides);
    for (std::int64_t i = 0; i < count; ++i) {
      target[i] = function(l[i * left_step], r[i * right_step]);
    }
    target += count;
  } while (counter.Next());
}

double Maximum(double a, double b) { return a > b || std::isnan(a) ? a : b; }
double Minimum(double a, double b) { return a < b || std::isnan(a) ? a : b; }
double Modulo(double a, double b) {
  const double rest = std::fmod(a, b);
  return rest != 0 && (rest < 0) != (b < 0) ? rest + b : rest;
}

// False for another function.
bool CombinePredicate(BinaryFunction function, const Array& a, const Array& b, Array& y) {
  switch (function) {
    case BinaryFunction::kEqual:
      Combine(a, b, y, [](double l, double r) { return l == r ? 1 : 0; });
      return true;
    case BinaryFunction::kNotEqual:
      Combine(a, b, y, [](double l, double r) { return l != r ? 1 : 0; });
      return true;
    case BinaryFunction::kLess:
      Combine(a, b, y, [](double l, double r) { return l < r ? 1 : 0; });
      return true;
    case BinaryFunction::kLessOrEqual:
      Combine(a, b, y, [](double l, double r) { return l <= r ? 1 : 0; });
      return true;
    case BinaryFunction::kGreater:
      Combine(a, b, y, [](double l, double r) { return l > r ? 1 : 0; });
      return true;
    case BinaryFunction::kGreaterOrEqual:
      Combine(a, b, y, [](double l, double r) { return l >= r ? 1 : 0; });
      return true;
    case BinaryFunction::kAnd:
      Combine(a, b, y, [](double l, double r) { return l != 0 && r != 0 ? 1 : 0; });
      return true;
    case BinaryFunction::kOr:
      Combine(a, b, y, [](double l, double r) { return l != 0 || r != 0 ? 1 : 0; });
      return true;
    case BinaryFunction::kXor:
      Combine(a, b, y, [](double l, double r) { return (l != 0) != (r != 0) ? 1 : 0; });
      return true;
    default:
      return false;
  }
}

void CombineNumbers(BinaryFunction function, const Array& a, const Array& b, Array& y) {
  switch (function) {
    case BinaryFunction::kAdd:
    case BinaryFunction::kMean:  // divided behind the last
      return Combine(a, b, y, [](double l, double r) { return l + r; });
    case BinaryFunction::kSubtract:
      return Combine(a, b, y, [](double l, double r) { return l - r; });
    case BinaryFunction::kMultiply:
      return Combine(a, b, y, [](double l, double r) { return l * r; });
    case BinaryFunction::kDivide:
      if (y.kind != network::ElementKind::kReal) {
        return Combine(a, b, y, [](double l, double r) { return std::trunc(l / r); });
      }
      return Combine(a, b, y, [](double l, double r) { return l / r; });
    case BinaryFunction::kFloorDivide:
      return Combine(a, b, y, [](double l, double r) { return std::floor(l / r); });
    case BinaryFunction::kModulo:
      return Combine(a, b, y, Modulo);
    case BinaryFunction::kRemainder:
      return Combine(a, b, y, [](double l, double r) { return std::fmod(l, r); });
    case BinaryFunction::kPower:
      return Combine(a, b, y, [](double l, double r) { return std::pow(l, r); });
    case BinaryFunction::kMaximum:
      return Combine(a, b, y, Maximum);
    case BinaryFunction::kMinimum:
      return Combine(a, b, y, Minimum);
    case BinaryFunction::kSquaredDifference:
      return Combine(a, b, y, [](double l, double r) { return (l - r) * (l - r); });
    case BinaryFunction::kLeakyRelu:
      return Combine(a, b, y, [](double l, double r) { return l < 0 ? l * r : l; });
    case BinaryFunction::kAtan2:
      return Combine(a, b, y, [](double l, double r) { return std::atan2(l, r); });
    default:
      return;
  }
}

// What may have more operands than two.
bool TakesMany(BinaryFunction function) {
  return function == BinaryFunction::kAdd || function == BinaryFunction::kMultiply ||
         function == BinaryFunction::kMaximum || function == BinaryFunction::kMinimum ||
         function == BinaryFunction::kMean || function == BinaryFunction::kAnd ||
         function == BinaryFunction::kOr || function == BinaryFunction::kXor;
}

bool Divides(BinaryFunction function) {
  return function == BinaryFunction::kDivide || function == BinaryFunction::kFloorDivide ||
         function == BinaryFunction::kModulo || function == BinaryFunction::kRemainder;
}

}  // namespace

Status Compute(const network::Binary& binary, const Call& call) {
  const std::size_t count = call.operands.size();
  Array& y = call.result();
  if (count != 2 && !TakesMany(binary.function)) {
    return Contradicts(std::to_string(count) + " operands of a function of two");
  }
  const auto is_zero = [](double x) { return x == 0; };
  if (Divides(binary.function) && y.kind == network::ElementKind::kInteger &&
      std::any_of(call[1].elements.begin(), call[1].elements.end(), is_zero)) {
    return Contradicts("an integer is divided by 0");
  }
  if (count == 1) {
    y.elements = call[0].elements;
    return {};
  }
  for (std::size_t i = 1; i < count; ++i) {
    const Array& left = i == 1 ? call[0] : y;
    if (!CombinePredicate(binary.function, left, call[i], y)) {
      CombineNumbers(binary.function, left, call[i], y);
    }
    if (!call.single || i + 1 == count || y.kind != network::ElementKind::kReal) continue;
    for (double& element : y.elements) element = static_cast<float>(element);
  }
  if (binary.function == BinaryFunction::kMean) {
    for (double& element : y.elements) element /= static_cast<double>(count);
  }
  return {};
}

Status Compute(const network::Select&, const Call& call) {
  Array& y = call.result();
  const Array& condition = call[0];
  // First b everywhere, then a where the condition holds.
  CopyStrided(y.shape, call[2].elements.data(), BroadcastStrides(call[2].shape, y.shape),
              y.elements.data(), StridesOf(y.shape));
  const Sizes of_condition = BroadcastStrides(condition.shape, y.shape),
              of_a = BroadcastStrides(call[1].shape, y.shape);
  Counter counter(y.shape);
  for (double& element : y.elements) {
    if (condition.elements[Index(OffsetOf(counter.index(), of_condition))] != 0) {
      element = call[1].elements[Index(OffsetOf(counter.index(), of_a))];
    }
    counter.Next();
  }
  return {};
}

}  // namespace ckpt::execution
