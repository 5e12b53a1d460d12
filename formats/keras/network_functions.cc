// Functions among the layers: of keras.ops (Keras 3) and of TensorFlow (Keras 2).
//
// Keras 3 lists them by class, with what is no tensor in the config; Keras 2 as TFOpLambda with the
// function's name, and everything as arguments of the call. Sources: keras/src/ops of Keras 3,
// keras/src/layers/core/tf_op_layer.py of 2.15, TensorFlow's python/ops.
#include <limits>
#include <map>
#include <utility>

#include "formats/keras/layer_call.h"

namespace ckpt::formats::keras {

using network::BinaryFunction;
using network::kNoValue;
using network::Sizes;
using network::Unary;
using network::UnaryFunction;
using NetworkValue = network::ValueId;

namespace {

constexpr std::size_t kByName = SIZE_MAX;
constexpr std::int64_t kLargest = std::int64_t{1} << 40;

// One call of a function, whichever generation recorded it.
class Function {
 public:
  explicit Function(const LayerCall& call) : call_(call) {
    tensorflow_ = call.class_name == "TFOpLambda" || call.class_name == "SlicingOpLambda";
    name_ = tensorflow_ ? call.Text("function").value_or("") : call.class_name;
    const Json* module = Find(*call.record.entry, "module");
    // HDF5 files record no module.
    known_ = tensorflow_ || module == nullptr ||
             (module->is_string() &&
              module->get_ref<const std::string&>().starts_with("keras.src.ops."));
  }

  bool is_known() const { return known_ && !call_.inputs.empty(); }
  const std::string& name() const { return name_; }
  bool is_tensorflow() const { return tensorflow_; }
  const LayerCall& call() const { return call_; }

  // What is no tensor: of the config, or of the call by its place or name. Null where it is absent.
  const Json* Attribute(std::size_t place, std::string_view name) const {
    if (!tensorflow_) {
      const Json* value = Find(call_.config, name);
      return value && !value->is_null() ? value : nullptr;
    }
    const Argument argument = call_.ArgumentOf(place, name);
    return argument.tensors.empty() ? argument.value : nullptr;
  }
  bool Flag(std::size_t place, std::string_view name) const {
    const Json* value = Attribute(place, name);
    return value && value->is_boolean() && value->get<bool>();
  }
  std::optional<double> Number(std::size_t place, std::string_view name) const {
    const Json* value = Attribute(place, name);
    return value && value->is_number() ? std::optional(value->get<double>()) : std::nullopt;
  }
  static std::optional<std::int64_t> Integer(const Json* value) {
    if (!value || !value->is_number_integer()) return std::nullopt;
    if (value->is_number_unsigned() && value->get<std::uint64_t>() > std::uint64_t{1} << 40) {
      return std::nullopt;
    }
    const auto integer = value->get<std::int64_t>();
    return integer < -kLargest ? std::nullopt : std::optional(integer);
  }
  // An integer or a list of them; absent where it is anything else.
  std::optional<Sizes> Integers(std::size_t place, std::string_view name) const {
    const Json* value = Attribute(place, name);
    if (!value) return std::nullopt;
    if (const auto one = Integer(value)) return Sizes{*one};
    if (!value->is_array()) return std::nullopt;
    Sizes integers;
    for (const Json& element : *value) {
      const auto integer = Integer(&element);
      if (!integer) return std::nullopt;
      integers.push_back(*integer);
    }
    return integers;
  }
  std::int64_t Axis(std::size_t place, std::int64_t fallback) const {
    return Integer(Attribute(place, "axis")).value_or(fallback);
  }
  bool HasAxisOrNone(std::size_t place) const {
    return !Attribute(place, "axis") || Integer(Attribute(place, "axis"));
  }

  // An operand: a tensor, or a number; kNoValue where it is neither.
  NetworkValue Operand(std::size_t place, std::string_view name) const {
    const Argument argument = call_.ArgumentOf(place, name);
    if (argument.is_tensor) return argument.tensors[0];
    if (!argument.tensors.empty() || !argument.value || !argument.value->is_number()) {
      return kNoValue;
    }
    return call_.builder.AddScalar(argument.value->get<double>());
  }

