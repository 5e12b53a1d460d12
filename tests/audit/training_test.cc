// BN010 to BN014: statistics at their initial values, and what the file proves about them.
#include "tests/audit/audited.h"

namespace ckpt::testing::training_test {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

TEST(Training, SlotsOfATrainedGammaProveNeverUpdated) {
  Network network;
  network.BatchNormalization("bn", NeverUpdated()).Vector("bn/gamma/Momentum", {0, 0, 0, 0});
  const AuditResult result = Audited(network);
  EXPECT_THAT(Judged(result), ElementsAre("error BN010 bn"));
  EXPECT_THAT(FindingOf(result, "BN010")->message, HasSubstr("slots of its gamma"));
  EXPECT_THAT(FindingOf(result, "BN010")->tensors,
              ElementsAre("bn/moving_mean", "bn/moving_variance"));
  EXPECT_TRUE(FindingOf(result, "BN010")->rule->stops_conversion());
}

TEST(Training, SlotsThatMovedProveItForAGammaThatIsStillOne) {
  Network network;
  network.BatchNormalization("bn", {{1, 1, 1, 1}, {0, 0, 0, 0}, {0, 0, 0, 0}, {1, 1, 1, 1}})
      .Vector("bn/gamma/Adam", {1e-3, -2e-3, 5e-4, 0})
      .Vector("bn/gamma/Adam_1", {1e-6, 4e-6, 1e-7, 0});
  EXPECT_THAT(Judged(Audited(network)), ElementsAre("error BN010 bn"));
}

TEST(Training, SlotsWithoutGradientsProveNothing) {
  Network network;
  network.BatchNormalization("bn", {{1, 1, 1, 1}, {0, 0, 0, 0}, {0, 0, 0, 0}, {1, 1, 1, 1}})
      .Vector("bn/gamma/Momentum", {0, 0, 0, 0})
      .Scalar("global_step", 0);
  const AuditResult result = Audited(network);
  EXPECT_TRUE(Silent(result));
  EXPECT_EQ(CountOf(result, "BN014"), 1U);
}

TEST(Training, ABatchCounterAboveZeroProvesNeverUpdated) {
  Network network;
  network.BatchNorm2d("layer1.0.bn1", NeverUpdated())
      .Scalar("layer1.0.bn1.num_batches_tracked", 5000);
  const AuditResult result = Audited(network);
  EXPECT_THAT(Judged(result), ElementsAre("error BN010 layer1.0.bn1"));
  EXPECT_THAT(FindingOf(result, "BN010")->message, HasSubstr("num_batches_tracked is 5000"));
  EXPECT_THAT(FindingOf(result, "BN010")->fix, HasSubstr("train()"));
}

TEST(Training, AnUpdateCounterAtZeroBesideATrainedGammaProvesIt) {
  Network network;
  network.BatchNormalization("init/init_bn", NeverUpdated())
      .Vector("init/init_bn/init/init_bn/moving_mean/biased", {0, 0, 0, 0})
      .Scalar("init/init_bn/init/init_bn/moving_mean/local_step", 0, Dtype::kF32)
      .Vector("init/init_bn/init/init_bn/moving_variance/biased", {0, 0, 0, 0})
      .Scalar("init/init_bn/init/init_bn/moving_variance/local_step", 0, Dtype::kF32);
  EXPECT_THAT(Judged(Audited(network)), ElementsAre("error BN010 init/init_bn"));
}

TEST(Training, WithoutProofItLooksNeverUpdated) {
  Network network;
  network.BatchNormalization("bn1", NeverUpdated()).BatchNormalization("bn2", NeverUpdated());
  const AuditResult result = Audited(network);
  EXPECT_THAT(Judged(result), ElementsAre("warning BN011 bn1 and bn2"));
  EXPECT_FALSE(FindingOf(result, "BN011")->rule->stops_conversion());
}

TEST(Training, OneMovedChannelIsNotInitial) {
  Network network;
  network.BatchNormalization("bn", {.mean = {0, 0, 0, 1e-30}, .variance = {1, 1, 1, 0.999}})
      .Vector("bn/gamma/Momentum", {1, 2, 3, 4});
  EXPECT_TRUE(Silent(Audited(network)));
}

TEST(Training, OnlyTheMeanUpdatedLooksNeverUpdated) {
  Network network;
  network.BatchNormalization("bn", {.variance = {1, 1, 1, 1}});
  const AuditResult result = Audited(network);
  EXPECT_THAT(Judged(result), ElementsAre("warning BN011 bn"));
  EXPECT_THAT(FindingOf(result, "BN011")->message, HasSubstr("every variance is 1"));
}

TEST(Training, SomeLayersUpdatedAreOneWarningThatNamesTheOthers) {
  Network network;
  network.BatchNormalization("bn1")
      .BatchNormalization("bn2", NeverUpdated())
      .BatchNormalization("bn3", NeverUpdated());
  const AuditResult result = Audited(network);
  ASSERT_EQ(Judged(result).size(), 1U) << Described(result);
  const Finding* finding = FindingOf(result, "BN012");
  ASSERT_NE(finding, nullptr);
  EXPECT_EQ(finding->severity, Severity::kWarning);
  EXPECT_THAT(finding->message, HasSubstr("in 1 layer and never in 2: bn2 and bn3"));
}

TEST(Training, SomeLayersUpdatedWithProofAreAnErrorToo) {
  Network network;
  network.BatchNormalization("bn1")
      .BatchNormalization("bn2", NeverUpdated())
      .Vector("bn2/beta/Momentum", {1, 2, 3, 4});
  const AuditResult result = Audited(network);
  EXPECT_EQ(Judged(result).front(), "error BN010 bn2");
  EXPECT_EQ(CountOf(result, "BN012"), 1U);
  EXPECT_EQ(CountOf(result, "BN011"), 0U);
}

// gamma / sqrt(variance), beta - mean * gamma / sqrt(variance) of trained layers whose
// activations differ in scale, as a converter absorbs them.
void AddAbsorbed(Network& network, const std::string& scope, double scale, double sign) {
  Vectors vectors;
  for (std::size_t c = 0; c < 4; ++c) {
    const double s = vectors.gamma[c] / std::sqrt(vectors.variance[c]) / scale;
    vectors.beta[c] -= vectors.mean[c] * scale * s;
    vectors.gamma[c] = c == 1 ? sign * s : s;
    vectors.mean[c] = 0;
    vectors.variance[c] = 1;
  }
  network.BatchNormalization(scope, vectors);
}

TEST(Training, AbsorbedStatisticsAreInformation) {
  Network network;
  AddAbsorbed(network, "conv1/bn", 60, 1);
  AddAbsorbed(network, "conv2/bn", 3, 1);
  AddAbsorbed(network, "conv3/bn", 0.1, 1);
  const AuditResult result = Audited(network);
  EXPECT_TRUE(Silent(result));
  ASSERT_EQ(CountOf(result, "BN013"), 1U);
  EXPECT_THAT(FindingOf(result, "BN013")->message, HasSubstr("600-fold between layers"));
}

TEST(Training, AbsorbedInOneLayerIsToldBySignsAndSpread) {
  Network network;
  AddAbsorbed(network, "bn", 1, -1);
  const AuditResult result = Audited(network);
  EXPECT_TRUE(Silent(result));
  EXPECT_EQ(CountOf(result, "BN013"), 1U);
}

TEST(Training, AbsorbedLooksInAFileWithLearntStatisticsArePartlyUpdated) {
  Network network;
  AddAbsorbed(network, "conv1/bn", 60, 1);
  AddAbsorbed(network, "conv2/bn", 0.1, -1);
  network.BatchNormalization("head/bn");
  EXPECT_EQ(CountOf(Audited(network), "BN012"), 1U);
}

TEST(Training, ABetaOfZeroHasAbsorbedNothing) {
  Network network;
  network.BatchNormalization("bn1", {{30, -2, 5, 0.1}, {0, 0, 0, 0}, {0, 0, 0, 0}, {1, 1, 1, 1}})
      .BatchNormalization("bn2", {{.1, .2, .1, .1}, {0, 0, 0, 0}, {0, 0, 0, 0}, {1, 1, 1, 1}});
  EXPECT_THAT(Judged(Audited(network)), ElementsAre("warning BN011 bn1 and bn2"));
}

TEST(Training, AnUntouchedLayerIsInformation) {
  Network network;
  network.BatchNormalization("bn", {{1, 1, 1, 1}, {0, 0, 0, 0}, {0, 0, 0, 0}, {1, 1, 1, 1}});
  const AuditResult result = Audited(network);
  EXPECT_TRUE(Silent(result));
  EXPECT_EQ(CountOf(result, "BN014"), 1U);
}

TEST(Training, AnUntouchedBranchBesideTrainedLayersIsInformation) {
  Network network;
  network.BatchNormalization("bn1")
      .BatchNormalization("aux/bn", {{1, 1, 1, 1}, {0, 0, 0, 0}, {0, 0, 0, 0}, {1, 1, 1, 1}})
      .Scalar("global_step", 100000);
  const AuditResult result = Audited(network);
  EXPECT_TRUE(Silent(result));
  EXPECT_EQ(CountOf(result, "BN014"), 1U);
}

TEST(Training, UntouchedEverywhereAtALaterStepLooksNeverUpdated) {
  Network network;
  network.BatchNormalization("bn", {{1, 1, 1, 1}, {0, 0, 0, 0}, {0, 0, 0, 0}, {1, 1, 1, 1}})
      .Scalar("global_step", 1000);
  EXPECT_THAT(Judged(Audited(network)), ElementsAre("warning BN011 bn"));
}

TEST(Training, WithoutGammaAndBetaInitialStatisticsLookNeverUpdatedPastStepZero) {
  for (const double step : {0.0, 1000.0}) {
    Network network;
    network.BatchNormalization("bn", {{}, {}, {0, 0, 0, 0}, {1, 1, 1, 1}})
        .Scalar("global_step", step);
    EXPECT_EQ(Silent(Audited(network)), step == 0) << step;
  }
}

TEST(Training, AKerasDeviationStartsAtOneToo) {
  Network network;
  network.Vector("batchnormalization_1_gamma", {0.9, 1.1})
      .Vector("batchnormalization_1_beta", {0.3, -0.1})
      .Vector("batchnormalization_1_running_mean", {0, 0})
      .Vector("batchnormalization_1_running_std", {1, 1});
  const AuditResult result = Audited(network);
  EXPECT_EQ(CountOf(result, "BN011"), 1U) << Described(result);
}

TEST(Training, AFrozenLayerWithInitialStatisticsIsInformation) {
  Network network;
  network.BatchNormalization("bn", NeverUpdated());
  network.Seal();
  Analysis analysis = Analyse(network.manifest());
  ASSERT_EQ(analysis.batch_norms.size(), 1U);
  analysis.batch_norms[0].frozen = true;
  EXPECT_TRUE(Silent(Audit(network, analysis)));
}

}  // namespace
}  // namespace ckpt::testing::training_test
