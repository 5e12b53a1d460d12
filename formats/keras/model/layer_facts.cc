#include "formats/keras/model/layer_facts.h"

#include <algorithm>
#include <array>
#include <cmath>

namespace ckpt::formats::keras {
namespace {

struct ClassRow {
  std::string_view name;
  OpKind kind;
  int spatial_axes = 0;
};

// Without what ForSpatialAxes() finds, which is the same class in one to three dimensions.
constexpr ClassRow kClasses[] = {
    {"InputLayer", OpKind::kInput},
    {"Dense", OpKind::kDense},
    {"TimeDistributedDense", OpKind::kDense},  // Keras 1
    {"BatchNormalization", OpKind::kBatchNorm},
    {"BatchNormalizationV1", OpKind::kBatchNorm},
    {"BatchNormalizationV2", OpKind::kBatchNorm},
    {"BatchNormV1", OpKind::kBatchNorm},
    {"SyncBatchNormalization", OpKind::kBatchNorm},
    {"FusedBatchNorm", OpKind::kBatchNorm},
    {"Activation", OpKind::kActivation},
    {"ReLU", OpKind::kActivation},
    {"LeakyReLU", OpKind::kActivation},
    {"PReLU", OpKind::kActivation},
    {"ELU", OpKind::kActivation},
    {"Softmax", OpKind::kActivation},
    {"ThresholdedReLU", OpKind::kActivation},
    {"Dropout", OpKind::kIdentity},
    {"GaussianNoise", OpKind::kIdentity},
    {"GaussianDropout", OpKind::kIdentity},
    {"AlphaDropout", OpKind::kIdentity},
    {"ActivityRegularization", OpKind::kIdentity},
    {"Identity", OpKind::kIdentity},
    {"Flatten", OpKind::kFlatten},
    {"Reshape", OpKind::kReshape},
    {"Add", OpKind::kAdd},
    {"Concatenate", OpKind::kConcat},
};

constexpr ClassRow kSpatialClasses[] = {
    {"Conv", OpKind::kConv},
    {"Convolution", OpKind::kConv},
    {"AtrousConv", OpKind::kConv},
    {"AtrousConvolution", OpKind::kConv},
    {"DepthwiseConv", OpKind::kDepthwiseConv},
    {"DepthwiseConvolution", OpKind::kDepthwiseConv},
    {"SeparableConv", OpKind::kSeparableConv},
    {"SeparableConvolution", OpKind::kSeparableConv},
    {"Deconv", OpKind::kConvTranspose},
    {"Deconvolution", OpKind::kConvTranspose},
    {"MaxPool", OpKind::kMaxPool},
    {"MaxPooling", OpKind::kMaxPool},
    {"AvgPool", OpKind::kAveragePool},
    {"AveragePooling", OpKind::kAveragePool},
    {"GlobalMaxPool", OpKind::kGlobalMaxPool},
    {"GlobalMaxPooling", OpKind::kGlobalMaxPool},
    {"GlobalAvgPool", OpKind::kGlobalAveragePool},
    {"GlobalAveragePooling", OpKind::kGlobalAveragePool},
    {"ZeroPadding", OpKind::kZeroPad},
    {"UpSampling", OpKind::kUpsample},
    {"SpatialDropout", OpKind::kIdentity},
};

// "Conv2DTranspose" -> {kConvTranspose, 2}, "MaxPooling1D" -> {kMaxPool, 1}
std::optional<ClassRow> ForSpatialAxes(std::string_view name) {
  std::string_view stem = name;
  const bool transposed = stem.ends_with("Transpose");
  if (transposed) stem.remove_suffix(std::string_view("Transpose").size());
  if (stem.size() < 3 || stem.back() != 'D') return std::nullopt;
  const int axes = stem[stem.size() - 2] - '0';
  if (axes < 1 || axes > 3) return std::nullopt;
  stem.remove_suffix(2);
  for (ClassRow row : kSpatialClasses) {
    if (row.name != stem) continue;
    if (transposed && row.kind != OpKind::kConv) return std::nullopt;
    if (transposed) row.kind = OpKind::kConvTranspose;
    row.spatial_axes = axes;
    return row;
  }
  return std::nullopt;
}

constexpr std::string_view kAllTrainable[] = {"Embedding",
                                              "LSTM",
                                              "GRU",
                                              "SimpleRNN",
                                              "LayerNormalization",
                                              "GroupNormalization",
                                              "PReLU",
                                              "MultiHeadAttention",
                                              "Attention",
                                              "AdditiveAttention",
                                              "LocallyConnected1D",
                                              "LocallyConnected2D",
                                              "EinsumDense",
                                              "CuDNNLSTM",
                                              "CuDNNGRU",
                                              "Highway",
                                              "MaxoutDense"};

// Packages under which Keras registers its own classes.
bool IsKerasPackage(std::string_view package) {
  return package == "Keras" || package == "keras" || package == "TensorFlow" ||
         package == "tf_keras";
}

std::optional<std::string> Text(const Json& config, std::string_view key) {
  const Json* value = Find(config, key);
  if (!value || !value->is_string()) return std::nullopt;
  return value->get<std::string>();
}

bool Flag(const Json& config, std::string_view key, bool fallback) {
  const Json* value = Find(config, key);
  return value && value->is_boolean() ? value->get<bool>() : fallback;
}

std::optional<std::int64_t> Integer(const Json* value) {
  constexpr std::int64_t kLargest = std::int64_t{1} << 40;  // far above any dimension
  if (!value || !value->is_number_integer()) return std::nullopt;
  const bool fits = value->is_number_unsigned()
                        ? value->get<std::uint64_t>() <= static_cast<std::uint64_t>(kLargest)
                        : value->get<std::int64_t>() >= -kLargest;
  return fits ? std::optional(value->get<std::int64_t>()) : std::nullopt;
}

std::optional<std::int64_t> Integer(const Json& config, std::string_view key) {
  return Integer(Find(config, key));
}

std::optional<double> Number(const Json& config, std::string_view key) {
  const Json* value = Find(config, key);
  if (!value || !value->is_number()) return std::nullopt;
  return value->get<double>();
}

// A number or a list of numbers, all equal to one; Keras 1 spells it in several ways.
bool IsOne(const Json& config, std::string_view key) {
  const Json* value = Find(config, key);
  if (!value || value->is_null()) return true;
  const auto one = [](const Json& element) { return Integer(&element) == 1; };
  return value->is_array() ? std::all_of(value->begin(), value->end(), one) : one(*value);
}

// The channel axis by data_format (Keras 1: dim_ordering); channels stand last where neither is
// recorded, as in layers that know no other.
std::optional<std::int64_t> ChannelAxis(const Json& config) {
  const Json* format = Find(config, "data_format");
  if (!format) format = Find(config, "dim_ordering");
  if (!format || format->is_null()) return -1;
  if (!format->is_string()) return std::nullopt;
  const std::string& text = format->get_ref<const std::string&>();
  if (text == "channels_last" || text == "tf") return -1;
  if (text == "channels_first" || text == "th") return 1;
  return std::nullopt;
}

Padding PaddingOf(const Json& config) {
  std::optional<std::string> padding = Text(config, "padding");
  if (!padding) padding = Text(config, "border_mode");
  if (!padding) return Padding::kUnknown;
  if (*padding == "same" || *padding == "causal") return Padding::kSame;
  return *padding == "valid" ? Padding::kNone : Padding::kZeros;
}

std::string ActivationNamed(const Json& config) {
  const Json* activation = Find(config, "activation");
  if (!activation || activation->is_null()) return "linear";
  if (activation->is_string()) return activation->get<std::string>();
  return Text(*activation, "class_name").value_or("unknown");
}

// "relu", "relu6", "leaky_relu", or "unknown" for a ReLU with a threshold or another bound.
std::string ReluOf(const Json& config) {
  const double slope = Number(config, "negative_slope").value_or(0);
  const std::optional<double> bound = Number(config, "max_value");
  if (Number(config, "threshold").value_or(0) != 0 || (slope != 0 && bound)) return "unknown";
  if (bound) return *bound == 6 ? "relu6" : "unknown";
  return slope == 0 ? "relu" : "leaky_relu";
}

std::string ActivationOfClass(std::string_view class_name, const Json& config) {
  if (class_name == "Activation") return ActivationNamed(config);
  if (class_name == "ReLU") return ReluOf(config);
  if (class_name == "LeakyReLU") return "leaky_relu";
  if (class_name == "PReLU") return "prelu";
  if (class_name == "ELU") return "elu";
  if (class_name == "Softmax") return "softmax";
  return "thresholded_relu";
}

bool IsSet(const Json& config, std::string_view key) {
  const Json* value = Find(config, key);
  return value && !value->is_null() && !(value->is_boolean() && !value->get<bool>());
}

// What every subclass of Keras' batch norm inherits in its get_config(); Keras 1 has no
// initialisers of the statistics.
bool HasConfigOfBatchNorm(const Json& config) {
  if (!Number(config, "epsilon") || !Number(config, "momentum")) return false;
  const bool keras2 =
      Find(config, "moving_mean_initializer") && Find(config, "moving_variance_initializer");
  return keras2 || (Find(config, "mode") && Find(config, "gamma_regularizer"));
}

class Describer {
 public:
  Describer(const LayerRecord& record, int keras_major)
      : record_(record), keras_major_(keras_major), config_(&AttributesOf(record)) {}

