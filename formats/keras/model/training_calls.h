// Which layers of a Keras config run in training mode wherever the model is served, because a call
// says so: their own, or one of a model that they stand in.
//
// Keras 1 and 2: an argument `training` of the layer's own call decides, else that of the model
// around it. Keras 3: what a model is called with goes to all its layers and overrides their own
// calls; fit(), predict() and evaluate() call the whole model with a value.
// A frozen batch norm uses its moving statistics in any case since TensorFlow 2.
//
// Source: call() of Functional and BatchNormalization in Keras 2.15 and 3.
#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "formats/keras/model/model_config.h"

namespace ckpt::formats::keras {

// The values of `training` that the calls of a layer or model are made with.
struct CallModes {
  bool open = false;  // left to whoever calls the whole model
  bool training = false;
  bool inference = false;

  static CallModes OfWholeModel() { return {.open = true}; }
  void Add(std::optional<bool> value) { (value ? *value ? training : inference : open) = true; }
};

class TrainingCalls {
 public:
  explicit TrainingCalls(std::string_view keras_version);

  // Of the calls of `record` in a model that is called in `around`.
  CallModes ModesOf(const LayerRecord& record, const CallModes& around) const;

  // Sets training_mode, training_mode_overridden and inference_only of a batch norm. A dropout that
  // stays active becomes kOther.
  void Apply(const LayerRecord& record, const CallModes& around, Layer& layer) const;

 private:
  bool FreezesStatistics(const LayerRecord& record) const;

  std::string version_;
  bool outer_call_wins_;
};

// Sets not_inference of the batch norms in training mode.
void FindWhatCannotServe(ModelConfig& config);

// Makes the config call a batch norm for inference. REQUIRES: its not_inference is empty.
void CallForInference(const ModelConfig& config, LayerId id);

}  // namespace ckpt::formats::keras
