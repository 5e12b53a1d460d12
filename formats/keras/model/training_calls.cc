#include "formats/keras/model/training_calls.h"

#include <algorithm>
#include <charconv>
#include <unordered_map>
#include <utility>

#include "ckpt/layer_computation.h"

namespace ckpt::formats::keras {
namespace {

int MinorOf(std::string_view version) {
  const std::size_t dot = version.find('.');
  int minor = 0;
  if (dot == std::string_view::npos) return minor;
  std::from_chars(version.data() + dot + 1, version.data() + version.size(), minor);
  return minor;
}

// Does a layer compute the same whatever `training` is?
bool IgnoresTraining(const Layer& layer) {
  return layer.is_input || (!IsIdentity(layer) && !IsUnknown(layer));
}

// The place whose calls decide for a layer of a model that records no calls of its own: the nested
// model nearest around it that stands in a functional one. Null where there is none.
const LayerRecord* RecordedCaller(const ModelConfig& config, const ConfigLayer& layer) {
  for (std::size_t depth = layer.outer.size(); depth-- > 0;) {
    const ModelRecord& around = depth == 0 ? *config.model : *layer.outer[depth - 1]->model;
    if (!around.sequential) return layer.outer[depth];
  }
  return nullptr;
}

void MakeCallsInference(const LayerRecord& record) {
  for (Json* call : CallsIn(*Find(*record.entry, "inbound_nodes"))) CallForInference(*call);
}

}  // namespace

TrainingCalls::TrainingCalls(std::string_view keras_version)
    : version_(keras_version), outer_call_wins_(KerasMajor(keras_version) >= 3) {}

CallModes TrainingCalls::ModesOf(const LayerRecord& record, const CallModes& around) const {
  if (record.calls.empty()) return around;
  CallModes modes;
  const auto add = [&](std::optional<bool> outer) {
    for (const CallRecord& call : record.calls) {
      const auto& [first, second] =
          outer_call_wins_ ? std::pair(outer, call.training) : std::pair(call.training, outer);
      modes.Add(first ? first : second);
    }
  };
  if (around.open) add(std::nullopt);
  if (around.training) add(true);
  if (around.inference) add(false);
  return modes;
}

// Since TensorFlow 2 a batch norm with trainable = false normalises with its moving statistics.
bool TrainingCalls::FreezesStatistics(const LayerRecord& record) const {
  if (record.class_name.ends_with("V1")) return false;
  const int major = KerasMajor(version_);
  return major > 2 || (major == 2 && (MinorOf(version_) >= 4 || version_.ends_with("-tf")));
}

void TrainingCalls::Apply(const LayerRecord& record, const CallModes& around, Layer& layer) const {
  const CallModes modes = ModesOf(record, around);
  if (IsIdentity(layer) && modes.training) {
    BeNotUnderstood(layer);
    layer.can_gain_bias = false;
  }
  if (!IsBatchNorm(layer)) return;
  const bool frozen = !layer.trainable && FreezesStatistics(record);
  layer.inference_only = !outer_call_wins_ && !modes.open && !modes.training;
  if (!modes.training || frozen || !layer.training_mode.empty()) return;
  const bool own =
      std::any_of(record.calls.begin(), record.calls.end(),
                  [](const CallRecord& call) { return call.training.value_or(false); });
  layer.training_mode =
      own ? "called with training=True" : "a model that it stands in is called with training=True";
  layer.training_mode_overridden = outer_call_wins_;
}

void FindWhatCannotServe(ModelConfig& config) {
  std::unordered_map<const LayerRecord*, LayerId> minds_training;  // by a model around the layer
  for (LayerId id = 0; id < config.layers.size(); ++id) {
    if (IgnoresTraining(config.graph.layers[id])) continue;
    for (const LayerRecord* model : config.layers[id].outer) minds_training.emplace(model, id);
  }
  for (LayerId id = 0; id < config.layers.size(); ++id) {
    Layer& layer = config.graph.layers[id];
    const ConfigLayer& at = config.layers[id];
    if (layer.training_mode.empty() || !at.parent->sequential) continue;
    const auto other = minds_training.find(RecordedCaller(config, at));
    if (other == minds_training.end()) continue;
    layer.not_inference = "its model is called with training=True, and with it the layer \"" +
                          config.graph.layers[other->second].name + '"';
  }
}

void CallForInference(const ModelConfig& config, LayerId id) {
  const ConfigLayer& layer = config.layers[id];
  Json& attributes = const_cast<Json&>(AttributesOf(*layer.record));  // of an editable document
  if (Json* mode = Find(attributes, "mode")) {
    *mode = 0;
  } else if (!layer.parent->sequential) {
    MakeCallsInference(*layer.record);
  } else if (const LayerRecord* const caller = RecordedCaller(config, layer)) {
    MakeCallsInference(*caller);
  }
}

}  // namespace ckpt::formats::keras
