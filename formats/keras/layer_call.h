// One call of a layer as its translation looks at it: the config's attributes, the weights, the
// inputs.
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "ckpt/checkpoint.h"
#include "ckpt/network/network.h"
#include "formats/keras/model_config.h"

namespace ckpt::formats::keras {

struct LayerCall {
  network::NetworkBuilder& builder;
  std::vector<network::ValueId> inputs;
  std::string class_name;  // "Conv2D": without package
  std::string keras_version;
  const Layer& layer;
  const Json& config;
  const Manifest& manifest;
  int keras_major() const { return KerasMajor(keras_version); }

  // A key of the config that is there and could not be read: what was made of the layer is wrong.
  mutable std::string misread = {};

  // The weight by the end of its name ("kernel"); kNoValue where the layer has none of it.
  network::ValueId Weight(std::string_view name) const;
  std::optional<TensorId> TensorOf(std::string_view name) const;
  network::Sizes ShapeOf(TensorId id) const;

  bool Flag(std::string_view key, bool fallback) const;
  double Number(std::string_view key, double fallback) const;
  std::optional<std::string> Text(std::string_view key) const;
  std::optional<std::int64_t> Integer(std::string_view key) const;
  // A number, or a list of them: `count` of them; empty where there is none.
  network::Sizes Integers(std::string_view key, std::size_t count) const;
  // 1 or -1; absent where the config names another format.
  std::optional<std::int64_t> ChannelAxis() const;
  // A list of integers, or one.
  std::optional<network::Sizes> ListOrInteger(std::string_view key) const;
  // Numbers, where the value of the key is a list of numbers.
  std::optional<std::vector<double>> Numbers(std::string_view key) const;

  // The value of a key; null where it is absent or null. NumPy's arrays of one element stand as
  // {"type": "ndarray", "value": 6.0} in configs of 2017 and 2018.
  const Json* Value(std::string_view key) const;

  network::ValueId input() const { return inputs[0]; }
  network::ValueId Add(network::Computation computation, std::vector<network::ValueId> operands,
                       std::string_view part = {}) const;
  network::ValueId Unknown(std::string why) const;
  // The layer's own activation, behind its value.
  network::ValueId Activated(network::ValueId value) const;
};

// What a Keras activation computes; absent where its name is not known.
std::optional<network::Unary> ActivationOf(const Json& activation, int keras_major);

// Each of one family of classes; kNoValue where the class is none of it.
network::ValueId TranslateProducts(const LayerCall& call);
network::ValueId TranslatePooling(const LayerCall& call);
network::ValueId TranslateElementwise(const LayerCall& call);
network::ValueId TranslateNormalization(const LayerCall& call);
network::ValueId TranslateShapes(const LayerCall& call);

// A function of keras.ops among the layers: arithmetic of tensors and numbers that is called once.
// `entry` is that of the config; kNoValue where it is not understood.
network::ValueId TranslateFunction(const LayerCall& call, const Json& entry);

// "Conv2DTranspose" -> {"ConvTranspose", 2}; 0 axes where the class has none.
struct SpatialClass {
  std::string stem;
  std::size_t axes = 0;
};
SpatialClass SpatialClassOf(std::string_view class_name);

}  // namespace ckpt::formats::keras
