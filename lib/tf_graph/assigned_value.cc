#include "tf_graph/assigned_value.h"

#include <algorithm>
#include <array>
#include <charconv>
#include <cmath>
#include <system_error>

namespace ckpt::tf_graph {
namespace {

constexpr auto kArithmetic = std::to_array<std::string_view>({"Add",
                                                              "AddN",
                                                              "AddV2",
                                                              "BiasAdd",
                                                              "ConcatV2",
                                                              "Div",
                                                              "DivNoNan",
                                                              "Max",
                                                              "Maximum",
                                                              "Mean",
                                                              "Min",
                                                              "Minimum",
                                                              "Mul",
                                                              "Neg",
                                                              "Pack",
                                                              "RealDiv",
                                                              "Reciprocal",
                                                              "Rsqrt",
                                                              "Select",
                                                              "SelectV2",
                                                              "Sqrt",
                                                              "Square",
                                                              "SquaredDifference",
                                                              "Sub",
                                                              "Sum",
                                                              "Where"});

template <std::size_t N>
bool Has(const std::array<std::string_view, N>& names, std::string_view name) {
  return std::find(names.begin(), names.end(), name) != names.end();
}

// The constants that a scalar may be: a Const, 1 - Const, or either of them behind a Merge.
std::vector<double> ScalarChoices(const OpBodies& bodies, OpValue value, int depth) {
  std::vector<double> choices;
  for (const OpValue& origin : bodies.Origins(value).values) {
    const Op& op = bodies.op(origin.at);
    if (const auto constant = ScalarConstant(op)) {
      choices.push_back(ShortestDecimal(*constant));
    } else if (op.type == "Sub" && op.inputs.size() == 2 && depth > 0) {
      const auto a = bodies.Input(origin.at, 0), b = bodies.Input(origin.at, 1);
      if (!a || !b) return {};
      const std::vector<double> left = ScalarChoices(bodies, *a, depth - 1);
      const std::vector<double> right = ScalarChoices(bodies, *b, depth - 1);
      if (left.size() != 1 || right.empty()) return {};
      for (const double subtrahend : right) choices.push_back(left.front() - subtrahend);
    } else {
      return {};
    }
  }
  return choices;
}

// The one choice that is neither 0 nor 1: those stand for "no update" in inference mode.
std::optional<double> Fraction(std::vector<double> choices) {
  std::erase_if(choices, [](double choice) { return !(choice > 0 && choice < 1); });
  if (choices.empty()) return std::nullopt;
  const bool same = std::all_of(choices.begin(), choices.end(),
                                [&](double choice) { return choice == choices.front(); });
  return same ? std::optional(choices.front()) : std::nullopt;
}

// The origin of an input if there is one alone and it is of type `type`.
std::optional<OpRef> Single(const OpBodies& bodies, OpRef at, std::size_t input,
                            std::string_view type) {
  for (const OpValue& origin : bodies.OriginsOfInput(at, input).values) {
    if (bodies.op(origin.at).type == type) return origin.at;
  }
  return std::nullopt;
}

// 1 - m of a product (V - x) * (1 - m).
std::optional<double> StepOfProduct(const OpBodies& bodies, OpRef product) {
  for (std::size_t i = 0; i < 2; ++i) {
    const auto factor = bodies.Input(product, i);
    if (!factor) continue;
    if (const auto step = Fraction(ScalarChoices(bodies, *factor, 2))) return step;
  }
  return std::nullopt;
}

bool ReadsVariable(const OpBodies& bodies, OpRef at, std::size_t input) {
  const OpOrigins origins = bodies.OriginsOfInput(at, input);
  return std::any_of(origins.values.begin(), origins.values.end(), [&](const OpValue& origin) {
    return IsVariableOp(bodies.op(origin.at).type);
  });
}

}  // namespace

bool IsArithmetic(std::string_view type) noexcept { return Has(kArithmetic, type); }

std::vector<OpValue> Ingredients(const OpBodies& bodies, OpValue value, std::size_t limit) {
  std::vector<OpValue> found;
  const auto add = [&](OpValue from) {
    for (const OpValue& origin : bodies.Origins(from).values) {
      if (found.size() >= limit) return;
      if (std::find(found.begin(), found.end(), origin) == found.end()) found.push_back(origin);
    }
  };
  add(value);
  for (std::size_t i = 0; i < found.size(); ++i) {
    const OpValue current = found[i];
    const Op& op = bodies.op(current.at);
    if (!IsArithmetic(op.type) && !IsAssignOp(op.type)) continue;
    for (std::size_t input = 0; input < op.inputs.size() && input < limit; ++input) {
      if (const auto from = bodies.Input(current.at, input)) add(*from);
    }
  }
  return found;
}

std::optional<double> MomentumOf(const OpBodies& bodies, OpRef assign) {
  const bool subtracts = bodies.op(assign).type.starts_with("AssignSub");
  const bool adds = bodies.op(assign).type.starts_with("AssignAdd");
  if (subtracts || adds) {
    const auto product = Single(bodies, assign, 1, "Mul");
    const auto step = product ? StepOfProduct(bodies, *product) : std::nullopt;
    return step ? std::optional(1 - *step) : std::nullopt;
  }
  for (const OpValue& origin : bodies.OriginsOfInput(assign, 1).values) {
    const Op& op = bodies.op(origin.at);
    if (op.type == "Sub" && ReadsVariable(bodies, origin.at, 0)) {
      const auto product = Single(bodies, origin.at, 1, "Mul");
      const auto step = product ? StepOfProduct(bodies, *product) : std::nullopt;
      if (step) return 1 - *step;
    }
    if (op.type == "Add" || op.type == "AddV2") {
      for (std::size_t i = 0; i < op.inputs.size(); ++i) {
        const auto product = Single(bodies, origin.at, i, "Mul");
        if (!product) continue;
        if (!ReadsVariable(bodies, *product, 0) && !ReadsVariable(bodies, *product, 1)) continue;
        if (const auto weight = StepOfProduct(bodies, *product)) return weight;
      }
    }
    if (op.type.starts_with("FusedBatchNorm")) {
      const auto* factor = FindAttr<double>(op, "exponential_avg_factor");
      if (factor != nullptr && *factor > 0 && *factor < 1) return 1 - ShortestDecimal(*factor);
    }
  }
  return std::nullopt;
}

double ShortestDecimal(double value) {
  const float narrow = static_cast<float>(value);
  if (!std::isfinite(narrow) || static_cast<double>(narrow) != value) return value;
  std::array<char, 32> text;
  const auto written = std::to_chars(text.data(), text.data() + text.size(), narrow);
  double result = value;
  if (written.ec != std::errc()) return value;
  std::from_chars(text.data(), written.ptr, result);
  return result;
}

}  // namespace ckpt::tf_graph
