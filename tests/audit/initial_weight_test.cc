// BN015: the weight decay^n that the initial values still have.
#include <cmath>

#include "tests/audit/audited.h"

namespace ckpt::testing {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

// An average that starts at 1 never falls below decay^n.
const Vectors kWide = {.variance = {1.5, 2.0, 1.9, 3.4}};

AuditResult AtStep(double step, const AnalysisOptions& analysis, const Vectors& vectors = kWide) {
  Network network;
  network.BatchNormalization("batch_normalization", vectors).Scalar("global_step", step);
  return Audited(network, {}, analysis);
}

TEST(InitialWeight, AboveHalfByAGivenMomentumIsAWarningWithTheNumber) {
  const AuditResult result = AtStep(60, {.epsilon = {}, .momentum = 0.99});
  EXPECT_THAT(Judged(result), ElementsAre("warning BN015 batch_normalization"));
  char weight[32];
  std::snprintf(weight, sizeof weight, "%g", std::pow(0.99, 60));
  EXPECT_THAT(FindingOf(result, "BN015")->message, HasSubstr(weight));
  EXPECT_THAT(FindingOf(result, "BN015")->message, HasSubstr("global_step"));
}

TEST(InitialWeight, AboveHalfByADefaultMomentumIsInformation) {
  const AuditResult result = AtStep(60, {});
  EXPECT_TRUE(Silent(result));
  ASSERT_EQ(CountOf(result, "BN015"), 1U);
  EXPECT_THAT(FindingOf(result, "BN015")->message, HasSubstr("default of tf.layers and Keras"));
}

TEST(InitialWeight, AboveOneHundredthIsInformation) {
  const AuditResult result = AtStep(300, {.epsilon = {}, .momentum = 0.99});  // 0.049
  EXPECT_TRUE(Silent(result));
  EXPECT_EQ(CountOf(result, "BN015"), 1U);
}

TEST(InitialWeight, BelowOneHundredthIsNotMentioned) {
  EXPECT_EQ(CountOf(AtStep(500, {.epsilon = {}, .momentum = 0.99}), "BN015"), 0U);
}

TEST(InitialWeight, AVarianceBelowTheWeightProvesMoreUpdates) {
  // Fine-tuned for 10 steps from trained statistics: 0.99^10 = 0.9, and a variance is 0.09.
  EXPECT_EQ(CountOf(AtStep(10, {.epsilon = {}, .momentum = 0.99}, {}), "BN015"), 0U);
}

TEST(InitialWeight, OneLayerThatRefutesTheStepRefutesItForAll) {
  Network network;
  network.BatchNormalization("bn1", kWide).BatchNormalization("bn2").Scalar("global_step", 10);
  EXPECT_TRUE(Silent(Audited(network, {}, {.epsilon = {}, .momentum = 0.99})));
}

TEST(InitialWeight, PyTorchsCounterAndDefaultDecay) {
  Network network;
  network.BatchNorm2d("bn1", kWide).Scalar("bn1.num_batches_tracked", 20);  // 0.9^20 = 0.12
  const AuditResult result = Audited(network);
  EXPECT_TRUE(Silent(result));
  ASSERT_EQ(CountOf(result, "BN015"), 1U);
  EXPECT_THAT(FindingOf(result, "BN015")->message, HasSubstr("0.9^20"));
}

TEST(InitialWeight, ZeroDebiasedAveragesHaveNoInitialWeight) {
  Network network;
  network.BatchNormalization("bn", kWide)
      .Vector("bn/moving_mean/biased", {1, 2, 3, 4})
      .Scalar("bn/moving_mean/local_step", 40, Dtype::kF32)
      .Vector("bn/moving_variance/biased", {1, 2, 3, 4})
      .Scalar("bn/moving_variance/local_step", 40, Dtype::kF32);
  EXPECT_EQ(CountOf(Audited(network, {}, {.epsilon = {}, .momentum = 0.999}), "BN015"), 0U);
}

TEST(InitialWeight, ADebiasedMeanAloneCountsTheUpdatesOfTheVariance) {
  Network network;
  network.BatchNormalization("bn", kWide)
      .Vector("bn/moving_mean/biased", {1, 2, 3, 4})
      .Scalar("bn/moving_mean/local_step", 40, Dtype::kF32)
      .Scalar("global_step", 100000);
  const AuditResult result = Audited(network, {}, {.epsilon = {}, .momentum = 0.999});
  ASSERT_EQ(CountOf(result, "BN015"), 1U);
  EXPECT_THAT(FindingOf(result, "BN015")->message, HasSubstr("local_step"));
}

}  // namespace
}  // namespace ckpt::testing
