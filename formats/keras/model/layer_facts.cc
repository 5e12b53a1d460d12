#include "formats/keras/model/layer_facts.h"

#include <utility>

#include "ckpt/layer_computation.h"
#include "formats/keras/model/batch_norm_config.h"
#include "formats/keras/model/config_attributes.h"
#include "formats/keras/model/layer_classes.h"

namespace ckpt::formats::keras {
namespace {

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

class Describer {
 public:
  Describer(const LayerRecord& record, int keras_major)
      : record_(record), keras_major_(keras_major), config_(&AttributesOf(record)) {}

  LayerFacts Describe() {
    const std::string class_name = OwnClassName();
    facts_.layer.op_type = record_.class_name;
    facts_.layer.trainable =
        ConfigAttributes(*Find(*record_.entry, "config")).Flag("trainable", true) &&
        ConfigAttributes(*config_).Flag("trainable", true);
    facts_.is_operation = IsOperation();
    if (facts_.is_operation) {
      facts_.weights.emplace();
    } else if (!DescribeClass(class_name, *config_, keras_major_, facts_) &&
               HasConfigOfBatchNorm(*config_)) {
      DescribeBatchNorm(*config_, facts_);
      DoubtClass("its class " + class_name + " is not Keras' own");
    }
    if (IsWrapped()) Wrap();
    const bool understood = layer().is_input || !IsUnknown(layer());
    facts_.has_known_class = understood && layer().unproved_class.empty();
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
      name = ConfigAttributes(*wrapped).Text("class_name").value_or("");
    }
    return name.substr(name.find('>') + 1);  // all of it where there is none
  }

  // The class of the cells for a Bidirectional, `class_name` otherwise.
  std::string ClassInside(const std::string& class_name) const {
    const Json* wrapped = Find(*config_, "layer");
    if (class_name != "Bidirectional" || !wrapped) return class_name;
    return ConfigAttributes(*wrapped).Text("class_name").value_or("");
  }

  // TimeDistributed applies a layer to each step of axis 1.
  void Wrap() {
    const bool exact =
        IsDense(layer()) || IsConvolution(layer()) || IsBatchNorm(layer()) || IsActivation(layer());
    if (!exact) {
      Layer other;
      other.trainable = layer().trainable;
      facts_ = {};
      facts_.layer = std::move(other);
    }
    layer().op_type = "TimeDistributed(" + OwnClassName() + ")";
    if (layer().axis && *layer().axis >= 0) MoveAxis(*layer().axis + 1);
  }

  void MoveAxis(std::int64_t axis) {
    layer().axis = axis;
    auto& computation = layer().computation;
    if (auto* made = std::get_if<network::Convolution>(&computation)) made->channel_axis = axis;
    if (auto* norm = std::get_if<network::BatchNormalization>(&computation)) norm->axis = axis;
    if (layer().depthwise_first) layer().depthwise_first->channel_axis = axis;
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
    facts_.has_known_class = false;
    if (!IsBatchNorm(layer())) {
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
    const Layer& one = facts_.layer;
    return !IsUnknown(one) && !IsAddition(one) && !Computes<network::Concatenate>(one);
  }

  // The layer may compute something else than its class says.
  void Distrust(const std::string& why) {
    if (IsBatchNorm(layer())) {
      if (layer().not_affine.empty()) layer().not_affine = why;
    } else {
      BeNotUnderstood(layer());
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

std::string CanonicalWeightName(const LayerFacts& facts, std::string_view stored) {
  if (!facts.has_known_class) return std::string(stored);
  if (stored == "W" || stored == facts.kernel_name) return "kernel";
  if (stored == "b") return "bias";
  if (stored == "running_mean") return "moving_mean";
  if (stored == "running_std") return "moving_variance";
  return std::string(stored);
}

void BeNotUnderstood(Layer& layer) {
  layer.computation = network::Unknown{layer.op_type, "it may be something else than its class"};
  layer.depthwise_first.reset();
  layer.has_kernel = layer.is_input = false;
}

}  // namespace ckpt::formats::keras
