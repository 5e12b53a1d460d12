#include "formats/keras/model/config_rewrite.h"

#include <algorithm>
#include <unordered_map>
#include <utility>

#include "ckpt/layer_computation.h"
#include "formats/keras/model/layer_order.h"
#include "formats/keras/model/training_calls.h"

namespace ckpt::formats::keras {
namespace {

tl::unexpected<Error> Impossible(const std::string& layer, const std::string& why) {
  return Fail(ErrorCode::kUnsupported, "model_config: the layer \"" + layer + "\" " + why);
}

Json& EditableAttributes(const LayerRecord& record) {
  return const_cast<Json&>(AttributesOf(record));  // of a document that the caller may change
}

class Rewriter {
 public:
  Rewriter(ModelConfig& config, const GraphEdits& edits) : config_(config), edits_(edits) {
    for (LayerId id = 0; id < config.layers.size(); ++id) ids_[config.layers[id].record] = id;
  }

  Result<RewrittenConfig> Rewrite() {
    for (const auto* layers :
         {&edits_.removed, &edits_.gained_bias, &edits_.to_affine, &edits_.to_inference}) {
      for (const LayerId id : *layers) {
        if (id >= config_.layers.size()) {
          return Fail(ErrorCode::kInternal, "an edit names a layer that the config lacks");
        }
      }
    }
    gone_.assign(config_.layers.size(), false);
    for (const LayerId id : edits_.removed) {
      CKPT_RETURN_IF_ERROR(CheckRemovable(id));
      gone_[id] = true;
    }
    for (const LayerId id : edits_.gained_bias) CKPT_RETURN_IF_ERROR(AddBias(id));
    for (const LayerId id : edits_.to_affine) CKPT_RETURN_IF_ERROR(MakeAffine(id));
    for (const LayerId id : edits_.to_inference) CKPT_RETURN_IF_ERROR(MakeInference(id));
    RewrittenConfig result;
    RewriteModel(*config_.model, result.order);
    result.text = DumpConfigJson(config_.document);
    return result;
  }

 private:
  const std::string& NameOf(LayerId id) const { return config_.graph.layers[id].name; }

  Status CheckRemovable(LayerId id) const {
    const LayerRecord& record = *config_.layers[id].record;
    const bool plain = std::all_of(record.calls.begin(), record.calls.end(),
                                   [](const CallRecord& call) { return call.input_count() == 1; });
    if (!IsBatchNorm(config_.graph.layers[id]) || !plain) {
      return Impossible(NameOf(id), "cannot be removed");
    }
    return {};
  }

  Status AddBias(LayerId id) const {
    Json& config = EditableAttributes(*config_.layers[id].record);
    if (!config_.graph.layers[id].can_gain_bias) return Impossible(NameOf(id), "cannot get a bias");
    const bool keras1 = Find(config, "bias") != nullptr && Find(config, "use_bias") == nullptr;
    config[keras1 ? "bias" : "use_bias"] = true;
    if (Json* initializer = Find(config, "bias_initializer");
        initializer && initializer->is_null()) {
      *initializer = "zeros";  // null would leave Keras without one
    }
    return {};
  }

  Status MakeAffine(LayerId id) const {
    if (!IsBatchNorm(config_.graph.layers[id])) {
      return Impossible(NameOf(id), "is no batch norm");
    }
    Json& config = EditableAttributes(*config_.layers[id].record);
    for (const char* key : {"scale", "center"}) {
      if (Json* flag = Find(config, key)) *flag = true;
    }
    if (Json* renorm = Find(config, "renorm")) *renorm = false;
    return {};
  }

  Status MakeInference(LayerId id) const {
    const Layer& layer = config_.graph.layers[id];
    if (!layer.not_inference.empty()) {
      return Impossible(NameOf(id),
                        "cannot be made to use its moving statistics: " + layer.not_inference);
    }
    if (!gone_[id]) CallForInference(config_, id);
    return {};
  }

  RemovedLayers RemovedOf(const ModelRecord& model) const {
    RemovedLayers removed;
    for (const LayerRecord& layer : model.layers) {
      const auto id = ids_.find(&layer);
      removed.push_back(id != ids_.end() && gone_[id->second]);
    }
    return removed;
  }

  // Layers whose removal would make an input of the model its output, or leave it empty.
  static std::vector<std::uint32_t> Indispensable(const ModelRecord& model,
                                                  const RemovedLayers& removed) {
    std::vector<std::uint32_t> layers;
    for (const TensorRef& output : model.outputs) {
      if (!removed[output.layer]) continue;
      TensorRef ref = output;
      while (removed[ref.layer] && !model.layers[ref.layer].calls[ref.call].reads_implicit_input) {
        ref = model.layers[ref.layer].calls[ref.call].inputs[0];
      }
      if (removed[ref.layer] || model.layers[ref.layer].is_input) layers.push_back(output.layer);
    }
    return layers;
  }

