#include "formats/keras/model/layer_call.h"

#include <algorithm>
#include <utility>

namespace ckpt::formats::keras {

using network::kNoValue;
using network::Sizes;
using network::Unary;
using network::UnaryFunction;
using NetworkValue = network::ValueId;

namespace {}  // namespace

Argument LayerCall::ArgumentOf(std::size_t place, std::string_view name) const {
  if (arguments.empty() && place == 0 && !inputs.empty()) {
    static const Json kImplied = Json::array();
    return {&kImplied, {inputs[0]}, true};
  }
  std::size_t at = 0, first = 0;
  for (const CallArgument& argument : arguments) {
    const bool wanted = argument.keyword.empty() ? at++ == place : argument.keyword == name;
    if (wanted && !(argument.tensors == 0 && IsAbsent(*argument.value)) &&
        first + argument.tensors <= inputs.size()) {
      const auto begin = inputs.begin() + static_cast<std::ptrdiff_t>(first);
      return {argument.value,
              {begin, begin + static_cast<std::ptrdiff_t>(argument.tensors)},
              argument.is_tensor};
    }
    first += argument.tensors;
  }
  return {};
}

bool LayerCall::HasNoArgumentsBut(std::size_t places,
                                  std::initializer_list<std::string_view> names) const {
  std::size_t at = 0;
  for (const CallArgument& argument : arguments) {
    const bool place = argument.keyword.empty();
    const bool known = place
                           ? at++ < places
                           : std::find(names.begin(), names.end(), argument.keyword) != names.end();
    if (!known && (argument.tensors > 0 || !IsAbsent(*argument.value))) return false;
  }
  return true;
}

std::optional<TensorId> LayerCall::TensorOf(std::string_view name) const {
  if (const auto found = layer.tensors.find(std::string(name)); found != layer.tensors.end()) {
    return found->second;
  }
  std::optional<TensorId> only;
  const std::string end = "/" + std::string(name);
  for (const auto& [full, id] : layer.tensors) {
    if (!full.ends_with(end)) continue;
    if (only) return std::nullopt;
    only = id;
  }
  return only;
}

NetworkValue LayerCall::WeightWithin(const std::function<bool(std::string_view)>& within,
                                     std::string_view name, std::size_t place) const {
  std::optional<TensorId> only;
  const std::string number = std::to_string(place);
  for (const auto& [full, id] : layer.tensors) {
    const std::size_t slash = full.rfind('/');
    const bool nested = slash != std::string::npos;
    const std::string_view last = std::string_view(full).substr(nested ? slash + 1 : 0);
    if (last != name && last != number) continue;
    if (within && !within(std::string_view(full).substr(0, nested ? slash : 0))) continue;
    if (only) return kNoValue;
    only = id;
  }
  if (!only) return kNoValue;
  return builder.AddStored(manifest.tensors[only->index].name, {*only, {}, {}}, ShapeOf(*only));
}

Sizes LayerCall::ShapeOf(TensorId id) const {
  const auto dims = manifest.tensors[id.index].shape.dims();
  return Sizes(dims.begin(), dims.end());
}

NetworkValue LayerCall::Weight(std::string_view name) const {
  const auto id = TensorOf(name);
  if (!id) return kNoValue;
  return builder.AddStored(manifest.tensors[id->index].name, {*id, {}, {}}, ShapeOf(*id));
}

const Json* LayerCall::Value(std::string_view key) const {
  const Json* value = Find(config, key);
  if (value && value->is_object() && Find(*value, "type") && *Find(*value, "type") == "ndarray") {
    value = Find(*value, "value");
  }
  return value && !value->is_null() ? value : nullptr;
}

bool LayerCall::Flag(std::string_view key, bool fallback) const {
  const Json* value = Value(key);
  if (value && !value->is_boolean()) misread = key;
  return value && value->is_boolean() ? value->get<bool>() : fallback;
}

double LayerCall::Number(std::string_view key, double fallback) const {
  const Json* value = Value(key);
  if (value && !value->is_number()) misread = key;
  return value && value->is_number() ? value->get<double>() : fallback;
}

std::optional<std::string> LayerCall::Text(std::string_view key) const {
  const Json* value = Value(key);
  if (value && !value->is_string()) misread = key;
  if (!value || !value->is_string()) return std::nullopt;
  return value->get<std::string>();
}

namespace {

std::optional<std::int64_t> IntegerIn(const Json& value) {
  constexpr std::int64_t kLargest = std::int64_t{1} << 40;
  if (!value.is_number_integer()) return std::nullopt;
  if (value.is_number_unsigned() && value.get<std::uint64_t>() > std::uint64_t{1} << 40) {
    return std::nullopt;
  }
  const auto number = value.get<std::int64_t>();
  return number >= -kLargest ? std::optional(number) : std::nullopt;
}

}  // namespace

std::optional<std::int64_t> LayerCall::Integer(std::string_view key) const {
  const Json* value = Value(key);
  if (!value) return std::nullopt;
  const auto number = IntegerIn(*value);
  if (!number) misread = key;
  return number;
}

Sizes LayerCall::Integers(std::string_view key, std::size_t count) const {
  const Json* value = Value(key);
  if (!value) return {};
  Sizes integers;
  if (!value->is_array()) {
    if (const auto one = IntegerIn(*value)) integers.assign(count, *one);
  } else {
    for (const Json& element : *value) {
      if (const auto one = IntegerIn(element)) integers.push_back(*one);
    }
    if (integers.size() != count || value->size() != count) integers.clear();
  }
  if (integers.empty()) misread = key;
  return integers;
}

std::optional<Sizes> LayerCall::ListOrInteger(std::string_view key) const {
  const Json* value = Value(key);
  if (!value) return std::nullopt;
  if (const auto one = IntegerIn(*value)) return Sizes{*one};
  Sizes integers;
  for (const Json& element : value->is_array() ? *value : Json::array()) {
    const auto one = IntegerIn(element);
    if (!one) break;
    integers.push_back(*one);
  }
  if (value->is_array() && integers.size() == value->size()) return integers;
  misread = key;
  return std::nullopt;
}

std::optional<std::vector<double>> LayerCall::Numbers(std::string_view key) const {
  const Json* value = Value(key);
  if (!value) return std::nullopt;
  std::vector<double> numbers;
  if (value->is_number()) return std::vector{value->get<double>()};
  if (!value->is_array()) {
    misread = key;
    return std::nullopt;
  }
  for (const Json& element : *value) {
    if (!element.is_number()) {
      misread = key;
      return std::nullopt;
    }
    numbers.push_back(element.get<double>());
  }
  return numbers;
}

std::optional<std::int64_t> LayerCall::ChannelAxis() const {
  const Json* format = Find(config, "data_format");
  if (!format) format = Find(config, "dim_ordering");
  if (!format || format->is_null()) return -1;
  if (!format->is_string()) return std::nullopt;
  const auto& text = format->get_ref<const std::string&>();
  if (text == "channels_last" || text == "tf") return -1;
  if (text == "channels_first" || text == "th") return 1;
  return std::nullopt;
}

NetworkValue LayerCall::Add(network::Computation computation, std::vector<NetworkValue> operands,
                            std::string_view part) const {
  return builder.Add(std::move(computation), std::move(operands),
                     part.empty() ? layer.name : layer.name + "/" + std::string(part));
}

NetworkValue LayerCall::Unknown(std::string why) const {
  return Add(network::Unknown{class_name, std::move(why)}, inputs);
}

NetworkValue LayerCall::Normalized(NetworkValue value, const Sizes& axes, double least,
                                   std::string_view part) const {
  using network::BinaryFunction;
  network::Reduction squares;
  squares.kind = network::Reduction::Kind::kSumOfSquares;
  squares.axes.listed = axes;
  NetworkValue length = Add(squares, {value}, "squares");
  if (keras_major() < 3) {  // tf.math.l2_normalize
    length = Add(network::Binary{BinaryFunction::kMaximum}, {length, builder.AddScalar(1e-12)},
                 "squares_bounded");
  }
  NetworkValue factor = Add(Unary{UnaryFunction::kRsqrt}, {length}, "factor");
  if (keras_major() >= 3) {
    factor = Add(network::Binary{BinaryFunction::kMinimum}, {factor, builder.AddScalar(1 / least)},
                 "factor_bounded");
  }
  return Add(network::Binary{BinaryFunction::kMultiply}, {value, factor}, part);
}

NetworkValue LayerCall::Activated(NetworkValue value) const {
  const Json* activation = Value("activation");
  if (!activation) return value;
  if (*activation == "softmax") return Add(network::Softmax{}, {value}, "softmax");
  const auto function = ActivationOf(*activation, keras_major());
  if (!function) {
    return Add(network::Unknown{class_name, "its activation is not known"}, {value}, "activation");
  }
  if (function->function == UnaryFunction::kIdentity) return value;
  return Add(*function, {value}, "activation");
}

std::optional<Unary> ActivationOf(const Json& activation, int keras_major) {
  if (!activation.is_string()) return std::nullopt;
  const auto& name = activation.get_ref<const std::string&>();
  const bool keras3 = keras_major >= 3;
  if (name == "linear") return Unary{UnaryFunction::kIdentity};
  if (name == "relu") return Unary{UnaryFunction::kRelu};
  if (name == "relu6") return Unary{UnaryFunction::kClip, 0, 6};
  if (name == "leaky_relu") return Unary{UnaryFunction::kLeakyRelu, 0.2};
  if (name == "elu") return Unary{UnaryFunction::kElu, 1};
  if (name == "selu") {
    return Unary{UnaryFunction::kSelu, 1.6732632423543772848170429916717,
                 1.0507009873554804934193349852946};
  }
  if (name == "celu") return Unary{UnaryFunction::kCelu, 1};
  if (name == "sigmoid") return Unary{UnaryFunction::kSigmoid};
  if (name == "tanh") return Unary{UnaryFunction::kTanh};
  if (name == "silu" || name == "swish") return Unary{UnaryFunction::kSilu, 1};
  if (name == "softplus") return Unary{UnaryFunction::kSoftplus};
  if (name == "softsign") return Unary{UnaryFunction::kSoftsign};
  if (name == "exponential") return Unary{UnaryFunction::kExp};
  if (name == "mish") return Unary{UnaryFunction::kMish};
  if (name == "gelu") return Unary{UnaryFunction::kGelu};
  if (name == "log_sigmoid") return Unary{UnaryFunction::kLogSigmoid};
  // Keras 3 took another line for the same name.
  if (name == "hard_sigmoid") {
    return Unary{UnaryFunction::kHardSigmoid, keras3 ? 1.0 / 6 : 0.2, 0.5};
  }
  if (name == "hard_silu" || name == "hard_swish") {
    return Unary{UnaryFunction::kHardSwish, 1.0 / 6, 0.5};
  }
  if (name == "hard_tanh") return Unary{UnaryFunction::kClip, -1, 1};
  if (name == "relu1") return Unary{UnaryFunction::kClip, 0, 1};
  return std::nullopt;
}

SpatialClass SpatialClassOf(std::string_view class_name) {
  const bool transposed = class_name.ends_with("Transpose");
  if (transposed) class_name.remove_suffix(std::string_view("Transpose").size());
  if (class_name.size() < 3 || class_name.back() != 'D') return {};
  const char digit = class_name[class_name.size() - 2];
  if (digit < '1' || digit > '3') return {};
  return {
      std::string(class_name.substr(0, class_name.size() - 2)) + (transposed ? "Transpose" : ""),
      static_cast<std::size_t>(digit - '0')};
}

}  // namespace ckpt::formats::keras
