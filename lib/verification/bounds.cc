#include "verification/bounds.h"

#include <algorithm>
#include <cmath>
#include <utility>

#include "verification/absolute_operands.h"

namespace ckpt {

using execution::Array;
using execution::Budget;
using network::BinaryFunction;
using network::Computation;
using network::UnaryFunction;

namespace {

// A bound on |f'|, where there is one.
std::optional<double> Steepest(const network::Unary& unary) {
  switch (unary.function) {
    case UnaryFunction::kIdentity:
    case UnaryFunction::kRelu:
    case UnaryFunction::kClip:
    case UnaryFunction::kThresholdedLeaky:
    case UnaryFunction::kNegate:
    case UnaryFunction::kAbs:
    case UnaryFunction::kTanh:
    case UnaryFunction::kSoftplus:
    case UnaryFunction::kSoftsign:
    case UnaryFunction::kErf:
    case UnaryFunction::kSin:
    case UnaryFunction::kCos:
    case UnaryFunction::kAtan:
    case UnaryFunction::kLogSigmoid:
      return unary.function == UnaryFunction::kErf ? 1.13 : 1.0;
    case UnaryFunction::kLeakyRelu:
    case UnaryFunction::kElu:
      return std::max(1.0, std::abs(unary.a));
    case UnaryFunction::kSelu:
      return std::abs(unary.b) * std::max(1.0, std::abs(unary.a));
    case UnaryFunction::kSigmoid:
      return 0.25;
    case UnaryFunction::kHardSigmoid:
    case UnaryFunction::kLinear:
      return std::abs(unary.a);
    case UnaryFunction::kSilu:
    case UnaryFunction::kMish:
    case UnaryFunction::kGelu:
    case UnaryFunction::kGeluTanh:
      return 1.2;
    case UnaryFunction::kHardSwish:
      return 2.0;
    default:
      return std::nullopt;
  }
}

StepKind KindOfUnary(const network::Unary& unary) {
  if (unary.function == UnaryFunction::kIdentity) return StepKind::kMoves;
  if (unary.function == UnaryFunction::kLinear || unary.function == UnaryFunction::kNegate) {
    return StepKind::kAffine;
  }
  return Steepest(unary) ? StepKind::kNarrowing : StepKind::kExact;
}

StepKind KindOfBinary(const network::Binary& binary) {
  switch (binary.function) {
    case BinaryFunction::kAdd:
    case BinaryFunction::kSubtract:
    case BinaryFunction::kMultiply:
    case BinaryFunction::kDivide:
    case BinaryFunction::kMean:
      return StepKind::kAffine;
    case BinaryFunction::kMaximum:
    case BinaryFunction::kMinimum:
    case BinaryFunction::kLeakyRelu:
      return StepKind::kNarrowing;
    default:
      return StepKind::kExact;
  }
}

// One overload an alternative: leaving one out does not compile.
struct Classify {
  StepKind operator()(const network::Convolution&) { return StepKind::kProduct; }
  StepKind operator()(const network::TransposedConvolution&) { return StepKind::kProduct; }
  StepKind operator()(const network::MatrixProduct&) { return StepKind::kProduct; }
  StepKind operator()(const network::Einsum&) { return StepKind::kProduct; }
  StepKind operator()(const network::BatchNormalization&) { return StepKind::kAffine; }
  StepKind operator()(const network::LayerNormalization&) { return StepKind::kExact; }
  StepKind operator()(const network::GroupNormalization&) { return StepKind::kExact; }
  StepKind operator()(const network::LocalResponseNormalization&) { return StepKind::kExact; }
  StepKind operator()(const network::Unary& unary) { return KindOfUnary(unary); }
  StepKind operator()(const network::Binary& binary) { return KindOfBinary(binary); }
  StepKind operator()(const network::Select&) { return StepKind::kExact; }
  StepKind operator()(const network::Pool& pool) {
    return pool.kind == network::Pool::Kind::kAverage ? StepKind::kAffine : StepKind::kNarrowing;
  }
  StepKind operator()(const network::Reduction& reduction) {
    using Kind = network::Reduction::Kind;
    const bool sums = reduction.kind == Kind::kMean || reduction.kind == Kind::kSum;
    const bool extreme = reduction.kind == Kind::kMaximum || reduction.kind == Kind::kMinimum;
    return sums ? StepKind::kAffine : extreme ? StepKind::kNarrowing : StepKind::kExact;
  }
  StepKind operator()(const network::ArgExtreme&) { return StepKind::kExact; }
  StepKind operator()(const network::Softmax&) { return StepKind::kExact; }
  StepKind operator()(const network::CumulativeSum&) { return StepKind::kAffine; }
  StepKind operator()(const network::Reshape&) { return StepKind::kMoves; }
  StepKind operator()(const network::MergeAxes&) { return StepKind::kMoves; }
  StepKind operator()(const network::InsertAxes&) { return StepKind::kMoves; }
  StepKind operator()(const network::DropAxes&) { return StepKind::kMoves; }
  StepKind operator()(const network::Transpose&) { return StepKind::kMoves; }
  StepKind operator()(const network::Concatenate&) { return StepKind::kMoves; }
  StepKind operator()(const network::Split&) { return StepKind::kMoves; }
  StepKind operator()(const network::Slice&) { return StepKind::kMoves; }
  StepKind operator()(const network::Pad&) { return StepKind::kMoves; }
  StepKind operator()(const network::Resize& resize) {
    // The weights of a linear one are not negative and sum to one.
    const bool linear = resize.mode == network::Resize::Mode::kLinear;
    return resize.mode == network::Resize::Mode::kNearest ? StepKind::kMoves
           : linear                                       ? StepKind::kAffine
                                                          : StepKind::kExact;
  }
  StepKind operator()(const network::Gather&) { return StepKind::kMoves; }
  StepKind operator()(const network::GatherNd&) { return StepKind::kMoves; }
  StepKind operator()(const network::ScatterNd&) { return StepKind::kExact; }
  StepKind operator()(const network::GatherElements&) { return StepKind::kMoves; }
  StepKind operator()(const network::OneHot&) { return StepKind::kExact; }
  StepKind operator()(const network::Cast& cast) {
    return cast.to == network::ElementKind::kReal ? StepKind::kMoves : StepKind::kExact;
  }
  StepKind operator()(const network::ShapeOf&) { return StepKind::kExact; }
  StepKind operator()(const network::Fill&) { return StepKind::kExact; }
  StepKind operator()(const network::Range&) { return StepKind::kExact; }
  StepKind operator()(const network::BroadcastTo&) { return StepKind::kMoves; }
  StepKind operator()(const network::Tile&) { return StepKind::kMoves; }
  StepKind operator()(const network::SpaceAndDepth&) { return StepKind::kMoves; }
  StepKind operator()(const network::SpaceAndBatch&) { return StepKind::kMoves; }
  StepKind operator()(const network::Recurrent&) { return StepKind::kExact; }
  StepKind operator()(const network::Quantize&) { return StepKind::kExact; }
  StepKind operator()(const network::Dequantize&) { return StepKind::kExact; }
  StepKind operator()(const network::Unknown&) { return StepKind::kExact; }
};

Array Scaled(Array array, double factor) {
  for (double& element : array.elements) element = std::abs(element) * factor;
  return array;
}

// The sum of both, of one shape.
void AddTo(std::optional<Array>& sum, Array term) {
  if (!sum) {
    sum = std::move(term);
    return;
  }
  for (std::size_t i = 0; i < sum->elements.size(); ++i) sum->elements[i] += term.elements[i];
}

class Bounding {
 public:
  Bounding(const Computation& computation, std::span<const BoundedOperand> operands, const Array& y,
           ResultPlace place, const Budget& budget)
      : computation_(computation), operands_(operands), y_(y), place_(place), budget_(budget) {}

