// BN015: the weight decay^n that the initial values still have.
#include <cmath>

#include "tests/audit/audited.h"

namespace ckpt::testing::initial_weight_test {
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

RecordedModule BatchNormModule(const std::string& scope, RecordedValue momentum) {
  RecordedModule module;
  module.scope = scope;
  module.record = ModuleRecord::kPickled;
  module.class_name = "torch.nn.modules.batchnorm.BatchNorm2d";
  module.attributes = {{"eps", 1e-3}, {"momentum", std::move(momentum)}, {"training", true}};
  return module;
}

TEST(InitialWeight, AMomentumThatAPickledModuleRecordsIsAFact) {
  Network network;
  network.BatchNorm2d("bn", kWide).Scalar("bn.num_batches_tracked", 300);
  network.mutable_manifest().modules = {BatchNormModule("bn", 1e-3)};
  EXPECT_THAT(Judged(Audited(network)), ElementsAre("warning BN015 bn"));
}

TEST(InitialWeight, ACumulativeAverageHasNone) {
  Network network;
  network.BatchNorm2d("bn", kWide).Scalar("bn.num_batches_tracked", 3);
  network.mutable_manifest().modules = {BatchNormModule("bn", RecordedValue())};
  const AuditResult result = Audited(network);
  EXPECT_EQ(FindingOf(result, "BN015"), nullptr) << Described(result);
  EXPECT_EQ(FindingOf(result, "BN041"), nullptr) << Described(result);
}

TEST(InitialWeight, AnAveragedModelHasNone) {
  Network network;
  network.BatchNorm2d("swa.bn", kWide).Scalar("swa.bn.num_batches_tracked", 3);
  network.Scalar("swa.n_averaged", 4);
  const AuditResult averaged = Audited(network);
  EXPECT_EQ(FindingOf(averaged, "BN015"), nullptr) << Described(averaged);
  Network plain;
  plain.BatchNorm2d("swa.bn", kWide).Scalar("swa.bn.num_batches_tracked", 3);
  EXPECT_NE(FindingOf(Audited(plain), "BN015"), nullptr);
}

TEST(InitialWeight, TorchScriptSavedInTrainingModeIsAWarning) {
  Network network;
  network.BatchNorm2d("bn");
  RecordedModule module = BatchNormModule("bn", 0.1);
  network.mutable_manifest().modules = {module};
  EXPECT_EQ(FindingOf(Audited(network), "BN060"), nullptr);  // a pickled module is no artefact
  Network script;
  script.BatchNorm2d("bn");
  module.record = ModuleRecord::kScript;
  script.mutable_manifest().modules = {module};
  EXPECT_THAT(Judged(Audited(script)), ElementsAre("warning BN060 bn"));
}

}  // namespace
}  // namespace ckpt::testing::initial_weight_test