  LayerFacts Describe() {
    const std::string class_name = OwnClassName();
    facts_.layer.op_type = record_.class_name;
    facts_.layer.trainable = Flag(*Find(*record_.entry, "config"), "trainable", true) &&
                             Flag(*config_, "trainable", true);
    const std::optional<ClassRow> row = FindClass(class_name);
    facts_.is_operation = IsOperation();
    if (facts_.is_operation) {
      facts_.weights.emplace();
    } else if (row) {
      facts_.layer.kind = row->kind;
      facts_.spatial_axes = row->spatial_axes;
      DescribeKind(class_name);
    } else if (class_name == "Merge") {
      DescribeMerge();
    } else if (HasConfigOfBatchNorm(*config_)) {
      layer().kind = OpKind::kBatchNorm;
      DescribeBatchNorm();
      DoubtClass("its class " + class_name + " is not Keras' own");
    }
    if (IsWrapped()) Wrap();
    facts_.class_kind = layer().unproved_class.empty() ? layer().kind : OpKind::kOther;
    facts_.all_trainable = Contains(kAllTrainable, ClassInside(class_name));
    ApplyOrigin();
    ApplyCalls();
    return std::move(facts_);
  }

 private:
  Layer& layer() { return facts_.layer; }

  bool IsWrapped() const { return config_ != Find(*record_.entry, "config"); }

