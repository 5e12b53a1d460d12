#include "formats/keras/model/layer_classes.h"

#include <initializer_list>
#include <string>
#include <utility>

#include "ckpt/layer_computation.h"
#include "formats/keras/model/batch_norm_config.h"
#include "formats/keras/model/config_attributes.h"
#include "formats/keras/model/spatial_amounts.h"

namespace ckpt::formats::keras {
namespace {

using network::Pool;
using network::Reduction;

// Fills the facts of one layer: a class is one member function, see the tables behind it.
class ClassDescriber {
 public:
  ClassDescriber(std::string_view class_name, const Json& config, int keras_major, std::size_t axes,
                 LayerFacts& facts)
      : class_name_(class_name),
        config_(config),
        attributes_(config),
        keras_major_(keras_major),
        axes_(axes),
        facts_(facts) {}

  void Input() {
    layer().is_input = true;
    facts_.weights.emplace();
  }
  void Identity() { Compute(network::Unary{}); }

  // What it does behind the identity is its activation.
  void Activation() {
    layer().computation = network::Unary{};
    layer().activation = ActivationOfClass();
    if (class_name_ != "PReLU") facts_.weights.emplace();
  }

  void Addition() { Compute(network::Binary{network::BinaryFunction::kAdd}); }
  void Concatenation() {
    JoinAlong(attributes_.Has("axis") ? attributes_.Integer("axis")
                                      : std::optional<std::int64_t>(-1));
  }
  // Keras 1: several layers in one.
  void Merge() {
    const std::string mode = attributes_.Text("mode").value_or("");
    if (mode == "sum") Addition();
    if (mode == "concat") JoinAlong(attributes_.Integer("concat_axis"));
    if (IsUnknown(layer())) facts_.weights.reset();
  }

  // With channels first, Keras moves the channels to the end before it flattens.
  void Flatten() {
    const auto axis = attributes_.ChannelAxis();
    if (axis == 1) layer().axis = 1;
    facts_.weights.emplace();
    if (axis) layer().computation = network::MergeAxes{1, -1};
  }
  void Reshape() {
    network::Reshape reshape;
    reshape.of_example = true;
    const Json* target = Find(config_, attributes_.Has("target_shape") ? "target_shape" : "dims");
    for (const Json& size : target && target->is_array() ? *target : Json::array()) {
      reshape.shape.push_back(size.is_number_integer() ? size.get<std::int64_t>()
                                                       : network::Reshape::kRest);
    }
    Compute(std::move(reshape));
  }

  void Dense() {
    layer().computation = network::MatrixProduct{};
    layer().has_kernel = true;
    layer().axis = -1;
    layer().activation = attributes_.Activation();
    AddWeights({"kernel"});
    RefuseAdaptedWeights();
  }
  void Convolution() {
    network::Convolution convolution = Window<network::Convolution>(Layout());
    convolution.padding = attributes_.Padding();
    Convolve(std::move(convolution), {"kernel"});
  }
  void Depthwise() {
    auto convolution = Window<network::Convolution>(KernelLayout::kSpatialInMultiplier);
    convolution.padding = attributes_.Padding();
    facts_.kernel_name = "depthwise_kernel";
    Convolve(std::move(convolution), {"kernel"});
  }
  // The strides are those of the depthwise part.
  void Separable() {
    auto depthwise = Window<network::Convolution>(KernelLayout::kSpatialInMultiplier);
    depthwise.padding = attributes_.Padding();
    network::Convolution pointwise;
    pointwise.layout = Layout();
    pointwise.groups = depthwise.groups;
    pointwise.channel_axis = depthwise.channel_axis;
    layer().depthwise_first = std::move(depthwise);
    facts_.kernel_name = "pointwise_kernel";
    Convolve(std::move(pointwise), {"depthwise_kernel", "kernel"});
  }
  void Transposed() {
    const bool in_out = keras_major_ == 1;
    auto convolution =
        Window<network::TransposedConvolution>(in_out ? Layout() : KernelLayout::kSpatialOutIn);
    if (attributes_.Padding().rule != network::PaddingRule::kExplicit) {
      convolution.length = network::TransposedConvolution::Length::kTimesStride;
    }
    Convolve(std::move(convolution), {"kernel"});
  }

