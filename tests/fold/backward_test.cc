// A batch norm behind a linear layer, in every kind and layout, against an evaluation in double.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/fold/test_net.h"

namespace ckpt::backward_test {
namespace {

using testing::Border;
using testing::ConvOptions;
using ::testing::ElementsAre;
using testing::ExpectSameFunction;
using testing::FoldedScopes;
using testing::Index;
using ::testing::IsEmpty;
using testing::LayerKind;
using testing::TestNet;

constexpr auto kHwoi = KernelLayout::kSpatialOutIn;
constexpr auto kOihw = KernelLayout::kOutInSpatial;
constexpr auto kIohw = KernelLayout::kInOutSpatial;

struct Case {
  const char* name;
  LayerKind kind;
  Index input;  // batch and channels included
  ConvOptions options;
  std::int64_t axis = -1;  // of the batch norm
};
void PrintTo(const Case& test, std::ostream* out) { *out << test.name; }

ValueId Add(TestNet& net, LayerKind kind, ValueId x, const ConvOptions& options) {
  switch (kind) {
    case LayerKind::kConv:
      return net.Conv("conv", x, options);
    case LayerKind::kDepthwiseConv:
      return net.Depthwise("conv", x, options);
    case LayerKind::kConvTranspose:
      return net.ConvTranspose("conv", x, options);
    case LayerKind::kSeparableConv:
      return net.Separable("conv", x, options);
    default:
      return net.Dense("conv", x, options);
  }
}

class BackwardTest : public ::testing::TestWithParam<Case> {};

struct Parts {
  bool bias, scale, center;
};

TEST_P(BackwardTest, KeepsTheFunction) {
  const Case& test = GetParam();
  for (const auto [bias, scale, center] :
       {Parts{true, true, true}, Parts{false, true, true}, Parts{true, false, true},
        Parts{true, true, false}, Parts{false, false, false}}) {
    TestNet net;
    ConvOptions options = test.options;
    options.bias = bias;
    const auto y = Add(net, test.kind, net.Input(test.input), options);
    net.Output(net.BatchNorm(
        "bn", y, {.axis = test.axis, .scale = scale, .center = center, .epsilon = 1e-2}));
    const FoldPlan plan = ExpectSameFunction(net);
    ASSERT_THAT(FoldedScopes(plan), ElementsAre("bn"));
    EXPECT_EQ(plan.folded[0].direction, FoldDirection::kBackward);
    EXPECT_THAT(plan.folded[0].into, ElementsAre("conv/kernel"));
    EXPECT_EQ(plan.folded[0].epsilon.value, 1e-2);
    EXPECT_THAT(plan.kept, IsEmpty());
    EXPECT_THAT(plan.edits.removed, ElementsAre(net.layer("bn")));
    EXPECT_EQ(plan.edits.gained_bias.size(), bias ? 0U : 1U);
    EXPECT_EQ(plan.consumed.size(), 2U + (scale ? 1 : 0) + (center ? 1 : 0));
  }
}

INSTANTIATE_TEST_SUITE_P(
    Distinct, BackwardTest,
    ::testing::Values(
        Case{"Conv", LayerKind::kConv, {2, 5, 7, 4}, {.out = 6, .kernel = {3, 5}}},
        Case{"ConvSameStrided",
             LayerKind::kConv,
             {2, 5, 7, 4},
             {.out = 6, .kernel = {3, 5}, .border = Border::kSame, .stride = 2}},
        Case{"ConvGrouped",
             LayerKind::kConv,
             {2, 5, 7, 4},
             {.out = 6, .kernel = {3, 5}, .groups = 2}},
        Case{"ConvOutIn",
             LayerKind::kConv,
             {2, 4, 5, 7},
             {.out = 6, .kernel = {3, 5}, .layout = kOihw, .axis = 1},
             1},
        Case{"ConvOutInGrouped",
             LayerKind::kConv,
             {2, 4, 5, 7},
             {.out = 6, .kernel = {3, 5}, .layout = kOihw, .groups = 2, .axis = 1},
             1},
        Case{"Conv1D", LayerKind::kConv, {2, 7, 4}, {.out = 6, .kernel = {3}}},
        Case{"Conv3D", LayerKind::kConv, {1, 3, 4, 5, 3}, {.out = 4, .kernel = {2, 3, 2}}},
        Case{"ChannelsFirst",
             LayerKind::kConv,
             {2, 4, 5, 7},
             {.out = 6, .kernel = {3, 5}, .axis = 1},
             1},
        Case{"NegativeAxis",
             LayerKind::kConv,
             {2, 4, 5, 7},
             {.out = 6, .kernel = {3, 5}, .axis = 1},
             -3},
        Case{"PositiveAxis", LayerKind::kConv, {2, 5, 7, 4}, {.out = 6, .kernel = {3, 5}}, 3},
        Case{"DepthwiseMultiplier",
             LayerKind::kDepthwiseConv,
             {2, 5, 7, 4},
             {.out = 2, .kernel = {3, 5}}},
        Case{"Separable", LayerKind::kSeparableConv, {2, 5, 7, 4}, {.out = 6, .kernel = {3, 5}}},
        Case{"Transposed",
             LayerKind::kConvTranspose,
             {2, 5, 7, 4},
             {.out = 6, .kernel = {3, 5}, .layout = kHwoi, .stride = 2}},
        Case{"TransposedInOut",
             LayerKind::kConvTranspose,
             {2, 4, 5, 7},
             {.out = 6, .kernel = {3, 5}, .layout = kIohw, .axis = 1},
             1},
        Case{"TransposedGrouped",
             LayerKind::kConvTranspose,
             {2, 4, 5, 7},
             {.out = 6,
              .kernel = {3, 5},
              .layout = kIohw,
              .groups = 2,
              .stride = 2,
              .axis = 1,
              .output_padding = 1},
             1},
        Case{"Dense", LayerKind::kDense, {3, 4}, {.out = 6}},
        Case{"DenseAxisOne", LayerKind::kDense, {3, 4}, {.out = 6}, 1},
        Case{"DenseOutIn", LayerKind::kDense, {3, 4}, {.out = 6, .layout = kOihw}},
        Case{"DenseOnSequence", LayerKind::kDense, {3, 5, 4}, {.out = 6}}),
    [](const auto& test) { return test.param.name; });

// Sizes that agree in every axis: a fold along a wrong one has the right shape.
INSTANTIATE_TEST_SUITE_P(
    Equal, BackwardTest,
    ::testing::Values(
        Case{"Conv", LayerKind::kConv, {4, 4, 4, 4}, {.out = 4, .kernel = {4, 4}}},
        Case{"ConvSame",
             LayerKind::kConv,
             {4, 4, 4, 4},
             {.out = 4, .kernel = {4, 4}, .border = Border::kSame}},
        Case{"ConvGrouped",
             LayerKind::kConv,
             {2, 4, 4, 4},
             {.out = 4, .kernel = {2, 2}, .groups = 2}},
        Case{"ConvOutIn",
             LayerKind::kConv,
             {4, 4, 4, 4},
             {.out = 4, .kernel = {4, 4}, .layout = kOihw, .axis = 1},
             1},
        Case{"ConvOutInGrouped",
             LayerKind::kConv,
             {4, 4, 4, 4},
             {.out = 4, .kernel = {2, 2}, .layout = kOihw, .groups = 2, .axis = 1},
             1},
        Case{"ChannelsFirst",
             LayerKind::kConv,
             {4, 4, 4, 4},
             {.out = 4, .kernel = {1, 1}, .axis = 1},
             1},
        Case{"Depthwise", LayerKind::kDepthwiseConv, {4, 4, 4, 4}, {.out = 4, .kernel = {4, 4}}},
        Case{"Separable", LayerKind::kSeparableConv, {4, 4, 4, 4}, {.out = 4, .kernel = {4, 4}}},
        Case{"Transposed",
             LayerKind::kConvTranspose,
             {4, 4, 4, 4},
             {.out = 4, .kernel = {4, 4}, .layout = kHwoi}},
        Case{"TransposedInOut",
             LayerKind::kConvTranspose,
             {4, 4, 4, 4},
             {.out = 4, .kernel = {4, 4}, .layout = kIohw, .axis = 1},
             1},
        Case{"TransposedGrouped",
             LayerKind::kConvTranspose,
             {4, 4, 4, 4},
             {.out = 4, .kernel = {2, 2}, .layout = kIohw, .groups = 2, .axis = 1},
             1},
        Case{"Dense", LayerKind::kDense, {4, 4}, {.out = 4}},
        Case{"DenseOutIn", LayerKind::kDense, {4, 4}, {.out = 4, .layout = kOihw}},
        Case{"DenseOnSequence", LayerKind::kDense, {4, 4, 4}, {.out = 4}}),
    [](const auto& test) { return test.param.name; });

}  // namespace
}  // namespace ckpt::backward_test
