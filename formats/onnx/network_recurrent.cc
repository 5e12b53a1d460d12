// LSTM, GRU and RNN: each direction a recurrent layer, their results laid beside one another.
#include <algorithm>
#include <array>
#include <string>
#include <utility>

#include "formats/onnx/network_step.h"

namespace ckpt::formats::onnx {
namespace {

using network::ElementKind;
using network::kNoValue;
using network::Recurrent;
using network::Sizes;
using network::UnaryFunction;
using network::ValueId;

// The lists activation_alpha and activation_beta hold values for those functions that take one, in
// the functions' order.
class Activations {
 public:
  explicit Activations(const Step& step)
      : alphas_(step.Floats("activation_alpha")), betas_(step.Floats("activation_beta")) {
    if (const auto* attribute = step.Find("activations")) {
      names_.assign(attribute->strings().begin(), attribute->strings().end());
    }
  }

  // Absent: not known.
  std::optional<network::Unary> Next(const char* otherwise) {
    std::string name = at_ < names_.size() ? names_[at_] : otherwise;
    ++at_;
    std::transform(name.begin(), name.end(), name.begin(), [](unsigned char c) {
      return static_cast<char>(c >= 'A' && c <= 'Z' ? c + 32 : c);
    });
    if (name == "sigmoid") return network::Unary{UnaryFunction::kSigmoid};
    if (name == "tanh") return network::Unary{UnaryFunction::kTanh};
    if (name == "relu") return network::Unary{UnaryFunction::kRelu};
    if (name == "softsign") return network::Unary{UnaryFunction::kSoftsign};
    if (name == "softplus") return network::Unary{UnaryFunction::kSoftplus};
    if (name == "leakyrelu") return network::Unary{UnaryFunction::kLeakyRelu, Alpha(0.01)};
    if (name == "thresholdedrelu") return network::Unary{UnaryFunction::kThresholded, Alpha(1)};
    if (name == "elu") return network::Unary{UnaryFunction::kElu, Alpha(1)};
    if (name == "hardsigmoid") {
      const double alpha = Alpha(0.2);
      return network::Unary{UnaryFunction::kHardSigmoid, alpha, Beta(0.5)};
    }
    if (name == "affine") {
      const double alpha = Alpha(1);
      return network::Unary{UnaryFunction::kLinear, alpha, Beta(0)};
    }
    return std::nullopt;
  }

 private:
  double Alpha(double otherwise) {
    return next_alpha_ < alphas_.size() ? alphas_[next_alpha_++] : otherwise;
  }
  double Beta(double otherwise) {
    return next_beta_ < betas_.size() ? betas_[next_beta_++] : otherwise;
  }

