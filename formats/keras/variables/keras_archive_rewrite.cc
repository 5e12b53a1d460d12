#include <algorithm>
#include <nlohmann/json.hpp>
#include <unordered_map>

#include "formats/keras/variables/group_paths.h"
#include "formats/keras/variables/keras_archive.h"
#include "formats/keras/variables/variable_layout_rewrite.h"

namespace ckpt::formats {
namespace {

constexpr std::string_view kConfigEntry = "config.json";

std::string* TextOf(std::vector<Document>& documents, std::string_view name) {
  const auto found = std::find_if(documents.begin(), documents.end(),
                                  [&](const Document& it) { return it.name == name; });
  return found == documents.end() ? nullptr : &found->text;
}

std::string NameIn(const keras::Json& config) {
  const keras::Json* name = keras::Find(config, "name");
  return name && name->is_string() ? name->get<std::string>() : std::string();
}

// Where Keras 3 would put the weights of a whole model of the older layout.
class LayoutMaker {
 public:
  LayoutMaker(const keras::ModelConfig& config, const Manifest& manifest)
      : config_(config), manifest_(manifest) {
    for (LayerId id = 0; id < config.layers.size(); ++id) {
      ids_.emplace(config.graph.layers[id].name, id);
    }
  }

  Result<keras::VariableLayout> Make(int keras_major) {
    keras::VariableLayout layout;
    keras::LayoutGroup& root = layout.groups.emplace_back();
    if (config_.model->config->is_object()) root.name = NameIn(*config_.model->config);
    for (const keras::GroupPath& layer : keras::FindGroupPaths(config_, keras_major).layers) {
      if (layer.shared) continue;
      layout.groups.push_back({layer.path, layer.name, {}});
      const auto id = ids_.find(layer.layer);
      if (id == ids_.end()) continue;
      CKPT_RETURN_IF_ERROR(AddVariables(id->second, layer.path, layout));
    }
    return layout;
  }

 private:
  Status AddVariables(LayerId id, const std::string& path, keras::VariableLayout& layout) {
    const keras::ConfigLayer& layer = config_.layers[id];
    const auto& tensors = manifest_.graph->layers[id].tensors;
    const auto& weights = layer.facts.weights;
    if (!weights && tensors.empty()) return {};
    if (!weights) {
      return Fail(ErrorCode::kUnsupported, "the layer \"" + config_.graph.layers[id].name +
                                               "\": the order of the variables of its class is "
                                               "not known");
    }
    if (layer.record->class_name == "TimeDistributed") {
      const keras::Json* wrapped =
          keras::Find(*keras::Find(*layer.record->entry, "config"), "layer");
      const keras::Json* config = wrapped ? keras::Find(*wrapped, "config") : nullptr;
      layout.groups.push_back({path + "/layer", config ? NameIn(*config) : "", {}});
    }
    for (const keras::ExpectedWeight& weight : *weights) {
      const auto tensor = tensors.find(weight.name);
      // The plan of the output names what is missing.
      const std::string name = tensor == tensors.end()
                                   ? config_.graph.layers[id].name + "/" + weight.name
                                   : manifest_.tensors[tensor->second.index].name;
      auto& variables = layout.groups.back().variables;
      variables.push_back({std::to_string(variables.size()), name});
    }
    return {};
  }

