#include "formats/keras/variables/variable_layout_rewrite.h"

#include <algorithm>
#include <optional>
#include <unordered_map>
#include <unordered_set>

#include "formats/keras/model/config_rewrite.h"
#include "formats/keras/model/variable_names.h"
#include "formats/keras/variables/group_paths.h"

namespace ckpt::formats::keras {
namespace {

// What an edit needs to know of a layer, kept from the config before it changes.
struct EditedLayer {
  std::vector<ExpectedWeight> weights;
  bool wrapped = false;
  bool removed = false, gained_bias = false, affine = false;
};

class LayoutRewriter {
 public:
  LayoutRewriter(const ModelConfig& config, const GroupPaths& paths, const GraphEdits& edits) {
    for (const GroupPath& layer : paths.layers) {
      if (!layer.shared) old_layers_.emplace(layer.path, layer.layer);
    }
    const auto mark = [&](const std::vector<LayerId>& layers, bool EditedLayer::*flag) {
      for (const LayerId id : layers) {
        if (id >= config.layers.size()) continue;  // the config's rewriting refuses it
        EditedLayer& layer = edited_[config.graph.layers[id].name];
        layer.weights = config.layers[id].facts.weights.value_or(std::vector<ExpectedWeight>());
        layer.wrapped = config.layers[id].record->class_name == "TimeDistributed";
        layer.*flag = true;
      }
    };
    mark(edits.removed, &EditedLayer::removed);
    mark(edits.gained_bias, &EditedLayer::gained_bias);
    mark(edits.to_affine, &EditedLayer::affine);
  }

  Result<VariableLayout> Rewrite(const VariableLayout& layout, const GroupPaths& paths) const {
    VariableLayout result;
    result.others = layout.others;
    result.old_layers = layout.old_layers;
    for (LayoutGroup group : layout.groups) {
      if (IsBelow(group.path, "optimizer")) continue;
      const auto top = LayerAbove(group.path);
      if (!top) {
        result.groups.push_back(std::move(group));
        continue;
      }
      const std::string& layer = old_layers_.at(*top);
      const std::string inside = group.path.substr(top->size());
      const std::string& moved = paths.OfLayer(layer);
      if (moved.empty()) continue;  // the layer is gone
      const auto edited = edited_.find(layer);
      if (edited != edited_.end()) {
        const bool own = inside == (edited->second.wrapped ? "/layer" : "");
        if (own) CKPT_RETURN_IF_ERROR(Edit(layer, edited->second, group));
        if (!own && edited->second.removed) continue;
      }
      group.path = moved + inside;
      result.groups.push_back(std::move(group));
    }
    std::sort(result.groups.begin(), result.groups.end(),
              [](const LayoutGroup& a, const LayoutGroup& b) { return a.path < b.path; });
    return result;
  }

 private:
  // The path of the innermost layer that `path` belongs to.
  std::optional<std::string> LayerAbove(const std::string& path) const {
    for (std::string top = path; !top.empty();) {
      if (old_layers_.contains(top)) return top;
      const std::size_t slash = top.rfind('/');
      top = slash == std::string::npos ? "" : top.substr(0, slash);
    }
    return std::nullopt;
  }

  static Status Edit(const std::string& name, const EditedLayer& layer, LayoutGroup& group) {
    if (layer.removed) {  // an activation that computes nothing stands in its place
      group.variables.clear();
      return {};
    }
    const bool expected = group.variables.size() == layer.weights.size();
    if (!expected) {
      return Fail(ErrorCode::kUnsupported,
                  "the layer \"" + name + "\" has other variables than its class asks for");
    }
    if (layer.gained_bias) {
      const auto kernel = IndexOf(layer, "kernel");
      if (!kernel || IndexOf(layer, "bias")) {
        return Fail(ErrorCode::kUnsupported, "the layer \"" + name + "\" cannot get a bias");
      }
      group.variables.push_back({std::to_string(group.variables.size()),
                                 Beside(group.variables[*kernel].tensor, "bias")});
    }
    if (layer.affine) MakeAffine(layer, group);
    return {};
  }

  static void MakeAffine(const EditedLayer& layer, LayoutGroup& group) {
    const auto mean = IndexOf(layer, "moving_mean");
    if (!mean) return;
    std::vector<LayoutVariable> variables;
    for (const char* leaf : {"gamma", "beta", "moving_mean", "moving_variance"}) {
      const auto there = IndexOf(layer, leaf);
      variables.push_back(
          {std::to_string(variables.size()),
           there ? group.variables[*there].tensor : Beside(group.variables[*mean].tensor, leaf)});
    }
    group.variables = std::move(variables);
  }

  static std::optional<std::size_t> IndexOf(const EditedLayer& layer, std::string_view weight) {
    for (std::size_t i = 0; i < layer.weights.size(); ++i) {
      if (layer.weights[i].name == weight) return i;
    }
    return std::nullopt;
  }

  std::unordered_map<std::string, std::string> old_layers_;  // by path
  std::unordered_map<std::string, EditedLayer> edited_;      // by name
};

}  // namespace

Result<std::string> WithoutCompileConfig(std::string_view config) {
  CKPT_ASSIGN_OR_RETURN(Json document, ParseConfigJson(config));
  if (document.is_object()) document.erase("compile_config");
  return DumpConfigJson(document);
}

Result<RewrittenModel> RewriteModel(std::string_view config_text, std::string_view keras_version,
                                    const VariableLayout& layout, const GraphEdits& edits) {
  const int keras_major = KerasMajor(keras_version);
  CKPT_ASSIGN_OR_RETURN(const std::string plain, WithoutCompileConfig(config_text));
  CKPT_ASSIGN_OR_RETURN(const auto config, ParseModelConfig(plain, keras_version));
  const LayoutRewriter rewriter(*config, FindGroupPaths(*config, keras_major), edits);
  CKPT_ASSIGN_OR_RETURN(RewrittenConfig rewritten, RewriteConfig(*config, edits));
  CKPT_ASSIGN_OR_RETURN(const auto after, ParseModelConfig(rewritten.text, keras_version));
  CKPT_ASSIGN_OR_RETURN(VariableLayout new_layout,
                        rewriter.Rewrite(layout, FindGroupPaths(*after, keras_major)));
  return RewrittenModel{std::move(rewritten.text), std::move(new_layout)};
}

}  // namespace ckpt::formats::keras