  // Has the call no argument but these? Its own name decides nothing.
  bool HasOnly(std::size_t places, std::initializer_list<std::string_view> names) const {
    std::vector<std::string_view> all(names);
    for (const CallArgument& argument : call_.arguments) {
      const bool named = argument.keyword == "name" && tensorflow_;
      const bool listed = std::find(all.begin(), all.end(), argument.keyword) != all.end();
      const bool absent = argument.value->is_null() ||
                          (argument.value->is_boolean() && !argument.value->get<bool>());
      if (argument.keyword.empty()) {
        if (places-- == 0) return false;
      } else if (!named && !listed && !absent) {
        return false;
      }
    }
    return true;
  }

 private:
  const LayerCall& call_;
  bool tensorflow_ = false, known_ = false;
  std::string name_;
};

// By the class in Keras 3 or the name in TensorFlow.
std::optional<Unary> PlainUnary(const Function& function) {
  using F = UnaryFunction;
  static const std::map<std::string_view, F> kFunctions = {{"Relu", F::kRelu},
                                                           {"nn.relu", F::kRelu},
                                                           {"Sigmoid", F::kSigmoid},
                                                           {"math.sigmoid", F::kSigmoid},
                                                           {"Tanh", F::kTanh},
                                                           {"math.tanh", F::kTanh},
                                                           {"Exp", F::kExp},
                                                           {"math.exp", F::kExp},
                                                           {"Expm1", F::kExpm1},
                                                           {"math.expm1", F::kExpm1},
                                                           {"Log", F::kLog},
                                                           {"math.log", F::kLog},
                                                           {"Log1p", F::kLog1p},
                                                           {"math.log1p", F::kLog1p},
                                                           {"Sqrt", F::kSqrt},
                                                           {"math.sqrt", F::kSqrt},
                                                           {"Rsqrt", F::kRsqrt},
                                                           {"math.rsqrt", F::kRsqrt},
                                                           {"Square", F::kSquare},
                                                           {"math.square", F::kSquare},
                                                           {"Reciprocal", F::kReciprocal},
                                                           {"math.reciprocal", F::kReciprocal},
                                                           {"Negative", F::kNegate},
                                                           {"math.negative", F::kNegate},
                                                           {"Absolute", F::kAbs},
                                                           {"Abs", F::kAbs},
                                                           {"math.abs", F::kAbs},
                                                           {"Sign", F::kSign},
                                                           {"math.sign", F::kSign},
                                                           {"Floor", F::kFloor},
                                                           {"math.floor", F::kFloor},
                                                           {"Ceil", F::kCeil},
                                                           {"math.ceil", F::kCeil},
                                                           {"Erf", F::kErf},
                                                           {"math.erf", F::kErf},
                                                           {"Sin", F::kSin},
                                                           {"math.sin", F::kSin},
                                                           {"Cos", F::kCos},
                                                           {"math.cos", F::kCos},
                                                           {"Softplus", F::kSoftplus},
                                                           {"math.softplus", F::kSoftplus},
                                                           {"Softsign", F::kSoftsign},
                                                           {"nn.softsign", F::kSoftsign},
                                                           {"LogSigmoid", F::kLogSigmoid},
                                                           {"math.log_sigmoid", F::kLogSigmoid},
                                                           {"identity", F::kIdentity},
                                                           {"stop_gradient", F::kIdentity},
                                                           {"StopGradient", F::kIdentity}};
  const auto found = kFunctions.find(function.name());
  return found == kFunctions.end() ? std::nullopt : std::optional(Unary{found->second});
}

// Those with a parameter, and those that ActivationOf() knows.
std::optional<Unary> UnaryOf(const Function& function) {
  if (const auto plain = PlainUnary(function)) return plain;
  const std::string& name = function.name();
  if (name == "Gelu" || name == "nn.gelu") {
    // keras.ops approximates by default, and records it; tf.nn does not.
    const bool by_tanh = function.Flag(1, "approximate");
    return Unary{by_tanh ? UnaryFunction::kGeluTanh : UnaryFunction::kGelu};
  }
  if (name == "LeakyRelu" || name == "nn.leaky_relu") {
    const auto slope = function.Number(1, function.is_tensorflow() ? "alpha" : "negative_slope");
    // TensorFlow's is an attribute of float32.
    return Unary{UnaryFunction::kLeakyRelu, static_cast<float>(slope.value_or(0.2))};
  }
  if (name == "Elu" || name == "nn.elu") {
    return Unary{UnaryFunction::kElu, function.Number(kByName, "alpha").value_or(1)};
  }
  static const std::map<std::string_view, Json> kActivations = {
      {"Relu6", "relu6"},       {"nn.relu6", "relu6"},
      {"Silu", "silu"},         {"nn.silu", "silu"},
      {"nn.swish", "silu"},     {"Selu", "selu"},
      {"nn.selu", "selu"},      {"HardSigmoid", "hard_sigmoid"},
      {"HardSilu", "hard_silu"}};
  const auto found = kActivations.find(name);
  if (found == kActivations.end()) return std::nullopt;
  return ActivationOf(found->second, function.call().keras_major());
}

NetworkValue Elementwise(const Function& function) {
  const auto unary = UnaryOf(function);
  const NetworkValue x = function.Operand(0, function.is_tensorflow() ? "features" : "x");
  const NetworkValue operand = x == kNoValue ? function.Operand(0, "x") : x;
  if (!unary || operand == kNoValue ||
      !function.HasOnly(1, {"x", "features", "alpha", "approximate"})) {
    return kNoValue;
  }
  return function.call().Add(*unary, {operand});
}

NetworkValue Arithmetic(const Function& function) {
  using F = BinaryFunction;
  static const std::map<std::string_view, F> kFunctions = {
      {"Add", F::kAdd},
      {"math.add", F::kAdd},
      {"__operators__.add", F::kAdd},
      {"Subtract", F::kSubtract},
      {"math.subtract", F::kSubtract},
      {"Multiply", F::kMultiply},
      {"math.multiply", F::kMultiply},
      {"Divide", F::kDivide},
      {"TrueDivide", F::kDivide},
      {"math.truediv", F::kDivide},
      {"math.divide", F::kDivide},
      {"Maximum", F::kMaximum},
      {"math.maximum", F::kMaximum},
      {"Minimum", F::kMinimum},
      {"math.minimum", F::kMinimum},
      {"Power", F::kPower},
      {"math.pow", F::kPower},
      {"math.squared_difference", F::kSquaredDifference}};
  const auto found = kFunctions.find(function.name());
  if (found == kFunctions.end() || !function.HasOnly(2, {"x", "y", "x1", "x2"})) return kNoValue;
  const bool tensorflow = function.is_tensorflow();
  const NetworkValue a = function.Operand(0, tensorflow ? "x" : "x1");
  const NetworkValue b = function.Operand(1, tensorflow ? "y" : "x2");
  if (a == kNoValue || b == kNoValue) return kNoValue;
  const auto& builder = function.call().builder;
  const auto integers = [&](NetworkValue value) {
    return builder.value(value).kind == network::ElementKind::kInteger;
  };
  // Two integers are divided into a real here.
  if (found->second == F::kDivide && integers(a) && integers(b)) return kNoValue;
  return function.call().Add(network::Binary{found->second}, {a, b});
}

NetworkValue Clipped(const Function& function) {
  const bool tensorflow = function.name() == "clip_by_value";
  if (function.name() != "Clip" && !tensorflow) return kNoValue;
  const auto least = function.Number(1, tensorflow ? "clip_value_min" : "x_min");
  const auto most = function.Number(2, tensorflow ? "clip_value_max" : "x_max");
  const NetworkValue x = function.Operand(0, tensorflow ? "t" : "x");
  if (!least || !most || x == kNoValue) return kNoValue;
  return function.call().Add(Unary{UnaryFunction::kClip, *least, *most}, {x});
}

NetworkValue Reduced(const Function& function) {
  using Kind = network::Reduction::Kind;
  static const std::map<std::string_view, Kind> kKinds = {
      {"Mean", Kind::kMean},
      {"math.reduce_mean", Kind::kMean},
      {"Sum", Kind::kSum},
      {"math.reduce_sum", Kind::kSum},
      {"Max", Kind::kMaximum},
      {"math.reduce_max", Kind::kMaximum},
      {"Min", Kind::kMinimum},
      {"math.reduce_min", Kind::kMinimum},
      {"Prod", Kind::kProduct},
      {"math.reduce_prod", Kind::kProduct},
      {"Var", Kind::kVariance},
      {"math.reduce_variance", Kind::kVariance},
      {"Logsumexp", Kind::kLogSumExp},
      {"math.reduce_logsumexp", Kind::kLogSumExp}};
  const auto found = kKinds.find(function.name());
  if (found == kKinds.end() || !function.HasOnly(3, {"input_tensor", "axis", "keepdims", "x"})) {
    return kNoValue;
  }
  const NetworkValue x = function.Operand(0, function.is_tensorflow() ? "input_tensor" : "x");
  network::Reduction reduction;
  reduction.kind = found->second;
  reduction.keep = function.Flag(2, "keepdims");
  const Json* initial = function.Attribute(kByName, "initial");
  if (x == kNoValue || (initial && !function.is_tensorflow())) return kNoValue;
  if (!function.Attribute(1, "axis")) {
    reduction.axes.which = network::Axes::Which::kAll;
  } else {
    const auto axes = function.Integers(1, "axis");
    if (!axes) return kNoValue;
    reduction.axes.listed = *axes;
  }
  return function.call().Add(reduction, {x});
}

NetworkValue Reshaped(const Function& function) {
  const bool tensorflow = function.is_tensorflow();
  const NetworkValue x = function.Operand(0, tensorflow ? "tensor" : "x");
  if (x == kNoValue) return kNoValue;
  const std::string& name = function.name();
  if (name == "Reshape" || name == "reshape") {
    const auto shape = function.Integers(1, tensorflow ? "shape" : "newshape");
    if (!shape) return kNoValue;
    network::Reshape reshape;
    reshape.shape = *shape;
    return function.call().Add(reshape, {x});
  }
  if (name == "BroadcastTo") {
    const auto shape = function.Integers(1, "shape");
    return shape ? function.call().Add(network::BroadcastTo{*shape}, {x}) : kNoValue;
  }
  return kNoValue;
}

NetworkValue Moved(const Function& function) {
  const std::string& name = function.name();
  const bool tensorflow = function.is_tensorflow();
  NetworkValue x = function.Operand(0, tensorflow ? "a" : "x");
  if (x == kNoValue) x = function.Operand(0, "input");
  if (x == kNoValue) return kNoValue;
  if (name == "Transpose" || name == "transpose" || name == "compat.v1.transpose") {
    const char* key = tensorflow ? "perm" : "axes";
    const auto order = function.Integers(1, key);
    if (function.Attribute(1, key) && !order) return kNoValue;
    return function.call().Add(network::Transpose{order.value_or(Sizes{})}, {x});
  }
  const auto axes = function.Integers(1, "axis");
  if (function.Attribute(1, "axis") && !axes) return kNoValue;
  if ((name == "ExpandDims" || name == "expand_dims") && axes) {
    return function.call().Add(network::InsertAxes{*axes}, {x});
  }
  if (name == "Squeeze" || name == "squeeze" || name == "compat.v1.squeeze") {
    return function.call().Add(network::DropAxes{axes.value_or(Sizes{})}, {x});
  }
  return kNoValue;
}

NetworkValue Normalized(const Function& function) {
  const std::string& name = function.name();
  const bool log = name == "LogSoftmax" || name == "nn.log_softmax";
  if (!log && name != "Softmax" && name != "nn.softmax") return kNoValue;
  const NetworkValue x = function.Operand(0, function.is_tensorflow() ? "logits" : "x");
  const bool understood = function.HasOnly(2, {"axis", "logits", "x"}) && function.HasAxisOrNone(1);
  // keras.ops merges all axes where it is given none.
  if (x == kNoValue || !understood ||
      (!function.is_tensorflow() && !function.Attribute(1, "axis"))) {
    return kNoValue;
  }
  return function.call().Add(network::Softmax{function.Axis(1, -1), log}, {x});
}

NetworkValue Joined(const Function& function) {
  const std::string& name = function.name();
  const bool stacks = name == "Stack" || name == "stack";
  if (!stacks && name != "Concatenate" && name != "concat") return kNoValue;
  const LayerCall& call = function.call();
  const bool lists =
      call.ArgumentOf(0, stacks || !function.is_tensorflow() ? "xs" : "values").tensors.size() ==
      call.inputs.size();
  const Json* axis = function.Attribute(1, "axis");
  if (!lists || call.inputs.size() < 2 || !function.HasAxisOrNone(1)) return kNoValue;
  if (axis == nullptr && !stacks) return kNoValue;
  if (!stacks) return call.Add(network::Concatenate{function.Axis(1, 0)}, call.inputs);
  const std::int64_t place = function.Axis(1, 0);
  std::vector<NetworkValue> wide;
  for (const NetworkValue input : call.inputs) {
    wide.push_back(call.Add(network::InsertAxes{{place}}, {input}, "part"));
  }
  return call.Add(network::Concatenate{place}, std::move(wide));
}

NetworkValue Parted(const Function& function) {
  const std::string& name = function.name();
  if (name != "Split" && name != "split") return kNoValue;
  const bool tensorflow = function.is_tensorflow();
  const char* key = tensorflow ? "num_or_size_splits" : "indices_or_sections";
  const NetworkValue x = function.Operand(0, tensorflow ? "value" : "x");
  const auto sizes = function.Integers(1, key);
  const bool even = Function::Integer(function.Attribute(1, key)).has_value();
  // A list is one of places in Keras, one of sizes in TensorFlow.
  if (x == kNoValue || !sizes || (!even && !tensorflow) || !function.HasAxisOrNone(2)) {
    return kNoValue;
  }
  const std::int64_t parts = even ? sizes->front() : static_cast<std::int64_t>(sizes->size());
  if (parts < 1 || parts > 1024) return kNoValue;
  network::Split split;
  split.axis = function.Axis(2, 0);
  if (!even) split.sizes = *sizes;
  const LayerCall& call = function.call();
  const auto results =
      call.builder.AddMany(split, {x}, static_cast<std::size_t>(parts), call.layer.name);
  call.further.assign(results.begin() + 1, results.end());
  return results[0];
}

NetworkValue Multiplied(const Function& function) {
  const LayerCall& call = function.call();
  if (function.name() == "Einsum") {
    const auto equation = call.Text("subscripts");
    const bool only_tensors = function.HasOnly(call.inputs.size(), {});
    const bool named = equation && equation->find("->") != std::string::npos;
    return named && only_tensors ? call.Add(network::Einsum{*equation}, call.inputs) : kNoValue;
  }
  const bool tensorflow = function.is_tensorflow();
  if (function.name() != "Matmul" && function.name() != "linalg.matmul") return kNoValue;
  if (!function.HasOnly(2, {"a", "b", "x1", "x2", "transpose_a", "transpose_b"})) return kNoValue;
  const NetworkValue a = function.Operand(0, tensorflow ? "a" : "x1");
  const NetworkValue b = function.Operand(1, tensorflow ? "b" : "x2");
  if (a == kNoValue || b == kNoValue) return kNoValue;
  network::MatrixProduct product;
  product.transpose_a = tensorflow && function.Flag(2, "transpose_a");
  product.transpose_b = tensorflow && function.Flag(3, "transpose_b");
  return call.Add(product, {a, b});
}

// x[...] with integers and slices: one entry of the key for each of the first axes.
class Indexing {
 public:
  bool Read(const Json& key) {
    const bool several = key.is_array();
    for (const Json& entry : several ? key : Json::array({key})) {
      if (!ReadEntry(entry)) return false;
      ++axis_;
    }
    return true;
  }

