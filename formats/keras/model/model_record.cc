#include "formats/keras/model/model_record.h"

#include <algorithm>
#include <functional>
#include <limits>
#include <optional>
#include <queue>
#include <unordered_map>

namespace ckpt::formats::keras {
namespace {

tl::unexpected<Error> Malformed(const std::string& what) {
  return Fail(ErrorCode::kCorrupt, "model_config: " + what);
}

std::string Quoted(std::string_view name) { return "\"" + std::string(name) + "\""; }

std::string TextOf(const Json& json, std::string_view key) {
  const Json* text = Find(json, key);
  return text && text->is_string() ? text->get<std::string>() : std::string();
}

bool IsKerasModule(std::string_view module) {
  for (const std::string_view package : {"keras", "tf_keras", "tensorflow.keras", "builtins"}) {
    if (module == package || (module.starts_with(package) && module[package.size()] == '.')) {
      return true;
    }
  }
  return module.empty();
}

// A reference as the config has it.
struct RawRef {
  std::string_view layer;
  std::int64_t node, tensor;
  bool end = false;  // in output_layers
  std::optional<std::int64_t> rank = {};
};

class ModelReader {
 public:
  static Result<std::unique_ptr<ModelRecord>> Read(Json& entry) {
    if (!IsModelEntry(entry)) {
      return Fail(ErrorCode::kUnsupported,
                  "model_config: the class " + Quoted(TextOf(entry, "class_name")) +
                      " does not record its layers as Sequential and functional models do");
    }
    ModelReader reader;
    CKPT_RETURN_IF_ERROR(reader.ReadLayers(entry));
    CKPT_RETURN_IF_ERROR(reader.model_->sequential ? reader.ChainSequential()
                                                   : reader.ReadFunctional());
    CKPT_RETURN_IF_ERROR(reader.SortCalls());
    return std::move(reader.model_);
  }

 private:
  Status ReadLayers(Json& entry) {
    model_->sequential = TextOf(entry, "class_name") == "Sequential";
    model_->config = Find(entry, "config");
    model_->layer_list =
        model_->config->is_array() ? model_->config : Find(*model_->config, "layers");
    for (Json& layer : *model_->layer_list) {
      CKPT_ASSIGN_OR_RETURN(LayerRecord record, ReadLayer(layer));
      const auto index = static_cast<std::uint32_t>(model_->layers.size());
      model_->layers.push_back(std::move(record));
      if (!by_name_.emplace(model_->layers.back().name, index).second) {
        return Malformed("two layers are called " + Quoted(model_->layers.back().name));
      }
    }
    return {};
  }

  static Result<LayerRecord> ReadLayer(Json& entry) {
    LayerRecord layer;
    layer.entry = &entry;
    layer.class_name = TextOf(entry, "class_name");
    const Json* config = Find(entry, "config");
    if (layer.class_name.empty() || !config) return Malformed("a layer without class or config");
    layer.name = TextOf(entry, "name");
    if (layer.name.empty()) layer.name = TextOf(*config, "name");
    layer.package = ForeignPackage(entry);
    layer.is_input = layer.class_name == "InputLayer";
    if (IsModelEntry(entry)) {
      CKPT_ASSIGN_OR_RETURN(layer.model, ReadModelRecord(entry));
    }
    if (layer.name.empty())
      return Malformed("a layer of class " + Quoted(layer.class_name) + " without a name");
    return layer;
  }

  Status ChainSequential() {
    std::optional<TensorRef> previous;
    for (std::uint32_t i = 0; i < model_->layers.size(); ++i) {
      LayerRecord& layer = model_->layers[i];
      if (layer.is_input && i > 0) return Malformed("an InputLayer inside a Sequential");
      if (layer.model && (layer.model->outputs.size() != 1 || layer.model->input_count() != 1)) {
        return Malformed("the model " + Quoted(layer.name) +
                         " in a Sequential has not one input and one output");
      }
      layer.calls.emplace_back();
      layer.calls[0].reads_implicit_input = i == 0 && !layer.is_input;
      if (previous) layer.calls[0].inputs.push_back(*previous);
      previous = TensorRef{i, 0, 0};
    }
    if (!previous) return {};
    if (model_->layers[0].is_input) model_->inputs = {TensorRef{0, 0, 0}};
    model_->implicit_input = !model_->layers[0].is_input;
    model_->outputs = {*previous};
    return {};
  }