  void MaxPool() { PoolWindows(Pool::Kind::kMaximum); }
  void AveragePool() { PoolWindows(Pool::Kind::kAverage); }
  void GlobalMaxPool() { PoolAll(Reduction::Kind::kMaximum); }
  void GlobalAveragePool() { PoolAll(Reduction::Kind::kMean); }
  void ZeroPad() {
    network::Pad pad;
    const auto axis = SpatialAxis();
    if (!axis || !ReadAmounts(Find(config_, "padding"), axes_, pad.before, pad.after)) return;
    pad.axes = SpatialAxes(axes_, *axis);
    layer().computation = std::move(pad);
  }
  // Where in an element's neighbourhood it is taken is not said here: weights sum to one.
  void Upsample() {
    network::Resize resize;
    const std::string mode = attributes_.Text("interpolation").value_or("nearest");
    const auto axis = SpatialAxis();
    const network::Sizes factors = attributes_.PerAxis({"size", "length"}, axes_);
    if (!axis || (mode != "nearest" && mode != "bilinear")) return;
    if (mode == "bilinear") resize.mode = network::Resize::Mode::kLinear;
    resize.axes = SpatialAxes(axes_, *axis);
    resize.scales.assign(axes_, 2);
    if (!factors.empty()) resize.scales.assign(factors.begin(), factors.end());
    layer().computation = std::move(resize);
  }

  void BatchNorm() { DescribeBatchNorm(config_, facts_); }

 private:
  Layer& layer() { return facts_.layer; }

  // Without weights.
  void Compute(network::Computation computation) {
    layer().computation = std::move(computation);
    facts_.weights.emplace();
  }

  std::string ActivationOfClass() const {
    if (class_name_ == "Activation") return attributes_.Activation();
    if (class_name_ == "ReLU") return attributes_.Relu();
    if (class_name_ == "LeakyReLU") return "leaky_relu";
    if (class_name_ == "PReLU") return "prelu";
    if (class_name_ == "ELU") return "elu";
    if (class_name_ == "Softmax") return "softmax";
    return "thresholded_relu";
  }

  void JoinAlong(std::optional<std::int64_t> axis) {
    layer().axis = axis;
    facts_.weights.emplace();
    if (axis) layer().computation = network::Concatenate{*axis};
  }

  // Keras 1 stores kernels as its backend computes with them.
  KernelLayout Layout() const {
    return keras_major_ == 1 && attributes_.ChannelAxis() == 1 ? KernelLayout::kOutInSpatial
                                                               : KernelLayout::kSpatialInOut;
  }

  template <class T>
  T Window(KernelLayout layout) const {
    T convolution;
    convolution.layout = layout;
    convolution.stride = attributes_.PerAxis({"strides", "subsample", "subsample_length"}, axes_);
    convolution.dilation = attributes_.PerAxis({"dilation_rate", "atrous_rate"}, axes_);
    if (attributes_.Has("groups")) convolution.groups = attributes_.Integer("groups").value_or(0);
    convolution.channel_axis = attributes_.ChannelAxis().value_or(-1);
    return convolution;
  }

  template <class T>
  void Convolve(T convolution, std::initializer_list<std::string_view> kernels) {
    layer().axis = attributes_.ChannelAxis();
    layer().activation = attributes_.Activation();
    layer().layout = convolution.layout;
    layer().groups = convolution.groups;
    layer().has_kernel = true;
    layer().computation = std::move(convolution);
    facts_.filters = attributes_.Integer(attributes_.Has("filters") ? "filters" : "nb_filter");
    if (axes_ == 1 && keras_major_ == 1) {
      facts_.kernel_length = attributes_.Integer("filter_length");
    }
    AddWeights(kernels);
    if (!layer().axis || layer().groups < 1) BeNotUnderstood(layer());
    RefuseAdaptedWeights();
  }

