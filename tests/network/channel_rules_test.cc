// Every channel rule against the operation itself: drawn data, mapped, by definitions in double.
#include "ckpt/network/channel_rules.h"

#include <gmock/gmock.h>

#include <map>
#include <set>

#include "tests/network/channel_cases.h"

namespace ckpt::network::channel_rules_test {
namespace {

using reference::Array;
using reference::At;
using reference::Case;
using reference::ForEach;

// a and b by channel.
struct Map {
  std::vector<double> a, b;
};

double Size(const Array& x, std::int64_t axis) {
  return static_cast<double>(x.shape[reference::Front(axis, x.shape.size())]);
}

Array Mapped(Array x, std::int64_t axis, const Map& map) {
  const std::size_t at = reference::Front(axis, x.shape.size());
  ForEach(x.shape, [&](const Sizes& place) {
    const auto c = static_cast<std::size_t>(place[at]);
    At(x, place) = map.a[c] * At(x, place) + map.b[c];
  });
  return x;
}

bool Near(const Array& x, const Array& y) {
  if (x.shape != y.shape) return false;
  for (std::size_t i = 0; i < x.elements.size(); ++i) {
    const double a = x.elements[i], b = y.elements[i];
    const bool both_none = std::isnan(a) && std::isnan(b);
    if (!both_none && !(std::abs(a - b) <= 1e-9 * (1 + std::abs(a) + std::abs(b)))) return false;
  }
  return true;
}

// What is known of the operands.
enum class Knowledge { kAll, kRanks, kNothing };

class Held {
 public:
  Held(const Case& instance, std::mt19937& engine, Knowledge knowledge)
      : case_(instance), engine_(engine) {
    for (const Array& operand : case_.operands) {
      OperandShape& shape = shapes_.emplace_back();
      shape.kind = operand.kind;
      if (knowledge == Knowledge::kNothing) continue;
      shape.shape = operand.shape;
      if (knowledge == Knowledge::kRanks) shape.shape->assign(operand.shape.size(), kUnknownSize);
      const bool whole = knowledge == Knowledge::kAll;
      if (whole) shape.elements = operand.elements;
    }
  }

  ChannelRule Rule(std::size_t operand, std::int64_t axis) const {
    return RuleOf(case_.computation, operand, shapes_, axis, case_.result);
  }
  OperandRule Behind(std::size_t operand, std::int64_t axis) const {
    return RuleBehind(case_.computation, operand, shapes_, axis);
  }
  Array Run(const std::vector<Array>& operands) const {
    reference::Operands pointers;
    for (const Array& operand : operands) pointers.push_back(&operand);
    return reference::Evaluated(case_.computation, pointers, case_.result);
  }
  Array Run() const { return Run(case_.operands); }

  // A map for an operand; without what the rule forbids unless that is to be tried.
  enum class Draw { kAllowed, kShifted, kNegative, kScaled };
  Map DrawMap(std::size_t count, ShiftBound shift, ScaleBound scale, Draw draw) {
    std::normal_distribution<double> normal;
    Map map;
    for (std::size_t i = 0; i < count; ++i) {
      double a = normal(engine_), b = normal(engine_);
      if (draw == Draw::kNegative) a = -0.5 - std::abs(a);
      if (draw == Draw::kScaled || draw == Draw::kShifted) a = 0.5 + std::abs(a);
      if (draw == Draw::kAllowed && scale != ScaleBound::kNone) a = std::abs(a);
      const bool keeps =
          draw == Draw::kShifted || (draw == Draw::kAllowed && shift == ShiftBound::kNone);
      map.a.push_back(a);
      map.b.push_back(keeps ? b : 0);
    }
    return map;
  }

  // Is the result what the rule says? Absent: the other operands cannot be mapped alike.
  std::optional<bool> Passes(std::size_t operand, std::int64_t axis, const network::Passes& rule,
                             Draw draw);
  std::optional<bool> Absorbs(std::size_t operand, std::int64_t axis, const Absorbed& rule,
                              Draw draw);
  // Does a map by positive scales leave the result mapped alike, along whichever axis?
  bool PassesAnyway(std::size_t operand, std::int64_t axis, Draw draw);