  Status ReadFunctional() {
    std::vector<std::vector<std::vector<RawRef>>> inputs(model_->layers.size());
    for (std::size_t i = 0; i < model_->layers.size(); ++i) {
      CKPT_RETURN_IF_ERROR(ReadCalls(model_->layers[i], inputs[i]));
    }
    CKPT_ASSIGN_OR_RETURN(const std::vector<RawRef> input_ends, ReadEnds("input_layers"));
    CKPT_ASSIGN_OR_RETURN(const std::vector<RawRef> output_ends, ReadEnds("output_layers"));
    FindFirstNodes(inputs, output_ends);
    for (std::size_t i = 0; i < inputs.size(); ++i) {
      for (std::size_t call = 0; call < inputs[i].size(); ++call) {
        CKPT_ASSIGN_OR_RETURN(model_->layers[i].calls[call].inputs, Resolve(inputs[i][call]));
      }
    }
    CKPT_ASSIGN_OR_RETURN(model_->inputs, Resolve(input_ends));
    CKPT_ASSIGN_OR_RETURN(model_->outputs, Resolve(output_ends));
    for (const TensorRef& input : model_->inputs) {
      if (!model_->layers[input.layer].is_input) {
        return Malformed("the input layer " + Quoted(model_->layers[input.layer].name) +
                         " is no InputLayer");
      }
    }
    return {};
  }

  Status ReadCalls(LayerRecord& layer, std::vector<std::vector<RawRef>>& inputs) {
    Json* nodes = Find(*layer.entry, "inbound_nodes");
    if (!nodes || !nodes->is_array()) {
      return Malformed("the layer " + Quoted(layer.name) + " has no list of inbound_nodes");
    }
    const LayerTest is_layer = [this](std::string_view name) {
      return by_name_.contains(std::string(name));
    };
    for (Json* call : CallsIn(*nodes)) {
      std::vector<RawRef>& refs = inputs.emplace_back();
      bool sound = true;
      VisitCall(*call, is_layer, [&](const RefSite& site) {
        if (!site.repeated) sound = AddRef(site, /*end=*/false, refs) && sound;
      });
      if (!sound) return Malformed("malformed inbound_nodes of " + Quoted(layer.name));
      CallRecord& record = layer.calls.emplace_back();
      record.oddity = OddityOfCall(*call);
      record.training = TrainingOfCall(*call);
    }
    if (layer.is_input && !layer.calls.empty()) {
      return Malformed("the InputLayer " + Quoted(layer.name) + " reads something");
    }
    if (layer.is_input) {
      layer.calls.emplace_back();
      inputs.emplace_back();
    }
    return {};
  }

  Result<std::vector<RawRef>> ReadEnds(std::string_view key) {
    Json* ends = Find(*model_->config, key);
    if (!ends) return Malformed("no " + std::string(key));
    std::vector<RawRef> refs;
    bool sound = true;
    VisitEnds(*ends, [&](const RefSite& site) {
      sound = AddRef(site, key == "output_layers", refs) && sound;
    });
    if (!sound) return Malformed("malformed " + std::string(key));
    return refs;
  }

  static bool AddRef(const RefSite& site, bool end, std::vector<RawRef>& refs) {
    if (!site.layer->is_string() || !site.node->is_number_integer() ||
        !site.tensor->is_number_integer()) {
      return false;
    }
    refs.push_back({site.layer->get_ref<const std::string&>(), site.node->get<std::int64_t>(),
                    site.tensor->get<std::int64_t>(), end});
    if (site.shape && site.shape->is_array()) {
      refs.back().rank = static_cast<std::int64_t>(site.shape->size());
    }
    return true;
  }

  // A nested functional model that was built from an InputLayer has a node of its own before its
  // first call. Keras 2 counts it everywhere, Keras 3 in output_layers only.
  void FindFirstNodes(const std::vector<std::vector<std::vector<RawRef>>>& inputs,
                      const std::vector<RawRef>& output_ends) {
    struct Span {
      std::int64_t least = std::numeric_limits<std::int64_t>::max(), most = 0;
    };
    std::vector<Span> nodes(model_->layers.size());
    const auto note = [&](const RawRef& ref) {
      const auto found = by_name_.find(std::string(ref.layer));
      if (found == by_name_.end()) return;
      Span& span = nodes[found->second];
      span.least = std::min(span.least, ref.node);
      span.most = std::max(span.most, ref.node);
    };
    for (const auto& calls : inputs) {
      for (const auto& refs : calls) std::for_each(refs.begin(), refs.end(), note);
    }
    std::for_each(output_ends.begin(), output_ends.end(), note);
    for (std::size_t i = 0; i < model_->layers.size(); ++i) {
      LayerRecord& layer = model_->layers[i];
      if (!layer.model) continue;
      const std::vector<Json*> calls = CallsIn(*Find(*layer.entry, "inbound_nodes"));
      if (!calls.empty() && IsKeras3Call(*calls[0])) {
        layer.first_end_node = layer.model->sequential ? 0 : 1;
      } else if (nodes[i].least == 1 && nodes[i].most == static_cast<std::int64_t>(calls.size())) {
        layer.first_node = layer.first_end_node = 1;
      }
    }
  }

