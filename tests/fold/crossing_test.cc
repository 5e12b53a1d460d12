// Batch norms that cross what the network's vocabulary says and no kind of layer does.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>

#include "tests/fold/test_net.h"

namespace ckpt::crossing_test {
namespace {

using ::testing::ElementsAre;
using testing::ExpectSameFunction;
using testing::FoldedScopes;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using testing::ReasonOf;
using testing::TestNet;

using network::Binary;
using network::BinaryFunction;
using network::Pad;
using network::Reshape;
using network::Slice;
using network::Transpose;

network::Computation Cropping() { return Slice{{1, 2}, {1, 0}, {-1, Slice::kToEnd}, {}}; }
network::Computation ShapeOfExample(network::Sizes shape) {
  Reshape reshape;
  reshape.shape = std::move(shape);
  reshape.of_example = true;
  return reshape;
}
// What the values of TestNet are is known to it alone: the graph has ranks. Sizes are told here.
void TellSizes(TestNet& net) {
  for (std::size_t i = 0; i < net.graph().values.size(); ++i) {
    net.graph().values[i].shape = net.x_shape(static_cast<ValueId>(i));
  }
}

TEST(CrossingTest, APermutationTakesTheAxisAlong) {
  TestNet net;
  auto x = net.Conv("conv", net.Input({2, 4, 5, 3}), {.out = 6});
  x = net.Computed("permute", Transpose{{0, 3, 1, 2}}, {x});
  x = net.BatchNorm("bn", x, {.axis = 1});
  net.Output(x);
  EXPECT_THAT(FoldedScopes(ExpectSameFunction(net)), ElementsAre("bn"));
}

TEST(CrossingTest, ABatchNormOverAnotherAxisOfAPermutationStays) {
  TestNet net;
  auto x = net.Conv("conv", net.Input({2, 8, 5, 3}), {.out = 6, .kernel = {3, 1}});
  x = net.Computed("permute", Transpose{{0, 3, 1, 2}}, {x});
  net.Output(net.BatchNorm("bn", x, {.axis = 2}));
  const FoldPlan plan = ExpectSameFunction(net);
  EXPECT_THAT(plan.folded, IsEmpty());
  EXPECT_THAT(ReasonOf(plan, "bn"), HasSubstr("different ones"));
}

TEST(CrossingTest, ForwardThroughAPermutationAndACropping) {
  TestNet net;
  auto x = net.BatchNorm("bn", net.Input({2, 3, 6, 5}), {.axis = 1});
  x = net.Computed("permute", Transpose{{0, 2, 3, 1}}, {x});
  x = net.Computed("crop", Cropping(), {x});
  net.Output(net.Conv("conv", x, {.out = 4}));
  EXPECT_THAT(FoldedScopes(ExpectSameFunction(net)), ElementsAre("bn"));
}

TEST(CrossingTest, AReshapeOfTheOtherAxesKeepsTheChannels) {
  TestNet net;
  auto x = net.Conv("conv", net.Input({2, 6, 5, 3}), {.out = 4, .kernel = {1, 1}});
  x = net.Computed("reshape", ShapeOfExample({30, 4}), {x});
  net.Output(net.BatchNorm("bn", x));
  TellSizes(net);
  EXPECT_THAT(FoldedScopes(ExpectSameFunction(net)), ElementsAre("bn"));
}

TEST(CrossingTest, AReshapeThatTakesTheChannelsApartStops) {
  TestNet net;
  auto x = net.Conv("conv", net.Input({2, 6, 4, 3}), {.out = 4, .kernel = {1, 1}});
  x = net.Computed("reshape", ShapeOfExample({6, 8, 2}), {x});
  x = net.Computed("back", ShapeOfExample({24, 4}), {x});
  net.Output(net.BatchNorm("bn", x));
  TellSizes(net);
  EXPECT_THAT(ReasonOf(ExpectSameFunction(net), "bn"), HasSubstr("leaves no axis to the channels"));
}

TEST(CrossingTest, ForwardThroughAReshapeThatFlattens) {
  TestNet net;
  auto x = net.BatchNorm("bn", net.Input({2, 3, 2, 4}));
  x = net.Computed("reshape", ShapeOfExample({24}), {x});
  net.Output(net.Dense("dense", x, {.out = 5}));
  TellSizes(net);
  EXPECT_THAT(FoldedScopes(ExpectSameFunction(net)), ElementsAre("bn"));
}

TEST(CrossingTest, PaddingOfOnesStopsAndReflectionPasses) {
  for (const bool reflects : {false, true}) {
    TestNet net;
    auto x = net.Conv("conv", net.Input({2, 5, 5, 3}), {.out = 4, .kernel = {1, 1}});
    Pad pad{Pad::Mode::kConstant, {1, 1}, {1, 0}, {1, 2}, 1};
    if (reflects) pad.mode = Pad::Mode::kReflect;
    net.Output(net.BatchNorm("bn", net.Computed("pad", pad, {x})));
    const FoldPlan plan = ExpectSameFunction(net);
    if (reflects) {
      EXPECT_THAT(FoldedScopes(plan), ElementsAre("bn"));
    } else {
      EXPECT_THAT(ReasonOf(plan, "bn"), HasSubstr("adds values of its own"));
    }
  }
}

TEST(CrossingTest, ADifferenceShiftsItsFirstOperandAlone) {
  TestNet net;
  const auto input = net.Input({2, 4, 5, 3});
  const auto a = net.Conv("a", input, {.out = 3, .kernel = {1, 1}});
  const auto b = net.Conv("b", input, {.out = 3, .kernel = {1, 1}});
  net.Output(net.BatchNorm("bn", net.Computed("minus", Binary{BinaryFunction::kSubtract}, {a, b})));
  EXPECT_THAT(FoldedScopes(ExpectSameFunction(net)), ElementsAre("bn"));
}

TEST(CrossingTest, AMaximumAsksForScalesThatAreNotNegative) {
  for (const bool positive : {false, true}) {
    TestNet net;
    const auto input = net.Input({2, 4, 5, 3});
    const auto a = net.Conv("a", input, {.out = 3, .kernel = {1, 1}});
    const auto b = net.Conv("b", input, {.out = 3, .kernel = {1, 1}});
    const auto x = net.Computed("max", Binary{BinaryFunction::kMaximum}, {a, b});
    net.Output(net.BatchNorm("bn", x, {.positive_gamma = positive}));
    const FoldPlan plan = ExpectSameFunction(net);
    if (positive) {
      EXPECT_THAT(FoldedScopes(plan), ElementsAre("bn"));
    } else {
      EXPECT_THAT(ReasonOf(plan, "bn"), HasSubstr("\"max\" takes maxima"));
    }
  }
}

TEST(CrossingTest, AProductOfTwoValuesStops) {
  TestNet net;
  const auto input = net.Input({2, 4, 5, 3});
  const auto a = net.Conv("a", input, {.out = 3, .kernel = {1, 1}});
  const auto b = net.Conv("b", input, {.out = 3, .kernel = {1, 1}});
  net.Output(net.BatchNorm("bn", net.Computed("gate", Binary{BinaryFunction::kMultiply}, {a, b})));
  EXPECT_THAT(ReasonOf(ExpectSameFunction(net), "bn"), HasSubstr("has 2 inputs"));
}

}  // namespace
}  // namespace ckpt::crossing_test
