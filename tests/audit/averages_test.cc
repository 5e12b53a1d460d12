// The averages that --ema writes are judged, beside the raw weights or in their place.
#include "tests/audit/audited.h"

namespace ckpt::testing::averages_test {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

Network WithAverages(const Vectors& averages) {
  Network network;
  network.BatchNorm2d("bn").Scalar("bn.num_batches_tracked", 1000);
  network.BatchNorm2d("ema.bn", averages).Scalar("ema.bn.num_batches_tracked", 0);
  return network;
}

TEST(Averages, ThatAreSoundAreSilent) {
  Network network = WithAverages({.gamma = {0.8, 1.2, 0.9, 1.1}});
  EXPECT_TRUE(Silent(Audited(network)));
}

TEST(Averages, WithInitialStatisticsAreAWarningBesideSoundWeights) {
  Network network = WithAverages(NeverUpdated());
  const AuditResult result = Audited(network);
  EXPECT_THAT(Judged(result), ElementsAre("warning BN010 bn"));
  const Finding& finding = *FindingOf(result, "BN010");
  EXPECT_THAT(finding.message, HasSubstr("in the averages of the weights"));
  EXPECT_THAT(finding.tensors, ElementsAre("ema.bn.running_mean", "ema.bn.running_var"));
}

TEST(Averages, WithInitialStatisticsAreAnErrorWhereTheyAreWritten) {
  Network network = WithAverages(NeverUpdated());
  AuditOptions options;
  options.averages = true;
  EXPECT_THAT(Judged(Audited(network, options)), ElementsAre("error BN010 bn"));
}

TEST(Averages, ThatAreSoundAreWhatIsJudgedWhereTheyAreWritten) {
  Network network;
  network.BatchNorm2d("bn", {.variance = {0.5, -2.0, 0.09, 1.4}});
  network.BatchNorm2d("ema.bn");
  AuditOptions options;
  options.averages = true;
  EXPECT_THAT(Judged(Audited(network, options)), IsEmpty());
  EXPECT_EQ(CountOf(Audited(network), "BN021") + CountOf(Audited(network), "BN022"), 1U);
}

TEST(Averages, WithoutStatisticsStandBesideThoseOfTheRawModel) {
  Network network;
  network.BatchNorm2d("bn");
  network.BatchNorm2d("ema.bn", {.mean = {}, .variance = {}});
  const AuditResult result = Audited(network);
  EXPECT_TRUE(Silent(result));
  ASSERT_EQ(CountOf(result, "CK006"), 1U);
  EXPECT_THAT(FindingOf(result, "CK006")->message,
              HasSubstr("moving statistics of 1 batch norm have no average"));
}

TEST(AveragedModel, ACountOfBatchesIsNoExponentOfTheDefaultDecay) {
  const Vectors learnt = {.variance = {0.8, 2.0, 0.9, 1.4}};
  Network network;
  network.BatchNorm2d("bn", learnt).Scalar("bn.num_batches_tracked", 4);
  EXPECT_EQ(CountOf(Audited(network), "BN015"), 1U);
  Network averaged;
  averaged.BatchNorm2d("bn", learnt).Scalar("bn.num_batches_tracked", 4).Scalar("n_averaged", 20);
  EXPECT_EQ(CountOf(Audited(averaged), "BN015"), 0U);
}

// Gammas of a ResNet with zero-initialised residual branches after 40 steps.
TEST(ZeroInitialisedGammas, OverUntouchedStatisticsAreNotAbsorbed) {
  const std::vector<double> zeros(8, 0), ones(8, 1);
  const Vectors plain = {{0.98, 0.99, 0.97, 0.98, 0.985, 0.975, 0.99, 0.98},
                         {0.01, 0, 0.02, -0.01, 0.01, 0.02, 0, 0.01},
                         zeros,
                         ones};
  const Vectors last = {{0.06, -0.05, 0.2, -0.01, 0.03, -0.09, 0.01, 0.02},
                        {0.3, -0.2, 0.1, 0.05, -0.3, 0.2, 0.1, 0},
                        zeros,
                        ones};
  Network network;
  network.BatchNorm2d("bn1", plain).BatchNorm2d("bn2", last);
  EXPECT_THAT(Judged(Audited(network)), ElementsAre("warning BN011 bn1 and bn2"));
}

TEST(Variances, ThatAreDenormalAndNegativeAreRounding) {
  Network network;
  network.BatchNormalization("batch_normalization", {.variance = {0.5, -7e-44, 0.09, 1.4}});
  EXPECT_TRUE(Silent(Audited(network)));
  Network below;
  below.BatchNormalization("batch_normalization", {.variance = {0.5, -7e-30, 0.09, 1.4}});
  EXPECT_EQ(CountOf(Audited(below), "BN021"), 1U);
}

TEST(MeanSubtraction, WithEpsilonZeroIsNoLayerThatWasNeverUpdated) {
  const Vectors vectors = {{1, 1, 1}, {0, 0, 0}, {103.9, 116.8, 123.7}, {1, 1, 1}};
  Network network;
  network.BatchNormalization("input/bn", vectors);
  EXPECT_EQ(CountOf(Audited(network), "BN011"), 1U);
  Analysis analysis = Analyse(network.manifest(), {.epsilon = 0.0});
  EXPECT_EQ(CountOf(Audit(network, analysis), "BN011"), 0U);
}

}  // namespace
}  // namespace ckpt::testing::averages_test
