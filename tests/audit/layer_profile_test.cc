// How the values of batch norms are distributed.
#include "ckpt/layer_profile.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <limits>
#include <numeric>

#include "tests/audit/audited.h"

namespace ckpt::layer_profile_test {
namespace {

using ::testing::DoubleNear;
using ::testing::ElementsAre;

constexpr double kInf = std::numeric_limits<double>::infinity();

TEST(Distribution, HoldsMomentsPercentilesAndBins) {
  std::vector<double> values(96);  // 0 to 95: four in each of 24 bins
  std::iota(values.begin(), values.end(), 0.0);
  const Distribution of = DistributionOf(values);
  EXPECT_EQ(of.finite, 96U);
  EXPECT_EQ(of.not_finite, 0U);
  EXPECT_EQ(of.least, 0);
  EXPECT_EQ(of.most, 95);
  EXPECT_EQ(of.median, 47);
  EXPECT_EQ(of.low, 4);    // rank 5 of 96: 4.8, rounded up
  EXPECT_EQ(of.high, 91);  // rank 92
  EXPECT_THAT(of.mean, DoubleNear(47.5, 1e-12));
  EXPECT_THAT(of.deviation, DoubleNear(std::sqrt((96.0 * 96.0 - 1) / 12), 1e-12));
  EXPECT_EQ(of.bins, std::vector<std::uint64_t>(24, 4));
}

TEST(Distribution, CountsWhatIsNotFiniteAndLeavesItOut) {
  const Distribution of = DistributionOf(std::vector<double>{1, NAN, kInf, -kInf, 1});
  EXPECT_EQ(of.finite, 2U);
  EXPECT_EQ(of.not_finite, 3U);
  EXPECT_THAT(of.bins, ElementsAre(2U));
  EXPECT_EQ(of.mean, 1);
  EXPECT_EQ(of.deviation, 0);
}

TEST(Distribution, IsEmptyWhereNothingIsFinite) {
  EXPECT_TRUE(DistributionOf(std::vector<double>{NAN}).bins.empty());
  EXPECT_TRUE(DistributionOf({}).bins.empty());
  EXPECT_EQ(RangeOf(std::vector<double>{NAN}), std::nullopt);
}

TEST(Distribution, OfTheLargestNumbersHasFiniteMomentsAndAllOfThemInItsBins) {
  const double most = std::numeric_limits<double>::max();
  const Distribution of = DistributionOf(std::vector<double>{-most, most, 0, most});
  EXPECT_THAT(of.mean, DoubleNear(most / 4, most * 1e-12));
  EXPECT_TRUE(std::isfinite(of.deviation));
  EXPECT_EQ(std::accumulate(of.bins.begin(), of.bins.end(), std::uint64_t{0}), 4U);
  EXPECT_EQ(of.bins.size(), kHistogramBins);
}

TEST(Distribution, LiesOverAGivenRange) {
  const Distribution of = DistributionOf(std::vector<double>{1, 1, 1}, std::pair{0.0, 2.0});
  EXPECT_EQ(of.bins.size(), kHistogramBins);
  EXPECT_EQ(of.bins[kHistogramBins / 2], 3U);
  EXPECT_EQ(of.from, 0);
  EXPECT_EQ(of.to, 2);
}

using testing::Network;
using testing::Vectors;

const Vectors kVectors = {
    .gamma = {1, 2, -3}, .beta = {0, 0, 0}, .mean = {1, 2, 3}, .variance = {4, 1, 0.25}};

std::vector<LayerProfile> ProfileOf(Network& network, const AnalysisOptions& options = {}) {
  network.Seal();
  return ProfileLayers(network, Analyse(network.manifest(), options));
}

TEST(LayerProfile, HasTheGainsThatGammaVarianceAndEpsilonGive) {
  Network network;
  network.BatchNormalization("stem/bn", kVectors);
  const auto profiles = ProfileOf(network, {.epsilon = 0.0, .momentum = {}});
  ASSERT_EQ(profiles.size(), 1U);
  const auto& gain = profiles[0].Of(LayerVector::kGain);  // 1/2, 2/1, -3/0.5
  ASSERT_TRUE(gain);
  EXPECT_EQ(gain->least, -6);
  EXPECT_EQ(gain->median, 0.5);
  EXPECT_EQ(gain->most, 2);
  EXPECT_EQ(profiles[0].Of(LayerVector::kGainSize)->most, 6);
  EXPECT_THAT(profiles[0].Of(LayerVector::kLogVariance)->most, DoubleNear(std::log10(4), 1e-15));
  EXPECT_EQ(profiles[0].Of(LayerVector::kMean)->mean, 2);
}

TEST(LayerProfile, WithoutAGammaHasGainsAllTheSameAndNoGamma) {
  Network network;
  network.BatchNormalization("stem/bn",
                             {.gamma = {}, .beta = {0, 1}, .mean = {0, 1}, .variance = {4, 4}});
  const auto profiles = ProfileOf(network, {.epsilon = 0.0, .momentum = {}});
  ASSERT_EQ(profiles.size(), 1U);
  EXPECT_FALSE(profiles[0].Of(LayerVector::kGamma));
  EXPECT_EQ(profiles[0].Of(LayerVector::kGain)->most, 0.5);
}

TEST(LayerProfile, SaysHowMuchTheInitialValuesStillWeigh) {
  Network network;
  network.BatchNormalization("batch_normalization", {.variance = {1.5, 2.0, 1.9, 3.4}})
      .Scalar("global_step", 60);
  const auto profiles = ProfileOf(network, {.epsilon = {}, .momentum = 0.99});
  ASSERT_TRUE(profiles[0].initial);
  EXPECT_THAT(profiles[0].initial->weight, DoubleNear(std::pow(0.99, 60), 1e-12));
  EXPECT_EQ(profiles[0].initial->updates, 60);
  EXPECT_EQ(profiles[0].initial->counted_by, "global_step");
}

TEST(LayerProfile, SaysNothingOfInitialValuesThatTheVariancesRefute) {
  Network network;
  network.BatchNormalization("batch_normalization", {.variance = {0.01, 2.0, 1.9, 3.4}})
      .Scalar("global_step", 60);
  EXPECT_FALSE(ProfileOf(network, {.epsilon = {}, .momentum = 0.99})[0].initial);
}

TEST(LayerProfile, OfAVarianceThatIsNoneCountsItAsNotFinite) {
  Network network;
  network.BatchNormalization("stem/bn", {.variance = {1, 0, -1, 2}});
  EXPECT_EQ(ProfileOf(network)[0].Of(LayerVector::kLogVariance)->not_finite, 2U);
}

TEST(LayerProfile, OfTwoFilesLiesOverOneRange) {
  Network a, b;
  a.BatchNormalization("x", kVectors).BatchNormalization("y", kVectors).Seal();
  b.BatchNormalization(
       "x", {.gamma = {1, 2, 9}, .beta = {0, 0, 0}, .mean = {-7, 2, 3}, .variance = {4, 1, 1}})
      .Seal();
  const Analysis of_a = Analyse(a.manifest()), of_b = Analyse(b.manifest());
  const std::vector<LayerPair> pairs = {{0, 0}, {1, std::nullopt}};
  const auto both = ProfileBoth({a, of_a}, {b, of_b}, pairs);
  ASSERT_EQ(both.size(), 2U);
  for (const LayerProfile* side : {&both[0].a, &both[0].b}) {
    EXPECT_EQ(side->Of(LayerVector::kMean)->from, -7);
    EXPECT_EQ(side->Of(LayerVector::kMean)->to, 3);
    EXPECT_EQ(side->Of(LayerVector::kGamma)->from, -3);
    EXPECT_EQ(side->Of(LayerVector::kGamma)->to, 9);
  }
  EXPECT_EQ(both[0].a.Of(LayerVector::kMean)->least, 1);
  EXPECT_TRUE(both[1].a.Of(LayerVector::kMean));
  EXPECT_FALSE(both[1].b.Of(LayerVector::kMean));
}

}  // namespace
}  // namespace ckpt::layer_profile_test
