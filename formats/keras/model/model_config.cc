#include "formats/keras/model/model_config.h"

#include <algorithm>
#include <charconv>
#include <unordered_map>
#include <utility>

#include "ckpt/layer_computation.h"
#include "formats/keras/model/training_calls.h"

namespace ckpt::formats::keras {
namespace {

constexpr std::size_t kMaxCalls = 1'000'000;

class GraphBuilder {
 public:
  GraphBuilder(ModelConfig& config, std::string_view keras_version)
      : config_(config), training_(keras_version), keras_major_(KerasMajor(keras_version)) {}

  Status Build() {
    config_.graph.origin = GraphOrigin::kKerasConfig;
    config_.graph.source = "Keras config";
    AddLayers(*config_.model, {});
    FindWhatCannotServe(config_);
    MarkSharedObjects();
    const ModelRecord& model = *config_.model;
    std::vector<Tensor> arguments;
    if (model.implicit_input) arguments.push_back({AddValue({}, InputRankOf(model))});
    CKPT_ASSIGN_OR_RETURN(const std::vector<Tensor> outputs, Expand(model, arguments, true));
    for (const Tensor& output : outputs) {
      config_.graph.values[output.value].is_model_output = true;
      config_.outputs.push_back(output.value);
      config_.output_places.push_back(output.place);
    }
    return {};
  }

 private:
  ModelGraph& graph() { return config_.graph; }

  // All outputs of a layer are one value of the graph, with a place for each of them.
  struct Tensor {
    ValueId value;
    std::uint32_t place = 0;
  };
  // What each (layer, call) of one instance of a model yields.
  using Yields = std::vector<std::vector<std::vector<Tensor>>>;

  // Can the calls of a nested model be replaced by those of its layers?
  static bool IsTransparent(const LayerRecord& layer) {
    return std::all_of(layer.calls.begin(), layer.calls.end(), [&](const CallRecord& call) {
      return call.oddity.empty() && call.input_count() == layer.model->input_count();
    });
  }

  // What holds for all layers of a nested model.
  struct Surroundings {
    bool trainable = true;
    bool called = true;  // in a way that is understood
    CallModes modes = CallModes::OfWholeModel();
    std::vector<const LayerRecord*> outer = {};
  };

  void AddLayers(const ModelRecord& model, const Surroundings& around) {
    for (const LayerRecord& record : model.layers) {
      if (record.is_input && !around.outer.empty())
        continue;  // reads what the model is called with
      if (!record.model) {
        AddLayer(model, record, around);
        continue;
      }
      const Json* flag = Find(*record.model->config, "trainable");
      const bool frozen = flag && flag->is_boolean() && !flag->get<bool>();
      const bool transparent = IsTransparent(record);
      if (!transparent) AddLayer(model, record, around);
      Surroundings inner{around.trainable && !frozen, around.called && transparent,
                         training_.ModesOf(record, around.modes), around.outer};
      inner.outer.push_back(&record);
      AddLayers(*record.model, inner);
    }
  }

  void AddLayer(const ModelRecord& model, const LayerRecord& record, const Surroundings& around) {
    LayerFacts facts = DescribeLayer(record, keras_major_);
    Layer& layer = facts.layer;
    std::vector<std::string> path;
    for (const LayerRecord* nested : around.outer) path.push_back(nested->name);
    path.push_back(record.name);
    for (const std::string& name : path) layer.name += (layer.name.empty() ? "" : "/") + name;
    layer.trainable = layer.trainable && around.trainable;
    if (!around.called && IsBatchNorm(layer) && layer.not_affine.empty()) {
      layer.not_affine = "its model is called in a way that is not understood";
    }
    training_.Apply(record, around.modes, layer);
    const auto id = static_cast<LayerId>(graph().layers.size());
    ids_.emplace(&record, id);
    if (!record.model) config_.by_group[path[0]].push_back(id);
    graph().layers.push_back(layer);
    config_.layers.push_back({&record, std::move(facts), std::move(path), around.outer, &model});
  }

  // Keras gives one "shared_object_id" to a layer object that stands in several places (in a model
  // and in one nested in it): its weights are stored in each, and a loader may share them again.
  void MarkSharedObjects() {
    std::unordered_map<std::string, std::vector<LayerId>> users;
    for (LayerId id = 0; id < config_.layers.size(); ++id) {
      const Json& entry = *config_.layers[id].record->entry;
      const Json* wrapped = Find(*Find(entry, "config"), "layer");
      for (const Json* object : {&entry, wrapped}) {
        const Json* shared = object ? Find(*object, "shared_object_id") : nullptr;
        if (shared) users[shared->dump(-1, ' ', true)].push_back(id);
      }
    }
    for (const auto& [object, layers] : users) {
      if (layers.size() < 2) continue;
      for (const LayerId id : layers) MakeOpaque(graph().layers[id]);
    }
  }

