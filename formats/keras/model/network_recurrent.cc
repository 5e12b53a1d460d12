// LSTM, GRU and SimpleRNN of Keras, in one direction or both.
//
// Sources: keras/layers/rnn (Keras 2.15, 3), keras/layers/recurrent.py (Keras 1 and 2.0).
#include <cstdint>
#include <string>
#include <utility>

#include "formats/keras/model/layer_call.h"

namespace ckpt::formats::keras {

using network::kNoValue;
using network::Recurrent;
using network::Sizes;
using NetworkValue = network::ValueId;

namespace {

// One direction as its config says it.
struct Direction {
  Recurrent recurrent = {};
  bool last_first = false;  // it reads the steps from the last to the first, and so yields them
  bool sequences = false, states = false;
};

// The gates as Keras 1 stores them, one by one, in the order of its later versions.
std::vector<std::string> GatesOf(Recurrent::Cell cell) {
  switch (cell) {
    case Recurrent::Cell::kLstm:
      return {"i", "f", "c", "o"};
    case Recurrent::Cell::kGru:
      return {"z", "r", "h"};
    case Recurrent::Cell::kSimple:
      break;
  }
  return {};
}

std::size_t StatesOf(const Recurrent& recurrent) {
  return recurrent.cell == Recurrent::Cell::kLstm ? 2 : 1;
}

std::string ReadActivations(const LayerCall& call, Recurrent& recurrent) {
  const Json* activation = call.Value("activation");
  const Json* gates = call.Value("recurrent_activation");
  if (gates == nullptr) gates = call.Value("inner_activation");
  const bool gated = recurrent.cell != Recurrent::Cell::kSimple;
  if (activation == nullptr || (gated && gates == nullptr)) return "its activations are not known";
  const auto function = ActivationOf(*activation, call.keras_major());
  const auto of_gates = gated ? ActivationOf(*gates, call.keras_major()) : network::Unary{};
  if (!function || !of_gates) return "its activations are not known";
  recurrent.activation = *function;
  recurrent.gate_activation = *of_gates;
  return {};
}

// Why the cells are not understood, or nothing. `call` has the config of the recurrent layer.
std::string ReadDirection(const LayerCall& call, Direction& direction) {
  Recurrent& recurrent = direction.recurrent;
  if (call.class_name == "LSTM") {
    recurrent.cell = Recurrent::Cell::kLstm;
  } else if (call.class_name == "GRU") {
    recurrent.cell = Recurrent::Cell::kGru;
    recurrent.reset_after = call.Flag("reset_after", false);
  } else if (call.class_name == "SimpleRNN") {
    recurrent.cell = Recurrent::Cell::kSimple;
  } else {
    return "the class " + call.class_name + " in it is not translated";
  }
  if (call.Flag("stateful", false)) return "it keeps its state from one call to the next";
  if (call.Flag("time_major", false)) return "its steps come before its examples";
  recurrent.units = call.Integer(call.Value("units") ? "units" : "output_dim").value_or(0);
  if (recurrent.units < 1) return "how many units it has is not known";
  direction.last_first = call.Flag("go_backwards", false);
  direction.sequences = call.Flag("return_sequences", false);
  direction.states = call.Flag("return_state", false);
  const bool drops = call.Number("dropout", 0) != 0 || call.Number("recurrent_dropout", 0) != 0;
  if (drops && call.ArgumentOf(SIZE_MAX, "training").is_given()) {
    return "it is called in training mode, where it drops";
  }
  return ReadActivations(call, recurrent);
}

// Kernel, recurrent kernel, bias and recurrent bias; the kernels are kNoValue where one is absent.
class Weights {
 public:
  Weights(const LayerCall& call, const Recurrent& recurrent, std::string_view scope)
      : call_(call), recurrent_(recurrent), scope_(scope) {}

  std::vector<NetworkValue> Read() const {
    NetworkValue kernel = Weight("kernel", 0), hidden = Weight("recurrent_kernel", 1);
    NetworkValue bias = Weight("bias", 2);
    if (kernel == kNoValue) kernel = OfKeras1("W");
    if (hidden == kNoValue) hidden = OfKeras1("U");
    if (bias == kNoValue) bias = OfKeras1("b");
    if (bias == kNoValue && call_.Flag("use_bias", true)) return {kNoValue, kNoValue, bias, bias};
    const bool two = recurrent_.reset_after && bias != kNoValue;
    if (!two) return {kernel, hidden, bias, kNoValue};
    return {kernel, hidden, Row(bias, 0), Row(bias, 1)};
  }