  Result<std::vector<TensorRef>> Resolve(const std::vector<RawRef>& raw) {
    std::vector<TensorRef> refs;
    for (const RawRef& ref : raw) {
      const auto found = by_name_.find(std::string(ref.layer));
      if (found == by_name_.end()) {
        return Malformed("a tensor is read from the layer " + Quoted(ref.layer) +
                         ", which is not there");
      }
      const LayerRecord& layer = model_->layers[found->second];
      const std::int64_t call = ref.node - (ref.end ? layer.first_end_node : layer.first_node);
      // Other layers may have any number of outputs.
      const auto outputs =
          static_cast<std::int64_t>(layer.model ? layer.model->outputs.size() : kMaxConfigBytes);
      if (call < 0 || call >= static_cast<std::int64_t>(layer.calls.size()) || ref.tensor < 0 ||
          ref.tensor >= outputs) {
        return Malformed("a tensor is read from node " + std::to_string(ref.node) + ", output " +
                         std::to_string(ref.tensor) + ", of the layer " + Quoted(ref.layer) +
                         ", which has " + std::to_string(layer.calls.size()) + " calls");
      }
      refs.push_back({found->second, static_cast<std::uint32_t>(call),
                      static_cast<std::uint32_t>(ref.tensor), ref.rank});
    }
    return refs;
  }

  // Kahn's algorithm; among calls that are ready the first in the config goes first.
  Status SortCalls() {
    using Call = std::pair<std::uint32_t, std::uint32_t>;
    std::vector<std::vector<std::size_t>> waiting(model_->layers.size());
    std::vector<std::vector<std::vector<Call>>> readers(model_->layers.size());
    std::priority_queue<Call, std::vector<Call>, std::greater<>> ready;
    std::size_t total = 0;
    for (std::uint32_t i = 0; i < model_->layers.size(); ++i) {
      readers[i].resize(model_->layers[i].calls.size());
      total += readers[i].size();
    }
    for (std::uint32_t i = 0; i < model_->layers.size(); ++i) {
      for (std::uint32_t call = 0; call < model_->layers[i].calls.size(); ++call) {
        const std::vector<TensorRef>& inputs = model_->layers[i].calls[call].inputs;
        waiting[i].push_back(inputs.size());
        for (const TensorRef& ref : inputs) readers[ref.layer][ref.call].push_back({i, call});
        if (inputs.empty()) ready.push({i, call});
      }
    }
    while (!ready.empty()) {
      const Call call = ready.top();
      ready.pop();
      model_->order.push_back(call);
      for (const Call& reader : readers[call.first][call.second]) {
        if (--waiting[reader.first][reader.second] == 0) ready.push(reader);
      }
    }
    if (model_->order.size() != total) return Malformed("the calls of the layers form a cycle");
    return {};
  }

  std::unique_ptr<ModelRecord> model_ = std::make_unique<ModelRecord>();
  std::unordered_map<std::string, std::uint32_t> by_name_;
};

}  // namespace

std::string ForeignPackage(const Json& entry) {
  std::string module = TextOf(entry, "module");
  if (!IsKerasModule(module)) return module;
  const std::string registered = TextOf(entry, "registered_name");
  const std::size_t mark = registered.find('>');
  if (mark == std::string::npos) return {};
  std::string package = registered.substr(0, mark);
  for (const std::string_view own : {"Keras", "keras", "tf_keras", "TensorFlow"}) {
    if (package == own) return {};
  }
  return package;
}

bool IsModelEntry(const Json& entry) {
  const std::string class_name = TextOf(entry, "class_name");
  const Json* config = Find(entry, "config");
  if (!config || !ForeignPackage(entry).empty()) return false;
  const Json* layers = config->is_array() ? config : Find(*config, "layers");
  if (!layers || !layers->is_array()) return false;
  if (class_name == "Sequential") return true;
  return (class_name == "Functional" || class_name == "Model") && config->is_object();
}

Result<std::unique_ptr<ModelRecord>> ReadModelRecord(Json& entry) {
  return ModelReader::Read(entry);
}

}  // namespace ckpt::formats::keras