  static void MakeOpaque(Layer& layer) {
    layer.can_gain_bias = false;
    if (IsBatchNorm(layer)) {
      layer.not_affine = "the same layer object stands in another model too";
    } else {
      BeNotUnderstood(layer);
    }
  }

  // The calls of one instance of `model`; `arguments` are what its inputs get (of the whole model:
  // nothing, its InputLayers are calls).
  Result<std::vector<Tensor>> Expand(const ModelRecord& model, const std::vector<Tensor>& arguments,
                                     bool whole) {
    calls_ += model.layers.size() + model.order.size() + 1;
    if (calls_ > kMaxCalls) {
      return Fail(ErrorCode::kLimitExceeded,
                  "model_config: more than " + std::to_string(kMaxCalls) + " calls of layers");
    }
    Yields yields(model.layers.size());
    for (std::size_t i = 0; i < yields.size(); ++i) yields[i].resize(model.layers[i].calls.size());
    for (std::size_t i = 0; !whole && i < model.inputs.size(); ++i) {
      yields[model.inputs[i].layer][0] = {arguments[i]};
    }
    for (const auto& [layer_index, call_index] : model.order) {
      const LayerRecord& layer = model.layers[layer_index];
      std::vector<Tensor>& outputs = yields[layer_index][call_index];
      if (!outputs.empty()) continue;  // an input that has its value
      std::vector<Tensor> inputs;
      for (const TensorRef& ref : layer.calls[call_index].inputs) {
        inputs.push_back(TensorOf(model, yields, ref));
        Value& value = graph().values[inputs.back().value];
        // A record of the first output is a record of the value.
        if (!value.rank && ref.output == 0) value.rank = ref.rank;
      }
      if (layer.calls[call_index].reads_implicit_input) inputs = arguments;
      if (const auto id = ids_.find(&layer); id != ids_.end()) {
        outputs = {{AddNode(id->second, call_index, inputs)}};
      } else if (layer.model) {
        CKPT_ASSIGN_OR_RETURN(outputs, Expand(*layer.model, inputs, /*whole=*/false));
      } else {
        outputs = {{AddValue({}, {})}};  // a nested InputLayer that is no input of its model
      }
    }
    std::vector<Tensor> results;
    for (const TensorRef& ref : model.outputs) results.push_back(TensorOf(model, yields, ref));
    return results;
  }

  static Tensor TensorOf(const ModelRecord& model, const Yields& yields, const TensorRef& ref) {
    const std::vector<Tensor>& tensors = yields[ref.layer][ref.call];
    if (model.layers[ref.layer].model) {
      return tensors[ref.output < tensors.size() ? ref.output : 0];
    }
    return {tensors[0].value, ref.output};
  }

  std::optional<std::int64_t> InputRankOf(const ModelRecord& model) const {
    const ModelRecord* inner = &model;
    while (!inner->layers.empty()) {
      const LayerRecord& first = inner->layers[0];
      const Json& config = *Find(*first.entry, "config");
      if (const auto rank = RecordedInputRank(config)) return rank;
      if (!first.model) break;
      inner = first.model.get();
    }
    return model.config->is_object() ? RecordedInputRank(*model.config) : std::nullopt;
  }

  ValueId AddValue(std::optional<NodeId> producer, std::optional<std::int64_t> rank) {
    graph().values.push_back({producer, {}, false, rank});
    return static_cast<ValueId>(graph().values.size() - 1);
  }

  ValueId AddNode(LayerId layer, std::uint32_t call, const std::vector<Tensor>& tensors) {
    const auto node = static_cast<NodeId>(graph().nodes.size());
    std::vector<ValueId> inputs;
    ConfigCall& described = config_.calls.emplace_back(ConfigCall{call});
    for (const Tensor& tensor : tensors) {
      graph().values[tensor.value].consumers.push_back(node);
      inputs.push_back(tensor.value);
      described.outputs.push_back(tensor.place);
    }
    const ValueId output = AddValue(node, {});
    graph().nodes.push_back({layer, std::move(inputs), output});
    return output;
  }

  ModelConfig& config_;
  TrainingCalls training_;
  int keras_major_;
  std::unordered_map<const LayerRecord*, LayerId> ids_;
  std::size_t calls_ = 0;
};

}  // namespace

int KerasMajor(std::string_view keras_version) {
  int major = 1;
  std::from_chars(keras_version.data(), keras_version.data() + keras_version.size(), major);
  return major;
}

Result<std::unique_ptr<ModelConfig>> ParseModelConfig(std::string_view text,
                                                      std::string_view keras_version) {
  auto config = std::make_unique<ModelConfig>();
  Result<Json> document = ParseConfigJson(text);
  if (!document) {
    return Fail(document.error().code, "model_config: " + document.error().message);
  }
  config->document = *std::move(document);
  CKPT_ASSIGN_OR_RETURN(config->model, ReadModelRecord(config->document));
  CKPT_RETURN_IF_ERROR(GraphBuilder(*config, keras_version).Build());
  return config;
}

}  // namespace ckpt::formats::keras