 private:
  NetworkValue Weight(std::string_view name, std::size_t place) const {
    if (scope_.empty()) return call_.WeightWithin({}, name, place);
    // The forward layer is called so by Keras; the other one may have a name of its own.
    const bool forward = scope_ == "forward";
    return call_.WeightWithin(
        [&](std::string_view within) {
          return !within.empty() && within.starts_with("forward") == forward;
        },
        name, place);
  }

  // One tensor for each gate: laid beside one another.
  NetworkValue OfKeras1(const std::string& stem) const {
    if (call_.keras_major() != 1 || !scope_.empty()) return kNoValue;
    const std::vector<std::string> gates = GatesOf(recurrent_.cell);
    if (gates.empty()) return call_.Weight(stem);
    std::vector<NetworkValue> parts;
    for (const std::string& gate : gates) {
      parts.push_back(call_.Weight(stem + "_" + gate));
      if (parts.back() == kNoValue) return kNoValue;
    }
    return call_.Add(network::Concatenate{-1}, std::move(parts), stem);
  }

  // The bias of the inputs and that of the state stand in the rows of one tensor.
  NetworkValue Row(NetworkValue both, std::int64_t row) const {
    network::Slice slice;
    slice.axes = {0};
    slice.begin = {row};
    slice.end = {row + 1};
    const NetworkValue wide = call_.Add(slice, {both}, "bias_row");
    return call_.Add(network::MergeAxes{0, 1}, {wide}, "bias");
  }

