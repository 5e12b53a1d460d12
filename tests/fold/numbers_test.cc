// Rounding: the error bound of a fold, and types whose range is small.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>

#include "tests/fold/test_net.h"

namespace ckpt::numbers_test {
namespace {

using testing::Array;
using ::testing::ElementsAre;
using testing::FoldedScopes;
using ::testing::HasSubstr;
using testing::Index;
using ::testing::IsEmpty;
using testing::ReasonOf;
using testing::TestNet;

double Roundoff(Dtype dtype) {
  switch (dtype) {
    case Dtype::kF16:
      return std::ldexp(1.0, -11);
    case Dtype::kBF16:
      return std::ldexp(1.0, -8);
    case Dtype::kF32:
      return std::ldexp(1.0, -24);
    default:
      return std::ldexp(1.0, -53);
  }
}

// A dense layer [inputs, outputs] and its batch norm, folded; everything exact is recomputed here
// in long double from what the checkpoint stores.
struct DenseFold {
  std::size_t inputs = 0, outputs = 0;
  std::vector<long double> weights = {}, bias = {};  // exact: w * a, (b - m) * a + beta
  std::vector<double> written_weights = {}, written_bias = {};
  double bound = 0;
};

DenseFold FoldDense(Dtype dtype, std::size_t inputs, std::size_t outputs, unsigned seed,
                    bool forward = false) {
  TestNet net(seed, dtype);
  const auto in = static_cast<std::int64_t>(inputs), out = static_cast<std::int64_t>(outputs);
  if (forward) {
    net.Output(net.Dense("dense", net.BatchNorm("bn", net.Input({1, in})), {.out = out}));
  } else {
    net.Output(net.BatchNorm("bn", net.Dense("dense", net.Input({1, in}), {.out = out})));
  }
  const auto plan = PlanFoldOf(net);
  EXPECT_TRUE(plan);
  EXPECT_THAT(FoldedScopes(*plan), ElementsAre("bn"));
  const auto stored = net.Stored(), written = net.Written(*plan);

  DenseFold fold{.inputs = inputs, .outputs = outputs};
  fold.written_weights = written.at("dense/kernel");
  fold.written_bias = written.at("dense/bias");
  fold.bound = plan->folded[0].error_bound;
  const auto at = [&](const char* name, std::size_t c) {
    return static_cast<long double>(stored.at(name)[c]);
  };
  const auto scale = [&](std::size_t c) {
    return at("bn/gamma", c) / std::sqrt(at("bn/moving_variance", c) + 1e-3L);
  };
  for (std::size_t o = 0; o < outputs; ++o) {
    fold.bias.push_back(forward ? at("dense/bias", o)
                                : (at("dense/bias", o) - at("bn/moving_mean", o)) * scale(o) +
                                      at("bn/beta", o));
  }
  for (std::size_t i = 0; i < inputs; ++i) {
    for (std::size_t o = 0; o < outputs; ++o) {
      const long double w = at("dense/kernel", i * outputs + o);
      fold.weights.push_back(w * scale(forward ? i : o));
      if (forward) {
        fold.bias[o] += w * (at("bn/beta", i) - at("bn/moving_mean", i) * scale(i));
      }
    }
  }
  return fold;
}

// The worst that rounding the tensors does to an output, over all |x| <= 1: x follows the signs of
// the errors.
double WorstRounding(const DenseFold& fold) {
  long double worst = 0;
  for (std::size_t o = 0; o < fold.outputs; ++o) {
    long double sum = std::fabs(fold.written_bias[o] - fold.bias[o]);
    for (std::size_t i = 0; i < fold.inputs; ++i) {
      const std::size_t e = i * fold.outputs + o;
      sum += std::fabs(fold.written_weights[e] - fold.weights[e]);
    }
    worst = std::max(worst, sum);
  }
  return static_cast<double>(worst);
}

struct Size {
  std::size_t inputs, outputs;
};
class ErrorBoundTest : public ::testing::TestWithParam<Dtype> {};

TEST_P(ErrorBoundTest, CoversTheRoundingOfTensorsAndIsNotLoose) {
  for (const auto [inputs, outputs] : {Size{1, 1}, Size{4, 7}, Size{60, 5}, Size{200, 33}}) {
    for (unsigned seed = 1; seed <= 5; ++seed) {
      for (const bool forward : {false, true}) {
        const DenseFold fold = FoldDense(GetParam(), inputs, outputs, seed, forward);
        const double worst = WorstRounding(fold);
        ASSERT_LE(worst, fold.bound) << inputs << "x" << outputs << " seed " << seed;
        // Of the n + 2 roundings that the bound allows for, the tensors took one, which on the
        // average reaches a third of its largest error; the rest is left for the evaluation.
        if (GetParam() != Dtype::kF64 && inputs >= 60) {
          EXPECT_LE(fold.bound, 10 * static_cast<double>(inputs + 2) * worst)
              << inputs << "x" << outputs << " seed " << seed;
        }
      }
    }
  }
}

// float32 all the way, in the order of the elements, as a plain runtime does.
TEST(ErrorBoundTest, CoversAnEvaluationInFloat32) {
  std::mt19937 random(3);
  std::uniform_real_distribution<double> uniform(-1, 1);
  for (const auto [inputs, outputs] : {Size{4, 7}, Size{60, 5}, Size{200, 33}}) {
    const DenseFold fold = FoldDense(Dtype::kF32, inputs, outputs, 1);
    for (int round = 0; round < 50; ++round) {
      std::vector<float> x(inputs);
      for (float& element : x) element = static_cast<float>(uniform(random));
      for (std::size_t o = 0; o < outputs; ++o) {
        float computed = 0;
        long double exact = fold.bias[o];
        for (std::size_t i = 0; i < inputs; ++i) {
          const std::size_t e = i * outputs + o;
          computed += static_cast<float>(fold.written_weights[e]) * x[i];
          exact += fold.weights[e] * x[i];
        }
        computed += static_cast<float>(fold.written_bias[o]);
        ASSERT_LE(std::fabs(static_cast<double>(computed - exact)), fold.bound);
      }
    }
  }
}

// The formula of fold.h on numbers that can be worked out by hand.
TEST(ErrorBoundTest, IsTheFormula) {
  TestNet net(1, Dtype::kF32);
  net.Output(
      net.BatchNorm("bn", net.Dense("dense", net.Input({1, 2}), {.out = 1}), {.epsilon = 0}));
  net.weights("dense/kernel") = {3, -4};
  net.weights("dense/bias") = {5};
  net.weights("bn/gamma") = {2};
  net.weights("bn/beta") = {1};
  net.weights("bn/moving_mean") = {1};
  net.weights("bn/moving_variance") = {4};  // a = 1: w' = {3, -4}, b' = 5
  const auto plan = PlanFoldOf(net);
  ASSERT_TRUE(plan);
  const double expected = (2 + 2) * Roundoff(Dtype::kF32) * (3 + 4 + 5);
  EXPECT_GE(plan->folded[0].error_bound, expected);
  EXPECT_LE(plan->folded[0].error_bound, expected * (1 + 1e-6));  // and the little of double
}

INSTANTIATE_TEST_SUITE_P(Types, ErrorBoundTest,
                         ::testing::Values(Dtype::kF16, Dtype::kBF16, Dtype::kF32, Dtype::kF64),
                         [](const auto& test) { return std::string(Name(test.param)); });

// Every written value is the exact one rounded once: at most half a unit in the last place away.
TEST(RoundingTest, EveryValueIsRoundedOnce) {
  for (const Dtype dtype : {Dtype::kF16, Dtype::kBF16, Dtype::kF32}) {
    const DenseFold fold = FoldDense(dtype, 200, 33, 7);
    // Double arithmetic may move a value across the border between two neighbours.
    const long double allowed = Roundoff(dtype) * (1 + 1e-6L);
    for (std::size_t e = 0; e < fold.weights.size(); ++e) {
      ASSERT_LE(std::fabs(fold.written_weights[e] - fold.weights[e]),
                allowed * std::fabs(fold.weights[e]) + 1e-8L)
          << Name(dtype) << " weight " << e;
    }
  }
}

// b - mean cancels: subtracting after scaling would leave nothing of the difference in float32.
TEST(RoundingTest, TheBiasIsSubtractedFromTheMeanFirst) {
  TestNet net(1, Dtype::kF32);
  net.Output(
      net.BatchNorm("bn", net.Dense("dense", net.Input({1, 1}), {.out = 1}), {.epsilon = 0}));
  net.weights("dense/bias") = {1e6 + 0.0625};  // exact in float32
  net.weights("bn/moving_mean") = {1e6};
  net.weights("bn/gamma") = {1};
  net.weights("bn/moving_variance") = {std::ldexp(1.0, -20)};
  net.weights("bn/beta") = {0.5};
  const auto plan = PlanFoldOf(net);
  ASSERT_TRUE(plan);
  EXPECT_EQ(net.Written(*plan).at("dense/bias")[0], 0.0625 * 1024 + 0.5);
}

// Two batch norms in one layer round once, not twice: 1 + 2^-24 is lost if it is stored between.
TEST(RoundingTest, SeveralFoldsRoundOnce) {
  TestNet net(1, Dtype::kF32);
  auto x = net.Dense("dense", net.Input({1, 1}), {.out = 1});
  x = net.BatchNorm("bn1", x, {.scale = false, .center = false, .epsilon = 0});
  net.Output(net.BatchNorm("bn2", x, {.scale = false, .center = false, .epsilon = 0}));
  net.weights("dense/kernel") = {1};
  net.weights("dense/bias") = {0};
  for (const std::string bn : {"bn1", "bn2"}) {
    net.weights(bn + "/moving_mean") = {0};
    net.weights(bn + "/moving_variance") = {0.7};
  }
  const auto plan = PlanFoldOf(net);
  ASSERT_TRUE(plan);
  const double variance = static_cast<double>(0.7F);
  EXPECT_EQ(net.Written(*plan).at("dense/kernel")[0],
            static_cast<double>(static_cast<float>(1 / variance)));
}

// --- Small ranges.

struct Float16Net : TestNet {
  Float16Net() : TestNet(1, Dtype::kF16) {
    Output(BatchNorm("bn", Dense("dense", Input({1, 2}), {.out = 2}), {.epsilon = 0}));
    weights("dense/kernel") = {1, 2, 3, 4};
    weights("dense/bias") = {0, 0};
    weights("bn/gamma") = {1, 1};
    weights("bn/beta") = {0, 0};
    weights("bn/moving_mean") = {0, 0};
    weights("bn/moving_variance") = {1, 1};
  }
};

TEST(RangeTest, AKernelThatOverflowsKeepsTheBatchNorm) {
  Float16Net net;
  net.weights("bn/gamma") = {30000, 1};  // 3 * 30000 is above 65504
  const auto plan = PlanFoldOf(net);
  ASSERT_TRUE(plan);
  EXPECT_THAT(plan->tensors, IsEmpty());
  EXPECT_THAT(ReasonOf(*plan, "bn"),
              HasSubstr("1 of 4 folded values of \"dense/kernel\" exceed float16 (the largest is "
                        "90000, the type ends at 65504)"));
}

TEST(RangeTest, ABiasThatOverflowsKeepsTheBatchNorm) {
  Float16Net net;
  net.weights("bn/moving_mean") = {60000, 0};
  net.weights("bn/gamma") = {2, 1};
  const auto plan = PlanFoldOf(net);
  ASSERT_TRUE(plan);
  EXPECT_THAT(ReasonOf(*plan, "bn"),
              HasSubstr("1 of 2 folded values of \"dense/bias\" exceed float16"));
}

// The first fold fits, the second does not: the first stands alone.
TEST(RangeTest, AFoldThatOverflowsLeavesAnEarlierOneInPlace) {
  TestNet net(1, Dtype::kF16);
  auto x = net.Dense("dense", net.Input({1, 1}), {.out = 1});
  x = net.BatchNorm("bn1", x, {.epsilon = 0});
  net.Output(net.BatchNorm("bn2", x, {.epsilon = 0}));
  for (const std::string bn : {"bn1", "bn2"}) {
    net.weights(bn + "/gamma") = {1000};
    net.weights(bn + "/beta") = net.weights(bn + "/moving_mean") = {0};
    net.weights(bn + "/moving_variance") = {1};
  }
  net.weights("dense/kernel") = {1};
  net.weights("dense/bias") = {0};
  const auto plan = PlanFoldOf(net);
  ASSERT_TRUE(plan);
  EXPECT_THAT(FoldedScopes(*plan), ElementsAre("bn1"));
  EXPECT_THAT(ReasonOf(*plan, "bn2"), HasSubstr("exceed float16"));
  EXPECT_EQ(net.Written(*plan).at("dense/kernel")[0], 1000);
}

TEST(RangeTest, ValuesThatGoSubnormalAreNoted) {
  Float16Net net;
  net.weights("bn/gamma") = {1e-5, 1};
  const auto plan = PlanFoldOf(net);
  ASSERT_TRUE(plan);
  EXPECT_THAT(FoldedScopes(*plan), ElementsAre("bn"));
  EXPECT_THAT(plan->notes,
              ElementsAre(HasSubstr("2 values of \"dense/kernel\" fall below the smallest normal "
                                    "float16")));
}

TEST(RangeTest, TheRangeOfTheCastCounts) {
  TestNet net(1, Dtype::kF32);
  net.Output(net.BatchNorm("bn", net.Dense("dense", net.Input({1, 2}), {.out = 2})));
  net.weights("bn/gamma") = {1e6, 1};
  const auto wide = PlanFoldOf(net);
  ASSERT_TRUE(wide);
  EXPECT_THAT(FoldedScopes(*wide), ElementsAre("bn"));
  const auto narrow = PlanFoldOf(net, {.cast = Dtype::kF16});
  ASSERT_TRUE(narrow);
  EXPECT_THAT(ReasonOf(*narrow, "bn"), HasSubstr("exceed float16"));
  const auto no_float = PlanFoldOf(net, {.cast = Dtype::kI32});
  ASSERT_FALSE(no_float);
  EXPECT_EQ(no_float.error().code, ErrorCode::kInvalidArgument);
}

}  // namespace
}  // namespace ckpt::numbers_test
