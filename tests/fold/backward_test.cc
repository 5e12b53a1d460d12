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
using testing::TestNet;

constexpr auto kHwoi = KernelLayout::kSpatialOutIn;
constexpr auto kOihw = KernelLayout::kOutInSpatial;
constexpr auto kIohw = KernelLayout::kInOutSpatial;

struct Case {
  const char* name;
  OpKind kind;
  Index input;  // batch and channels included
  ConvOptions options;
  std::int64_t axis = -1;  // of the batch norm
};
void PrintTo(const Case& test, std::ostream* out) { *out << test.name; }

ValueId Add(TestNet& net, OpKind kind, ValueId x, const ConvOptions& options) {
  switch (kind) {
    case OpKind::kConv:
      return net.Conv("conv", x, options);
    case OpKind::kDepthwiseConv:
      return net.Depthwise("conv", x, options);
    case OpKind::kConvTranspose:
      return net.ConvTranspose("conv", x, options);
    case OpKind::kSeparableConv:
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
        Case{"Conv", OpKind::kConv, {2, 5, 7, 4}, {.out = 6, .kernel = {3, 5}}},
        Case{"ConvSameStrided",
             OpKind::kConv,
             {2, 5, 7, 4},
             {.out = 6, .kernel = {3, 5}, .border = Border::kSame, .stride = 2}},
        Case{"ConvGrouped", OpKind::kConv, {2, 5, 7, 4}, {.out = 6, .kernel = {3, 5}, .groups = 2}},
        Case{"ConvOutIn",
             OpKind::kConv,
             {2, 4, 5, 7},
             {.out = 6, .kernel = {3, 5}, .layout = kOihw, .axis = 1},
             1},
        Case{"ConvOutInGrouped",
             OpKind::kConv,
             {2, 4, 5, 7},
             {.out = 6, .kernel = {3, 5}, .layout = kOihw, .groups = 2, .axis = 1},
             1},
        Case{"Conv1D", OpKind::kConv, {2, 7, 4}, {.out = 6, .kernel = {3}}},
        Case{"Conv3D", OpKind::kConv, {1, 3, 4, 5, 3}, {.out = 4, .kernel = {2, 3, 2}}},
        Case{"ChannelsFirst",
             OpKind::kConv,
             {2, 4, 5, 7},
             {.out = 6, .kernel = {3, 5}, .axis = 1},
             1},
        Case{"NegativeAxis",
             OpKind::kConv,
             {2, 4, 5, 7},
             {.out = 6, .kernel = {3, 5}, .axis = 1},
             -3},
        Case{"PositiveAxis", OpKind::kConv, {2, 5, 7, 4}, {.out = 6, .kernel = {3, 5}}, 3},
        Case{"DepthwiseMultiplier",
             OpKind::kDepthwiseConv,
             {2, 5, 7, 4},
             {.out = 2, .kernel = {3, 5}}},
        Case{"Separable", OpKind::kSeparableConv, {2, 5, 7, 4}, {.out = 6, .kernel = {3, 5}}},
        Case{"Transposed",
             OpKind::kConvTranspose,
             {2, 5, 7, 4},
             {.out = 6, .kernel = {3, 5}, .layout = kHwoi, .stride = 2}},
        Case{"TransposedInOut",
             OpKind::kConvTranspose,
             {2, 4, 5, 7},
             {.out = 6, .kernel = {3, 5}, .layout = kIohw, .axis = 1},
             1},
        Case{"TransposedGrouped",
             OpKind::kConvTranspose,
             {2, 4, 5, 7},
             {.out = 6,
              .kernel = {3, 5},
              .layout = kIohw,
              .groups = 2,
              .stride = 2,
              .axis = 1,
              .output_padding = 1},
             1},
        Case{"Dense", OpKind::kDense, {3, 4}, {.out = 6}},
        Case{"DenseAxisOne", OpKind::kDense, {3, 4}, {.out = 6}, 1},
        Case{"DenseOutIn", OpKind::kDense, {3, 4}, {.out = 6, .layout = kOihw}},
        Case{"DenseOnSequence", OpKind::kDense, {3, 5, 4}, {.out = 6}}),
    [](const auto& test) { return test.param.name; });

// Sizes that agree in every axis: a fold along a wrong one has the right shape.
INSTANTIATE_TEST_SUITE_P(
    Equal, BackwardTest,
    ::testing::Values(
        Case{"Conv", OpKind::kConv, {4, 4, 4, 4}, {.out = 4, .kernel = {4, 4}}},
        Case{"ConvSame",
             OpKind::kConv,
             {4, 4, 4, 4},
             {.out = 4, .kernel = {4, 4}, .border = Border::kSame}},
        Case{"ConvGrouped", OpKind::kConv, {2, 4, 4, 4}, {.out = 4, .kernel = {2, 2}, .groups = 2}},
        Case{"ConvOutIn",
             OpKind::kConv,
             {4, 4, 4, 4},
             {.out = 4, .kernel = {4, 4}, .layout = kOihw, .axis = 1},
             1},
        Case{"ConvOutInGrouped",
             OpKind::kConv,
             {4, 4, 4, 4},
             {.out = 4, .kernel = {2, 2}, .layout = kOihw, .groups = 2, .axis = 1},
             1},
        Case{"ChannelsFirst",
             OpKind::kConv,
             {4, 4, 4, 4},
             {.out = 4, .kernel = {1, 1}, .axis = 1},
             1},
        Case{"Depthwise", OpKind::kDepthwiseConv, {4, 4, 4, 4}, {.out = 4, .kernel = {4, 4}}},
        Case{"Separable", OpKind::kSeparableConv, {4, 4, 4, 4}, {.out = 4, .kernel = {4, 4}}},
        Case{"Transposed",
             OpKind::kConvTranspose,
             {4, 4, 4, 4},
             {.out = 4, .kernel = {4, 4}, .layout = kHwoi}},
        Case{"TransposedInOut",
             OpKind::kConvTranspose,
             {4, 4, 4, 4},
             {.out = 4, .kernel = {4, 4}, .layout = kIohw, .axis = 1},
             1},
        Case{"TransposedGrouped",
             OpKind::kConvTranspose,
             {4, 4, 4, 4},
             {.out = 4, .kernel = {2, 2}, .layout = kIohw, .groups = 2, .axis = 1},
             1},
        Case{"Dense", OpKind::kDense, {4, 4}, {.out = 4}},
        Case{"DenseOutIn", OpKind::kDense, {4, 4}, {.out = 4, .layout = kOihw}},
        Case{"DenseOnSequence", OpKind::kDense, {4, 4, 4}, {.out = 4}}),
    [](const auto& test) { return test.param.name; });

}  // namespace
}  // namespace ckpt::backward_test
