#include <algorithm>
#include <cmath>

#include "execution/kernels.h"
#include "execution/strided.h"

namespace ckpt::execution {
namespace {

using network::BinaryFunction;

double Modulo(double x, double y) {
  const double remainder = std::fmod(x, y);
  return remainder != 0 && (remainder < 0) != (y < 0) ? remainder + y : remainder;
}

double Apply(BinaryFunction function, double x, double y, bool integers) {
  switch (function) {
    case BinaryFunction::kAdd:
    case BinaryFunction::kMean:
      return x + y;
    case BinaryFunction::kSubtract:
      return x - y;
    case BinaryFunction::kMultiply:
      return x * y;
    case BinaryFunction::kDivide:
      return integers ? std::trunc(x / y) : x / y;
    case BinaryFunction::kFloorDivide:
      return std::floor(x / y);
    case BinaryFunction::kModulo:
      return Modulo(x, y);
    case BinaryFunction::kRemainder:
      return std::fmod(x, y);
    case BinaryFunction::kPower:
      return std::pow(x, y);
    case BinaryFunction::kMaximum:
      return std::isnan(x) ? x : x < y || std::isnan(y) ? y : x;
    case BinaryFunction::kMinimum:
      return std::isnan(x) ? x : x > y || std::isnan(y) ? y : x;
    case BinaryFunction::kSquaredDifference:
      return (x - y) * (x - y);
    case BinaryFunction::kLeakyRelu:
      return x < 0 ? x * y : x;
    case BinaryFunction::kEqual:
      return x == y;
    case BinaryFunction::kNotEqual:
      return x != y;
    case BinaryFunction::kLess:
      return x < y;
    case BinaryFunction::kLessOrEqual:
      return x <= y;
    case BinaryFunction::kGreater:
      return x > y;
    case BinaryFunction::kGreaterOrEqual:
      return x >= y;
    case BinaryFunction::kAnd:
      return x != 0 && y != 0;
    case BinaryFunction::kOr:
      return x != 0 || y != 0;
    case BinaryFunction::kXor:
      return (x != 0) != (y != 0);
    case BinaryFunction::kAtan2:
      return std::atan2(x, y);
  }
  return 0;
}

// Offsets of an operand for each element of the result, one row (the last axis) at a time.
class Reading {
 public:
  Reading(const Array& operand, const Sizes& target)
      : data_(operand.elements.data()), strides_(BroadcastStrides(operand.shape, target)) {}
  const double* Row(const Sizes& index) const { return data_ + OffsetOf(index, strides_); }
  std::int64_t step() const { return strides_.empty() ? 0 : strides_.back(); }

 private:
  const double* data_;
  Sizes strides_;
};

void Combine(BinaryFunction function, const Array& a, const Array& b, Array& y, bool integers) {
  const Reading first(a, y.shape), second(b, y.shape);
  const std::int64_t length = y.shape.empty() ? 1 : y.shape.back();
  if (y.elements.empty()) return;
  Sizes rows = y.shape;
  if (!rows.empty()) rows.back() = 1;
  Counter counter(rows);
  double* target = y.elements.data();
  do {
    const double *x1 = first.Row(counter.index()), *x2 = second.Row(counter.index());
    for (std::int64_t i = 0; i < length; ++i) {
      target[i] = Apply(function, x1[i * first.step()], x2[i * second.step()], integers);
    }
    target += length;
  } while (counter.Next());
}

}  // namespace

Status Compute(const network::Binary& binary, const Call& call) {
  Array& y = call.result();
  const bool integers = y.kind == network::ElementKind::kInteger;
  if (integers && (binary.function == BinaryFunction::kDivide ||
                   binary.function == BinaryFunction::kFloorDivide ||
                   binary.function == BinaryFunction::kModulo ||
                   binary.function == BinaryFunction::kRemainder)) {
    const std::vector<double>& divisor = call[1].elements;
    if (std::find(divisor.begin(), divisor.end(), 0.0) != divisor.end()) {
      return Contradicts("an integer is divided by 0");
    }
  }
  if (call.operands.size() == 1) {
    y.elements = call[0].elements;
    return {};
  }
  Combine(binary.function, call[0], call[1], y, integers);
  for (std::size_t i = 2; i < call.operands.size(); ++i) {
    const Array before = y;
    Combine(binary.function, before, call[i], y, integers);
  }
  if (binary.function == BinaryFunction::kMean) {
    for (double& element : y.elements) element /= static_cast<double>(call.operands.size());
  }
  return {};
}

Status Compute(const network::Select&, const Call& call) {
  Array& y = call.result();
  const Sizes condition = BroadcastStrides(call[0].shape, y.shape);
  const Sizes yes = BroadcastStrides(call[1].shape, y.shape);
  const Sizes no = BroadcastStrides(call[2].shape, y.shape);
  Counter counter(y.shape);
  for (double& element : y.elements) {
    const Sizes& at = counter.index();
    element = call[0].elements[Index(OffsetOf(at, condition))] != 0
                  ? call[1].elements[Index(OffsetOf(at, yes))]
                  : call[2].elements[Index(OffsetOf(at, no))];
    counter.Next();
  }
  return {};
}

}  // namespace ckpt::execution