  // Keras 3 lists functions such as keras.ops.add among the layers, by classes that share names
  // with layers ("Add", "Reshape") and mean something else. Every layer has these keys.
  bool IsOperation() const {
    const Json& config = *Find(*record_.entry, "config");
    return keras_major_ >= 3 && !Find(config, "dtype") && !Find(config, "trainable");
  }

  // The class without its package; of the wrapped layer for a TimeDistributed.
  std::string OwnClassName() const {
    std::string name = record_.class_name;
    if (IsWrapped()) {
      const Json* wrapped = Find(*Find(*record_.entry, "config"), "layer");
      name = Text(*wrapped, "class_name").value_or("");
    }
    return name.substr(name.find('>') + 1);  // all of it where there is none
  }

  // The class of the cells for a Bidirectional, `class_name` otherwise.
  std::string ClassInside(const std::string& class_name) const {
    const Json* wrapped = Find(*config_, "layer");
    if (class_name != "Bidirectional" || !wrapped) return class_name;
    return Text(*wrapped, "class_name").value_or("");
  }

  static std::optional<ClassRow> FindClass(std::string_view name) {
    for (const ClassRow& row : kClasses) {
      if (row.name == name) return row;
    }
    return ForSpatialAxes(name);
  }

  void DescribeKind(std::string_view class_name) {
    switch (layer().kind) {
      case OpKind::kConv:
      case OpKind::kConvTranspose:
      case OpKind::kDepthwiseConv:
      case OpKind::kSeparableConv:
        return DescribeConvolution();
      case OpKind::kDense:
        return DescribeDense();
      case OpKind::kBatchNorm:
        return DescribeBatchNorm();
      case OpKind::kActivation:
        layer().activation = ActivationOfClass(class_name, *config_);
        if (layer().activation == "linear") layer().kind = OpKind::kIdentity;
        if (class_name != "PReLU") facts_.weights.emplace();
        return;
      case OpKind::kMaxPool:
      case OpKind::kAveragePool:
      case OpKind::kGlobalMaxPool:
      case OpKind::kGlobalAveragePool:
      case OpKind::kZeroPad:
      case OpKind::kUpsample:
        return DescribePooling();
      case OpKind::kConcat:
        layer().axis = Find(*config_, "axis") ? Integer(*config_, "axis") : -1;
        if (!layer().axis) layer().kind = OpKind::kOther;
        break;
      case OpKind::kFlatten:
        // With channels first, Keras moves the channels to the end before it flattens.
        if (ChannelAxis(*config_) == 1) layer().axis = 1;
        if (!ChannelAxis(*config_)) layer().kind = OpKind::kOther;
        break;
      case OpKind::kInput:
      case OpKind::kIdentity:
      case OpKind::kAdd:
      case OpKind::kReshape:
      case OpKind::kOther:
        break;
    }
    facts_.weights.emplace();
  }

