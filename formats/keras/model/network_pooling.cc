// Pooling, padding, cropping and upsampling of Keras.
#include <utility>

#include "formats/keras/model/layer_call.h"
#include "formats/keras/model/spatial_amounts.h"

namespace ckpt::formats::keras {

using network::kNoValue;
using network::Sizes;
using NetworkValue = network::ValueId;

namespace {

NetworkValue Pooled(const LayerCall& call, std::size_t axes, bool maximum,
                    std::int64_t channel_axis) {
  network::Pool pool;
  pool.kind = maximum ? network::Pool::Kind::kMaximum : network::Pool::Kind::kAverage;
  pool.size = call.Integers(Find(call.config, "pool_size") ? "pool_size" : "pool_length", axes);
  if (pool.size.empty()) pool.size.assign(axes, 2);
  pool.stride = call.Integers(Find(call.config, "strides") ? "strides" : "stride", axes);
  if (pool.stride.empty()) pool.stride = pool.size;
  pool.channel_axis = channel_axis;
  const std::string padding =
      call.Text("padding").value_or(call.Text("border_mode").value_or("valid"));
  if (padding == "same") {
    pool.padding.rule = network::PaddingRule::kSameUpper;
  } else if (padding != "valid") {
    return call.Unknown("its padding is not understood");
  }
  return call.Add(pool, {call.input()});
}

NetworkValue GloballyPooled(const LayerCall& call, bool maximum, std::int64_t channel_axis) {
  network::Reduction reduction;
  reduction.kind = maximum ? network::Reduction::Kind::kMaximum : network::Reduction::Kind::kMean;
  reduction.axes = {network::Axes::Which::kSpatial, {}, channel_axis};
  reduction.keep = call.Flag("keepdims", false);
  return call.Add(reduction, {call.input()});
}

NetworkValue Padded(const LayerCall& call, std::size_t axes, std::int64_t channel_axis) {
  network::Pad pad;
  const Json* amounts = Find(call.config, "padding");
  if (amounts != nullptr && amounts->is_object())
    return call.Unknown("its padding is not understood");
  if (!ReadAmounts(amounts, axes, pad.before, pad.after)) {
    return call.Unknown("its padding is not understood");
  }
  pad.axes = SpatialAxes(axes, channel_axis);
  return call.Add(pad, {call.input()});
}

NetworkValue Cropped(const LayerCall& call, std::size_t axes, std::int64_t channel_axis) {
  Sizes before, after;
  if (!ReadAmounts(Find(call.config, "cropping"), axes, before, after)) {
    return call.Unknown("its cropping is not understood");
  }
  network::Slice slice;
  slice.axes = SpatialAxes(axes, channel_axis);
  slice.begin = before;
  for (const std::int64_t amount : after) {
    slice.end.push_back(amount == 0 ? network::Slice::kToEnd : -amount);
  }
  return call.Add(slice, {call.input()});
}

// TensorFlow 1 resized without half pixels; Keras up to 2.2 (2.2.4-tf, too) may have run on it.
bool IsBeforeHalfPixels(std::string_view version) {
  return version.empty() || version.starts_with("1.") || version.starts_with("2.0") ||
         version.starts_with("2.1.") || version.starts_with("2.2.");
}

NetworkValue Upsampled(const LayerCall& call, std::size_t axes, std::int64_t channel_axis) {
  const std::string mode = call.Text("interpolation").value_or("nearest");
  network::Resize resize;
  const Sizes factors = call.Integers(Find(call.config, "size") ? "size" : "length", axes);
  if (factors.empty()) return call.Unknown("its size is not understood");
  resize.scales.assign(factors.begin(), factors.end());
  resize.axes = SpatialAxes(axes, channel_axis);
  if (mode == "nearest") {
    resize.place = network::Resize::Place::kAsymmetric;
  } else if (mode == "bilinear" && !IsBeforeHalfPixels(call.keras_version)) {
    resize.mode = network::Resize::Mode::kLinear;
  } else {
    return call.Unknown("its interpolation " + mode + " is not translated");
  }
  return call.Add(resize, {call.input()});
}

NetworkValue Resized(const LayerCall& call) {
  const auto height = call.Integer("height"), width = call.Integer("width");
  const auto axis = call.ChannelAxis();
  if (!height || !width || !axis) return call.Unknown("its size or data format is not known");
  if (call.builder.RankOf(call.input()) != 4) return call.Unknown("it resizes no batch of images");
  for (const char* key : {"crop_to_aspect_ratio", "pad_to_aspect_ratio", "antialias"}) {
    if (call.Flag(key, false))
      return call.Unknown(std::string("its ") + key + " is not translated");
  }
  const auto resize = ResizeOf(call.Text("interpolation").value_or("bilinear"));
  if (!resize) return call.Unknown("its interpolation is not translated");
  network::Resize resized = *resize;
  resized.sizes = {*height, *width};
  resized.axes = SpatialAxes(2, *axis);
  return call.Add(resized, {call.input()});
}

}  // namespace

std::optional<network::Resize> ResizeOf(std::string_view interpolation) {
  network::Resize resize;
  if (interpolation == "nearest") {
    resize.place = network::Resize::Place::kHalfPixelNearest;
  } else if (interpolation == "bilinear") {
    resize.mode = network::Resize::Mode::kLinear;
  } else {
    return std::nullopt;
  }
  return resize;
}

NetworkValue TranslatePooling(const LayerCall& call) {
  if (call.class_name == "Resizing") return Resized(call);
  const auto [stem, axes] = SpatialClassOf(call.class_name);
  if (axes == 0) return kNoValue;
  const auto axis = call.ChannelAxis();
  const bool global = stem.starts_with("Global");
  const std::string kind = global ? stem.substr(6) : stem;
  const bool maximum = kind == "MaxPool" || kind == "MaxPooling";
  const bool pools = maximum || kind == "AvgPool" || kind == "AveragePooling";
  const bool mine = pools || stem == "ZeroPadding" || stem == "Cropping" || stem == "UpSampling" ||
                    stem == "SpatialDropout";
  if (!mine) return kNoValue;
  if (!axis) return call.Unknown("its data format is not known");
  if (stem == "SpatialDropout") return call.Add(network::Unary{}, {call.input()});
  if (pools)
    return global ? GloballyPooled(call, maximum, *axis) : Pooled(call, axes, maximum, *axis);
  if (stem == "ZeroPadding") return Padded(call, axes, *axis);
  if (stem == "Cropping") return Cropped(call, axes, *axis);
  return Upsampled(call, axes, *axis);
}

}  // namespace ckpt::formats::keras
