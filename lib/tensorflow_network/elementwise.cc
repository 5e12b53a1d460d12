// Functions of each element, of one operand or of several.
// Source: tensorflow/core/ops/{math,nn,array}_ops.cc.
#include <limits>

#include "tensorflow_network/node.h"

namespace ckpt::tf_network {
namespace {

using network::Binary;
using network::BinaryFunction;
using network::Select;
using network::Unary;
using network::UnaryFunction;

template <UnaryFunction kFunction>
Outcome Apply(Node& node) {
  return node.Yield(Unary{kFunction}, {node.Input(0)});
}

Outcome Relu6(Node& node) { return node.Yield(Unary{UnaryFunction::kClip, 0, 6}, {node.Input(0)}); }
Outcome LeakyRelu(Node& node) {
  const double alpha = node.Real("alpha", 0.2F);
  return node.Yield(Unary{UnaryFunction::kLeakyRelu, alpha}, {node.Input(0)});
}
Outcome Elu(Node& node) { return node.Yield(Unary{UnaryFunction::kElu, 1}, {node.Input(0)}); }
Outcome Selu(Node& node) {
  constexpr double kAlpha = 1.6732632423543772848170429916717;
  constexpr double kScale = 1.0507009873554804934193349852946;
  return node.Yield(Unary{UnaryFunction::kSelu, kAlpha, kScale}, {node.Input(0)});
}
Outcome Erfc(Node& node) {
  const ValueId erf = node.Add(Unary{UnaryFunction::kErf}, {node.Input(0)});
  return node.Yield(Unary{UnaryFunction::kLinear, -1, 1}, {erf});
}
Outcome IsFinite(Node& node) {
  const ValueId nan = node.Add(Unary{UnaryFunction::kIsNan}, {node.Input(0)});
  const ValueId infinite = node.Add(Unary{UnaryFunction::kIsInf}, {node.Input(0)});
  const ValueId either = node.Add(Binary{BinaryFunction::kOr}, {nan, infinite});
  return node.Yield(Unary{UnaryFunction::kNot}, {either});
}

// What is read stays a constant where it is one, so that weights are recognised.
ValueId Same(Node& node, std::size_t i, std::string name) {
  const ValueId input = node.Input(i);
  if (node.builder().value(input).constant) return input;
  return node.AddMany(Unary{UnaryFunction::kIdentity}, {input}, 1, std::move(name))[0];
}
Outcome Identity(Node& node) {
  if (node.builder().value(node.Input(0)).constant) return Values{node.Input(0)};
  return node.Yield(Unary{UnaryFunction::kIdentity}, {node.Input(0)});
}
Outcome IdentityN(Node& node) {
  if (node.results() > node.inputs()) return NotUnderstood("it yields more than it reads");
  Values values;
  for (std::size_t i = 0; i < node.results(); ++i) {
    values.push_back(
        Same(node, i, i == 0 ? node.op().name : node.op().name + ':' + std::to_string(i)));
  }
  return values;
}

// The numbers of tensorflow/core/framework/types.proto.
std::optional<ElementKind> KindOfDtype(std::int32_t number) {
  switch (number) {
    case 1:   // float
    case 2:   // double
    case 14:  // bfloat16
    case 19:  // half
      return ElementKind::kReal;
    case 3:   // int32
    case 4:   // uint8
    case 5:   // int16
    case 6:   // int8
    case 9:   // int64
    case 17:  // uint16
    case 22:  // uint32
    case 23:  // uint64
      return ElementKind::kInteger;
    case 10:
      return ElementKind::kBoolean;
    default:
      return std::nullopt;
  }
}

Outcome CastOf(Node& node) {
  const auto* to = FindAttr<OpDtype>(node.op(), "DstT");
  const auto kind = to != nullptr ? KindOfDtype(to->number) : std::nullopt;
  if (!kind) return NotUnderstood("what it turns numbers into");
  return node.Yield(network::Cast{*kind}, {node.Input(0)});
}

template <BinaryFunction kFunction>
Outcome Combine(Node& node) {
  return node.Yield(Binary{kFunction}, {node.Input(0), node.Input(1)});
}

// Two operands, or one that is yielded as it is.
Outcome AddN(Node& node) {
  if (node.inputs() == 1) return Identity(node);
  return node.Yield(Binary{BinaryFunction::kAdd}, node.Inputs());
}

// `otherwise` where input `i` is 0, whatever the function yields there.
Outcome ZeroWhereZero(Node& node, std::size_t i, ValueId otherwise) {
  const ValueId zero = node.builder().AddScalar(0);
  const ValueId is_zero = node.Add(Binary{BinaryFunction::kEqual}, {node.Input(i), zero});
  return node.Yield(Select{}, {is_zero, zero, otherwise});
}
Outcome DivNoNan(Node& node) {
  return ZeroWhereZero(node, 1,
                       node.Add(Binary{BinaryFunction::kDivide}, {node.Input(0), node.Input(1)}));
}
Outcome MulNoNan(Node& node) {
  return ZeroWhereZero(node, 1,
                       node.Add(Binary{BinaryFunction::kMultiply}, {node.Input(0), node.Input(1)}));
}
Outcome Xlogy(Node& node) {
  const ValueId log = node.Add(Unary{UnaryFunction::kLog}, {node.Input(1)});
  return ZeroWhereZero(node, 0, node.Add(Binary{BinaryFunction::kMultiply}, {node.Input(0), log}));
}
Outcome Xdivy(Node& node) {
  return ZeroWhereZero(node, 0,
                       node.Add(Binary{BinaryFunction::kDivide}, {node.Input(0), node.Input(1)}));
}

// A clip between known numbers, or between what is computed.
Outcome ClipByValue(Node& node) {
  const auto low = node.Reals(1), high = node.Reals(2);
  if (low && high && low->size() == 1 && high->size() == 1) {
    return node.Yield(Unary{UnaryFunction::kClip, low->front(), high->front()}, {node.Input(0)});
  }
  const ValueId below = node.Add(Binary{BinaryFunction::kMinimum}, {node.Input(0), node.Input(2)});
  return node.Yield(Binary{BinaryFunction::kMaximum}, {below, node.Input(1)});
}

// The condition of Select may be a vector along the first axis alone.
Outcome SelectRows(Node& node) {
  const auto of_condition = node.Rank(0), of_data = node.Rank(1);
  ValueId condition = node.Input(0);
  if (of_condition != 0) {
    if (!of_condition || !of_data) return NotUnderstood("the ranks of its operands are not known");
    if (*of_condition == 1 && *of_data > 1) {
      Sizes shape(static_cast<std::size_t>(*of_data), 1);
      shape[0] = network::Reshape::kRest;
      condition = node.Add(network::Reshape{shape}, {condition});
    }
  }
  return node.Yield(Select{}, {condition, node.Input(1), node.Input(2)});
}
Outcome SelectBroadcast(Node& node) { return node.Yield(Select{}, node.Inputs()); }

constexpr Row kUnaryRows[] = {
    {"Abs", 1, Apply<UnaryFunction::kAbs>},
    {"Acos", 1, Apply<UnaryFunction::kAcos>},
    {"Acosh", 1, Apply<UnaryFunction::kAcosh>},
    {"Asin", 1, Apply<UnaryFunction::kAsin>},
    {"Asinh", 1, Apply<UnaryFunction::kAsinh>},
    {"Atan", 1, Apply<UnaryFunction::kAtan>},
    {"Atanh", 1, Apply<UnaryFunction::kAtanh>},
    {"Cast", 1, CastOf},
    {"Ceil", 1, Apply<UnaryFunction::kCeil>},
    {"CheckNumerics", 1, Identity},
    {"CheckNumericsV2", 1, Identity},
    {"Cos", 1, Apply<UnaryFunction::kCos>},
    {"Cosh", 1, Apply<UnaryFunction::kCosh>},
    {"DeepCopy", 1, Identity},
    {"Elu", 1, Elu},
    {"EnsureShape", 1, Identity},
    {"Erf", 1, Apply<UnaryFunction::kErf>},
    {"Erfc", 1, Erfc},
    {"Exp", 1, Apply<UnaryFunction::kExp>},
    {"Expm1", 1, Apply<UnaryFunction::kExpm1>},
    {"Floor", 1, Apply<UnaryFunction::kFloor>},
    {"Identity", 1, Identity},
    {"IdentityN", 1, IdentityN},
    {"Inv", 1, Apply<UnaryFunction::kReciprocal>},
    {"IsFinite", 1, IsFinite},
    {"IsInf", 1, Apply<UnaryFunction::kIsInf>},
    {"IsNan", 1, Apply<UnaryFunction::kIsNan>},
    {"LeakyRelu", 1, LeakyRelu},
    {"Log", 1, Apply<UnaryFunction::kLog>},
    {"Log1p", 1, Apply<UnaryFunction::kLog1p>},
    {"LogicalNot", 1, Apply<UnaryFunction::kNot>},
    {"Neg", 1, Apply<UnaryFunction::kNegate>},
    {"PlaceholderWithDefault", 1, Identity},
    {"PreventGradient", 1, Identity},
    {"Reciprocal", 1, Apply<UnaryFunction::kReciprocal>},
    {"RefIdentity", 1, Identity},
    {"Relu", 1, Apply<UnaryFunction::kRelu>},
    {"Relu6", 1, Relu6},
    {"Rint", 1, Apply<UnaryFunction::kRound>},
    {"Round", 1, Apply<UnaryFunction::kRound>},
    {"Rsqrt", 1, Apply<UnaryFunction::kRsqrt>},
    {"Selu", 1, Selu},
    {"Sigmoid", 1, Apply<UnaryFunction::kSigmoid>},
    {"Sign", 1, Apply<UnaryFunction::kSign>},
    {"Sin", 1, Apply<UnaryFunction::kSin>},
    {"Sinh", 1, Apply<UnaryFunction::kSinh>},
    {"Snapshot", 1, Identity},
    {"Softplus", 1, Apply<UnaryFunction::kSoftplus>},
    {"Softsign", 1, Apply<UnaryFunction::kSoftsign>},
    {"Sqrt", 1, Apply<UnaryFunction::kSqrt>},
    {"Square", 1, Apply<UnaryFunction::kSquare>},
    {"StopGradient", 1, Identity},
    {"Tan", 1, Apply<UnaryFunction::kTan>},
    {"Tanh", 1, Apply<UnaryFunction::kTanh>},
};

constexpr Row kBinaryRows[] = {
    {"Add", 2, Combine<BinaryFunction::kAdd>},
    {"AddN", 1, AddN},
    {"AddV2", 2, Combine<BinaryFunction::kAdd>},
    {"Atan2", 2, Combine<BinaryFunction::kAtan2>},
    {"ClipByValue", 3, ClipByValue},
    {"Div", 2, Combine<BinaryFunction::kDivide>},
    {"DivNoNan", 2, DivNoNan},
    {"Equal", 2, Combine<BinaryFunction::kEqual>},
    {"FloorDiv", 2, Combine<BinaryFunction::kFloorDivide>},
    {"FloorMod", 2, Combine<BinaryFunction::kModulo>},
    {"Greater", 2, Combine<BinaryFunction::kGreater>},
    {"GreaterEqual", 2, Combine<BinaryFunction::kGreaterOrEqual>},
    {"Less", 2, Combine<BinaryFunction::kLess>},
    {"LessEqual", 2, Combine<BinaryFunction::kLessOrEqual>},
    {"LogicalAnd", 2, Combine<BinaryFunction::kAnd>},
    {"LogicalOr", 2, Combine<BinaryFunction::kOr>},
    {"Maximum", 2, Combine<BinaryFunction::kMaximum>},
    {"Minimum", 2, Combine<BinaryFunction::kMinimum>},
    {"Mod", 2, Combine<BinaryFunction::kRemainder>},
    {"Mul", 2, Combine<BinaryFunction::kMultiply>},
    {"MulNoNan", 2, MulNoNan},
    {"NotEqual", 2, Combine<BinaryFunction::kNotEqual>},
    {"Pow", 2, Combine<BinaryFunction::kPower>},
    {"RealDiv", 2, Combine<BinaryFunction::kDivide>},
    {"Select", 3, SelectRows},
    {"SelectV2", 3, SelectBroadcast},
    {"SquaredDifference", 2, Combine<BinaryFunction::kSquaredDifference>},
    {"Sub", 2, Combine<BinaryFunction::kSubtract>},
    {"TruncateDiv", 2, Combine<BinaryFunction::kDivide>},
    {"TruncateMod", 2, Combine<BinaryFunction::kRemainder>},
    {"Xdivy", 2, Xdivy},
    {"Xlogy", 2, Xlogy},
};

}  // namespace

std::span<const Row> UnaryRows() { return kUnaryRows; }
std::span<const Row> BinaryRows() { return kBinaryRows; }

}  // namespace ckpt::tf_network
