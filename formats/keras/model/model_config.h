// The config of a Keras model, understood: every generation from Keras 1 to Keras 3.
//
// Nested models are flattened, their layers named "outer/inner". What is not understood (Lambda,
// custom classes, unusual calls) becomes a layer that computes something Unknown; nothing in a
// config is executed.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "ckpt/model_graph.h"
#include "formats/keras/model/layer_facts.h"
#include "formats/keras/model/model_record.h"

namespace ckpt::formats::keras {

// What the config says beyond ckpt::Layer; one for each layer of the graph, in its order.
struct ConfigLayer {
  const LayerRecord* record;
  LayerFacts facts;
  std::vector<std::string> path;  // {"outer", "inner"}; path[0] is a layer of the whole model
  // The nested models that it stands in, the outermost first, and the model that lists it.
  std::vector<const LayerRecord*> outer = {};
  const ModelRecord* parent = nullptr;
};

// What a node of the graph says of the call beyond ckpt::Node.
struct ConfigCall {
  std::uint32_t call = 0;                   // of the layer: its place in LayerRecord::calls
  std::vector<std::uint32_t> outputs = {};  // for each input, which output of its producer it is
};

struct ModelConfig {
  Json document;                             // {"class_name", "config", ...}
  std::unique_ptr<ModelRecord> model;        // points into `document`
  ModelGraph graph;                          // tensors are not bound yet
  std::vector<ConfigCall> calls;             // one for each node of the graph, in its order
  std::vector<ValueId> outputs;              // of the whole model, in its order
  std::vector<std::uint32_t> output_places;  // which output of its producer each of them is
  std::vector<ConfigLayer> layers;           // points into `model`
  // The layers that may have weights, by the layer of the whole model that they are or stand in.
  std::unordered_map<std::string, std::vector<LayerId>> by_group;
};

// `keras_version` is the file's, "" where it has none. Fails with kCorrupt for a malformed config,
// kUnsupported for subclassed models, kLimitExceeded where nested models called again and again
// would make more than a million calls.
Result<std::unique_ptr<ModelConfig>> ParseModelConfig(std::string_view text,
                                                      std::string_view keras_version);

// The first number of a version; 1 for "", as Keras assumes.
int KerasMajor(std::string_view keras_version);

}  // namespace ckpt::formats::keras
