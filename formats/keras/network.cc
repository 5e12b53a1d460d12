#include "formats/keras/network.h"

#include <algorithm>
#include <utility>

#include "formats/keras/layer_call.h"

namespace ckpt::formats::keras {

using network::kNoValue;
using network::Sizes;
using NetworkValue = network::ValueId;

namespace {

const std::string* ConfigText(const Manifest& manifest) {
  for (const Document& document : manifest.documents) {
    if (document.name == "model_config" || document.name == "config.json") return &document.text;
  }
  return nullptr;
}

network::PartialShape RecordedShape(const Json& config) {
  for (const char* key : {"batch_input_shape", "batch_shape", "build_input_shape"}) {
    const Json* shape = Find(config, key);
    if (!shape || !shape->is_array() || shape->empty() || shape->back().is_array()) continue;
    Sizes sizes;
    for (const Json& size : *shape) {
      const bool known = size.is_number_integer() && size.get<std::int64_t>() >= 0;
      sizes.push_back(known ? size.get<std::int64_t>() : network::kUnknownSize);
    }
    return sizes;
  }
  return std::nullopt;
}

network::ElementKind KindOf(const Json& config) {
  const Json* dtype = Find(config, "dtype");
  if (!dtype || !dtype->is_string()) return network::ElementKind::kReal;
  const auto& name = dtype->get_ref<const std::string&>();
  if (name.starts_with("int") || name.starts_with("uint")) return network::ElementKind::kInteger;
  return name == "bool" ? network::ElementKind::kBoolean : network::ElementKind::kReal;
}

class Translator {
 public:
  // `bound` is config.graph with the weights.
  Translator(const Manifest& manifest, const ModelConfig& config, const ModelGraph& bound,
             std::string_view keras_version)
      : manifest_(manifest),
        config_(config),
        bound_(bound),
        keras_version_(keras_version),
        values_(bound.values.size(), kNoValue) {}

  Result<network::Network> Translate() {
    AddImplicitInputs();
    for (const Node& node : bound_.nodes) {
      values_[node.output] = ValueOf(node);
    }
    AddOutputs();
    CKPT_ASSIGN_OR_RETURN(network::Network network, std::move(builder_).Finish());
    SortInputs(network.inputs);
    return network;
  }

 private:
  // A Sequential without an InputLayer.
  void AddImplicitInputs() {
    for (std::size_t i = 0; i < bound_.values.size(); ++i) {
      if (bound_.values[i].producer) continue;
      const ModelRecord* inner = config_.model.get();
      network::PartialShape shape;
      while (!shape && !inner->layers.empty()) {
        shape = RecordedShape(*Find(*inner->layers[0].entry, "config"));
        if (!inner->layers[0].model) break;
        inner = inner->layers[0].model.get();
      }
      if (!shape && config_.model->config->is_object())
        shape = RecordedShape(*config_.model->config);
      if (!shape && bound_.values[i].rank) {
        shape = Sizes(static_cast<std::size_t>(*bound_.values[i].rank), network::kUnknownSize);
      }
      builder_.StartLayer("input", "InputLayer");
      values_[i] = builder_.AddInput("input", shape);
    }
  }

  NetworkValue ValueOf(const Node& node) {
    const Layer& layer = bound_.layers[node.layer];
    const ConfigLayer& described = config_.layers[node.layer];
    const Json& own = *Find(*described.record->entry, "config");
    builder_.StartLayer(layer.name, layer.op_type);
    if (described.record->is_input) {
      return builder_.AddInput(layer.name, RecordedShape(own), KindOf(own));
    }
    std::vector<NetworkValue> inputs;
    for (const ckpt::ValueId id : node.inputs) inputs.push_back(values_[id]);
    const Json& attributes = AttributesOf(*described.record);
    const bool wrapped = &attributes != &own;
    std::string name = described.record->class_name;
    if (wrapped) {
      const Json* inner = Find(own, "layer");
      const Json* inner_class = inner ? Find(*inner, "class_name") : nullptr;
      name = inner_class && inner_class->is_string() ? inner_class->get<std::string>() : "";
    }
    name = name.substr(name.find('>') + 1);
    const LayerCall call{builder_, std::move(inputs), name,     keras_version_,
                         layer,    attributes,        manifest_};
    if (described.facts.is_operation) {
      const NetworkValue value = TranslateFunction(call, *described.record->entry);
      return value == kNoValue ? call.Unknown("it is a function of keras.ops") : value;
    }
    if (const std::string why = Doubt(described, call, wrapped); !why.empty()) {
      return call.Unknown(why);
    }
    const NetworkValue value = Translated(call);
    if (call.misread.empty()) return value;
    return call.Unknown("its \"" + call.misread + "\" is not understood");
  }