  NetworkValue Translate(const LayerCall& call, NetworkValue x) const {
    NetworkValue value = x;
    if (!slice_.axes.empty()) {
      value = call.Add(slice_, {value}, dropped_.empty() ? std::string_view() : "slice");
    }
    if (!dropped_.empty()) value = call.Add(network::DropAxes{dropped_}, {value});
    return value == x ? call.Add(Unary{}, {x}) : value;
  }

 private:
  bool ReadEntry(const Json& entry) {
    if (const auto index = Function::Integer(&entry)) {
      Take(*index, *index == -1 ? network::Slice::kToEnd : *index + 1, 1);
      dropped_.push_back(axis_);
      return true;
    }
    const Json* class_name = Find(entry, "class_name");
    const Json* range = class_name && *class_name == "__slice__" ? Find(entry, "config") : &entry;
    if (!range || !range->is_object()) return false;
    const Json *begin = Find(*range, "start"), *end = Find(*range, "stop"),
               *step = Find(*range, "step");
    if (!begin || !end || !step) return false;
    const auto from = begin->is_null() ? std::optional<std::int64_t>(0) : Function::Integer(begin);
    const auto to = end->is_null() ? std::optional(network::Slice::kToEnd) : Function::Integer(end);
    const auto by = step->is_null() ? std::optional<std::int64_t>(1) : Function::Integer(step);
    if (!from || !to || !by || *by < 1) return false;
    if (*from != 0 || *to != network::Slice::kToEnd || *by != 1) Take(*from, *to, *by);
    return true;
  }