  bool DescribeBias() {
    const char* key = keras_major_ == 1 && !Find(*config_, "use_bias") ? "bias" : "use_bias";
    layer().can_gain_bias = true;
    return Flag(*config_, key, true);
  }

  // Weights that a low-rank adapter or quantization adds make the layer another one.
  void RefuseAdaptedWeights() {
    const Json* dtype = Find(*config_, "dtype");
    const std::string policy = dtype ? Text(*dtype, "class_name").value_or("") : "";
    if (!IsSet(*config_, "lora_rank") && policy.find("Quantized") == std::string::npos) return;
    layer().kind = OpKind::kOther;
    layer().can_gain_bias = false;
    facts_.weights.reset();
  }

  void DescribeDense() {
    layer().axis = -1;
    layer().padding = Padding::kNone;
    layer().activation = ActivationNamed(*config_);
    facts_.weights = {{"kernel"}};
    if (DescribeBias()) facts_.weights->push_back({"bias"});
    RefuseAdaptedWeights();
  }

  void DescribeConvolution() {
    layer().axis = ChannelAxis(*config_);
    layer().padding = PaddingOf(*config_);
    layer().activation = ActivationNamed(*config_);
    layer().unit_stride = IsOne(*config_, "strides") && IsOne(*config_, "subsample") &&
                          IsOne(*config_, "subsample_length");
    if (Find(*config_, "groups")) layer().groups = Integer(*config_, "groups").value_or(0);
    facts_.filters = Integer(*config_, Find(*config_, "filters") ? "filters" : "nb_filter");
    DescribeKernelLayout();
    facts_.weights.emplace();
    if (layer().kind == OpKind::kSeparableConv) facts_.weights->push_back({"depthwise_kernel"});
    facts_.weights->push_back({"kernel"});
    if (DescribeBias()) facts_.weights->push_back({"bias"});
    if (!layer().axis || layer().groups < 1) layer().kind = OpKind::kOther;
    RefuseAdaptedWeights();
  }

  // Keras 1 stores kernels as its backend computes with them.
  void DescribeKernelLayout() {
    const bool theano_order = keras_major_ == 1 && layer().axis == 1;
    if (layer().kind == OpKind::kDepthwiseConv) {
      layer().layout = KernelLayout::kSpatialInMultiplier;
    } else if (theano_order) {
      layer().layout = KernelLayout::kOutInSpatial;
    } else if (layer().kind == OpKind::kConvTranspose && keras_major_ != 1) {
      layer().layout = KernelLayout::kSpatialOutIn;
    }
    if (facts_.spatial_axes == 1 && keras_major_ == 1) {
      facts_.kernel_length = Integer(*config_, "filter_length");
    }
  }

  void DescribePooling() {
    layer().axis = ChannelAxis(*config_);
    // Padding never counts in the averages of Keras, so that weights always sum to one.
    layer().padding = layer().kind == OpKind::kAveragePool ? Padding::kNone
                      : layer().kind == OpKind::kZeroPad   ? Padding::kZeros
                                                           : PaddingOf(*config_);
    const std::string mode = Text(*config_, "interpolation").value_or("nearest");
    const bool known = layer().kind != OpKind::kUpsample || mode == "nearest" || mode == "bilinear";
    if (!layer().axis || !known) layer().kind = OpKind::kOther;
    facts_.weights.emplace();
  }

  void DescribeBatchNorm() {
    layer().epsilon = Number(*config_, "epsilon");
    layer().momentum = Number(*config_, "momentum");
    layer().has_scale = Flag(*config_, "scale", true);
    layer().has_center = Flag(*config_, "center", true);
    DescribeAxis();
    const Json* mode = Find(*config_, "mode");
    if (mode && Integer(mode) == 1) {
      layer().not_affine = "mode 1 normalises each sample by itself";
    } else if (mode && Integer(mode) == 2) {
      layer().training_mode = "its mode is 2";
    } else if (mode && Integer(mode) != 0) {
      layer().not_affine = "its mode is not known";
    }
    facts_.weights.emplace();
    if (layer().has_scale) facts_.weights->push_back({"gamma"});
    if (layer().has_center) facts_.weights->push_back({"beta"});
    facts_.weights->push_back({"moving_mean", false});
    facts_.weights->push_back({"moving_variance", false});
    if (Flag(*config_, "renorm", false)) {
      for (const char* name : {"moving_stddev", "renorm_mean", "renorm_stddev"}) {
        facts_.weights->push_back({name, false});
      }
    }
  }

  void DescribeAxis() {
    const Json* axis = Find(*config_, "axis");
    if (!axis) {
      layer().axis = -1;
    } else if (axis->is_array() && axis->size() == 1) {
      layer().axis = Integer(&(*axis)[0]);
    } else {
      layer().axis = Integer(axis);
    }
    if (!layer().axis) layer().not_affine = "it normalises over several axes";
  }

