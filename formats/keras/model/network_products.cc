// Convolutions and products of Keras.
//
// Sources: keras/layers/convolutional and keras/backend (deconv_output_length) of Keras 1 to 3.
#include <algorithm>
#include <utility>

#include "formats/keras/model/layer_call.h"

namespace ckpt::formats::keras {

using network::kNoValue;
using network::Sizes;
using NetworkValue = network::ValueId;

namespace {

class Convolving {
 public:
  Convolving(const LayerCall& call, SpatialClass spatial)
      : call_(call), axes_(spatial.axes), stem_(std::move(spatial.stem)) {}

  NetworkValue Translate() {
    const auto axis = call_.ChannelAxis();
    if (!axis) return call_.Unknown("its data format is not known");
    axis_ = *axis;
    if (!ReadSteps()) return call_.Unknown("its strides or dilations are not understood");
    const bool known = stem_ == "Conv" || stem_ == "Convolution" || stem_ == "AtrousConv" ||
                       stem_ == "AtrousConvolution" || IsTransposed() || IsDepthwise() ||
                       IsSeparable();
    if (!known) return kNoValue;
    if (Backend().empty() && call_.layer.layout == KernelLayout::kOutInSpatial) {
      return call_.Unknown(
          "the file does not say whether its backend, Theano, turns kernels round");
    }
    if (call_.TensorOf("kernel") == std::nullopt)
      return call_.Unknown("the file has no kernel for it");
    if (IsTransposed()) return call_.Activated(Transposed());
    const NetworkValue made = Plain();
    return made == kNoValue ? call_.Unknown("its padding is not understood")
                            : call_.Activated(made);
  }

 private:
  bool IsTransposed() const {
    return stem_ == "ConvTranspose" || stem_ == "Deconv" || stem_ == "Deconvolution";
  }
  bool IsDepthwise() const { return stem_ == "DepthwiseConv" || stem_ == "DepthwiseConvolution"; }
  bool IsSeparable() const { return stem_ == "SeparableConv" || stem_ == "SeparableConvolution"; }

  // Keras 1 calls the strides "subsample" and has one length for one axis.
  bool ReadSteps() {
    const auto read = [&](std::initializer_list<std::string_view> keys, Sizes& into) {
      for (const std::string_view key : keys) {
        const Json* value = Find(call_.config, key);
        if (!value || value->is_null()) continue;
        into = call_.Integers(key, axes_);
        return !into.empty();
      }
      return true;
    };
    return read({"strides", "subsample", "subsample_length"}, stride_) &&
           read({"dilation_rate", "atrous_rate"}, dilation_);
  }

  // A kernel in its layout; no value where its axes are others.
  struct Kernel {
    NetworkValue value = kNoValue;
    Sizes sizes = {};  // spatial
  };
  Kernel KernelOf(std::string_view name, KernelLayout layout) const {
    const auto id = call_.TensorOf(name);
    if (!id) return {};
    Sizes shape = call_.ShapeOf(*id);
    const bool first =
        layout == KernelLayout::kOutInSpatial || layout == KernelLayout::kInOutSpatial;
    const std::size_t spatial = first ? 2 : 0;
    // Convolution1D of Keras 1 stores a second spatial axis, of size 1.
    const bool wide = shape.size() == 4 && axes_ == 1 && shape[spatial + 1] == 1;
    if (wide) shape.erase(shape.begin() + static_cast<std::ptrdiff_t>(spatial + 1));
    if (shape.size() != axes_ + 2) return {};
    const auto begin = shape.begin() + static_cast<std::ptrdiff_t>(spatial);
    Sizes sizes(begin, begin + static_cast<std::ptrdiff_t>(axes_));
    if (!wide) return {call_.Weight(name), std::move(sizes)};
    const std::string& stored = call_.manifest.tensors[id->index].name;
    return {call_.builder.AddStored(stored, {*id, shape, {}}, shape), std::move(sizes)};
  }

