// One call of a layer as its translation looks at it: the config's attributes, the weights, the
// inputs.
#pragma once

#include <functional>
#include <initializer_list>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "ckpt/checkpoint.h"
#include "ckpt/network/network.h"
#include "formats/keras/model/model_config.h"

namespace ckpt::formats::keras {

// An argument of the call, with its tensors in the order in which Keras walks them.
struct Argument {
  const Json* value = nullptr;  // as the config has it; null where it is absent
  std::vector<network::ValueId> tensors = {};
  bool is_tensor = false;  // it is one, and no list of them

  bool is_given() const { return value != nullptr; }
};

struct LayerCall {
  network::NetworkBuilder& builder;
  std::vector<network::ValueId> inputs;
  std::string class_name;  // "Conv2D": without package
  std::string keras_version;
  const Layer& layer;
  const Json& config;
  const Manifest& manifest;
  const LayerRecord& record;
  std::vector<CallArgument> arguments = {};  // none of a call in a Sequential
  int keras_major() const { return KerasMajor(keras_version); }

  // A key of the config that is there and could not be read: what was made of the layer is wrong.
  mutable std::string misread = {};

  // The outputs behind the first one, of what has several.
  mutable std::vector<network::ValueId> further = {};

  // By its place or its name; null and False are absent, as in Keras' masks.
  Argument ArgumentOf(std::size_t place, std::string_view name) const;
  // Are all arguments but absent ones among the first `places` or these?
  bool HasNoArgumentsBut(std::size_t places, std::initializer_list<std::string_view> names) const;

  // The weight by the end of its name ("kernel"); kNoValue where the layer has none of it.
  network::ValueId Weight(std::string_view name) const;
  // The weight of a layer within this one: the end of its name is `name` or, in files that number
  // them, `place`; what stands before it ("forward_lstm/lstm_cell") is `within`, if that is given.
  network::ValueId WeightWithin(const std::function<bool(std::string_view)>& within,
                                std::string_view name, std::size_t place) const;
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
  // The vectors along the axes, of length 1, as the version of Keras bounds those near 0; Keras 3
  // divides by `least` at least.
  network::ValueId Normalized(network::ValueId value, const network::Sizes& axes, double least,
                              std::string_view part) const;
  // The layer's own activation, behind its value.
  network::ValueId Activated(network::ValueId value) const;
};

// What a Keras activation computes; absent where its name is not known.
std::optional<network::Unary> ActivationOf(const Json& activation, int keras_major);

// tf.image.resize of TensorFlow 2 without antialiasing, which Keras uses: the mode and the places;
// absent where it is another interpolation than these.
std::optional<network::Resize> ResizeOf(std::string_view interpolation);

// The first output of a call of a layer that DoubtOf() has no doubt of; an Unknown where its class
// or its attributes are not translated.
network::ValueId TranslateLayer(const LayerCall& call);
// The same for the layer within a TimeDistributed, on each step of axis 1.
network::ValueId TranslateSteps(const LayerCall& call);
// Is it within a TimeDistributed, and looks at more than the last axis?
bool IsAppliedToSteps(const LayerCall& call);

// Each of one family of classes; kNoValue where the class is none of it.
network::ValueId TranslateProducts(const LayerCall& call);
network::ValueId TranslatePooling(const LayerCall& call);
network::ValueId TranslateElementwise(const LayerCall& call);
network::ValueId TranslateNormalization(const LayerCall& call);
network::ValueId TranslateShapes(const LayerCall& call);
network::ValueId TranslateRecurrent(const LayerCall& call);
network::ValueId TranslateAttention(const LayerCall& call);

// A function among the layers: of keras.ops (Keras 3), or of TensorFlow (TFOpLambda,
// SlicingOpLambda of Keras 2). kNoValue where it is not understood.
network::ValueId TranslateFunction(const LayerCall& call);

// "Conv2DTranspose" -> {"ConvTranspose", 2}; 0 axes where the class has none.
struct SpatialClass {
  std::string stem;
  std::size_t axes = 0;
};
SpatialClass SpatialClassOf(std::string_view class_name);

}  // namespace ckpt::formats::keras
