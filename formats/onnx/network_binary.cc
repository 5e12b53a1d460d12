// Functions of several values, element by element.
#include <array>
#include <utility>

#include "formats/onnx/network_step.h"

namespace ckpt::formats::onnx {
namespace {

using network::Binary;
using network::BinaryFunction;
using network::ElementKind;
using network::Sizes;
using network::ValueId;

// Axes of size 1 behind the last one of `b`, so that its axis 0 meets `axis` of a value of `rank`
// axes; absent: it has no place there.
std::optional<Sizes> AxesBehind(std::int64_t rank_b, std::int64_t axis, std::int64_t rank) {
  if (axis < 0) axis += rank;
  const std::int64_t behind = rank - axis - rank_b;
  if (axis < 0 || behind < 0 || rank > 254) return std::nullopt;
  Sizes axes;
  for (std::int64_t i = 0; i < behind; ++i) axes.push_back(rank_b + i);
  return axes;
}

// Before 7, `b` is laid beside `a` from `axis` on.
tl::expected<ValueId, std::string> Beside(Step& step, ValueId a, ValueId b, std::int64_t axis) {
  const auto rank = step.RankOf(a), rank_b = step.RankOf(b);
  if (!rank || !rank_b) return Cannot("it broadcasts along an axis of data of unknown rank");
  const auto axes = AxesBehind(*rank_b, axis, *rank);
  if (!axes) return Cannot("it broadcasts along an axis that is not there");
  return axes->empty() ? b : step.Inner(network::InsertAxes{*axes}, {b});
}

template <BinaryFunction function>
Outcome Plain(Step& step) {
  if (!step.Given(0) || !step.Given(1)) return Cannot("it lacks an operand");
  ValueId b = step.Input(1);
  if (step.opset() < 7 && step.Int("broadcast", 0) != 0 && step.Has("axis")) {
    const auto laid = Beside(step, step.Input(0), b, step.Int("axis", 0));
    if (!laid) return Cannot(laid.error());
    b = *laid;
  }
  return step.Yield(Binary{function}, {step.Input(0), b});
}

template <BinaryFunction function>
Outcome Variadic(Step& step) {
  for (std::size_t i = 0; i < step.inputs().size(); ++i) {
    if (!step.Given(i)) return Cannot("it lacks an operand");
  }
  if (step.inputs().size() == 1) {
    return step.Yield(network::Unary{network::UnaryFunction::kIdentity}, step.inputs());
  }
  return step.Yield(Binary{function}, step.inputs());
}

// The type of the result is the base's.
Outcome Power(Step& step) {
  const bool truncates = step.Given(1) && step.KindOf(step.Input(0)) == ElementKind::kInteger &&
                         step.KindOf(step.Input(1)) == ElementKind::kReal;
  if (!truncates) return Plain<BinaryFunction::kPower>(step);
  const ValueId power = step.Inner(BinaryFunction::kPower, step.Input(0), step.Input(1));
  return step.Yield(network::Cast{ElementKind::kInteger}, {power});
}

Outcome Modulo(Step& step) {
  return step.Int("fmod", 0) != 0 ? Plain<BinaryFunction::kRemainder>(step)
                                  : Plain<BinaryFunction::kModulo>(step);
}

// Before 7 a list of slopes is one a channel.
Outcome PRelu(Step& step) {
  if (!step.Given(0) || !step.Given(1)) return Cannot("it lacks an operand");
  ValueId slope = step.Input(1);
  const network::PartialShape& shape = step.ShapeOf(slope);
  if (step.opset() < 7 && shape && shape->size() == 1 && shape->front() != 1) {
    const auto laid = Beside(step, step.Input(0), slope, 1);
    if (!laid) return Cannot(laid.error());
    slope = *laid;
  }
  return step.Yield(Binary{BinaryFunction::kLeakyRelu}, {step.Input(0), slope});
}

Outcome Where(Step& step) {
  return step.Yield(network::Select{}, {step.Input(0), step.Input(1), step.Input(2)});
}

constexpr std::array kBinaryOperators = {
    OperatorRule{"Add", Plain<BinaryFunction::kAdd>},
    OperatorRule{"Sub", Plain<BinaryFunction::kSubtract>},
    OperatorRule{"Mul", Plain<BinaryFunction::kMultiply>},
    OperatorRule{"Div", Plain<BinaryFunction::kDivide>},
    OperatorRule{"Pow", Power},
    OperatorRule{"Mod", Modulo},
    OperatorRule{"And", Plain<BinaryFunction::kAnd>},
    OperatorRule{"Or", Plain<BinaryFunction::kOr>},
    OperatorRule{"Xor", Plain<BinaryFunction::kXor>},
    OperatorRule{"Equal", Plain<BinaryFunction::kEqual>},
    OperatorRule{"Less", Plain<BinaryFunction::kLess>},
    OperatorRule{"LessOrEqual", Plain<BinaryFunction::kLessOrEqual>},
    OperatorRule{"Greater", Plain<BinaryFunction::kGreater>},
    OperatorRule{"GreaterOrEqual", Plain<BinaryFunction::kGreaterOrEqual>},
    OperatorRule{"Sum", Variadic<BinaryFunction::kAdd>},
    OperatorRule{"Max", Variadic<BinaryFunction::kMaximum>},
    OperatorRule{"Min", Variadic<BinaryFunction::kMinimum>},
    OperatorRule{"Mean", Variadic<BinaryFunction::kMean>},
    OperatorRule{"PRelu", PRelu},
    OperatorRule{"Where", Where},
};

}  // namespace

std::span<const OperatorRule> BinaryOperators() { return kBinaryOperators; }

}  // namespace ckpt::formats::onnx