  static void MakeIdentity(const LayerRecord& layer) {
    const Json* dtype = Find(*Find(*layer.entry, "config"), "dtype");
    Json config = {{"name", layer.name}, {"trainable", true}};
    if (dtype) config["dtype"] = *dtype;
    config["activation"] = "linear";
    (*layer.entry)["class_name"] = "Activation";
    *Find(*layer.entry, "config") = std::move(config);
    layer.entry->erase("build_config");  // the module is that of the batch norm
  }

  // Nested models first, because what comes last moves the JSON that they stand in.
  void RewriteModel(const ModelRecord& model, std::vector<LayerId>& order) {
    RemovedLayers removed = RemovedOf(model);
    for (const std::uint32_t layer : Indispensable(model, removed)) {
      MakeIdentity(model.layers[layer]);
      removed[layer] = false;
    }
    const bool changed = std::find(removed.begin(), removed.end(), true) != removed.end();
    std::vector<std::uint32_t> kept(model.layers.size());
    for (std::uint32_t i = 0; i < kept.size(); ++i) kept[i] = i;
    if (changed) kept = KerasLayerOrder(model, removed);
    for (const std::uint32_t layer : kept) {
      const LayerRecord& record = model.layers[layer];
      const auto id = ids_.find(&record);
      if (record.model) {
        RewriteModel(*record.model, order);
      } else if (id != ids_.end() && !gone_[id->second]) {
        order.push_back(id->second);
      }
    }
    if (!changed) return;
    if (model.sequential) {
      MoveInputShape(model, kept);
    } else {
      Rewire(model, removed);
    }
    Json layers = Json::array();
    for (const std::uint32_t layer : kept) {
      layers.push_back(std::move((*model.layer_list)[layer]));
    }
    *model.layer_list = std::move(layers);
  }

  // Without an InputLayer, the first layer of a Sequential says what goes in.
  static void MoveInputShape(const ModelRecord& model, const std::vector<std::uint32_t>& kept) {
    const LayerRecord& first = model.layers[0];
    if (!model.implicit_input || kept.empty() || kept[0] == 0) return;
    const LayerRecord* next = &model.layers[kept[0]];
    while (next->model && next->model->implicit_input && !next->model->layers.empty()) {
      next = &next->model->layers[0];
    }
    if (next->model || next->is_input) return;  // knows its own shape
    Json& config = *Find(*next->entry, "config");
    for (const char* key : {"batch_input_shape", "batch_shape", "input_dtype"}) {
      const Json* value = Find(*Find(*first.entry, "config"), key);
      if (value && !Find(config, key)) config[key] = *value;
    }
  }

  static void Rewire(const ModelRecord& model, const RemovedLayers& removed) {
    std::unordered_map<std::string, std::uint32_t> by_name;
    for (std::uint32_t i = 0; i < model.layers.size(); ++i) by_name[model.layers[i].name] = i;
    const auto rewire = [&](const RefSite& site, auto first_node) {
      const std::uint32_t index = by_name.at(site.layer->get_ref<const std::string&>());
      if (!removed[index]) return;
      const std::int64_t call = site.node->get<std::int64_t>() - first_node(model.layers[index]);
      const TensorRef source = Rewired(model, removed, {index, static_cast<std::uint32_t>(call)});
      const LayerRecord& target = model.layers[source.layer];
      *site.layer = target.name;
      *site.node = static_cast<std::int64_t>(source.call) + first_node(target);
      *site.tensor = source.output;
    };
    const LayerTest is_layer = [&](std::string_view name) {
      return by_name.contains(std::string(name));
    };
    for (const LayerRecord& layer : model.layers) {
      for (Json* call : CallsIn(*Find(*layer.entry, "inbound_nodes"))) {
        VisitCall(*call, is_layer, [&](const RefSite& site) {
          rewire(site, [](const LayerRecord& record) { return record.first_node; });
        });
      }
    }
    VisitEnds(*Find(*model.config, "output_layers"), [&](const RefSite& site) {
      rewire(site, [](const LayerRecord& record) { return record.first_end_node; });
    });
  }

  ModelConfig& config_;
  const GraphEdits& edits_;
  std::unordered_map<const LayerRecord*, LayerId> ids_;
  std::vector<bool> gone_;  // by LayerId
};

}  // namespace

Result<RewrittenConfig> RewriteConfig(ModelConfig& config, const GraphEdits& edits) {
  return Rewriter(config, edits).Rewrite();
}

}  // namespace ckpt::formats::keras