  std::optional<network::Padding> PaddingFor(const Sizes& kernel) const {
    std::optional<std::string> text = call_.Text("padding");
    if (!text) text = call_.Text("border_mode");
    if (!text || *text == "valid") return network::Padding{};
    if (*text == "same") return network::Padding{network::PaddingRule::kSameUpper, {}, {}};
    if (*text == "causal" && axes_ == 1 && kernel.size() == 1) {
      const std::int64_t dilation = dilation_.empty() ? 1 : dilation_[0];
      return network::Padding{network::PaddingRule::kExplicit, {(kernel[0] - 1) * dilation}, {0}};
    }
    return std::nullopt;
  }

  // Theano turns kernels round; the file says which backend made it.
  bool IsFlipped() const { return Backend() == "theano"; }
  std::string Backend() const {
    const auto found = call_.manifest.metadata.find("backend");
    return found == call_.manifest.metadata.end() ? std::string() : found->second;
  }

  NetworkValue Plain() {
    if (IsSeparable()) return Separable();
    network::Convolution convolution;
    convolution.layout = IsDepthwise() ? KernelLayout::kSpatialInMultiplier : call_.layer.layout;
    const Kernel kernel = KernelOf("kernel", convolution.layout);
    if (kernel.value == kNoValue) return call_.Unknown("its kernel has other axes");
    const auto padding = PaddingFor(kernel.sizes);
    if (!padding) return kNoValue;
    convolution.stride = stride_;
    convolution.dilation = dilation_;
    convolution.padding = *padding;
    convolution.groups = call_.layer.groups;
    convolution.channel_axis = axis_;
    convolution.flipped = IsFlipped();
    return call_.Add(convolution, {call_.input(), kernel.value, call_.Weight("bias")});
  }

  // A depthwise convolution, which has the strides, and a pointwise one.
  NetworkValue Separable() {
    const Kernel kernel = KernelOf("depthwise_kernel", KernelLayout::kSpatialInMultiplier);
    const auto padding = PaddingFor(kernel.sizes);
    if (kernel.value == kNoValue || !padding) return kNoValue;
    network::Convolution depthwise;
    depthwise.layout = KernelLayout::kSpatialInMultiplier;
    depthwise.stride = stride_;
    depthwise.dilation = dilation_;
    depthwise.padding = *padding;
    depthwise.channel_axis = axis_;
    const NetworkValue between = call_.Add(depthwise, {call_.input(), kernel.value}, "depthwise");
    network::Convolution pointwise;
    pointwise.layout = KernelLayout::kSpatialInOut;
    pointwise.channel_axis = axis_;
    return call_.Add(pointwise, {between, call_.Weight("kernel"), call_.Weight("bias")});
  }

  // Lengths of y: i s for "same", i s + max(k - s, 0) for "valid"; with output_padding p, of
  // padding h: (i - 1) s + k - 2 h + p. What is cut off before is half of all, rounded down.
  NetworkValue Transposed() {
    network::TransposedConvolution convolution;
    convolution.layout = call_.layer.layout;
    convolution.stride = stride_;
    convolution.dilation = dilation_;
    convolution.channel_axis = axis_;
    convolution.flipped = IsFlipped();
    const Kernel kernel = KernelOf("kernel", convolution.layout);
    if (kernel.value == kNoValue) return call_.Unknown("its kernel has other axes");
    const bool keras1 = call_.keras_major() == 1;
    if (keras1 && IsFlipped()) return call_.Unknown("what Theano makes of it is not translated");
    if (keras1 ? !SetGivenLengths(convolution) : !SetLengths(convolution, kernel.sizes)) {
      return call_.Unknown("its padding, or the shape that it is given, is not understood");
    }
    return call_.Add(convolution, {call_.input(), kernel.value, call_.Weight("bias")});
  }

  // Keras 1 records the shape of the output, with the examples first.
  bool SetGivenLengths(network::TransposedConvolution& convolution) const {
    const Json* shape = Find(call_.config, "output_shape");
    const auto padding = PaddingFor({});
    if (!shape || !shape->is_array() || shape->size() != axes_ + 2 || !padding) return false;
    for (std::size_t i = 0; i < axes_; ++i) {
      const Json& size = (*shape)[i + (axis_ == 1 ? 2 : 1)];
      if (!size.is_number_integer() || size.get<std::int64_t>() < 1) return false;
      convolution.given.push_back(size.get<std::int64_t>());
    }
    convolution.length = network::TransposedConvolution::Length::kGiven;
    convolution.padding = *padding;
    return true;
  }

