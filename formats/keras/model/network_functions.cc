// Functions among the layers: of keras.ops (Keras 3) and of TensorFlow (Keras 2).
//
// Keras 3 lists them by class, with what is no tensor in the config; Keras 2 as TFOpLambda with the
// function's name, and everything as arguments of the call. Sources: keras/src/ops of Keras 3,
// keras/src/layers/core/tf_op_layer.py of 2.15, TensorFlow's python/ops.
#include <limits>
#include <map>
#include <utility>

#include "formats/keras/model/function_call.h"

namespace ckpt::formats::keras {

using network::BinaryFunction;
using network::kNoValue;
using network::Sizes;
using network::Unary;
using network::UnaryFunction;
using NetworkValue = network::ValueId;

namespace {

// By the class in Keras 3 or the name in TensorFlow.
std::optional<Unary> PlainUnary(const Function& function) {
  using F = UnaryFunction;
  static const std::map<std::string_view, F> kFunctions = {{"Relu", F::kRelu},
                                                           {"nn.relu", F::kRelu},
                                                           {"Sigmoid", F::kSigmoid},
                                                           {"math.sigmoid", F::kSigmoid},
                                                           {"Tanh", F::kTanh},
                                                           {"math.tanh", F::kTanh},
                                                           {"Exp", F::kExp},
                                                           {"math.exp", F::kExp},
                                                           {"Expm1", F::kExpm1},
                                                           {"math.expm1", F::kExpm1},
                                                           {"Log", F::kLog},
                                                           {"math.log", F::kLog},
                                                           {"Log1p", F::kLog1p},
                                                           {"math.log1p", F::kLog1p},
                                                           {"Sqrt", F::kSqrt},
                                                           {"math.sqrt", F::kSqrt},
                                                           {"Rsqrt", F::kRsqrt},
                                                           {"math.rsqrt", F::kRsqrt},
                                                           {"Square", F::kSquare},
                                                           {"math.square", F::kSquare},
                                                           {"Reciprocal", F::kReciprocal},
                                                           {"math.reciprocal", F::kReciprocal},
                                                           {"Negative", F::kNegate},
                                                           {"math.negative", F::kNegate},
                                                           {"Absolute", F::kAbs},
                                                           {"Abs", F::kAbs},
                                                           {"math.abs", F::kAbs},
                                                           {"Sign", F::kSign},
                                                           {"math.sign", F::kSign},
                                                           {"Floor", F::kFloor},
                                                           {"math.floor", F::kFloor},
                                                           {"Ceil", F::kCeil},
                                                           {"math.ceil", F::kCeil},
                                                           {"Erf", F::kErf},
                                                           {"math.erf", F::kErf},
                                                           {"Sin", F::kSin},
                                                           {"math.sin", F::kSin},
                                                           {"Cos", F::kCos},
                                                           {"math.cos", F::kCos},
                                                           {"Softplus", F::kSoftplus},
                                                           {"math.softplus", F::kSoftplus},
                                                           {"Softsign", F::kSoftsign},
                                                           {"nn.softsign", F::kSoftsign},
                                                           {"LogSigmoid", F::kLogSigmoid},
                                                           {"math.log_sigmoid", F::kLogSigmoid},
                                                           {"identity", F::kIdentity},
                                                           {"stop_gradient", F::kIdentity},
                                                           {"StopGradient", F::kIdentity}};
  const auto found = kFunctions.find(function.name());
  return found == kFunctions.end() ? std::nullopt : std::optional(Unary{found->second});
}

// Those with a parameter, and those that ActivationOf() knows.
std::optional<Unary> UnaryOf(const Function& function) {
  if (const auto plain = PlainUnary(function)) return plain;
  const std::string& name = function.name();
  if (name == "Gelu" || name == "nn.gelu") {
    // keras.ops approximates by default, and records it; tf.nn does not.
    const bool by_tanh = function.Flag(1, "approximate");
    return Unary{by_tanh ? UnaryFunction::kGeluTanh : UnaryFunction::kGelu};
  }
  if (name == "LeakyRelu" || name == "nn.leaky_relu") {
    const auto slope = function.Number(1, function.is_tensorflow() ? "alpha" : "negative_slope");
    // TensorFlow's is an attribute of float32.
    return Unary{UnaryFunction::kLeakyRelu, static_cast<float>(slope.value_or(0.2))};
  }
  if (name == "Elu" || name == "nn.elu") {
    return Unary{UnaryFunction::kElu, function.Number(kByName, "alpha").value_or(1)};
  }
  static const std::map<std::string_view, Json> kActivations = {
      {"Relu6", "relu6"},       {"nn.relu6", "relu6"},
      {"Silu", "silu"},         {"nn.silu", "silu"},
      {"nn.swish", "silu"},     {"Selu", "selu"},
      {"nn.selu", "selu"},      {"HardSigmoid", "hard_sigmoid"},
      {"HardSilu", "hard_silu"}};
  const auto found = kActivations.find(name);
  if (found == kActivations.end()) return std::nullopt;
  return ActivationOf(found->second, function.call().keras_major());
}

NetworkValue Elementwise(const Function& function) {
  const auto unary = UnaryOf(function);
  const NetworkValue x = function.Operand(0, function.is_tensorflow() ? "features" : "x");
  const NetworkValue operand = x == kNoValue ? function.Operand(0, "x") : x;
  if (!unary || operand == kNoValue ||
      !function.HasOnly(1, {"x", "features", "alpha", "approximate"})) {
    return kNoValue;
  }
  return function.call().Add(*unary, {operand});
}

NetworkValue Arithmetic(const Function& function) {
  using F = BinaryFunction;
  static const std::map<std::string_view, F> kFunctions = {
      {"Add", F::kAdd},
      {"math.add", F::kAdd},
      {"__operators__.add", F::kAdd},
      {"Subtract", F::kSubtract},
      {"math.subtract", F::kSubtract},
      {"Multiply", F::kMultiply},
      {"math.multiply", F::kMultiply},
      {"Divide", F::kDivide},
      {"TrueDivide", F::kDivide},
      {"math.truediv", F::kDivide},
      {"math.divide", F::kDivide},
      {"Maximum", F::kMaximum},
      {"math.maximum", F::kMaximum},
      {"Minimum", F::kMinimum},
      {"math.minimum", F::kMinimum},
      {"Power", F::kPower},
      {"math.pow", F::kPower},
      {"math.squared_difference", F::kSquaredDifference}};
  const auto found = kFunctions.find(function.name());
  if (found == kFunctions.end() || !function.HasOnly(2, {"x", "y", "x1", "x2"})) return kNoValue;
  const bool tensorflow = function.is_tensorflow();
  const NetworkValue a = function.Operand(0, tensorflow ? "x" : "x1");
  const NetworkValue b = function.Operand(1, tensorflow ? "y" : "x2");
  if (a == kNoValue || b == kNoValue) return kNoValue;
  const auto& builder = function.call().builder;
  const auto integers = [&](NetworkValue value) {
    return builder.value(value).kind == network::ElementKind::kInteger;
  };
  // Two integers are divided into a real here.
  if (found->second == F::kDivide && integers(a) && integers(b)) return kNoValue;
  return function.call().Add(network::Binary{found->second}, {a, b});
}

NetworkValue Clipped(const Function& function) {
  const bool tensorflow = function.name() == "clip_by_value";
  if (function.name() != "Clip" && !tensorflow) return kNoValue;
  const auto least = function.Number(1, tensorflow ? "clip_value_min" : "x_min");
  const auto most = function.Number(2, tensorflow ? "clip_value_max" : "x_max");
  const NetworkValue x = function.Operand(0, tensorflow ? "t" : "x");
  if (!least || !most || x == kNoValue) return kNoValue;
  return function.call().Add(Unary{UnaryFunction::kClip, *least, *most}, {x});
}

NetworkValue Reduced(const Function& function) {
  using Kind = network::Reduction::Kind;
  static const std::map<std::string_view, Kind> kKinds = {
      {"Mean", Kind::kMean},
      {"math.reduce_mean", Kind::kMean},
      {"Sum", Kind::kSum},
      {"math.reduce_sum", Kind::kSum},
      {"Max", Kind::kMaximum},
      {"math.reduce_max", Kind::kMaximum},
      {"Min", Kind::kMinimum},
      {"math.reduce_min", Kind::kMinimum},
      {"Prod", Kind::kProduct},
      {"math.reduce_prod", Kind::kProduct},
      {"Var", Kind::kVariance},
      {"math.reduce_variance", Kind::kVariance},
      {"Logsumexp", Kind::kLogSumExp},
      {"math.reduce_logsumexp", Kind::kLogSumExp}};
  const auto found = kKinds.find(function.name());
  if (found == kKinds.end() || !function.HasOnly(3, {"input_tensor", "axis", "keepdims", "x"})) {
    return kNoValue;
  }
  const NetworkValue x = function.Operand(0, function.is_tensorflow() ? "input_tensor" : "x");
  network::Reduction reduction;
  reduction.kind = found->second;
  reduction.keep = function.Flag(2, "keepdims");
  const Json* initial = function.Attribute(kByName, "initial");
  if (x == kNoValue || (initial && !function.is_tensorflow())) return kNoValue;
  if (!function.Attribute(1, "axis")) {
    reduction.axes.which = network::Axes::Which::kAll;
  } else {
    const auto axes = function.Integers(1, "axis");
    if (!axes) return kNoValue;
    reduction.axes.listed = *axes;
  }
  return function.call().Add(reduction, {x});
}

NetworkValue Normalized(const Function& function) {
  const std::string& name = function.name();
  const bool log = name == "LogSoftmax" || name == "nn.log_softmax";
  if (!log && name != "Softmax" && name != "nn.softmax") return kNoValue;
  const NetworkValue x = function.Operand(0, function.is_tensorflow() ? "logits" : "x");
  const bool understood = function.HasOnly(2, {"axis", "logits", "x"}) && function.HasAxisOrNone(1);
  // keras.ops merges all axes where it is given none.
  if (x == kNoValue || !understood ||
      (!function.is_tensorflow() && !function.Attribute(1, "axis"))) {
    return kNoValue;
  }
  return function.call().Add(network::Softmax{function.Axis(1, -1), log}, {x});
}

NetworkValue Multiplied(const Function& function) {
  const LayerCall& call = function.call();
  if (function.name() == "Einsum") {
    const auto equation = call.Text("subscripts");
    const bool only_tensors = function.HasOnly(call.inputs.size(), {});
    const bool named = equation && equation->find("->") != std::string::npos;
    return named && only_tensors ? call.Add(network::Einsum{*equation}, call.inputs) : kNoValue;
  }
  const bool tensorflow = function.is_tensorflow();
  if (function.name() != "Matmul" && function.name() != "linalg.matmul") return kNoValue;
  if (!function.HasOnly(2, {"a", "b", "x1", "x2", "transpose_a", "transpose_b"})) return kNoValue;
  const NetworkValue a = function.Operand(0, tensorflow ? "a" : "x1");
  const NetworkValue b = function.Operand(1, tensorflow ? "b" : "x2");
  if (a == kNoValue || b == kNoValue) return kNoValue;
  network::MatrixProduct product;
  product.transpose_a = tensorflow && function.Flag(2, "transpose_a");
  product.transpose_b = tensorflow && function.Flag(3, "transpose_b");
  return call.Add(product, {a, b});
}

// A cast between types of real numbers, whose rounding is not followed.
NetworkValue Cast(const Function& function) {
  if (function.name() != "Cast" && function.name() != "cast") return kNoValue;
  const Json* type = function.Attribute(1, "dtype");
  const NetworkValue x = function.Operand(0, "x");
  const bool real = type && type->is_string() && type->get<std::string>().find("float") == 0;
  if (!real || x == kNoValue) return kNoValue;
  return function.call().Add(network::Cast{network::ElementKind::kReal}, {x});
}

}  // namespace

NetworkValue TranslateFunction(const LayerCall& call) {
  const Function function(call);
  if (!function.is_known()) return kNoValue;
  for (const auto translate :
       {Elementwise, Arithmetic, Clipped, Reduced, Normalized, Multiplied, Cast}) {
    const NetworkValue value = translate(function);
    if (value != kNoValue) return value;
  }
  return TranslateMovingFunction(function);
}

}  // namespace ckpt::formats::keras