  Result<std::optional<Array>> Find() {
    const StepKind kind = ckpt::KindOf(computation_);
    if (place_.result != 0 && kind != StepKind::kMoves) return std::optional<Array>{};
    if (kind == StepKind::kExact) return OfExact();
    if (std::holds_alternative<network::BatchNormalization>(computation_)) return OfBatchNorm();
    if (kind == StepKind::kNarrowing) return OfNarrowing();
    if (const auto* unary = std::get_if<network::Unary>(&computation_)) return OfLinear(*unary);
    if (const auto* binary = std::get_if<network::Binary>(&computation_)) return OfSum(*binary);
    return OfPositive();
  }

 private:
  bool IsPending(std::size_t i) const { return operands_[i].bound != nullptr; }
  bool AnyPending() const {
    return std::any_of(operands_.begin(), operands_.end(),
                       [](const BoundedOperand& o) { return o.bound != nullptr; });
  }
  bool AnyRounded() const {
    return std::any_of(operands_.begin(), operands_.end(),
                       [](const BoundedOperand& o) { return o.constant && o.roundoff > 0; });
  }
  Array Zeros() const { return {y_.shape, std::vector<double>(y_.elements.size(), 0.0), {}}; }

  Result<Array> EvaluateWith(const Computation& computation,
                             std::span<const Array* const> operands) const {
    CKPT_ASSIGN_OR_RETURN(std::vector<Array> results,
                          execution::Evaluate(computation, operands, 1, budget_));
    return std::move(results[0]);
  }