  void Take(std::int64_t begin, std::int64_t end, std::int64_t step) {
    slice_.axes.push_back(axis_);
    slice_.begin.push_back(begin);
    slice_.end.push_back(end);
    slice_.step.push_back(step);
  }

  std::int64_t axis_ = 0;
  network::Slice slice_;
  Sizes dropped_;
};

NetworkValue Indexed(const Function& function) {
  const bool tensorflow = function.name() == "__operators__.getitem";
  if (function.name() != "GetItem" && !tensorflow) return kNoValue;
  const LayerCall& call = function.call();
  const Argument key = call.ArgumentOf(1, tensorflow ? "slice_spec" : "key");
  const NetworkValue x = function.Operand(0, tensorflow ? "tensor" : "x");
  Indexing indexing;
  if (x == kNoValue || !key.is_given() || !key.tensors.empty() || !indexing.Read(*key.value)) {
    return kNoValue;
  }
  return indexing.Translate(call, x);
}

NetworkValue Resized(const Function& function) {
  const bool tensorflow = function.name() == "image.resize";
  const bool keras = function.name() == "Resize" && !function.is_tensorflow();
  if (!tensorflow && !keras) return kNoValue;
  const LayerCall& call = function.call();
  const NetworkValue x = function.Operand(0, "images");
  const auto sizes = function.Integers(1, "size");
  const Json* word = function.Attribute(2, tensorflow ? "method" : "interpolation");
  const auto resize = ResizeOf(word && word->is_string() ? word->get<std::string>() : "bilinear");
  const bool other = function.Flag(kByName, "antialias") ||
                     function.Flag(kByName, "preserve_aspect_ratio") ||
                     function.Flag(kByName, "crop_to_aspect_ratio") ||
                     function.Flag(kByName, "pad_to_aspect_ratio");
  const Json* format = function.Attribute(kByName, "data_format");
  const bool last = tensorflow || (format && *format == "channels_last");
  if (x == kNoValue || !sizes || sizes->size() != 2 || !resize || other || !last ||
      call.builder.RankOf(x) != 4) {
    return kNoValue;
  }
  network::Resize resized = *resize;
  resized.sizes = *sizes;
  resized.axes = {1, 2};
  return call.Add(resized, {x});
}

// A cast between types of real numbers, whose rounding is not followed.
NetworkValue Cast(const Function& function) {
  if (function.name() != "Cast" && function.name() != "cast") return kNoValue;
  const Json* type = function.Attribute(1, "dtype");
  const NetworkValue x = function.Operand(0, "x");
  const bool real = type && type->is_string() && type->get<std::string>().find("float") == 0;
  if (!real || x == kNoValue) return kNoValue;
  return function.call().Add(network::Cast{network::ElementKind::kReal}, {x});
}

}  // namespace

NetworkValue TranslateFunction(const LayerCall& call) {
  const Function function(call);
  if (!function.is_known()) return kNoValue;
  for (const auto translate : {Elementwise, Arithmetic, Clipped, Reduced, Reshaped, Moved,
                               Normalized, Joined, Parted, Multiplied, Indexed, Resized, Cast}) {
    const NetworkValue value = translate(function);
    if (value != kNoValue) return value;
  }
  return kNoValue;
}

}  // namespace ckpt::formats::keras
