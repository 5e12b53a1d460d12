// Norms and scalings of Keras.
#include <cmath>
#include <utility>

#include "ckpt/layer_computation.h"
#include "formats/keras/model/layer_call.h"

namespace ckpt::formats::keras {

using network::BinaryFunction;
using network::kNoValue;
using network::Sizes;
using network::UnaryFunction;
using NetworkValue = network::ValueId;

namespace {

NetworkValue BatchNorm(const LayerCall& call) {
  const Layer& layer = call.layer;
  if (!layer.not_affine.empty()) return call.Unknown(layer.not_affine);
  if (!layer.axis || !layer.epsilon) return call.Unknown("its axis or epsilon is not known");
  network::BatchNormalization norm;
  norm.axis = *layer.axis;
  norm.epsilon = *layer.epsilon;
  norm.momentum = layer.momentum;
  norm.of_batch = !layer.training_mode.empty() && !layer.training_mode_overridden;
  const NetworkValue gamma = call.Weight("gamma"), beta = call.Weight("beta");
  const NetworkValue mean = call.Weight("moving_mean"), variance = call.Weight("moving_variance");
  if (mean == kNoValue || variance == kNoValue || (layer.has_scale && gamma == kNoValue) ||
      (layer.has_center && beta == kNoValue)) {
    return call.Unknown("the file lacks a tensor of it");
  }
  return call.Add(norm, {call.input(), gamma, beta, mean, variance});
}

NetworkValue LayerNorm(const LayerCall& call) {
  network::LayerNormalization norm;
  norm.epsilon = call.Number("epsilon", call.class_name == "RMSNormalization" ? 1e-6 : 1e-3);
  norm.root_mean_square = call.class_name == "RMSNormalization";
  if (call.Flag("rms_scaling", false)) return call.Unknown("its rms_scaling is not translated");
  norm.axes = call.ListOrInteger("axis").value_or(Sizes{-1});
  const bool scaled = call.Flag("scale", true), centered = call.Flag("center", true);
  // Within a TimeDistributed a .keras file only numbers them.
  const NetworkValue scale =
      scaled ? call.WeightWithin({}, norm.root_mean_square ? "scale" : "gamma", 0) : kNoValue;
  const NetworkValue offset = centered ? call.WeightWithin({}, "beta", scaled ? 1 : 0) : kNoValue;
  const bool rms = call.class_name == "RMSNormalization";
  if ((scaled && scale == kNoValue) || (!rms && centered && offset == kNoValue)) {
    return call.Unknown("the file lacks a tensor of it");
  }
  return call.Add(norm, {call.input(), scale, offset});
}

NetworkValue GroupNorm(const LayerCall& call) {
  network::GroupNormalization norm;
  const std::int64_t groups = call.Integer("groups").value_or(32);
  norm.groups = groups == -1 ? 0 : groups;
  norm.channel_axis = call.Integer("axis").value_or(-1);
  norm.epsilon = call.Number("epsilon", 1e-3);
  const NetworkValue gamma = call.Weight("gamma"), beta = call.Weight("beta");
  if ((call.Flag("scale", true) && gamma == kNoValue) ||
      (call.Flag("center", true) && beta == kNoValue)) {
    return call.Unknown("the file lacks a tensor of it");
  }
  return call.Add(norm, {call.input(), gamma, beta});
}

// y = x * scale + offset, each a number or one for each channel.
NetworkValue Rescaling(const LayerCall& call) {
  const auto scale = call.Numbers("scale");
  const auto offset = Find(call.config, "offset") ? call.Numbers("offset") : std::vector{0.0};
  if (!scale || !offset) return call.Unknown("its scale or offset is not understood");
  if (scale->size() == 1 && offset->size() == 1) {
    return call.Add(network::Unary{UnaryFunction::kLinear, (*scale)[0], (*offset)[0]},
                    {call.input()});
  }
  const auto constant = [&](const std::vector<double>& numbers) {
    Sizes shape;
    if (numbers.size() > 1) shape.push_back(static_cast<std::int64_t>(numbers.size()));
    return call.builder.AddInline({shape, numbers});
  };
  const NetworkValue scaled = call.Add(network::Binary{BinaryFunction::kMultiply},
                                       {call.input(), constant(*scale)}, "scaled");
  return call.Add(network::Binary{BinaryFunction::kAdd}, {scaled, constant(*offset)});
}

// (x - mean) / max(sqrt(variance), 1e-7), over the axes but its own.
NetworkValue Normalization(const LayerCall& call) {
  if (call.Flag("invert", false)) return call.Unknown("it is inverted");
  const Sizes axes = call.ListOrInteger("axis").value_or(Sizes{});
  const auto rank = call.builder.RankOf(call.input());
  if (axes.size() != 1 || (axes[0] != -1 && (!rank || axes[0] != *rank - 1))) {
    return call.Unknown("its axis is not the last one");
  }
  NetworkValue mean = kNoValue, variance = kNoValue;
  const auto given_mean = call.Numbers("mean"), given_variance = call.Numbers("variance");
  if (given_mean && given_variance) {
    const auto constant = [&](const std::vector<double>& numbers) {
      return call.builder.AddInline({{static_cast<std::int64_t>(numbers.size())}, numbers});
    };
    mean = constant(*given_mean);
    variance = constant(*given_variance);
  } else {
    mean = call.Weight("mean");
    variance = call.Weight("variance");
  }
  if (mean == kNoValue || variance == kNoValue)
    return call.Unknown("the file lacks a tensor of it");
  const NetworkValue centered =
      call.Add(network::Binary{BinaryFunction::kSubtract}, {call.input(), mean}, "centered");
  const NetworkValue root = call.Add(network::Unary{UnaryFunction::kSqrt}, {variance}, "deviation");
  const NetworkValue floor = call.builder.AddScalar(1e-7);
  const NetworkValue divisor =
      call.Add(network::Binary{BinaryFunction::kMaximum}, {root, floor}, "divisor");
  return call.Add(network::Binary{BinaryFunction::kDivide}, {centered, divisor});
}

NetworkValue UnitNorm(const LayerCall& call) {
  const auto axes = call.ListOrInteger("axis");
  if (!axes) return call.Unknown("its axis is not understood");
  return call.Normalized(call.input(), *axes, 1e-12, {});
}

// Of keras.applications' own ConvNeXt and InceptionResNetV2.
NetworkValue ApplicationsScale(const LayerCall& call) {
  if (call.class_name == "LayerScale") {
    // Its only weight, which has no name in a .keras file.
    if (call.layer.tensors.size() != 1) return call.Unknown("the file lacks a tensor of it");
    const NetworkValue gamma = call.Weight(call.layer.tensors.begin()->first);
    return call.Add(network::Binary{BinaryFunction::kMultiply}, {call.input(), gamma});
  }
  if (call.class_name != "CustomScaleLayer") return kNoValue;
  if (call.inputs.size() != 2) return call.Unknown("it is not called with two tensors");
  const NetworkValue scaled =
      call.Add(network::Unary{UnaryFunction::kLinear, call.Number("scale", 1), 0}, {call.inputs[1]},
               "scaled");
  return call.Add(network::Binary{BinaryFunction::kAdd}, {call.inputs[0], scaled});
}

}  // namespace

NetworkValue TranslateNormalization(const LayerCall& call) {
  if (IsBatchNorm(call.layer)) {
    if (!call.layer.unproved_class.empty()) return call.Unknown(call.layer.unproved_class);
    return BatchNorm(call);
  }
  if (call.class_name == "LayerNormalization" || call.class_name == "RMSNormalization") {
    return LayerNorm(call);
  }
  if (call.class_name == "GroupNormalization") return GroupNorm(call);
  if (call.class_name == "UnitNormalization") return UnitNorm(call);
  if (call.class_name == "Rescaling") return Rescaling(call);
  if (call.class_name == "Normalization") return Normalization(call);
  return ApplicationsScale(call);
}

}  // namespace ckpt::formats::keras