  const LayerCall& call_;
  const Recurrent& recurrent_;
  std::string_view scope_;
};

NetworkValue Reversed(const LayerCall& call, NetworkValue sequence) {
  network::Slice slice;
  slice.axes = {1};
  slice.begin = {-1};
  slice.end = {network::Slice::kToEnd};
  slice.step = {-1};
  return call.Add(slice, {sequence}, "reversed");
}

// What one direction yields.
struct Yield {
  NetworkValue output = kNoValue;  // all steps or the last one
  std::vector<NetworkValue> states = {};
  std::string why = {};  // it yields nothing
};

// `turned`: the steps come out in the other order than the layer's own.
Yield Run(const LayerCall& call, const Direction& direction, std::string_view scope,
          std::vector<NetworkValue> states, bool turned) {
  Recurrent recurrent = direction.recurrent;
  recurrent.backward = direction.last_first;
  std::vector<NetworkValue> operands = {call.input()};
  const std::vector<NetworkValue> weights = Weights(call, recurrent, scope).Read();
  if (weights[0] == kNoValue || weights[1] == kNoValue) {
    return {kNoValue, {}, "the file lacks a tensor of it"};
  }
  operands.insert(operands.end(), weights.begin(), weights.end());
  operands.insert(operands.end(), states.begin(), states.end());
  const std::size_t results = 1 + StatesOf(recurrent);
  const std::vector<NetworkValue> made =
      call.builder.AddMany(recurrent, std::move(operands), results,
                           call.layer.name + (scope.empty() ? "" : "/" + std::string(scope)));
  Yield yield{made[1], {made.begin() + 1, made.end()}};
  if (direction.sequences) {
    yield.output = direction.last_first != turned ? Reversed(call, made[0]) : made[0];
  }
  return yield;
}

// What Keras takes as the call of a recurrent layer beside the sequence are its first states.
std::vector<NetworkValue> FirstStates(const LayerCall& call) {
  return {call.inputs.begin() + 1, call.inputs.end()};
}

bool IsCalledPlainly(const LayerCall& call) {
  return call.HasNoArgumentsBut(2, {"initial_state", "training"});
}

NetworkValue OneDirection(const LayerCall& call) {
  Direction direction;
  if (std::string why = ReadDirection(call, direction); !why.empty()) {
    return call.Unknown(std::move(why));
  }
  std::vector<NetworkValue> states = FirstStates(call);
  if (!IsCalledPlainly(call) ||
      (!states.empty() && states.size() != StatesOf(direction.recurrent))) {
    return call.Unknown("it is called with a mask, or with other states than it has");
  }
  Yield yield = Run(call, direction, "", std::move(states), /*turned=*/false);
  if (!yield.why.empty()) return call.Unknown(yield.why);
  if (direction.states) call.further = std::move(yield.states);
  return yield.output;
}

// `call` with the config of the layer under `key` in place of its own.
std::optional<LayerCall> CallOfInner(const LayerCall& call, std::string_view key) {
  const Json* layer = Find(call.config, key);
  const Json* config = layer ? Find(*layer, "config") : nullptr;
  const Json* class_name = layer ? Find(*layer, "class_name") : nullptr;
  if (!config || !config->is_object() || !class_name || !class_name->is_string()) {
    return std::nullopt;
  }
  LayerCall inner{call.builder,       call.inputs, class_name->get<std::string>(),
                  call.keras_version, call.layer,  *config,
                  call.manifest,      call.record};
  inner.class_name = inner.class_name.substr(inner.class_name.find('>') + 1);
  inner.arguments = call.arguments;
  return inner;
}

NetworkValue Merged(const LayerCall& call, NetworkValue forward, NetworkValue backward) {
  const auto mode = call.Text("merge_mode");
  if (!mode) {
    call.further = {backward};
    return forward;
  }
  using network::BinaryFunction;
  if (*mode == "concat") return call.Add(network::Concatenate{-1}, {forward, backward});
  if (*mode == "sum") return call.Add(network::Binary{BinaryFunction::kAdd}, {forward, backward});
  if (*mode == "ave") return call.Add(network::Binary{BinaryFunction::kMean}, {forward, backward});
  if (*mode == "mul") {
    return call.Add(network::Binary{BinaryFunction::kMultiply}, {forward, backward});
  }
  return kNoValue;
}

// The backward layer has its own config from Keras 2.2 on; before, it is the forward one's.
NetworkValue BothDirections(const LayerCall& call) {
  const auto forward_call = CallOfInner(call, "layer");
  const bool has_backward = call.Value("backward_layer") != nullptr;
  const auto backward_call = CallOfInner(call, has_backward ? "backward_layer" : "layer");
  if (!forward_call || !backward_call) return call.Unknown("the layer in it is not understood");
  Direction forward, backward;
  std::string why = ReadDirection(*forward_call, forward);
  if (why.empty()) why = ReadDirection(*backward_call, backward);
  if (!has_backward) backward.last_first = !backward.last_first;
  if (why.empty() && forward.last_first == backward.last_first) why = "both layers go one way";
  const std::vector<NetworkValue> states = FirstStates(call);
  const std::size_t count = StatesOf(forward.recurrent);
  if (why.empty() && (!IsCalledPlainly(call) || backward.recurrent.cell != forward.recurrent.cell ||
                      (!states.empty() && states.size() != 2 * count))) {
    why = "it is called with a mask, or with other states than it has";
  }
  if (!why.empty()) return call.Unknown(std::move(why));
  const auto half = states.begin() + static_cast<std::ptrdiff_t>(states.size() / 2);
  Yield one = Run(*forward_call, forward, "forward", {states.begin(), half}, /*turned=*/false);
  Yield other = Run(*backward_call, backward, "backward", {half, states.end()}, /*turned=*/true);
  for (const std::string& lacks : {one.why, other.why}) {
    if (!lacks.empty()) return call.Unknown(lacks);
  }
  for (const std::string& misread : {forward_call->misread, backward_call->misread}) {
    if (!misread.empty()) call.misread = misread;
  }
  const NetworkValue merged = Merged(call, one.output, other.output);
  if (merged == kNoValue) return call.Unknown("its merge_mode is not known");
  if (forward.states) {
    call.further.insert(call.further.end(), one.states.begin(), one.states.end());
    call.further.insert(call.further.end(), other.states.begin(), other.states.end());
  }
  return merged;
}

}  // namespace

NetworkValue TranslateRecurrent(const LayerCall& call) {
  if (call.class_name == "Bidirectional") return BothDirections(call);
  if (call.class_name == "LSTM" || call.class_name == "GRU" || call.class_name == "SimpleRNN") {
    return OneDirection(call);
  }
  return kNoValue;
}

}  // namespace ckpt::formats::keras
