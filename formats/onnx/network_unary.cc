// Functions of one value, element by element.
#include <array>
#include <limits>
#include <utility>

#include "formats/onnx/network_step.h"

namespace ckpt::formats::onnx {
namespace {

using network::BinaryFunction;
using network::ElementKind;
using network::Unary;
using network::UnaryFunction;
using network::ValueId;

constexpr double kInfinity = std::numeric_limits<double>::infinity();

template <UnaryFunction function>
Outcome Plain(Step& step) {
  return step.Yield(Unary{function}, {step.Input(0)});
}

Outcome LeakyRelu(Step& step) {
  return step.Yield(Unary{UnaryFunction::kLeakyRelu, step.Float("alpha", 0.01F)}, {step.Input(0)});
}
Outcome Elu(Step& step) {
  return step.Yield(Unary{UnaryFunction::kElu, step.Float("alpha", 1.0F)}, {step.Input(0)});
}
Outcome Celu(Step& step) {
  return step.Yield(Unary{UnaryFunction::kCelu, step.Float("alpha", 1.0F)}, {step.Input(0)});
}
Outcome Selu(Step& step) {
  // The defaults of operator set 1 have fewer digits.
  const bool first = step.opset() < 6;
  const double alpha = step.Float("alpha", first ? 1.6732F : 1.67326319217681884765625F);
  const double gamma = step.Float("gamma", first ? 1.0507F : 1.05070102214813232421875F);
  return step.Yield(Unary{UnaryFunction::kSelu, alpha, gamma}, {step.Input(0)});
}
Outcome ThresholdedRelu(Step& step) {
  return step.Yield(Unary{UnaryFunction::kThresholded, step.Float("alpha", 1.0F)}, {step.Input(0)});
}
Outcome HardSigmoid(Step& step) {
  return step.Yield(
      Unary{UnaryFunction::kHardSigmoid, step.Float("alpha", 0.2F), step.Float("beta", 0.5F)},
      {step.Input(0)});
}
Outcome HardSwish(Step& step) {
  return step.Yield(Unary{UnaryFunction::kHardSwish, 1.0 / 6, 0.5}, {step.Input(0)});
}
Outcome Swish(Step& step) {
  return step.Yield(Unary{UnaryFunction::kSilu, step.Float("alpha", 1.0F)}, {step.Input(0)});
}
Outcome Gelu(Step& step) {
  const std::string how = step.Text("approximate", "none");
  if (how != "none" && how != "tanh") return Cannot("its approximation is not known");
  return step.Yield(Unary{how == "none" ? UnaryFunction::kGelu : UnaryFunction::kGeluTanh},
                    {step.Input(0)});
}
Outcome Shrink(Step& step) {
  return step.Yield(
      Unary{UnaryFunction::kShrink, step.Float("lambd", 0.5F), step.Float("bias", 0.0F)},
      {step.Input(0)});
}

Outcome IsInf(Step& step) {
  const bool negative = step.Int("detect_negative", 1) != 0;
  const bool positive = step.Int("detect_positive", 1) != 0;
  if (negative && positive) return step.Yield(Unary{UnaryFunction::kIsInf}, {step.Input(0)});
  if (!negative && !positive) return Cannot("it looks for no infinity");
  const ValueId infinity = step.Scalar(positive ? kInfinity : -kInfinity);
  return step.Yield(network::Binary{BinaryFunction::kEqual}, {step.Input(0), infinity});
}

// The bounds are attributes before 11; a lower bound above the upper one gives the upper one.
Outcome Clip(Step& step) {
  double low = -kInfinity, high = kInfinity;
  if (step.opset() < 11) {
    low = step.Float("min", -std::numeric_limits<float>::infinity());
    high = step.Float("max", std::numeric_limits<float>::infinity());
  } else {
    const auto least = step.Elements(1), most = step.Elements(2);
    const bool known = (!step.Given(1) || (least && least->size() == 1)) &&
                       (!step.Given(2) || (most && most->size() == 1));
    if (!known) {
      ValueId x = step.Input(0);
      if (step.Given(1) && !step.Given(2)) {
        return step.Yield(network::Binary{BinaryFunction::kMaximum}, {x, step.Input(1)});
      }
      if (step.Given(1)) x = step.Inner(BinaryFunction::kMaximum, x, step.Input(1));
      return step.Yield(network::Binary{BinaryFunction::kMinimum}, {x, step.Input(2)});
    }
    if (least) low = least->front();
    if (most) high = most->front();
  }
  if (low > high) low = high;
  return step.Yield(Unary{UnaryFunction::kClip, low, high}, {step.Input(0)});
}

// The kind of a TensorProto::DataType; absent where its values are no plain numbers here.
std::optional<ElementKind> KindOfType(std::int64_t type) {
  switch (type) {
    case 1:   // float
    case 10:  // float16
    case 11:  // double
    case 16:  // bfloat16
      return ElementKind::kReal;
    case 9:
      return ElementKind::kBoolean;
    case 2:
    case 3:
    case 4:
    case 5:
    case 6:
    case 7:
    case 12:
    case 13:
      return ElementKind::kInteger;
    default:
      return std::nullopt;
  }
}

// Words before operator set 6.
std::optional<std::int64_t> NamedType(const std::string& name) {
  constexpr std::array<std::pair<std::string_view, std::int64_t>, 13> kTypes = {{
      {"FLOAT", 1},
      {"UINT8", 2},
      {"INT8", 3},
      {"UINT16", 4},
      {"INT16", 5},
      {"INT32", 6},
      {"INT64", 7},
      {"BOOL", 9},
      {"FLOAT16", 10},
      {"DOUBLE", 11},
      {"UINT32", 12},
      {"UINT64", 13},
      {"BFLOAT16", 16},
  }};
  for (const auto& [word, type] : kTypes) {
    if (word == name) return type;
  }
  return std::nullopt;
}

Outcome Cast(Step& step) {
  const auto* to = step.Find("to");
  if (to == nullptr) return Cannot("it has no type to cast to");
  const std::optional<std::int64_t> type = to->has_s() ? NamedType(to->s()) : to->i();
  const auto kind = type ? KindOfType(*type) : std::nullopt;
  if (!kind) return Cannot("it casts to a type that rounds to few values, or to text");
  if (type == 10 || type == 16) {
    step.Note("casts to 16-bit floats are not rounded");
  }
  return step.Yield(network::Cast{*kind}, {step.Input(0)});
}

Outcome CastLike(Step& step) {
  if (!step.Given(1)) return Cannot("it lacks an operand");
  return step.Yield(network::Cast{step.KindOf(step.Input(1))}, {step.Input(0)});
}

// At inference x itself, and a mask of what is kept: all.
Outcome Dropout(Step& step) {
  if (step.opset() >= 12 && step.Given(2)) {
    const auto training = step.Elements(2);
    if (!training || training->size() != 1) return Cannot("whether it trains depends on the data");
    if (training->front() != 0) return Cannot("it is set to training, and draws at random");
  }
  step.Note("dropout");
  auto outcome = step.Yield(Unary{UnaryFunction::kIdentity}, {step.Input(0)});
  if (outcome && step.Yields(1)) {
    const ValueId shape = step.Inner(network::ShapeOf{}, {step.Input(0)});
    outcome->push_back(step.Inner(network::Fill{1, ElementKind::kBoolean}, {shape}));
  }
  return outcome;
}

constexpr std::array kUnaryOperators = {
    OperatorRule{"Identity", Plain<UnaryFunction::kIdentity>},
    OperatorRule{"Relu", Plain<UnaryFunction::kRelu>},
    OperatorRule{"Sigmoid", Plain<UnaryFunction::kSigmoid>},
    OperatorRule{"Tanh", Plain<UnaryFunction::kTanh>},
    OperatorRule{"Softplus", Plain<UnaryFunction::kSoftplus>},
    OperatorRule{"Softsign", Plain<UnaryFunction::kSoftsign>},
    OperatorRule{"Mish", Plain<UnaryFunction::kMish>},
    OperatorRule{"Exp", Plain<UnaryFunction::kExp>},
    OperatorRule{"Log", Plain<UnaryFunction::kLog>},
    OperatorRule{"Sqrt", Plain<UnaryFunction::kSqrt>},
    OperatorRule{"Reciprocal", Plain<UnaryFunction::kReciprocal>},
    OperatorRule{"Neg", Plain<UnaryFunction::kNegate>},
    OperatorRule{"Abs", Plain<UnaryFunction::kAbs>},
    OperatorRule{"Sign", Plain<UnaryFunction::kSign>},
    OperatorRule{"Floor", Plain<UnaryFunction::kFloor>},
    OperatorRule{"Ceil", Plain<UnaryFunction::kCeil>},
    OperatorRule{"Round", Plain<UnaryFunction::kRound>},
    OperatorRule{"Erf", Plain<UnaryFunction::kErf>},
    OperatorRule{"Sin", Plain<UnaryFunction::kSin>},
    OperatorRule{"Cos", Plain<UnaryFunction::kCos>},
    OperatorRule{"Tan", Plain<UnaryFunction::kTan>},
    OperatorRule{"Asin", Plain<UnaryFunction::kAsin>},
    OperatorRule{"Acos", Plain<UnaryFunction::kAcos>},
    OperatorRule{"Atan", Plain<UnaryFunction::kAtan>},
    OperatorRule{"Sinh", Plain<UnaryFunction::kSinh>},
    OperatorRule{"Cosh", Plain<UnaryFunction::kCosh>},
    OperatorRule{"Asinh", Plain<UnaryFunction::kAsinh>},
    OperatorRule{"Acosh", Plain<UnaryFunction::kAcosh>},
    OperatorRule{"Atanh", Plain<UnaryFunction::kAtanh>},
    OperatorRule{"Not", Plain<UnaryFunction::kNot>},
    OperatorRule{"IsNaN", Plain<UnaryFunction::kIsNan>},
    OperatorRule{"IsInf", IsInf},
    OperatorRule{"LeakyRelu", LeakyRelu},
    OperatorRule{"Elu", Elu},
    OperatorRule{"Celu", Celu},
    OperatorRule{"Selu", Selu},
    OperatorRule{"ThresholdedRelu", ThresholdedRelu},
    OperatorRule{"HardSigmoid", HardSigmoid},
    OperatorRule{"HardSwish", HardSwish},
    OperatorRule{"Swish", Swish},
    OperatorRule{"Gelu", Gelu},
    OperatorRule{"Shrink", Shrink},
    OperatorRule{"Clip", Clip},
    OperatorRule{"Cast", Cast},
    OperatorRule{"CastLike", CastLike},
    OperatorRule{"Dropout", Dropout},
};

}  // namespace

std::span<const OperatorRule> UnaryOperators() { return kUnaryOperators; }

}  // namespace ckpt::formats::onnx
