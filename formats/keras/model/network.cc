#include "formats/keras/model/network.h"

#include <algorithm>
#include <map>
#include <set>
#include <utility>

#include "formats/keras/model/call_computations.h"
#include "formats/keras/model/layer_call.h"
#include "formats/keras/model/layer_doubts.h"

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

constexpr std::size_t kMaxOutputs = 1024;  // of one call; a config may name any

class Translator {
 public:
  // `bound` is config.graph with the weights.
  Translator(const Manifest& manifest, const ModelConfig& config, const ModelGraph& bound,
             std::string_view keras_version)
      : manifest_(manifest),
        config_(config),
        bound_(bound),
        keras_version_(keras_version),
        values_(bound.values.size()),
        outputs_(bound.values.size(), 1) {
    const auto note = [&](ckpt::ValueId value, std::uint32_t place) {
      outputs_[value] =
          std::clamp<std::size_t>(place + std::size_t{1}, outputs_[value], kMaxOutputs);
    };
    for (std::size_t i = 0; i < bound.nodes.size(); ++i) {
      for (std::size_t j = 0; j < bound.nodes[i].inputs.size(); ++j) {
        note(bound.nodes[i].inputs[j], config.calls[i].outputs[j]);
      }
    }
    for (std::size_t i = 0; i < config.outputs.size(); ++i) {
      note(config.outputs[i], config.output_places[i]);
    }
  }

  Result<network::Network> Translate() {
    AddImplicitInputs();
    for (std::size_t i = 0; i < bound_.nodes.size(); ++i) {
      const Node& node = bound_.nodes[i];
      TranslatedCall& call = calls_.emplace_back();
      call.layer = layers_;
      for (std::size_t j = 0; j < node.inputs.size(); ++j) {
        call.inputs.push_back(Output(node.inputs[j], config_.calls[i].outputs[j]));
      }
      call.is_function = IsFunction(config_.layers[node.layer]);
      call.outputs = values_[node.output] = ValuesOf(node, config_.calls[i]);
    }
    AddOutputs();
    CKPT_ASSIGN_OR_RETURN(network::Network network, std::move(builder_).Finish());
    SortInputs(network.inputs);
    return network;
  }

  // By node of the graph. REQUIRES: Translate().
  const std::vector<TranslatedCall>& calls() const { return calls_; }

 private:
  static bool IsFunction(const ConfigLayer& described) {
    const std::string& class_name = described.record->class_name;
    return described.facts.is_operation || class_name == "TFOpLambda" ||
           class_name == "SlicingOpLambda";
  }