  // Classes that folding has no kind for.
  static bool HasNoKind(std::string_view name) {
    static constexpr std::string_view kNames[] = {"LayerNormalization",
                                                  "RMSNormalization",
                                                  "GroupNormalization",
                                                  "Rescaling",
                                                  "Normalization",
                                                  "LayerScale",
                                                  "CustomScaleLayer",
                                                  "EinsumDense",
                                                  "Embedding",
                                                  "Multiply",
                                                  "Average",
                                                  "Maximum",
                                                  "Minimum",
                                                  "Subtract",
                                                  "Cropping1D",
                                                  "Cropping2D",
                                                  "Cropping3D",
                                                  "Permute",
                                                  "RepeatVector",
                                                  "Merge"};
    return name.starts_with("Random") ||
           std::find(std::begin(kNames), std::end(kNames), name) != std::end(kNames);
  }

  // Why the layer may compute something else than its class says; empty: it does not.
  static std::string Doubt(const ConfigLayer& described, const LayerCall& call, bool wrapped) {
    const LayerRecord& record = *described.record;
    if (record.model) return "it is a model that is called in a way that is not understood";
    for (const CallRecord& one : record.calls) {
      if (!one.oddity.empty()) return one.oddity;
    }
    const bool scales = call.class_name == "LayerScale" || call.class_name == "CustomScaleLayer";
    const Json* module = Find(*record.entry, "module");
    const bool applications =
        scales && module && module->is_string() &&
        module->get_ref<const std::string&>().starts_with("keras.src.applications.");
    if (scales && !applications) return "its class is not known to be that of keras.applications";
    if (!record.package.empty() && record.package.find("keras") != 0 && !applications) {
      return "its class is not Keras' own but of " + record.package;
    }
    const std::size_t mark = record.class_name.find('>');
    if (mark != std::string::npos && !applications) {
      const std::string prefix = record.class_name.substr(0, mark);
      if (prefix != "Keras" && prefix != "keras" && prefix != "TensorFlow" &&
          prefix != "tf_keras") {
        return "its class is not Keras' own but of " + prefix;
      }
    }
    if (call.inputs.empty()) return "it is called with no tensor";
    const auto& missing = call.layer.missing_tensors;
    if (!missing.empty()) return "the file lacks its " + missing.front();
    if (call.layer.kind == OpKind::kOther && !HasNoKind(call.class_name)) {
      return "its class, or what its config says beside it, is not understood";
    }
    if (!wrapped) return {};
    // Applied to each step of axis 1: the same where only the last axis is looked at.
    const bool last_axis =
        call.class_name == "Dense" ||
        (call.layer.kind == OpKind::kActivation && call.class_name != "Softmax") ||
        call.layer.kind == OpKind::kBatchNorm;
    return last_axis ? "" : "it is applied to each step of a sequence";
  }

  static NetworkValue Translated(const LayerCall& call) {
    for (const auto translate : {TranslateNormalization, TranslateProducts, TranslatePooling,
                                 TranslateElementwise, TranslateShapes}) {
      const NetworkValue value = translate(call);
      if (value != kNoValue) return value;
    }
    return call.Unknown("the class " + call.class_name + " is not translated");
  }

  void AddOutputs() {
    for (const ckpt::ValueId output : config_.outputs) {
      const auto& producer = bound_.values[output].producer;
      builder_.AddOutput(producer ? bound_.layers[bound_.nodes[*producer].layer].name : "output",
                         values_[output]);
    }
  }

  // As the model lists its inputs, which need not be the order of its layers.
  void SortInputs(std::vector<network::Port>& inputs) const {
    std::vector<network::Port> sorted;
    for (const TensorRef& input : config_.model->inputs) {
      const std::string& name = config_.model->layers[input.layer].name;
      const auto found = std::find_if(inputs.begin(), inputs.end(),
                                      [&](const network::Port& port) { return port.name == name; });
      if (found != inputs.end()) sorted.push_back(*found);
    }
    if (sorted.size() == inputs.size()) inputs = std::move(sorted);
  }

  const Manifest& manifest_;
  const ModelConfig& config_;
  const ModelGraph& bound_;
  std::string keras_version_;
  std::vector<NetworkValue> values_;  // by value of the graph
  network::NetworkBuilder builder_{network::Origin::kKerasConfig};
};

}  // namespace

Result<network::Network> NetworkOf(const Manifest& manifest, std::string_view keras_version) {
  const std::string* text = ConfigText(manifest);
  if (text == nullptr || !manifest.graph) {
    return Fail(ErrorCode::kUnsupported, "the file holds weights and no model");
  }
  CKPT_ASSIGN_OR_RETURN(const auto config, ParseModelConfig(*text, keras_version));
  if (config->graph.layers.size() != manifest.graph->layers.size() ||
      config->graph.nodes.size() != manifest.graph->nodes.size()) {
    return Fail(ErrorCode::kInternal, "the config was read as another graph");
  }
  return Translator(manifest, *config, *manifest.graph, keras_version).Translate();
}

}  // namespace ckpt::formats::keras
