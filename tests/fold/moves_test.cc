// Batch norms that move through other layers, forward, or into each other.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/fold/test_net.h"

namespace ckpt::moves_test {
namespace {

using testing::Border;
using ::testing::ElementsAre;
using testing::ExpectSameFunction;
using testing::FoldedScopes;
using ::testing::HasSubstr;
using testing::Index;
using ::testing::IsEmpty;
using testing::LayerKind;
using testing::ReasonOf;
using testing::TestNet;
using ::testing::UnorderedElementsAre;

// --- Backward through what lies between.

struct Between {
  const char* name;
  LayerKind kind;
};
class ThroughTest : public ::testing::TestWithParam<Between> {};

TEST_P(ThroughTest, MovesTheBatchNormBeforeIt) {
  TestNet net;
  auto x = net.Conv("conv", net.Input({2, 6, 7, 3}), {.out = 5, .bias = false});
  x = net.Simple("between", GetParam().kind, {x});
  net.Output(net.BatchNorm("bn", x, {.positive_gamma = true}));
  const FoldPlan plan = ExpectSameFunction(net);
  ASSERT_THAT(FoldedScopes(plan), ElementsAre("bn"));
  EXPECT_EQ(plan.folded[0].direction, FoldDirection::kBackward);
  EXPECT_THAT(plan.edits.gained_bias, ElementsAre(net.layer("conv")));
}

INSTANTIATE_TEST_SUITE_P(Layers, ThroughTest,
                         ::testing::Values(Between{"Identity", LayerKind::kIdentity},
                                           Between{"MaxPool", LayerKind::kMaxPool},
                                           Between{"AveragePool", LayerKind::kAveragePool},
                                           Between{"GlobalMaxPool", LayerKind::kGlobalMaxPool},
                                           Between{"GlobalAveragePool",
                                                   LayerKind::kGlobalAveragePool},
                                           Between{"Upsample", LayerKind::kUpsample}),
                         [](const auto& test) { return test.param.name; });

TEST(BackwardMovesTest, MaxPoolingStopsNegativeScales) {
  TestNet net;
  auto x = net.Conv("conv", net.Input({2, 6, 7, 3}), {.out = 5});
  x = net.Simple("pool", LayerKind::kMaxPool, {x});
  net.Output(net.BatchNorm("bn", x));
  const FoldPlan plan = ExpectSameFunction(net);
  EXPECT_THAT(plan.folded, IsEmpty());
  EXPECT_THAT(ReasonOf(plan, "bn"), HasSubstr("scales are negative, and \"pool\" takes maxima"));
}

TEST(BackwardMovesTest, AZeroScalePassesMaxPooling) {
  TestNet net;
  auto x = net.Conv("conv", net.Input({2, 6, 7, 3}), {.out = 5});
  x = net.Simple("pool", LayerKind::kMaxPool, {x});
  net.Output(net.BatchNorm("bn", x, {.positive_gamma = true}));
  net.weights("bn/gamma")[2] = 0;
  const FoldPlan plan = ExpectSameFunction(net);
  EXPECT_THAT(FoldedScopes(plan), ElementsAre("bn"));
  EXPECT_THAT(plan.notes, ElementsAre(HasSubstr("gamma is 0 in 1 of 5 channels")));
}

TEST(BackwardMovesTest, ZeroPaddingStopsAShift) {
  TestNet net;
  auto x = net.Conv("conv", net.Input({2, 6, 7, 3}), {.out = 5});
  x = net.Simple("pad", LayerKind::kZeroPad, {x});
  net.Output(net.BatchNorm("bn", x));
  const FoldPlan plan = ExpectSameFunction(net);
  EXPECT_THAT(plan.folded, IsEmpty());
  EXPECT_THAT(ReasonOf(plan, "bn"), HasSubstr("shift is not 0, and \"pad\" pads with zeros"));
}

TEST(BackwardMovesTest, ZeroPaddingPassesAZeroShift) {
  TestNet net;
  auto x = net.Conv("conv", net.Input({2, 6, 7, 3}), {.out = 5});
  x = net.Simple("pad", LayerKind::kZeroPad, {x});
  net.Output(net.BatchNorm("bn", x, {.zero_shift = true}));
  EXPECT_THAT(FoldedScopes(ExpectSameFunction(net)), ElementsAre("bn"));
}

TEST(BackwardMovesTest, FlattenOfOneElementPerChannel) {
  TestNet net;
  auto x = net.Conv("conv", net.Input({2, 3, 2, 4}), {.out = 5, .kernel = {3, 2}});
  x = net.Simple("flatten", LayerKind::kFlatten, {x}, {});
  net.Output(net.BatchNorm("bn", x));
  EXPECT_THAT(FoldedScopes(ExpectSameFunction(net)), ElementsAre("bn"));
}

TEST(BackwardMovesTest, FlattenOfSeveralElementsPerChannelStops) {
  TestNet net;
  auto x = net.Conv("conv", net.Input({2, 4, 3, 4}), {.out = 5, .kernel = {3, 2}});
  x = net.Simple("flatten", LayerKind::kFlatten, {x}, {});
  net.Output(net.BatchNorm("bn", x));
  const FoldPlan plan = ExpectSameFunction(net);
  EXPECT_THAT(ReasonOf(plan, "bn"), HasSubstr("has 5 channels, and it has 20"));
}

TEST(BackwardMovesTest, GlobalPoolingWithChannelsFirst) {
  TestNet net;
  auto x = net.Conv("conv", net.Input({2, 3, 6, 7}), {.out = 5, .axis = 1});
  x = net.Simple("pool", LayerKind::kGlobalAveragePool, {x}, 1);
  net.Output(net.BatchNorm("bn", x, {.axis = -1}));
  EXPECT_THAT(FoldedScopes(ExpectSameFunction(net)), ElementsAre("bn"));
}

// Sizes agree, so that only the axis tells the two apart.
TEST(BackwardMovesTest, PoolingOverTheAxisOfTheBatchNormStops) {
  TestNet net;
  auto x = net.Conv("conv", net.Input({2, 4, 4, 4}), {.out = 4, .kernel = {1, 1}, .axis = 1});
  x = net.Simple("up", LayerKind::kUpsample, {x}, -1);
  net.Output(net.BatchNorm("bn", x, {.axis = 1}));
  const FoldPlan plan = ExpectSameFunction(net);
  EXPECT_THAT(ReasonOf(plan, "bn"), HasSubstr("different ones"));
}

// --- Concatenations and sums.

TEST(ConcatTest, EveryProducerTakesItsSlice) {
  for (const std::int64_t axis : {-1, 3}) {
    TestNet net;
    const auto input = net.Input({2, 4, 5, 3});
    const auto a = net.Conv("a", input, {.out = 2, .kernel = {1, 1}});
    const auto b = net.Depthwise("b", input, {.out = 2, .kernel = {1, 1}, .bias = false});
    const auto c = net.Simple("drop", LayerKind::kIdentity,
                              {net.Conv("c", input, {.out = 4, .kernel = {1, 1}})});
    const auto joined = net.Simple("join", LayerKind::kConcat, {a, b, c}, axis);
    net.Output(net.BatchNorm("bn", joined, {.axis = -1}));
    const FoldPlan plan = ExpectSameFunction(net);
    ASSERT_THAT(FoldedScopes(plan), ElementsAre("bn"));
    EXPECT_THAT(plan.folded[0].into, ElementsAre("a/kernel", "b/kernel", "c/kernel"));
  }
}

TEST(ConcatTest, ChannelsFirst) {
  TestNet net;
  const auto input = net.Input({2, 3, 4, 5});
  const auto a = net.Conv("a", input, {.out = 2, .kernel = {1, 1}, .axis = 1});
  const auto b = net.Conv("b", input, {.out = 4, .kernel = {1, 1}, .axis = 1});
  net.Output(net.BatchNorm("bn", net.Simple("join", LayerKind::kConcat, {a, b}, 1), {.axis = -3}));
  EXPECT_THAT(FoldedScopes(ExpectSameFunction(net)), ElementsAre("bn"));
}

TEST(ConcatTest, AlongAnotherAxisEachTakesAll) {
  TestNet net;
  const auto input = net.Input({2, 4, 5, 3});
  const auto a = net.Conv("a", input, {.out = 4, .kernel = {1, 1}});
  const auto b = net.Conv("b", input, {.out = 4, .kernel = {1, 1}});
  net.Output(net.BatchNorm("bn", net.Simple("join", LayerKind::kConcat, {a, b}, 1)));
  EXPECT_THAT(FoldedScopes(ExpectSameFunction(net)), ElementsAre("bn"));
}

TEST(ConcatTest, OneBranchThatCannotTakeItKeepsTheBatchNorm) {
  TestNet net;
  const auto input = net.Input({2, 4, 5, 3});
  const auto a = net.Conv("a", input, {.out = 2, .kernel = {1, 1}});
  const auto b = net.Conv("b", input, {.out = 4, .kernel = {1, 1}, .activation = "relu"});
  const auto c = net.Conv("c", input, {.out = 4, .kernel = {1, 1}});
  net.Output(net.BatchNorm("bn", net.Simple("join", LayerKind::kConcat, {a, b, c})));
  const FoldPlan plan = ExpectSameFunction(net);
  EXPECT_THAT(plan.folded, IsEmpty());
  EXPECT_THAT(plan.tensors, IsEmpty());
  EXPECT_THAT(ReasonOf(plan, "bn"), HasSubstr("activation \"relu\" of \"b\""));
}

TEST(ConcatTest, TheSameValueTwiceStops) {
  TestNet net;
  const auto a = net.Conv("a", net.Input({2, 4, 5, 3}), {.out = 3, .kernel = {1, 1}});
  net.Output(net.BatchNorm("bn", net.Simple("join", LayerKind::kConcat, {a, a})));
  EXPECT_THAT(ReasonOf(ExpectSameFunction(net), "bn"), HasSubstr("2 consumers: \"join\""));
}

TEST(AddTest, ScalesEveryAddendAndShiftsOne) {
  TestNet net;
  const auto input = net.Input({2, 4, 5, 3});
  const auto a = net.Conv("a", input, {.out = 4, .kernel = {1, 1}});
  const auto b = net.Conv("b", input, {.out = 4, .kernel = {1, 1}, .bias = false});
  const auto c = net.Conv("c", input, {.out = 4, .kernel = {1, 1}});
  net.Output(net.BatchNorm("bn", net.Simple("sum", LayerKind::kAdd, {b, a, c}, {})));
  const FoldPlan plan = ExpectSameFunction(net);
  ASSERT_THAT(FoldedScopes(plan), ElementsAre("bn"));
  EXPECT_THAT(plan.edits.gained_bias, ElementsAre(net.layer("b")));
}

TEST(AddTest, AShortcutKeepsTheBatchNorm) {
  TestNet net;
  const auto input = net.Input({2, 4, 5, 3});
  const auto a = net.Conv("a", input, {.out = 3, .kernel = {1, 1}});
  net.Output(net.BatchNorm("bn", net.Simple("sum", LayerKind::kAdd, {a, input}, {})));
  const FoldPlan plan = ExpectSameFunction(net);
  EXPECT_THAT(plan.tensors, IsEmpty());
  EXPECT_THAT(ReasonOf(plan, "bn"), HasSubstr("consumers"));
}

// A kernel tells the rank of what its convolution yields, whatever came before.
TEST(AddTest, TheRankIsThatOfTheKernels) {
  TestNet net;
  const auto input = net.Input({2, 4, 5, 3});
  const auto a = net.Conv("a", input, {.out = 3, .kernel = {1, 1}});
  const auto b = net.Conv("b", input, {.out = 3, .kernel = {1, 1}});
  net.Output(net.BatchNorm("bn", net.Simple("sum", LayerKind::kAdd, {a, b}, {}), {.axis = 3}));
  net.ForgetRanks();
  EXPECT_THAT(FoldedScopes(ExpectSameFunction(net)), ElementsAre("bn"));
}

TEST(AddTest, AnUnknownRankKeepsTheBatchNorm) {
  TestNet net;
  const auto input = net.Input({2, 5, 3});
  const auto a = net.Dense("a", input, {.out = 3});
  const auto b = net.Dense("b", input, {.out = 3});
  net.Output(net.BatchNorm("bn", net.Simple("sum", LayerKind::kAdd, {a, b}, {}), {.axis = 2}));
  net.ForgetRanks();
  EXPECT_THAT(ReasonOf(ExpectSameFunction(net), "bn"), HasSubstr("are not known"));
}

// --- Several batch norms.

TEST(ChainTest, TwoInARowFoldIntoOneLayer) {
  TestNet net;
  auto x = net.Conv("conv", net.Input({2, 5, 6, 3}), {.out = 4});
  x = net.BatchNorm("bn1", x);
  x = net.Simple("drop", LayerKind::kIdentity, {x});
  net.Output(net.BatchNorm("bn2", x));
  const FoldPlan plan = ExpectSameFunction(net);
  ASSERT_THAT(FoldedScopes(plan), ElementsAre("bn1", "bn2"));
  EXPECT_THAT(plan.folded[1].into, ElementsAre("conv/kernel"));
  EXPECT_EQ(plan.folded[0].error_bound, plan.folded[1].error_bound);
}

TEST(ChainTest, OneBeforeAndOneBehind) {
  TestNet net;
  auto x = net.BatchNorm("before", net.Input({2, 5, 6, 3}));
  x = net.Conv("conv", x, {.out = 4});
  net.Output(net.BatchNorm("behind", x));
  const FoldPlan plan = ExpectSameFunction(net);
  ASSERT_THAT(FoldedScopes(plan), ElementsAre("before", "behind"));
  EXPECT_EQ(plan.folded[0].direction, FoldDirection::kForward);
  EXPECT_EQ(plan.folded[1].direction, FoldDirection::kBackward);
}

TEST(ChainTest, TwoBeforeALayer) {
  TestNet net;
  auto x = net.BatchNorm("bn1", net.Input({2, 5, 6, 3}));
  x = net.BatchNorm("bn2", x);
  net.Output(net.Conv("conv", x, {.out = 4}));
  const FoldPlan plan = ExpectSameFunction(net);
  EXPECT_THAT(FoldedScopes(plan), ElementsAre("bn1", "bn2"));
  EXPECT_THAT(plan.kept, IsEmpty());
}

// bn1 can move nowhere, bn2 becomes part of it.
TEST(ChainTest, ASecondOneMergesIntoOneThatStays) {
  for (const bool affine : {true, false}) {
    TestNet net;
    auto x = net.BatchNorm("bn1", net.Input({2, 5, 6, 3}), {.scale = affine, .center = affine});
    x = net.BatchNorm("bn2", x);
    net.Output(net.Activation("act", x, "relu"));
    const FoldPlan plan = ExpectSameFunction(net);
    ASSERT_THAT(FoldedScopes(plan), ElementsAre("bn2"));
    EXPECT_EQ(plan.folded[0].direction, FoldDirection::kMerged);
    EXPECT_THAT(plan.folded[0].into, ElementsAre("bn1"));
    EXPECT_GT(plan.folded[0].error_bound, 0);
    ASSERT_EQ(plan.kept.size(), 1U);
    // Without gamma and beta it has to become a batch norm that has them.
    EXPECT_EQ(plan.kept[0].affine, !affine);
    EXPECT_EQ(plan.edits.to_affine.size(), affine ? 0U : 1U);
    EXPECT_EQ(plan.tensors.size(), affine ? 2U : 4U);
  }
}

TEST(ChainTest, AMergeCoversTheSlicesOfAConcatenation) {
  TestNet net;
  const auto input = net.Input({2, 5, 6, 3});
  const auto kept = net.BatchNorm("kept", net.Activation("act", input, "relu"));
  const auto conv = net.Conv("conv", input, {.out = 4, .kernel = {1, 1}});
  net.Output(net.Activation(
      "end", net.BatchNorm("bn", net.Simple("join", LayerKind::kConcat, {conv, kept})), "relu"));
  const FoldPlan plan = ExpectSameFunction(net);
  ASSERT_THAT(FoldedScopes(plan), ElementsAre("bn"));
  EXPECT_THAT(plan.folded[0].into, ElementsAre("conv/kernel", "kept"));
}

// --- Forward.

struct ForwardCase {
  const char* name;
  Index input;
  testing::ConvOptions options;
  LayerKind kind = LayerKind::kConv;
  std::int64_t axis = -1;
};
void PrintTo(const ForwardCase& test, std::ostream* out) { *out << test.name; }
class ForwardTest : public ::testing::TestWithParam<ForwardCase> {};

TEST_P(ForwardTest, KeepsTheFunction) {
  const ForwardCase& test = GetParam();
  for (const bool bias : {false, true}) {
    TestNet net;
    auto options = test.options;
    options.bias = bias;
    auto x = net.Activation("act", net.Input(test.input), "relu");
    x = net.BatchNorm("bn", x, {.axis = test.axis});
    if (test.kind == LayerKind::kConv) x = net.Conv("next", x, options);
    if (test.kind == LayerKind::kDepthwiseConv) x = net.Depthwise("next", x, options);
    if (test.kind == LayerKind::kDense) x = net.Dense("next", x, options);
    net.Output(x);
    const FoldPlan plan = ExpectSameFunction(net);
    ASSERT_THAT(FoldedScopes(plan), ElementsAre("bn"));
    EXPECT_EQ(plan.folded[0].direction, FoldDirection::kForward);
    EXPECT_THAT(plan.folded[0].into, ElementsAre("next/kernel"));
    EXPECT_EQ(plan.edits.gained_bias.size(), bias ? 0U : 1U);
  }
}

INSTANTIATE_TEST_SUITE_P(
    Distinct, ForwardTest,
    ::testing::Values(
        ForwardCase{"Conv", {2, 5, 6, 4}, {.out = 6, .kernel = {3, 2}}},
        ForwardCase{"ConvGrouped", {2, 5, 6, 4}, {.out = 6, .kernel = {3, 2}, .groups = 2}},
        ForwardCase{"ConvOutIn",
                    {2, 4, 5, 6},
                    {.out = 6, .layout = KernelLayout::kOutInSpatial, .groups = 2, .axis = 1},
                    LayerKind::kConv,
                    1},
        ForwardCase{"PointwiseSame",
                    {2, 5, 6, 4},
                    {.out = 6, .kernel = {1, 1}, .border = Border::kSame, .stride = 2}},
        ForwardCase{"Depthwise", {2, 5, 6, 4}, {.out = 2}, LayerKind::kDepthwiseConv},
        ForwardCase{"Dense", {2, 4}, {.out = 6}, LayerKind::kDense},
        ForwardCase{"DenseAxisOne", {2, 4}, {.out = 6}, LayerKind::kDense, 1},
        ForwardCase{"DenseOnSequence", {2, 5, 4}, {.out = 6}, LayerKind::kDense}),
    [](const auto& test) { return test.param.name; });
INSTANTIATE_TEST_SUITE_P(
    Equal, ForwardTest,
    ::testing::Values(
        ForwardCase{"Conv", {4, 4, 4, 4}, {.out = 4, .kernel = {4, 4}}},
        ForwardCase{"ConvGrouped", {4, 4, 4, 4}, {.out = 4, .kernel = {2, 2}, .groups = 2}},
        ForwardCase{"ConvOutIn",
                    {4, 4, 4, 4},
                    {.out = 4, .kernel = {4, 4}, .layout = KernelLayout::kOutInSpatial, .axis = 1},
                    LayerKind::kConv,
                    1},
        ForwardCase{
            "Depthwise", {4, 4, 4, 4}, {.out = 4, .kernel = {4, 4}}, LayerKind::kDepthwiseConv},
        ForwardCase{"DenseOnSequence", {4, 4, 4}, {.out = 4}, LayerKind::kDense}),
    [](const auto& test) { return test.param.name; });

// The error of folding a shift across padding would be of the size of the data.
TEST(ForwardConditionsTest, ZeroPaddingStopsAShift) {
  TestNet net;
  const auto x = net.BatchNorm("bn", net.Input({2, 5, 6, 4}));
  net.Output(net.Conv("next", x, {.out = 6, .border = Border::kSame}));
  const FoldPlan plan = ExpectSameFunction(net);
  EXPECT_THAT(plan.folded, IsEmpty());
  EXPECT_THAT(ReasonOf(plan, "bn"), HasSubstr("shift is not 0, and \"next\" pads with zeros"));
}

TEST(ForwardConditionsTest, ZeroPaddingPassesAZeroShift) {
  TestNet net;
  const auto x = net.BatchNorm("bn", net.Input({2, 5, 6, 4}), {.zero_shift = true});
  net.Output(net.Conv("next", x, {.out = 6, .border = Border::kSame, .bias = false}));
  const FoldPlan plan = ExpectSameFunction(net);
  EXPECT_THAT(FoldedScopes(plan), ElementsAre("bn"));
  EXPECT_THAT(plan.edits.gained_bias, IsEmpty());  // no shift, so no bias is made up
}

TEST(ForwardConditionsTest, ExplicitPaddingOfAPointwiseKernelStops) {
  TestNet net;
  const auto x = net.BatchNorm("bn", net.Input({2, 5, 6, 4}));
  net.Output(net.Conv("next", x, {.out = 6, .kernel = {1, 1}}));
  auto& next = std::get<network::Convolution>(net.graph().layers[net.layer("next")].computation);
  next.padding = {network::PaddingRule::kExplicit, {1, 1}, {1, 1}};
  const auto plan = PlanFoldOf(net);
  ASSERT_TRUE(plan);
  EXPECT_THAT(ReasonOf(*plan, "bn"), HasSubstr("pads with zeros"));
}

TEST(ForwardConditionsTest, TransposedConvolutionTakesTheScaleAlone) {
  for (const bool zero_shift : {false, true}) {
    TestNet net;
    const auto x = net.BatchNorm("bn", net.Input({2, 5, 6, 4}), {.zero_shift = zero_shift});
    net.Output(net.ConvTranspose("next", x,
                                 {.out = 6, .layout = KernelLayout::kSpatialOutIn, .stride = 2}));
    const FoldPlan plan = ExpectSameFunction(net);
    EXPECT_EQ(plan.folded.size(), zero_shift ? 1U : 0U);
  }
}

TEST(ForwardConditionsTest, GroupedTransposedConvolution) {
  TestNet net;
  const auto x = net.BatchNorm("bn", net.Input({2, 4, 5, 6}), {.axis = 1, .zero_shift = true});
  net.Output(net.ConvTranspose(
      "next", x,
      {.out = 6, .layout = KernelLayout::kInOutSpatial, .groups = 2, .stride = 2, .axis = 1}));
  EXPECT_THAT(FoldedScopes(ExpectSameFunction(net)), ElementsAre("bn"));
}

TEST(ForwardConditionsTest, EveryReaderTakesIt) {
  TestNet net;
  const auto x = net.BatchNorm("bn", net.Input({2, 5, 6, 4}));
  net.Output(net.Conv("a", x, {.out = 6}));
  net.Output(net.Conv("b", net.Simple("pool", LayerKind::kAveragePool, {x}), {.out = 3}));
  const FoldPlan plan = ExpectSameFunction(net);
  ASSERT_THAT(FoldedScopes(plan), ElementsAre("bn"));
  EXPECT_THAT(plan.folded[0].into, UnorderedElementsAre("a/kernel", "b/kernel"));
}

TEST(ForwardConditionsTest, OneReaderThatCannotKeepsTheBatchNorm) {
  TestNet net;
  const auto x = net.BatchNorm("bn", net.Input({2, 5, 6, 4}));
  net.Output(net.Conv("a", x, {.out = 6}));
  net.Output(net.Activation("b", x, "relu"));
  const FoldPlan plan = ExpectSameFunction(net);
  EXPECT_THAT(plan.tensors, IsEmpty());
  EXPECT_THAT(ReasonOf(plan, "bn"), HasSubstr("\"relu\" of \"b\""));
}

TEST(ForwardConditionsTest, AnOutputOfTheModelKeepsTheBatchNorm) {
  TestNet net;
  const auto x = net.BatchNorm("bn", net.Input({2, 5, 6, 4}));
  net.Output(net.Conv("a", x, {.out = 6}));
  net.Output(x);
  EXPECT_THAT(ReasonOf(ExpectSameFunction(net), "bn"), HasSubstr("output of the model"));
}

// Its input may be read by others, and be an output: the batch norm alone goes.
TEST(ForwardConditionsTest, OtherReadersOfItsInputDoNotMatter) {
  TestNet net;
  const auto conv = net.Conv("conv", net.Input({2, 5, 6, 3}), {.out = 4});
  net.Output(conv);
  net.Output(net.Dense("dense", net.BatchNorm("bn", conv), {.out = 3}));
  const FoldPlan plan = ExpectSameFunction(net);
  ASSERT_THAT(FoldedScopes(plan), ElementsAre("bn"));
  EXPECT_THAT(plan.folded[0].into, ElementsAre("dense/kernel"));
}

struct FlattenCase {
  const char* name;
  std::int64_t batch_norm_axis;
  std::optional<std::int64_t> flatten_axis;
};
class FlattenTest : public ::testing::TestWithParam<FlattenCase> {};

TEST_P(FlattenTest, RepeatsTheChannelsInTheirOrder) {
  for (const Index& shape : {Index{2, 3, 4, 5}, Index{2, 3, 3, 3}}) {
    TestNet net;
    auto x = net.Activation("act", net.Input(shape), "relu");
    x = net.BatchNorm("bn", x, {.axis = GetParam().batch_norm_axis});
    x = net.Simple("flatten", LayerKind::kFlatten, {x}, GetParam().flatten_axis);
    net.Output(net.Dense("dense", x, {.out = 4}));
    EXPECT_THAT(FoldedScopes(ExpectSameFunction(net)), ElementsAre("bn"));
  }
}

INSTANTIATE_TEST_SUITE_P(Orders, FlattenTest,
                         ::testing::Values(FlattenCase{"ChannelsLast", -1, {}},
                                           FlattenCase{"ChannelsFirst", 1, {}},
                                           FlattenCase{"ChannelsMovedLast", 1, 1},
                                           FlattenCase{"LastMovesForward", 3, {}}),
                         [](const auto& test) { return test.param.name; });

TEST(ForwardConditionsTest, FlattenOfAMiddleAxisStops) {
  TestNet net;
  auto x = net.BatchNorm("bn", net.Input({2, 3, 3, 3}), {.axis = 2});
  x = net.Simple("flatten", LayerKind::kFlatten, {x}, {});
  net.Output(net.Dense("dense", x, {.out = 4}));
  EXPECT_THAT(ReasonOf(ExpectSameFunction(net), "bn"),
              HasSubstr("sizes that tell where it takes the channels are not known"));
}

}  // namespace
}  // namespace ckpt::moves_test