  // Norms with a scale and an offset: |scale * normalised| + |offset|; others with rounded
  // constants have no rule.
  Result<std::optional<Array>> OfExact() const {
    if (AnyPending()) return std::optional<Array>{};
    if (!AnyRounded() || IsWholePower()) return std::optional(Zeros());
    const bool norm = std::holds_alternative<network::LayerNormalization>(computation_) ||
                      std::holds_alternative<network::GroupNormalization>(computation_);
    if (!norm) return std::optional<Array>{};
    double roundoff = 0;
    for (const BoundedOperand& operand : operands_) roundoff = std::max(roundoff, operand.roundoff);
    std::vector<const Array*> plain;
    for (std::size_t i = 0; i < operands_.size() && i < 2; ++i) plain.push_back(operands_[i].value);
    CKPT_ASSIGN_OR_RETURN(const Array scaled, EvaluateWith(computation_, plain));
    Array bound = y_;
    for (std::size_t i = 0; i < bound.elements.size(); ++i) {
      const double offset = y_.elements[i] - scaled.elements[i];
      bound.elements[i] = roundoff * (std::abs(scaled.elements[i]) + std::abs(offset));
    }
    return std::optional(std::move(bound));
  }

  // A small whole exponent is no rounded number.
  bool IsWholePower() const {
    const auto* binary = std::get_if<network::Binary>(&computation_);
    if (binary == nullptr || binary->function != BinaryFunction::kPower) return false;
    if (operands_.size() != 2 || operands_[0].constant) return false;
    const std::vector<double>& exponents = operands_[1].value->elements;
    return std::all_of(exponents.begin(), exponents.end(), [](double exponent) {
      return exponent == std::round(exponent) && std::abs(exponent) <= 16;
    });
  }

  // Operations that are sums of products with terms that keep their sign's absolute value: each
  // rounded or pending operand contributes f with absolute values in the places of the others.
  Result<std::optional<Array>> OfPositive() const {
    std::optional<Array> sum;
    double rounded = 0;
    for (const BoundedOperand& operand : operands_) {
      if (operand.constant) rounded = std::max(rounded, operand.roundoff);
    }
    const AbsoluteOperands absolute(operands_);
    for (std::size_t pending = 0; pending < operands_.size(); ++pending) {
      if (!IsPending(pending)) continue;
      CKPT_ASSIGN_OR_RETURN(Array term, Term(absolute, pending));
      AddTo(sum, std::move(term));
    }
    if (rounded > 0 && ckpt::KindOf(computation_) != StepKind::kMoves) {
      CKPT_ASSIGN_OR_RETURN(Array term, Term(absolute, operands_.size()));
      AddTo(sum, Scaled(std::move(term), rounded));
    }
    return std::optional(sum ? *std::move(sum) : Zeros());
  }