  std::vector<std::string> names_ = {};
  std::vector<double> alphas_, betas_;
  std::size_t at_ = 0, next_alpha_ = 0, next_beta_ = 0;
};

bool Same(const network::Unary& a, const network::Unary& b) {
  return a.function == b.function && a.a == b.a && a.b == b.b;
}

// The functions of one direction; absent: not known, or two where the vocabulary has one.
bool TakeActivations(Activations& activations, Recurrent& recurrent) {
  if (recurrent.cell != Recurrent::Cell::kSimple) {
    const auto gate = activations.Next("Sigmoid");
    if (!gate) return false;
    recurrent.gate_activation = *gate;
  }
  const auto activation = activations.Next("Tanh");
  if (!activation) return false;
  recurrent.activation = *activation;
  if (recurrent.cell != Recurrent::Cell::kLstm) return true;
  const auto output = activations.Next("Tanh");
  return output && Same(*output, *activation);
}

// What all directions have in common, and where their parts are.
struct Layer {
  Recurrent recurrent;
  std::vector<bool> backward;  // by direction
  std::int64_t gates = 1;
  std::int64_t example_axis = 1;  // of the first states: 1, or 0 where examples come first
};

// Sequences of unequal length are padded, and the vocabulary has no such thing.
bool AllFullLength(const Step& step, bool time_first) {
  if (!step.Given(4)) return true;
  const auto lengths = step.Integers(4);
  const network::PartialShape& shape = step.ShapeOf(step.Input(0));
  if (!lengths || !shape || shape->size() != 3) return false;
  const std::int64_t time = (*shape)[time_first ? 0 : 1];
  return std::all_of(lengths->begin(), lengths->end(),
                     [&](std::int64_t length) { return length == time; });
}

std::optional<std::int64_t> UnitsOf(const Step& step) {
  const std::int64_t recorded = step.Int("hidden_size", 0);
  if (recorded > 0) return recorded;
  const network::PartialShape& kernel = step.ShapeOf(step.Input(2));
  if (!kernel || kernel->size() != 3 || (*kernel)[2] < 1) return std::nullopt;
  return (*kernel)[2];
}

// Element `direction` along `axis`, which goes.
ValueId Part(Step& step, ValueId of, std::int64_t direction, std::int64_t axis) {
  return step.Inner(network::Gather{axis},
                    {of, step.Scalar(static_cast<double>(direction), ElementKind::kInteger)});
}

ValueId Stretch(Step& step, ValueId of, std::int64_t begin, std::int64_t end) {
  network::Slice slice;
  slice.axes = {0};
  slice.begin = {begin};
  slice.end = {end};
  return step.Inner(slice, {of});
}

// Results all outputs, last output, last cell state of one direction.
std::vector<ValueId> AddDirection(Step& step, const Layer& layer, const Recurrent& recurrent,
                                  std::int64_t direction) {
  const std::int64_t width = layer.gates * recurrent.units;
  std::vector<ValueId> operands = {step.Input(0), Part(step, step.Input(1), direction, 0),
                                   Part(step, step.Input(2), direction, 0)};
  if (step.Given(3)) {
    const ValueId both = Part(step, step.Input(3), direction, 0);
    operands.push_back(Stretch(step, both, 0, width));
    operands.push_back(Stretch(step, both, width, 2 * width));
  } else {
    operands.insert(operands.end(), 2, kNoValue);
  }
  const std::int64_t axis = 1 - layer.example_axis;
  for (const std::size_t state : {std::size_t{5}, std::size_t{6}}) {
    if (state == 6 && recurrent.cell != Recurrent::Cell::kLstm) break;
    operands.push_back(step.Given(state) ? Part(step, step.Input(state), direction, axis)
                                         : kNoValue);
  }
  return step.InnerMany(recurrent, std::move(operands),
                        recurrent.cell == Recurrent::Cell::kLstm ? 3 : 2);
}

// One value of each direction, laid along a new axis.
Outcome Stack(Step& step, const std::vector<std::vector<ValueId>>& directions, std::size_t result,
              std::int64_t axis) {
  std::vector<ValueId> parts;
  for (const auto& direction : directions) {
    if (directions.size() == 1 && result == 0) {
      return step.Yield(network::InsertAxes{{axis}}, {direction[result]});
    }
    parts.push_back(step.Inner(network::InsertAxes{{axis}}, {direction[result]}));
  }
  if (parts.size() == 1) return parts;
  if (result == 0) return step.Yield(network::Concatenate{axis}, parts);
  return std::vector<ValueId>{step.Inner(network::Concatenate{axis}, parts)};
}

// Why it cannot be said, or nothing.
std::string Hindrance(const Step& step, bool lstm) {
  if (!step.Given(0) || !step.Given(1) || !step.Given(2)) return "it lacks an operand";
  if (step.Float("clip", 0.0F) != 0) return "it clips what its gates read";
  if (lstm && step.Int("input_forget", 0) != 0) return "its input and forget gates are coupled";
  if (lstm && step.Given(7)) return "it has peepholes";
  if (!AllFullLength(step, step.Int("layout", 0) == 0)) return "it has sequences of unequal length";
  if (!UnitsOf(step)) return "how many units it has is not known";
  if (*UnitsOf(step) > (std::int64_t{1} << 40)) return "it has too many units";
  const std::string direction = step.Text("direction", "forward");
  if (direction != "forward" && direction != "reverse" && direction != "bidirectional") {
    return "its direction is not known";
  }
  return {};
}

Outcome AddLayer(Step& step, Layer layer) {
  const bool lstm = layer.recurrent.cell == Recurrent::Cell::kLstm;
  if (std::string why = Hindrance(step, lstm); !why.empty()) return Cannot(std::move(why));
  const bool time_first = step.Int("layout", 0) == 0;
  layer.example_axis = time_first ? 1 : 0;
  layer.recurrent.units = *UnitsOf(step);
  layer.recurrent.transposed = true;
  layer.recurrent.time_first = time_first;
  const std::string direction = step.Text("direction", "forward");
  layer.backward = {direction == "reverse"};
  if (direction == "bidirectional") layer.backward.push_back(true);
  Activations activations(step);
  std::vector<Recurrent> parts;
  for (const bool backward : layer.backward) {
    layer.recurrent.backward = backward;
    if (!TakeActivations(activations, layer.recurrent)) {
      return Cannot("its activation functions are not known");
    }
    parts.push_back(layer.recurrent);
  }
  std::vector<std::vector<ValueId>> results;
  for (std::size_t i = 0; i < parts.size(); ++i) {
    results.push_back(AddDirection(step, layer, parts[i], static_cast<std::int64_t>(i)));
  }
  std::vector<ValueId> outputs;
  for (std::size_t i = 0; i < std::max<std::size_t>(step.OutputCount(), 1); ++i) {
    if (i >= results[0].size()) break;
    // Y is [T, D, N, U] or [N, T, D, U], the states [D, N, U] or [N, D, U].
    const std::int64_t axis = i == 0 ? (time_first ? 1 : 2) : 1 - layer.example_axis;
    const auto stacked = Stack(step, results, i, axis);
    if (!stacked) return stacked;
    outputs.push_back(stacked->front());
  }
  return outputs;
}

Outcome Lstm(Step& step) {
  Layer layer;
  layer.recurrent.cell = Recurrent::Cell::kLstm;
  layer.recurrent.gates = {0, 2, 3, 1};  // stored as input, output, forget, cell
  layer.gates = 4;
  return AddLayer(step, std::move(layer));
}

Outcome Gru(Step& step) {
  Layer layer;
  layer.recurrent.cell = Recurrent::Cell::kGru;
  layer.recurrent.reset_after = step.Int("linear_before_reset", 0) != 0;
  layer.gates = 3;
  return AddLayer(step, std::move(layer));
}

Outcome Rnn(Step& step) {
  Layer layer;
  layer.recurrent.cell = Recurrent::Cell::kSimple;
  return AddLayer(step, std::move(layer));
}

constexpr std::array kRecurrentOperators = {
    OperatorRule{"LSTM", Lstm},
    OperatorRule{"GRU", Gru},
    OperatorRule{"RNN", Rnn},
};

}  // namespace

std::span<const OperatorRule> RecurrentOperators() { return kRecurrentOperators; }

}  // namespace ckpt::formats::onnx