  void AddWeights(std::initializer_list<std::string_view> kernels) {
    facts_.weights.emplace();
    for (const std::string_view name : kernels) facts_.weights->push_back({std::string(name)});
    const bool old = keras_major_ == 1 && !attributes_.Has("use_bias");
    if (attributes_.Flag(old ? "bias" : "use_bias", true)) facts_.weights->push_back({"bias"});
    layer().can_gain_bias = true;
  }

  // Weights that a low-rank adapter or quantization adds make the layer another one.
  void RefuseAdaptedWeights() {
    const Json* dtype = Find(config_, "dtype");
    const std::string policy =
        dtype ? ConfigAttributes(*dtype).Text("class_name").value_or("") : "";
    const bool quantized = policy.find("Quantized") != std::string::npos;
    if (!attributes_.IsSet("lora_rank") && !quantized) return;
    BeNotUnderstood(layer());
    layer().can_gain_bias = false;
    facts_.weights.reset();
  }

  // Absent: the config names another format, and the layer is not understood.
  std::optional<std::int64_t> SpatialAxis() {
    facts_.weights.emplace();
    return layer().axis = attributes_.ChannelAxis();
  }

  // Padding never counts in the averages of Keras, so that weights always sum to one.
  void PoolWindows(Pool::Kind kind) {
    const auto axis = SpatialAxis();
    if (!axis) return;
    Pool pool;
    pool.kind = kind;
    pool.size = attributes_.PerAxis({"pool_size", "pool_length"}, axes_);
    if (pool.size.empty()) pool.size.assign(axes_, 2);
    pool.stride = attributes_.PerAxis({"strides", "stride"}, axes_);
    if (pool.stride.empty()) pool.stride = pool.size;
    pool.padding = attributes_.Padding();
    pool.channel_axis = *axis;
    layer().computation = std::move(pool);
  }

  void PoolAll(Reduction::Kind kind) {
    const auto axis = SpatialAxis();
    if (!axis) return;
    Reduction reduction;
    reduction.kind = kind;
    reduction.axes = {network::Axes::Which::kSpatial, {}, *axis};
    reduction.keep = attributes_.Flag("keepdims", false);
    layer().computation = std::move(reduction);
  }