 private:
  Array Scaled(std::size_t operand, std::int64_t axis, std::size_t by,
               const std::vector<double>& a);
  bool IsAddend(const Array& difference) const;

  const Case& case_;
  std::mt19937& engine_;
  std::vector<OperandShape> shapes_;
};

// The map of the result's places.
std::optional<Map> AtPlaces(const Passes& rule, const Map& map, std::size_t places) {
  const std::size_t channels = map.a.size();
  Map result;
  for (std::size_t j = 0; j < places; ++j) {
    std::size_t c = j;
    if (rule.places == ChannelPlaces::kSame && places != channels) return std::nullopt;
    if (rule.places == ChannelPlaces::kFastest) c = j % channels;
    if (rule.places == ChannelPlaces::kSlowest) c = j / (places / channels);
    if (rule.places == ChannelPlaces::kPart) {
      c = static_cast<std::size_t>(rule.first + static_cast<std::int64_t>(j) * rule.step);
    }
    if (c >= channels) return std::nullopt;
    result.a.push_back(map.a[c]);
    result.b.push_back(map.b[c]);
  }
  return result;
}

std::optional<bool> Held::Passes(std::size_t operand, std::int64_t axis,
                                 const network::Passes& rule, Draw draw) {
  const Array plain = Run();
  std::vector<Array> operands = case_.operands;
  const auto count = static_cast<std::size_t>(Size(operands[operand], axis));
  const Map map = DrawMap(count, rule.shift, rule.scale, draw);
  operands[operand] = Mapped(operands[operand], axis, map);
  const std::size_t at = reference::Front(rule.axis, plain.shape.size());
  if (at >= plain.shape.size()) return false;
  const auto places = static_cast<std::size_t>(plain.shape[at]);
  Map expected;
  if (rule.places == ChannelPlaces::kAmong) {
    // Every operand has its own map, one after another.
    for (std::size_t i = 0; i < operands.size(); ++i) {
      const auto own = static_cast<std::size_t>(Size(case_.operands[i], rule.axis));
      const Map one = i == operand ? map : DrawMap(own, rule.shift, rule.scale, draw);
      if (i != operand) operands[i] = Mapped(operands[i], rule.axis, one);
      if (i == operand && rule.first != kUnknownSize &&
          rule.first != static_cast<std::int64_t>(expected.a.size())) {
        return false;
      }
      expected.a.insert(expected.a.end(), one.a.begin(), one.a.end());
      expected.b.insert(expected.b.end(), one.b.begin(), one.b.end());
    }
  } else {
    if (rule.first == kUnknownSize) return std::nullopt;
    const auto found = AtPlaces(rule, map, places);
    if (!found) return false;
    expected = *found;
  }
  const bool alike =
      rule.others == OtherOperands::kSameMap || rule.others == OtherOperands::kSameScale;
  for (std::size_t i = 0; alike && i < operands.size(); ++i) {
    if (i == operand || case_.operands[i].kind != ElementKind::kReal) continue;
    std::vector<OperandShape> full = shapes_;
    for (std::size_t k = 0; k < full.size(); ++k) full[k].shape = case_.operands[k].shape;
    const OperandRule other = RuleBehind(case_.computation, i, full, rule.axis);
    if (!std::holds_alternative<network::Passes>(other.rule)) return std::nullopt;
    Map own = map;
    if (rule.others == OtherOperands::kSameScale) own.b.assign(own.b.size(), 0.0);
    if (Size(operands[i], other.axis) != static_cast<double>(own.a.size())) return std::nullopt;
    operands[i] = Mapped(operands[i], other.axis, own);
  }
  return Near(Run(operands), Mapped(plain, rule.axis, expected));
}

// The parameter with its elements that meet channel c multiplied by a_c.
Array Held::Scaled(std::size_t operand, std::int64_t axis, std::size_t by,
                   const std::vector<double>& a) {
  Array parameter = case_.operands[by];
  const std::size_t rank = parameter.shape.size();
  const Map map{a, std::vector<double>(a.size(), 0.0)};
  if (std::holds_alternative<BatchNormalization>(case_.computation)) {
    return Mapped(parameter, 0, map);
  }
  if (const auto* recurrent = std::get_if<Recurrent>(&case_.computation)) {
    return Mapped(parameter, recurrent->transposed ? 1 : 0, map);
  }
  if (const auto* product = std::get_if<MatrixProduct>(&case_.computation)) {
    const bool turned = by == 0 ? product->transpose_a : product->transpose_b;
    const bool last = rank == 1 || (by == 0) != turned;
    return Mapped(parameter, last ? -1 : -2, map);
  }
  if (const auto* einsum = std::get_if<Einsum>(&case_.computation)) {
    std::vector<std::string> terms(1);
    for (const char letter : einsum->equation) {
      if (letter == ',') terms.emplace_back();
      if (letter == '-') break;
      if (letter != ',') terms.back() += letter;
    }
    const std::size_t own = reference::Front(axis, terms[operand].size());
    return Mapped(parameter, static_cast<std::int64_t>(terms[by].find(terms[operand][own])), map);
  }
  // By running over unit kernels: which channel meets an element of the kernel?
  const Array zero = reference::Zeros(case_.operands[0].shape);
  for (std::size_t i = 0; i < parameter.elements.size(); ++i) {
    std::vector<Array> operands = case_.operands;
    operands[by].elements.assign(parameter.elements.size(), 0.0);
    operands[by].elements[i] = 1;
    operands[2].elements.assign(operands[2].elements.size(), 0.0);
    for (std::size_t c = 0; c < a.size(); ++c) {
      Map only{std::vector<double>(a.size(), 0.0), std::vector<double>(a.size(), 0.0)};
      only.b[c] = 1;
      operands[0] = Mapped(zero, axis, only);
      const Array y = Run(operands);
      const bool met = std::any_of(y.elements.begin(), y.elements.end(),
                                   [](double element) { return element != 0; });
      if (met) parameter.elements[i] *= a[c];
    }
  }
  return parameter;
}

// Does it depend on the place along the axis of the parameters alone?
bool Held::IsAddend(const Array& difference) const {
  const auto axis = ParameterAxis(case_.computation);
  if (!axis) return false;
  const bool scalar = difference.shape.size() < 2;
  const std::size_t at = scalar ? 0 : reference::Front(*axis, difference.shape.size());
  Array first = difference;
  ForEach(difference.shape, [&](const Sizes& place) {
    Sizes start(place.size(), 0);
    if (at < start.size()) start[at] = place[at];
    At(first, place) = At(difference, start);
  });
  return Near(first, difference);
}

std::optional<bool> Held::Absorbs(std::size_t operand, std::int64_t axis, const Absorbed& rule,
                                  Draw draw) {
  std::vector<Array> mapped = case_.operands, taken = case_.operands;
  const auto count = static_cast<std::size_t>(Size(case_.operands[operand], axis));
  const Map map = DrawMap(count, rule.shift, ScaleBound::kNone, draw);
  mapped[operand] = Mapped(mapped[operand], axis, map);
  taken[rule.by] = Scaled(operand, axis, rule.by, map.a);
  if (const auto* recurrent = std::get_if<Recurrent>(&case_.computation)) {
    Array& bias = taken[3];
    ForEach(bias.shape, [&](const Sizes& gate) {
      for (std::size_t c = 0; c < count; ++c) {
        const auto in = static_cast<std::int64_t>(c);
        At(bias, gate) +=
            map.b[c] *
            At(case_.operands[1], recurrent->transposed ? Sizes{gate[0], in} : Sizes{in, gate[0]});
      }
    });
    return Near(Run(mapped), Run(taken));
  }
  const Array with = Run(mapped);
  Array without = Run(taken);
  // A scale of zero shift changes the addend of a batch norm, its mean being there still.
  const bool no_shift = std::all_of(map.b.begin(), map.b.end(), [](double b) { return b == 0; });
  const bool norm = std::holds_alternative<BatchNormalization>(case_.computation);
  if (no_shift && !norm) return Near(with, without);
  Array difference = with;
  for (std::size_t i = 0; i < with.elements.size(); ++i) {
    difference.elements[i] = with.elements[i] - without.elements[i];
  }
  return IsAddend(difference);
}

bool Held::PassesAnyway(std::size_t operand, std::int64_t axis, Draw draw) {
  const Array plain = Run();
  std::vector<Array> operands = case_.operands;
  const auto count = static_cast<std::size_t>(Size(operands[operand], axis));
  const Map map = DrawMap(count, ShiftBound::kNone, ScaleBound::kNone, draw);
  operands[operand] = Mapped(operands[operand], axis, map);
  const Array with = Run(operands);
  for (std::size_t at = 0; at < plain.shape.size(); ++at) {
    if (plain.shape[at] != static_cast<std::int64_t>(count)) continue;
    if (Near(with, Mapped(plain, static_cast<std::int64_t>(at), map))) return true;
  }
  return false;
}

std::string Words(const Case& instance, std::size_t operand, std::int64_t axis) {
  std::string words = reference::KindOf(instance.computation) + " operand " +
                      std::to_string(operand) + " axis " + std::to_string(axis) + " of";
  for (const Array& one : instance.operands) {
    words += " [";
    for (const std::int64_t size : one.shape) words += std::to_string(size) + ",";
    words += "]";
  }
  return words;
}

// All drawn cases, by every operand of real numbers and every axis of it, counted both ways.
template <class Visit>
void ForEachMap(Knowledge knowledge, const Visit& visit) {
  std::mt19937 engine(7);
  for (const Case& instance : reference::DrawCases(3)) {
    for (std::size_t i = 0; i < instance.operands.size(); ++i) {
      if (instance.operands[i].kind != ElementKind::kReal) continue;
      const auto rank = static_cast<std::int64_t>(instance.operands[i].shape.size());
      for (std::int64_t axis = -rank; axis < rank; ++axis) {
        Held held(instance, engine, knowledge);
        visit(held, instance, i, axis);
      }
    }
  }
}

class ChannelRules : public ::testing::TestWithParam<Knowledge> {};

TEST_P(ChannelRules, AreTrueOfTheOperationTheyAreOf) {
  int passed = 0, absorbed = 0;
  ForEachMap(GetParam(), [&](Held& held, const Case& instance, std::size_t i, std::int64_t axis) {
    const ChannelRule rule = held.Rule(i, axis);
    const std::string words = Words(instance, i, axis);
    if (const auto* passes = std::get_if<Passes>(&rule)) {
      // Channels of size 1 among wider operands: where sizes are not known, the counts at the end
      // of the way tell.
      const bool one = Size(instance.operands[i], axis) == 1;
      if (one && GetParam() != Knowledge::kAll) return;
      const auto holds = held.Passes(i, axis, *passes, Held::Draw::kAllowed);
      EXPECT_TRUE(holds.value_or(true)) << words;
      passed += holds.has_value() ? 1 : 0;
    } else if (const auto* takes = std::get_if<Absorbed>(&rule)) {
      const auto holds = held.Absorbs(i, axis, *takes, Held::Draw::kAllowed);
      EXPECT_TRUE(holds.value_or(true)) << words;
      absorbed += holds.has_value() ? 1 : 0;
    }
  });
  EXPECT_GT(passed, GetParam() == Knowledge::kNothing ? 500 : 1500);
  EXPECT_GT(absorbed, GetParam() == Knowledge::kNothing ? 50 : 300);
}

TEST_P(ChannelRules, FromBehindNameAnAxisThatIsMappedLikeTheResult) {
  int found = 0;
  ForEachMap(GetParam(), [&](Held& held, const Case& instance, std::size_t i, std::int64_t axis) {
    if (instance.result != 0) return;
    const auto rank = static_cast<std::int64_t>(held.Run().shape.size());
    if (axis < -rank || axis >= rank) return;
    const OperandRule behind = held.Behind(i, axis);
    const auto* passes = std::get_if<Passes>(&behind.rule);
    if (passes == nullptr) return;
    EXPECT_EQ(CompareAxes(passes->axis, axis, rank), AxisMatch::kSame) << Words(instance, i, axis);
    const auto own = static_cast<std::int64_t>(instance.operands[i].shape.size());
    ASSERT_TRUE(behind.axis >= -own && behind.axis < own) << Words(instance, i, axis);
    if (Size(instance.operands[i], behind.axis) == 1 && GetParam() != Knowledge::kAll) return;
    const auto holds = held.Passes(i, behind.axis, *passes, Held::Draw::kAllowed);
    EXPECT_TRUE(holds.value_or(true)) << Words(instance, i, axis);
    found += holds.has_value() ? 1 : 0;
  });
  EXPECT_GT(found, GetParam() == Knowledge::kNothing ? 300 : 1000);
}

INSTANTIATE_TEST_SUITE_P(WithSizes, ChannelRules,
                         ::testing::Values(Knowledge::kAll, Knowledge::kRanks,
                                           Knowledge::kNothing));

// What the rules ask for is needed: without it some drawn map is not passed on.
TEST(ChannelRuleBounds, AreNeeded) {
  std::map<std::string, bool> needed;
  ForEachMap(Knowledge::kAll, [&](Held& held, const Case& instance, std::size_t i,
                                  std::int64_t axis) {
    const ChannelRule rule = held.Rule(i, axis);
    const std::string kind = reference::KindOf(instance.computation);
    if (const auto* passes = std::get_if<Passes>(&rule)) {
      if (passes->shift != ShiftBound::kNone) {
        bool& broken = needed[kind + " shift " + std::to_string(static_cast<int>(passes->shift))];
        broken |= !held.Passes(i, axis, *passes, Held::Draw::kShifted).value_or(true);
      }
      if (passes->scale != ScaleBound::kNone) {
        bool& broken = needed[kind + " scale " + std::to_string(static_cast<int>(passes->scale))];
        broken |= !held.Passes(i, axis, *passes, Held::Draw::kNegative).value_or(true);
      }
    } else if (const auto* takes = std::get_if<Absorbed>(&rule)) {
      if (takes->shift == ShiftBound::kNone) return;
      bool& broken = needed[kind + " shift " + std::to_string(static_cast<int>(takes->shift))];
      broken |= !held.Absorbs(i, axis, *takes, Held::Draw::kShifted).value_or(true);
    }
  });
  EXPECT_GT(needed.size(), 20u);
  for (const auto& [bound, broken] : needed) EXPECT_TRUE(broken) << bound;
}

// Where a rule stops a map, even one of positive scales without a shift is not passed on.
TEST(ChannelRuleStops, HaveCounterexamples) {
  std::map<std::string, bool> stopped;
  ForEachMap(
      Knowledge::kAll, [&](Held& held, const Case& instance, std::size_t i, std::int64_t axis) {
        const ChannelRule rule = held.Rule(i, axis);
        const auto* stops = std::get_if<Stops>(&rule);
        if (stops == nullptr || stops->reason == StopReason::kParameter) return;
        EXPECT_NE(stops->reason, StopReason::kSizesUnknown) << Words(instance, i, axis);
        bool& seen = stopped[reference::KindOf(instance.computation) + " " +
                             std::to_string(static_cast<int>(stops->reason))];
        if (stops->reason == StopReason::kNotData) seen = true;
        // Truth values are mostly 0, and stay it when they are scaled.
        const bool shifted = stops->reason == StopReason::kIntegers;
        seen |= !held.PassesAnyway(i, axis, shifted ? Held::Draw::kShifted : Held::Draw::kScaled);
      });
  EXPECT_GT(stopped.size(), 60u);
  for (const auto& [rule, seen] : stopped) EXPECT_TRUE(seen) << rule;
}

// Every operation has been drawn, and none but the unknown one stops for being unknown.
TEST(ChannelRuleCases, HoldEveryOperation) {
  std::set<std::size_t> drawn;
  for (const Case& instance : reference::DrawCases(3)) drawn.insert(instance.computation.index());
  EXPECT_EQ(drawn.size(), std::variant_size_v<Computation> - 1);
  const OperandShape x;
  const ChannelRule rule = RuleOf(Unknown{}, 0, std::span(&x, 1), -1);
  ASSERT_TRUE(std::holds_alternative<Stops>(rule));
  EXPECT_EQ(std::get<Stops>(rule).reason, StopReason::kUnknown);
}

}  // namespace
}  // namespace ckpt::network::channel_rules_test