  bool SetLengths(network::TransposedConvolution& convolution, const Sizes& kernel) const {
    const std::string padding =
        call_.Text("padding").value_or(call_.Text("border_mode").value_or("valid"));
    if (padding != "same" && padding != "valid") return false;
    const Json* given = Find(call_.config, "output_padding");
    const bool has_output_padding = given != nullptr && !given->is_null();
    if (!has_output_padding && padding == "same") {
      convolution.length = network::TransposedConvolution::Length::kTimesStride;
      return true;
    }
    const Sizes more =
        has_output_padding ? call_.Integers("output_padding", axes_) : Sizes(axes_, 0);
    if (more.size() != axes_) return false;
    for (std::size_t i = 0; i < axes_; ++i) {
      const std::int64_t stride = stride_.empty() ? 1 : stride_[i];
      const std::int64_t reach = (kernel[i] - 1) * (dilation_.empty() ? 1 : dilation_[i]) + 1;
      std::int64_t cut = 0;
      if (has_output_padding) {
        cut = (padding == "same" ? 2 * (reach / 2) : 0) - more[i];
      } else {
        cut = -std::max<std::int64_t>(stride - reach, 0);
      }
      convolution.padding.before.push_back(std::max<std::int64_t>(cut, 0) / 2);
      convolution.padding.after.push_back(std::max<std::int64_t>(cut, 0) -
                                          std::max<std::int64_t>(cut, 0) / 2);
      convolution.more.push_back(std::max<std::int64_t>(-cut, 0));
    }
    return true;
  }

  const LayerCall& call_;
  std::size_t axes_;
  std::string stem_;
  std::int64_t axis_ = -1;
  Sizes stride_, dilation_;
};

NetworkValue Dense(const LayerCall& call) {
  const NetworkValue kernel = call.Weight("kernel");
  if (kernel == kNoValue) return call.Unknown("the file has no kernel for it");
  NetworkValue value = call.Add(network::MatrixProduct{}, {call.input(), kernel}, "product");
  const NetworkValue bias = call.Weight("bias");
  if (bias != kNoValue) {
    value = call.Add(network::Binary{network::BinaryFunction::kAdd}, {value, bias}, "bias");
  }
  return call.Activated(value);
}

NetworkValue EinsumDense(const LayerCall& call) {
  const auto equation = call.Text("equation");
  const NetworkValue kernel = call.Weight("kernel");
  if (!equation || kernel == kNoValue) return call.Unknown("its equation or kernel is absent");
  NetworkValue value = call.Add(network::Einsum{*equation}, {call.input(), kernel}, "product");
  // The bias is stored in the shape that broadcasts.
  const NetworkValue bias = call.Weight("bias");
  if (call.Value("bias_axes") && bias == kNoValue)
    return call.Unknown("the file has no bias for it");
  if (bias != kNoValue) {
    value = call.Add(network::Binary{network::BinaryFunction::kAdd}, {value, bias}, "bias");
  }
  return call.Activated(value);
}

NetworkValue Embedding(const LayerCall& call) {
  const NetworkValue table = call.Weight("embeddings");
  if (table == kNoValue) return call.Unknown("the file has no table for it");
  if (call.Flag("mask_zero", false)) return call.Unknown("it masks what lies behind it");
  return call.Add(network::Gather{0, 0}, {table, call.input()});
}

}  // namespace

NetworkValue TranslateProducts(const LayerCall& call) {
  if (call.class_name == "Dense" || call.class_name == "TimeDistributedDense") return Dense(call);
  if (call.class_name == "EinsumDense") return EinsumDense(call);
  if (call.class_name == "Embedding") return Embedding(call);
  SpatialClass spatial = SpatialClassOf(call.class_name);
  if (spatial.axes == 0) return kNoValue;
  return Convolving(call, std::move(spatial)).Translate();
}

}  // namespace ckpt::formats::keras
