// Activations and merges of Keras.
#include <limits>
#include <map>
#include <utility>

#include "formats/keras/model/layer_call.h"

namespace ckpt::formats::keras {

using network::BinaryFunction;
using network::kNoValue;
using network::Unary;
using network::UnaryFunction;
using NetworkValue = network::ValueId;

namespace {

constexpr double kInfinity = std::numeric_limits<double>::infinity();

// max_value bounds it, negative_slope is taken below the threshold.
NetworkValue Relu(const LayerCall& call) {
  const double slope = call.Number("negative_slope", 0), threshold = call.Number("threshold", 0);
  const Json* bound = call.Value("max_value");
  const bool bounded = bound != nullptr && bound->is_number();
  if (bound != nullptr && !bounded) return call.Unknown("its max_value is not understood");
  NetworkValue value = call.input();
  if (bounded && slope == 0 && threshold == 0) {
    return call.Add(Unary{UnaryFunction::kClip, 0, bound->get<double>()}, {value});
  }
  if (threshold != 0) {
    value = call.Add(Unary{UnaryFunction::kThresholdedLeaky, threshold, slope}, {value}, "relu");
  } else if (slope != 0) {
    value = call.Add(Unary{UnaryFunction::kLeakyRelu, slope}, {value}, "relu");
  } else {
    value = call.Add(Unary{UnaryFunction::kRelu}, {value}, "relu");
  }
  if (!bounded) return value;
  return call.Add(Unary{UnaryFunction::kClip, -kInfinity, bound->get<double>()}, {value});
}

NetworkValue Prelu(const LayerCall& call) {
  const auto id = call.TensorOf("alpha") ? call.TensorOf("alpha") : call.TensorOf("alphas");
  if (!id) return call.Unknown("the file has no slopes for it");
  const NetworkValue slope = call.Weight(call.TensorOf("alpha") ? "alpha" : "alphas");
  return call.Add(network::Binary{BinaryFunction::kLeakyRelu}, {call.input(), slope});
}

// Keras 2 and 3 call the slope alpha and negative_slope.
double SlopeOf(const LayerCall& call) {
  return call.Number(Find(call.config, "negative_slope") ? "negative_slope" : "alpha", 0.3);
}

NetworkValue Activation(const LayerCall& call) {
  if (call.class_name == "ReLU") return Relu(call);
  if (call.class_name == "PReLU") return Prelu(call);
  if (call.class_name == "LeakyReLU") {
    return call.Add(Unary{UnaryFunction::kLeakyRelu, SlopeOf(call)}, {call.input()});
  }
  if (call.class_name == "ELU") {
    return call.Add(Unary{UnaryFunction::kElu, call.Number("alpha", 1)}, {call.input()});
  }
  if (call.class_name == "ThresholdedReLU") {
    return call.Add(Unary{UnaryFunction::kThresholded, call.Number("theta", 1)}, {call.input()});
  }
  if (call.class_name == "Softmax") {
    return call.Add(network::Softmax{call.Integer("axis").value_or(-1)}, {call.input()});
  }
  if (call.class_name != "Activation") return kNoValue;
  const NetworkValue value = call.Activated(call.input());
  return value == call.input() ? call.Add(Unary{}, {value}) : value;
}

bool IsIdentityAtInference(std::string_view name) {
  static constexpr std::string_view kNames[] = {
      "Dropout",    "GaussianNoise",          "GaussianDropout", "AlphaDropout",
      "Identity",   "ActivityRegularization", "RandomFlip",      "RandomRotation",
      "RandomZoom", "RandomTranslation",      "RandomContrast",  "RandomBrightness"};
  for (const std::string_view known : kNames) {
    if (known == name) return true;
  }
  return false;
}

std::optional<BinaryFunction> MergeOf(std::string_view name) {
  static const std::map<std::string_view, BinaryFunction> kMerges = {
      {"Add", BinaryFunction::kAdd},           {"sum", BinaryFunction::kAdd},
      {"Multiply", BinaryFunction::kMultiply}, {"mul", BinaryFunction::kMultiply},
      {"Average", BinaryFunction::kMean},      {"ave", BinaryFunction::kMean},
      {"Maximum", BinaryFunction::kMaximum},   {"max", BinaryFunction::kMaximum},
      {"Minimum", BinaryFunction::kMinimum},   {"Subtract", BinaryFunction::kSubtract}};
  const auto found = kMerges.find(name);
  return found == kMerges.end() ? std::nullopt : std::optional(found->second);
}

// Operands of different ranks are aligned by Keras in a way of its own.
bool HaveOneRank(const LayerCall& call) {
  for (const NetworkValue input : call.inputs) {
    const auto rank = call.builder.RankOf(input);
    if (!rank || rank != call.builder.RankOf(call.input())) return false;
  }
  return true;
}

NetworkValue Merge(const LayerCall& call) {
  const bool keras1 = call.class_name == "Merge";
  const std::string mode = keras1 ? call.Text("mode").value_or("") : call.class_name;
  if (mode == "Concatenate" || mode == "concat") {
    if (call.inputs.size() < 2) return call.Unknown("it is called with one tensor");
    const auto axis = call.Integer(keras1 ? "concat_axis" : "axis");
    return call.Add(network::Concatenate{axis.value_or(-1)}, call.inputs);
  }
  const auto function = MergeOf(mode);
  if (!function) return keras1 ? call.Unknown("its mode is not translated") : kNoValue;
  if (call.inputs.size() < 2) return call.Unknown("it is called with one tensor");
  if (!HaveOneRank(call)) return call.Unknown("the ranks of what it merges are not known to agree");
  return call.Add(network::Binary{*function}, call.inputs);
}

}  // namespace

NetworkValue TranslateElementwise(const LayerCall& call) {
  if (IsIdentityAtInference(call.class_name)) return call.Add(Unary{}, {call.input()});
  const NetworkValue activation = Activation(call);
  return activation == kNoValue ? Merge(call) : activation;
}

}  // namespace ckpt::formats::keras