  // Keras 1: several layers in one.
  void DescribeMerge() {
    const std::string mode = Text(*config_, "mode").value_or("");
    if (mode == "sum") layer().kind = OpKind::kAdd;
    if (mode == "concat") {
      layer().kind = OpKind::kConcat;
      layer().axis = Integer(*config_, "concat_axis");
      if (!layer().axis) layer().kind = OpKind::kOther;
    }
    if (layer().kind != OpKind::kOther) facts_.weights.emplace();
  }

  // TimeDistributed applies a layer to each step of axis 1.
  void Wrap() {
    const bool exact = layer().kind == OpKind::kDense || layer().kind == OpKind::kConv ||
                       layer().kind == OpKind::kDepthwiseConv ||
                       layer().kind == OpKind::kSeparableConv ||
                       layer().kind == OpKind::kBatchNorm || layer().kind == OpKind::kActivation;
    if (!exact) {
      Layer other;
      other.trainable = layer().trainable;
      facts_ = {};
      facts_.layer = std::move(other);
    }
    layer().op_type = "TimeDistributed(" + OwnClassName() + ")";
    if (layer().axis && *layer().axis >= 0) ++*layer().axis;
  }

  void ApplyOrigin() {
    std::string package = record_.package;
    if (const auto mark = record_.class_name.find('>'); mark != std::string::npos) {
      const std::string prefix = record_.class_name.substr(0, mark);
      if (!IsKerasPackage(prefix)) package = prefix;
    }
    if (package.empty()) return;
    DoubtClass("its class is not Keras' own but of " + package);
  }

  void DoubtClass(const std::string& why) {
    facts_.class_kind = OpKind::kOther;
    if (layer().kind != OpKind::kBatchNorm) {
      Distrust(why);
    } else if (layer().unproved_class.empty()) {
      layer().unproved_class = why;
      facts_.inherited = std::move(facts_.weights).value_or(std::vector<ExpectedWeight>());
    }
    facts_.weights.reset();
  }

  void ApplyCalls() {
    for (const CallRecord& call : record_.calls) {
      if (!call.oddity.empty()) Distrust(call.oddity);
      if (call.input_count() != 1 && TakesOneInput()) Distrust("called with several tensors");
    }
  }

  bool TakesOneInput() const {
    return facts_.layer.kind != OpKind::kInput && facts_.layer.kind != OpKind::kAdd &&
           facts_.layer.kind != OpKind::kConcat && facts_.layer.kind != OpKind::kOther;
  }

  // The layer may compute something else than its class says.
  void Distrust(const std::string& why) {
    if (layer().kind == OpKind::kBatchNorm) {
      if (layer().not_affine.empty()) layer().not_affine = why;
    } else {
      layer().kind = OpKind::kOther;
    }
    layer().can_gain_bias = false;
  }

  const LayerRecord& record_;
  int keras_major_;
  const Json* config_;
  LayerFacts facts_;
};

}  // namespace

const Json& AttributesOf(const LayerRecord& record) {
  const Json& config = *Find(*record.entry, "config");
  if (record.class_name != "TimeDistributed") return config;
  const Json* wrapped = Find(config, "layer");
  const Json* inner = wrapped ? Find(*wrapped, "config") : nullptr;
  return inner && inner->is_object() ? *inner : config;
}

LayerFacts DescribeLayer(const LayerRecord& record, int keras_major) {
  return Describer(record, keras_major).Describe();
}

std::optional<std::int64_t> RecordedInputRank(const Json& config) {
  for (const char* key : {"batch_input_shape", "batch_shape", "build_input_shape"}) {
    const Json* shape = Find(config, key);
    // A list of shapes belongs to a model of several inputs.
    if (shape && shape->is_array() && !shape->empty() && !shape->back().is_array()) {
      return static_cast<std::int64_t>(shape->size());
    }
  }
  return std::nullopt;
}

std::string CanonicalWeightName(OpKind kind, std::string_view stored) {
  if (kind == OpKind::kOther) return std::string(stored);
  if (stored == "W") return "kernel";
  if (stored == "b") return "bias";
  if (stored == "running_mean") return "moving_mean";
  if (stored == "running_std") return "moving_variance";
  if (stored == "depthwise_kernel" && kind == OpKind::kDepthwiseConv) return "kernel";
  if (stored == "pointwise_kernel" && kind == OpKind::kSeparableConv) return "kernel";
  return std::string(stored);
}

}  // namespace ckpt::formats::keras
