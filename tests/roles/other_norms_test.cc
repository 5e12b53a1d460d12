// Norms whose tensors are named like a batch norm's, and names that need their neighbours.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/roles/names.h"

namespace ckpt::testing::other_norms_test {
namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;

// e3nn.nn.BatchNorm("4x0e + 2x1o"): 4 scalars of 6 features.
TEST(OtherNorms, OfIrreduciblesAreNoBatchNorm) {
  const Named named(
      {{"n.weight", {6}}, {"n.bias", {4}}, {"n.running_mean", {4}}, {"n.running_var", {6}}});
  EXPECT_THAT(named.Layers(), IsEmpty());
}

TEST(OtherNorms, ADamagedBatchNormStaysOne) {
  const Named named(
      {{"n.weight", {6}}, {"n.bias", {6}}, {"n.running_mean", {4}}, {"n.running_var", {6}}});
  EXPECT_THAT(named.Scopes(), ElementsAre("n"));
}

TEST(OtherNorms, OfComplexNumbersAreNoBatchNorm) {
  // complexPyTorch and complextorch.
  const Named parts({{"n.weight", {8, 3}},
                     {"n.bias", {8, 2}},
                     {"n.running_mean", {8}, Dtype::kC64},
                     {"n.running_covar", {8, 3}}});
  EXPECT_THAT(parts.Layers(), IsEmpty());
  const Named pairs({{"n.weight", {2, 2, 8}},
                     {"n.bias", {2, 8}},
                     {"n.running_mean", {2, 8}},
                     {"n.running_var", {2, 2, 8}},
                     {"n.num_batches_tracked", {}, Dtype::kI64}});
  EXPECT_THAT(pairs.Layers(), IsEmpty());
}

TEST(OtherNorms, EvoNormIsNoBatchNorm) {
  const Named b0({"n.weight", "n.bias", "n.v", "n.running_var"});
  EXPECT_THAT(b0.Layers(), IsEmpty());
  const Named b1(
      {"n1.weight", "n1.bias", "n1.running_var", "n2.weight", "n2.bias", "n2.running_var"});
  EXPECT_THAT(b1.Layers(), IsEmpty());
}

TEST(OtherNorms, AVarianceAloneBesideWholeLayersIsABatchNormsThatLacksItsMean) {
  const Named named({"a.weight", "a.bias", "a.running_var", "b.weight", "b.bias", "b.running_mean",
                     "b.running_var"});
  EXPECT_THAT(named.Scopes(), ElementsAre("a", "b"));
}

TEST(OtherNorms, SwitchableNormIsNoBatchNorm) {
  const Named named({{"n.weight", {1, 8, 1, 1}},
                     {"n.bias", {1, 8, 1, 1}},
                     {"n.mean_weight", {3}},
                     {"n.var_weight", {3}},
                     {"n.running_mean", {1, 8, 1}},
                     {"n.running_var", {1, 8, 1}}});
  EXPECT_THAT(named.Layers(), IsEmpty());
}

TEST(NumbersBehindNames, AreTensorFlowsAndNotTheLayers) {
  const Named named(
      {"bn1/bn1_gamma_1", "bn1/bn1_beta_1", "bn1/bn1_running_mean_1", "bn1/bn1_running_std_1"});
  EXPECT_THAT(named.Layers(), ElementsAre("bn1/bn1: bn1/bn1_gamma_1 bn1/bn1_beta_1 "
                                          "bn1/bn1_running_mean_1 bn1/bn1_running_std_1"));
}

TEST(NumbersBehindNames, MakeASecondLayerWhereTheFirstIsThereToo) {
  const Named named({"s/gamma", "s/moving_mean", "s/moving_variance", "s/gamma_1",
                     "s/moving_mean_1", "s/moving_variance_1"});
  EXPECT_THAT(named.Layers(), ElementsAre("s: s/gamma - s/moving_mean s/moving_variance",
                                          "s_1: s/gamma_1 - s/moving_mean_1 s/moving_variance_1"));
}

TEST(NumbersBehindNames, OfAnOptimizersScalarsSayNothing) {
  const Named named({{"optimizer/beta_1", {}}, "bn/gamma", "bn/moving_mean", "bn/moving_variance"});
  EXPECT_THAT(named.Scopes(), ElementsAre("bn"));
}

TEST(Underscores, GiveAWeightToTheStatisticsOfItsScope) {
  const Named named({"stem_bn_weight",
                     "stem_bn_bias",
                     "stem_bn_running_mean",
                     "stem_bn_running_var",
                     {"stem_conv_weight", {4, 3, 3, 3}},
                     "head_weight"});
  EXPECT_THAT(named.Layers(), ElementsAre("stem_bn: stem_bn_weight stem_bn_bias "
                                          "stem_bn_running_mean stem_bn_running_var"));
  EXPECT_EQ(named.RoleOf("stem_bn_weight"), "gamma");
  EXPECT_EQ(named.RoleOf("stem_conv_weight"), "kernel");
  EXPECT_EQ(named.RoleOf("head_weight"), "other");
}

}  // namespace
}  // namespace ckpt::testing::other_norms_test