  const keras::ModelConfig& config_;
  const Manifest& manifest_;
  std::unordered_map<std::string_view, LayerId> ids_;
};

// Archives name the module of each class, which the older layout does not. The depth of the config
// was bounded when it was parsed.
Status AddModules(keras::Json& entry) {
  const keras::Json* class_name = keras::Find(entry, "class_name");
  const std::string name =
      class_name && class_name->is_string() ? class_name->get<std::string>() : std::string();
  if (name.empty() || name.find('>') != std::string::npos) {
    return Fail(ErrorCode::kUnsupported, "model_config: the class \"" + name +
                                             "\" is not Keras' own, and its module is not known");
  }
  const bool is_model = keras::IsModelEntry(entry);
  if (is_model) {
    keras::Json& config = *keras::Find(entry, "config");
    keras::Json& layers = config.is_array() ? config : *keras::Find(config, "layers");
    for (keras::Json& layer : layers) CKPT_RETURN_IF_ERROR(AddModules(layer));
  }
  if (keras::Find(entry, "module")) return {};
  entry["module"] = !is_model              ? "keras.layers"
                    : name == "Sequential" ? "keras"
                                           : "keras.src.models.functional";
  entry["registered_name"] = nullptr;
  return {};
}

const std::string* TextOf(const std::vector<Document>& documents, std::string_view name) {
  const auto found = std::find_if(documents.begin(), documents.end(),
                                  [&](const Document& it) { return it.name == name; });
  return found == documents.end() ? nullptr : &found->text;
}

// The documents of an archive for a whole model in the older layout, or one of weights in this
// layout with the config of such a model.
Result<std::vector<Document>> FromWholeModel(const Manifest& manifest) {
  const std::string& config = *TextOf(manifest.documents, "model_config");
  const std::string& version = manifest.framework_version;
  CKPT_ASSIGN_OR_RETURN(const auto parsed, keras::ParseModelConfig(config, version));
  if (parsed->graph.layers.size() != manifest.graph->layers.size()) {
    return Fail(ErrorCode::kInternal, "the graph is not that of model_config");
  }
  const std::string* const own = TextOf(manifest.documents, keras::kVariableLayoutDocument);
  CKPT_ASSIGN_OR_RETURN(
      const keras::VariableLayout layout,
      own ? keras::ParseVariableLayout(*own) : LayoutMaker(*parsed, manifest).Make(3));
  CKPT_ASSIGN_OR_RETURN(keras::Json document, keras::ParseConfigJson(config));
  if (keras::KerasMajor(version) >= 3) CKPT_RETURN_IF_ERROR(AddModules(document));
  return std::vector<Document>{
      {std::string(kConfigEntry), keras::DumpConfigJson(document)},
      {"metadata.json", keras::DumpConfigJson({{"keras_version", version}})},
      {std::string(keras::kVariableLayoutDocument), keras::VariableLayoutText(layout)}};
}

bool IsEmpty(const GraphEdits& edits) {
  return edits.removed.empty() && edits.gained_bias.empty() && edits.to_affine.empty() &&
         edits.to_inference.empty();
}

}  // namespace

Result<std::vector<Document>> RewriteKerasArchive(const Manifest& manifest,
                                                  const GraphEdits& edits) {
  std::vector<Document> documents = manifest.documents;
  const bool older = TextOf(documents, "model_config") != nullptr && manifest.graph;
  if (older) {
    CKPT_ASSIGN_OR_RETURN(documents, FromWholeModel(manifest));
  }
  std::string* const config = TextOf(documents, kConfigEntry);
  std::string* const layout_text = TextOf(documents, keras::kVariableLayoutDocument);
  if (!IsEmpty(edits)) {
    if (!config || !layout_text || !manifest.graph) {
      return Fail(ErrorCode::kUnsupported,
                  "the layers of the file are numbered in an order that only its config tells, and "
                  "it has none that is understood; a fold can be written to formats that hold "
                  "tensors by name");
    }
    CKPT_ASSIGN_OR_RETURN(const keras::VariableLayout layout,
                          keras::ParseVariableLayout(*layout_text));
    CKPT_ASSIGN_OR_RETURN(keras::RewrittenModel rewritten,
                          keras::RewriteModel(*config, manifest.framework_version, layout, edits));
    *config = std::move(rewritten.config);
    *layout_text = keras::VariableLayoutText(rewritten.layout);
  }
  // Archives have their config in the form of Keras 2.12 and later, which older whole models lack.
  if (older && config && keras::KerasMajor(manifest.framework_version) < 3) {
    std::erase_if(documents,
                  [](const Document& document) { return document.name == kConfigEntry; });
  }
  return documents;
}

}  // namespace ckpt::formats