  std::string_view class_name_;
  const Json& config_;
  const ConfigAttributes attributes_;
  int keras_major_;
  std::size_t axes_;  // spatial
  LayerFacts& facts_;
};

using Describe = void (ClassDescriber::*)();
struct ClassRow {
  std::string_view name;
  Describe describe;
};

// Without what ForSpatialAxes() finds, which is the same class in one to three dimensions.
constexpr ClassRow kClasses[] = {
    {"InputLayer", &ClassDescriber::Input},
    {"Dense", &ClassDescriber::Dense},
    {"TimeDistributedDense", &ClassDescriber::Dense},  // Keras 1
    {"BatchNormalization", &ClassDescriber::BatchNorm},
    {"BatchNormalizationV1", &ClassDescriber::BatchNorm},
    {"BatchNormalizationV2", &ClassDescriber::BatchNorm},
    {"BatchNormV1", &ClassDescriber::BatchNorm},
    {"SyncBatchNormalization", &ClassDescriber::BatchNorm},
    {"FusedBatchNorm", &ClassDescriber::BatchNorm},
    {"Activation", &ClassDescriber::Activation},
    {"ReLU", &ClassDescriber::Activation},
    {"LeakyReLU", &ClassDescriber::Activation},
    {"PReLU", &ClassDescriber::Activation},
    {"ELU", &ClassDescriber::Activation},
    {"Softmax", &ClassDescriber::Activation},
    {"ThresholdedReLU", &ClassDescriber::Activation},
    {"Dropout", &ClassDescriber::Identity},
    {"GaussianNoise", &ClassDescriber::Identity},
    {"GaussianDropout", &ClassDescriber::Identity},
    {"AlphaDropout", &ClassDescriber::Identity},
    {"ActivityRegularization", &ClassDescriber::Identity},
    {"Identity", &ClassDescriber::Identity},
    {"Flatten", &ClassDescriber::Flatten},
    {"Reshape", &ClassDescriber::Reshape},
    {"Add", &ClassDescriber::Addition},
    {"Concatenate", &ClassDescriber::Concatenation},
    {"Merge", &ClassDescriber::Merge},
};

constexpr ClassRow kSpatialClasses[] = {
    {"Conv", &ClassDescriber::Convolution},
    {"Convolution", &ClassDescriber::Convolution},
    {"AtrousConv", &ClassDescriber::Convolution},
    {"AtrousConvolution", &ClassDescriber::Convolution},
    {"DepthwiseConv", &ClassDescriber::Depthwise},
    {"DepthwiseConvolution", &ClassDescriber::Depthwise},
    {"SeparableConv", &ClassDescriber::Separable},
    {"SeparableConvolution", &ClassDescriber::Separable},
    {"Deconv", &ClassDescriber::Transposed},
    {"Deconvolution", &ClassDescriber::Transposed},
    {"MaxPool", &ClassDescriber::MaxPool},
    {"MaxPooling", &ClassDescriber::MaxPool},
    {"AvgPool", &ClassDescriber::AveragePool},
    {"AveragePooling", &ClassDescriber::AveragePool},
    {"GlobalMaxPool", &ClassDescriber::GlobalMaxPool},
    {"GlobalMaxPooling", &ClassDescriber::GlobalMaxPool},
    {"GlobalAvgPool", &ClassDescriber::GlobalAveragePool},
    {"GlobalAveragePooling", &ClassDescriber::GlobalAveragePool},
    {"ZeroPadding", &ClassDescriber::ZeroPad},
    {"UpSampling", &ClassDescriber::Upsample},
    {"SpatialDropout", &ClassDescriber::Identity},
};

struct FoundClass {
  Describe describe = nullptr;
  int spatial_axes = 0;
};

// "Conv2DTranspose" -> {Transposed, 2}, "MaxPooling1D" -> {MaxPool, 1}
FoundClass ForSpatialAxes(std::string_view name) {
  std::string_view stem = name;
  const bool transposed = stem.ends_with("Transpose");
  if (transposed) stem.remove_suffix(std::string_view("Transpose").size());
  if (stem.size() < 3 || stem.back() != 'D') return {};
  const int axes = stem[stem.size() - 2] - '0';
  if (axes < 1 || axes > 3) return {};
  stem.remove_suffix(2);
  for (const ClassRow& row : kSpatialClasses) {
    if (row.name != stem) continue;
    if (!transposed) return {row.describe, axes};
    if (row.describe != &ClassDescriber::Convolution) return {};
    return {&ClassDescriber::Transposed, axes};
  }
  return {};
}

FoundClass FindClass(std::string_view name) {
  for (const ClassRow& row : kClasses) {
    if (row.name == name) return {row.describe, 0};
  }
  return ForSpatialAxes(name);
}

}  // namespace

bool DescribeClass(std::string_view class_name, const Json& config, int keras_major,
                   LayerFacts& facts) {
  const FoundClass found = FindClass(class_name);
  if (found.describe == nullptr) return false;
  facts.spatial_axes = found.spatial_axes;
  ClassDescriber describer(class_name, config, keras_major,
                           static_cast<std::size_t>(found.spatial_axes), facts);
  (describer.*found.describe)();
  return true;
}

}  // namespace ckpt::formats::keras