  // f with the bound of operand `pending` in its place and |x| in the others; a bias has no part
  // in it.
  Result<Array> Term(const AbsoluteOperands& absolute, std::size_t pending) const {
    std::vector<const Array*> operands;
    for (std::size_t i = 0; i < operands_.size(); ++i) {
      const bool bounded = i == pending && absolute[i] != nullptr;
      operands.push_back(bounded ? operands_[i].bound : absolute[i]);
    }
    const bool has_bias = std::holds_alternative<network::Convolution>(computation_) ||
                          std::holds_alternative<network::TransposedConvolution>(computation_);
    if (has_bias && pending < operands_.size() && operands.size() > 2) operands[2] = nullptr;
    const bool pads = std::holds_alternative<network::Pad>(computation_);
    if (pads && operands.size() > 2) operands[2] = nullptr;  // the value is exact
    // Several operands that are joined: what is not pending adds nothing.
    std::vector<Array> zeros(operands_.size());
    if (std::holds_alternative<network::Concatenate>(computation_) && pending < operands_.size()) {
      for (std::size_t i = 0; i < operands_.size(); ++i) {
        if (i == pending || operands[i] == nullptr) continue;
        zeros[i] = Scaled(*operands[i], 0);
        operands[i] = &zeros[i];
      }
    }
    CKPT_ASSIGN_OR_RETURN(std::vector<Array> results,
                          execution::Evaluate(Positive(), operands, place_.of, budget_));
    return std::move(results[place_.result]);
  }

  // The operation with its own numbers made positive.
  Computation Positive() const {
    Computation positive = computation_;
    if (auto* product = std::get_if<network::MatrixProduct>(&positive)) {
      product->factor = std::abs(product->factor);
    }
    if (auto* pad = std::get_if<network::Pad>(&positive)) pad->value = 0;
    return positive;
  }

  // |gamma| / sqrt(variance + epsilon) * (x's bound, or u |x|, and u |mean|) + u |beta|
  Result<std::optional<Array>> OfBatchNorm() const {
    if (operands_.size() < 5 || operands_[3].value == nullptr || operands_[4].value == nullptr ||
        std::get<network::BatchNormalization>(computation_).of_batch) {
      return std::optional<Array>{};
    }
    double roundoff = 0;
    for (std::size_t i = 1; i < 5; ++i) roundoff = std::max(roundoff, operands_[i].roundoff);
    const Array gamma = operands_[1].value == nullptr ? Array{} : Absolute(*operands_[1].value);
    const Array beta =
        operands_[2].value == nullptr ? Array{} : Scaled(*operands_[2].value, roundoff);
    Array mean = Scaled(*operands_[3].value, -roundoff);
    // A pending bound, u |W| |x|, is at least u times what it bounds: a fold rounds once.
    const Array data = IsPending(0) ? *operands_[0].bound : Scaled(*operands_[0].value, roundoff);
    const Array* operands[] = {&data, operands_[1].value == nullptr ? nullptr : &gamma,
                               operands_[2].value == nullptr ? nullptr : &beta, &mean,
                               operands_[4].value};
    CKPT_ASSIGN_OR_RETURN(Array bound, EvaluateWith(computation_, operands));
    return std::optional(std::move(bound));
  }

  Result<std::optional<Array>> OfNarrowing() const {
    if (const auto* binary = std::get_if<network::Binary>(&computation_)) {
      return OfExtreme(*binary);
    }
    if (!IsPending(0)) return std::optional(Zeros());
    const Array* operands[] = {operands_[0].bound};
    if (const auto* unary = std::get_if<network::Unary>(&computation_)) {
      return std::optional(Scaled(*operands_[0].bound, *Steepest(*unary)));
    }
    // The largest bound in a window holds for its largest and its smallest element.
    Computation largest = computation_;
    if (auto* pool = std::get_if<network::Pool>(&largest)) {
      pool->kind = network::Pool::Kind::kMaximum;
      if (std::get<network::Pool>(computation_).kind == network::Pool::Kind::kNorm2) {
        return std::optional<Array>{};
      }
    }
    if (auto* reduction = std::get_if<network::Reduction>(&largest)) {
      reduction->kind = network::Reduction::Kind::kMaximum;
    }
    CKPT_ASSIGN_OR_RETURN(Array bound, EvaluateWith(largest, operands));
    return std::optional(std::move(bound));
  }