  void StartLayer(std::string name, std::string op_type) {
    builder_.StartLayer(std::move(name), std::move(op_type));
    ++layers_;
  }

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
      StartLayer("input", "InputLayer");
      values_[i] = {builder_.AddInput("input", shape)};
    }
  }

  // kNoValue where the producer has no such output.
  NetworkValue Output(ckpt::ValueId value, std::uint32_t place) const {
    return place < values_[value].size() ? values_[value][place] : kNoValue;
  }

  // All outputs of a call that are read, or more.
  std::vector<NetworkValue> ValuesOf(const Node& node, const ConfigCall& described) {
    const ConfigLayer& layer = config_.layers[node.layer];
    StartLayer(bound_.layers[node.layer].name, bound_.layers[node.layer].op_type);
    if (layer.record->is_input) {
      const Json& own = *Find(*layer.record->entry, "config");
      return {builder_.AddInput(bound_.layers[node.layer].name, RecordedShape(own), KindOf(own))};
    }
    LayerCall call = CallOf(node, described);
    std::string why;
    if (std::erase(call.inputs, kNoValue) > 0) why = "it reads an output that its producer lacks";
    NetworkValue value = kNoValue;
    if (why.empty()) why = Translated(layer, call, value);
    const std::size_t outputs = outputs_[node.output];
    if (why.empty() && 1 + call.further.size() < outputs) why = "which outputs it has is not known";
    if (!why.empty()) {
      return builder_.AddMany(network::Unknown{call.class_name, why}, call.inputs, outputs,
                              bound_.layers[node.layer].name);
    }
    std::vector<NetworkValue> values = {value};
    values.insert(values.end(), call.further.begin(), call.further.end());
    return values;
  }

  LayerCall CallOf(const Node& node, const ConfigCall& described) {
    const LayerRecord& record = *config_.layers[node.layer].record;
    std::vector<NetworkValue> inputs;
    for (std::size_t i = 0; i < node.inputs.size(); ++i) {
      inputs.push_back(Output(node.inputs[i], described.outputs[i]));
    }
    const Json& own = *Find(*record.entry, "config");
    const Json& attributes = AttributesOf(record);
    std::string name = record.class_name;
    if (&attributes != &own) {
      const Json* inner = Find(own, "layer");
      const Json* inner_class = inner ? Find(*inner, "class_name") : nullptr;
      name = inner_class && inner_class->is_string() ? inner_class->get<std::string>() : "";
    }
    name = name.substr(name.find('>') + 1);
    LayerCall call{builder_,   std::move(inputs), name,  keras_version_, bound_.layers[node.layer],
                   attributes, manifest_,         record};
    const Json* nodes = Find(*record.entry, "inbound_nodes");
    const ModelRecord* parent = config_.layers[node.layer].parent;
    if (nodes == nullptr || parent->sequential) return call;
    const std::vector<Json*> calls = CallsIn(const_cast<Json&>(*nodes));
    if (described.call < calls.size()) {
      call.arguments = ArgumentsOfCall(*calls[described.call], LayersOf(*parent));
    }
    return call;
  }

  LayerTest LayersOf(const ModelRecord& model) {
    std::set<std::string_view>& names = names_[&model];
    if (names.empty()) {
      for (const LayerRecord& layer : model.layers) names.insert(layer.name);
    }
    return [&names](std::string_view name) { return names.contains(name); };
  }

  // Why the call is not translated, or nothing, and its first output in `value`.
  static std::string Translated(const ConfigLayer& described, const LayerCall& call,
                                NetworkValue& value) {
    if (IsFunction(described)) {
      if (!described.record->package.empty()) {
        return "its class is not Keras' own but of " + described.record->package;
      }
      value = TranslateFunction(call);
      return value == kNoValue ? "it is a function, or called in a way, that is not translated"
                               : "";
    }
    if (std::string why = DoubtOf(described, call); !why.empty()) return why;
    value = IsAppliedToSteps(call) ? TranslateSteps(call) : TranslateLayer(call);
    return call.misread.empty() ? "" : "its \"" + call.misread + "\" is not understood";
  }

  void AddOutputs() {
    for (std::size_t i = 0; i < config_.outputs.size(); ++i) {
      const ckpt::ValueId output = config_.outputs[i];
      const std::uint32_t place = config_.output_places[i];
      const auto& producer = bound_.values[output].producer;
      std::string name = producer ? bound_.layers[bound_.nodes[*producer].layer].name : "output";
      if (place > 0) name += ":" + std::to_string(place);
      NetworkValue value = Output(output, place);
      if (value == kNoValue) {
        value = builder_.Add(network::Unknown{"output", "its producer lacks it"}, {});
      }
      builder_.AddOutput(std::move(name), value);
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
  std::vector<std::vector<NetworkValue>> values_;  // by value of the graph, its outputs
  std::vector<std::size_t> outputs_;               // by value of the graph, how many are read
  std::map<const ModelRecord*, std::set<std::string_view>> names_;  // of the layers
  std::vector<TranslatedCall> calls_;
  std::uint32_t layers_ = 0;  // of the network, so far
  network::NetworkBuilder builder_{network::Origin::kKerasConfig};
};

}  // namespace

NetworkValue TranslateLayer(const LayerCall& call) {
  for (const auto translate :
       {TranslateNormalization, TranslateProducts, TranslatePooling, TranslateElementwise,
        TranslateShapes, TranslateRecurrent, TranslateAttention}) {
    const NetworkValue value = translate(call);
    if (value != kNoValue) return value;
  }
  return call.Unknown("the class " + call.class_name + " is not translated");
}

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

void SayComputations(const ModelConfig& config, std::string_view keras_version,
                     Manifest& manifest) {
  Translator translator(manifest, config, *manifest.graph, keras_version);
  const auto network = translator.Translate();
  if (network) SayComputations(*network, translator.calls(), *manifest.graph);
}

}  // namespace ckpt::formats::keras