  // Maxima, minima and PReLU of operands that are broadcast.
  Result<std::optional<Array>> OfExtreme(const network::Binary& binary) const {
    if (binary.function == BinaryFunction::kLeakyRelu) {
      if (IsPending(1)) return std::optional<Array>{};
      std::optional<Array> sum;
      if (IsPending(0)) {
        const Array slope = AtLeastOne(*operands_[1].value);
        const Array* operands[] = {operands_[0].bound, &slope};
        CKPT_ASSIGN_OR_RETURN(Array bound,
                              EvaluateWith(network::Binary{BinaryFunction::kMultiply}, operands));
        AddTo(sum, std::move(bound));
      }
      if (operands_[1].roundoff > 0) AddTo(sum, Scaled(y_, operands_[1].roundoff));
      return std::optional(sum ? *std::move(sum) : Zeros());
    }
    return SumOfBounds({BinaryFunction::kAdd});
  }

  static Array AtLeastOne(const Array& array) {
    Array result = Absolute(array);
    for (double& element : result.elements) element = std::max(element, 1.0);
    return result;
  }

  Result<std::optional<Array>> OfLinear(const network::Unary& unary) const {
    if (!IsPending(0)) return std::optional(Zeros());
    const double factor = unary.function == UnaryFunction::kLinear ? std::abs(unary.a) : 1;
    return std::optional(Scaled(*operands_[0].bound, factor));
  }

  // Each operand by its own bound: pending, or a constant's u |c|; exact ones have none.
  Array OwnBound(std::size_t i) const {
    if (IsPending(i)) return *operands_[i].bound;
    return Scaled(*operands_[i].value, operands_[i].constant ? operands_[i].roundoff : 0);
  }

  Result<std::optional<Array>> SumOfBounds(network::Binary binary) const {
    std::vector<Array> bounds;
    for (std::size_t i = 0; i < operands_.size(); ++i) bounds.push_back(OwnBound(i));
    std::vector<const Array*> operands;
    for (const Array& bound : bounds) operands.push_back(&bound);
    CKPT_ASSIGN_OR_RETURN(Array bound, EvaluateWith(binary, operands));
    return std::optional(std::move(bound));
  }

  Result<std::optional<Array>> OfSum(const network::Binary& binary) const {
    if (binary.function == BinaryFunction::kMean) return SumOfBounds(binary);
    if (binary.function == BinaryFunction::kAdd || binary.function == BinaryFunction::kSubtract) {
      return SumOfBounds({BinaryFunction::kAdd});
    }
    if (operands_.size() != 2) return std::optional<Array>{};
    return OfFactor(binary);
  }

  // |a| bound(b) + bound(a) |b|; of a quotient, bound(a) / |b| + |y| bound(b) / |b|.
  Result<std::optional<Array>> OfFactor(const network::Binary& binary) const {
    const Array first = OwnBound(0), second = OwnBound(1);
    const Array a = Absolute(*operands_[0].value), b = Absolute(*operands_[1].value);
    const Array y = Absolute(y_);
    const bool quotient = binary.function == BinaryFunction::kDivide;
    if (quotient && IsPending(1)) return std::optional<Array>{};
    const Array* of_first[] = {&first, &b};
    CKPT_ASSIGN_OR_RETURN(Array bound, EvaluateWith(binary, of_first));
    std::optional<Array> sum(std::move(bound));
    if (quotient) {
      // The divisor is a constant: u |b| / |b| = u.
      AddTo(sum, Scaled(y, operands_[1].constant ? operands_[1].roundoff : 0));
    } else {
      const Array* of_second[] = {&a, &second};
      CKPT_ASSIGN_OR_RETURN(Array term, EvaluateWith(binary, of_second));
      AddTo(sum, std::move(term));
    }
    return sum;
  }

  const Computation& computation_;
  std::span<const BoundedOperand> operands_;
  const Array& y_;
  const ResultPlace place_;
  const Budget& budget_;
};

}  // namespace

StepKind KindOf(const Computation& computation) { return std::visit(Classify{}, computation); }

Result<std::optional<Array>> BoundOf(const Computation& computation,
                                     std::span<const BoundedOperand> operands, const Array& y,
                                     ResultPlace place, const Budget& budget) {
  return Bounding(computation, operands, y, place, budget).Find();
}

}  // namespace ckpt
