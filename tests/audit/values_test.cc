// BN020 to BN025, BN031: the numbers themselves.
#include <cmath>
#include <limits>
#include <numbers>

#include "tests/audit/audited.h"

namespace ckpt::testing::values_test {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

constexpr double kNan = std::numeric_limits<double>::quiet_NaN();
constexpr double kInfinity = std::numeric_limits<double>::infinity();

TEST(Values, NonFiniteIsAnErrorThatCountsChannelsAndNamesTheTensor) {
  Network network;
  network.BatchNormalization("bn",
                             {.mean = {0.5, kNan, 0.2, kNan}, .variance = {1.5, kInfinity, 2, 3}});
  const AuditResult result = Audited(network);
  EXPECT_THAT(Judged(result), ElementsAre("error BN020 bn"));
  const Finding* finding = FindingOf(result, "BN020");
  EXPECT_THAT(finding->tensors, ElementsAre("bn/moving_mean", "bn/moving_variance"));
  EXPECT_THAT(finding->message,
              HasSubstr("moving mean is NaN in 2 of 4 channels (the first is 1)"));
  EXPECT_THAT(finding->message, HasSubstr("moving variance is infinite in 1 of 4 channels"));
}

TEST(Values, InfiniteFloat16SaysWhereFloat16Ends) {
  Network network;
  network.BatchNormalization("bn", {.variance = {1.5, 1e6, 2, 3}}, Dtype::kF16);
  EXPECT_THAT(FindingOf(Audited(network), "BN020")->message, HasSubstr("65504"));
}

// Values of a published MobileNet, whose epsilon is 1e-5: variance + epsilon is about 1e-12.
TEST(Values, NegativeVarianceIsAWarningWhereEpsilonIsKnownAndTheRootExists) {
  Network network;
  network.BatchNormalization("bn", {.variance = {1.5, -9.99989e-06, 2, 3}});
  const AuditResult result = Audited(network, {}, {.epsilon = 1e-5});
  EXPECT_THAT(Judged(result), ElementsAre("warning BN021 bn"));
  EXPECT_THAT(FindingOf(result, "BN021")->message, HasSubstr("-9.99989e-06"));
  EXPECT_TRUE(FindingOf(result, "BN021")->rule->stops_conversion());
}

TEST(Values, VariancePlusEpsilonNotAboveZeroStopsConversion) {
  Network network;
  network.BatchNormalization("bn", {.variance = {1.5, -9.99989e-06, 2, 3}});
  const AuditResult result = Audited(network, {}, {.epsilon = 1e-6});
  EXPECT_THAT(Judged(result), ElementsAre("error BN022 bn"));
  EXPECT_TRUE(FindingOf(result, "BN022")->rule->stops_conversion());
}

TEST(Values, NegativeVarianceWithUnknownEpsilonIsAnError) {
  Network network;
  network.BatchNormalization("init_bn", {.variance = {1.5, -1.92, 2, 3}});
  EXPECT_THAT(Judged(Audited(network)), ElementsAre("error BN021 init_bn"));
}

TEST(Values, ZeroVarianceWithEpsilonZeroHasNoRoot) {
  Network network;
  network.BatchNormalization("bn", {.variance = {1.5, 0, 2, 3}});
  EXPECT_EQ(CountOf(Audited(network, {}, {.epsilon = 0.0}), "BN022"), 1U);
}

TEST(Values, AFewDeadChannelsAreInformationWithTheirGain) {
  Network network;
  network.BatchNormalization("bn", {.variance = {1.5, 0, 5.6e-45, 3}});
  const AuditResult result = Audited(network, {}, {.epsilon = 1e-3});
  EXPECT_TRUE(Silent(result));
  const Finding* finding = FindingOf(result, "BN023");
  ASSERT_NE(finding, nullptr);
  EXPECT_THAT(finding->message, HasSubstr("2 of 4 channels, gain 31.6228 with epsilon 0.001"));
}

TEST(Values, NegligibleBesideEpsilonIsDead) {
  Network network;
  network.BatchNormalization("bn", {.variance = {1.5, 1.9e-14, 2, 3}});
  EXPECT_EQ(CountOf(Audited(network, {}, {.epsilon = 1e-5}), "BN023"), 1U);
}

TEST(Values, SmallVariancesAreNotDead) {
  Network network;
  network.BatchNormalization("bn", {.variance = {6.6e-9, 1e-6, 2e-5, 1e-8}});
  EXPECT_EQ(CountOf(Audited(network, {}, {.epsilon = 1e-3}), "BN023"), 0U);
}

TEST(Values, MostChannelsDeadIsAWarning) {
  Network network;
  network.BatchNormalization("bn", {.variance = {0, 0, 1e-40, 3}});
  EXPECT_THAT(Judged(Audited(network)), ElementsAre("warning BN023 bn"));
}

TEST(Values, HalfOfTheChannelsDeadIsInformation) {
  Network network;
  network.BatchNormalization("bn", {.variance = {0, 0, 1, 3}});
  EXPECT_TRUE(Silent(Audited(network)));
}

// (|mean| + sqrt(variance)) / sqrt(variance + epsilon) around the limit of each type.
TEST(Values, AmplificationIsJudgedByType) {
  struct Case {
    Dtype dtype;
    double kappa;
    bool warns;
  };
  for (const Case& c : {Case{Dtype::kF32, 9e3, false}, Case{Dtype::kF32, 1.2e4, true},
                        Case{Dtype::kF16, 28, false}, Case{Dtype::kF16, 33, true},
                        Case{Dtype::kBF16, 3.5, false}, Case{Dtype::kBF16, 4.5, true}}) {
    Network network;
    network.BatchNormalization(
        "bn", {.mean = {1, 0, -(c.kappa - 1) * 2, 0}, .variance = {4, 4, 4, 4}}, c.dtype);
    const AuditResult result = Audited(network, {}, {.epsilon = 1e-5});
    EXPECT_EQ(CountOf(result, "BN024"), c.warns ? 1U : 0U)
        << Name(c.dtype) << " " << c.kappa << "\n"
        << Described(result);
  }
}

TEST(Values, AmplificationCountsTheBiasBeforeTheLayer) {
  for (const double bias : {0.0, 3e4}) {
    Network network;
    network.BatchNormalization("bn").Vector("conv/bias", {0, bias, 0, 0});
    network.Seal();
    Manifest& manifest = network.mutable_manifest();
    Layer conv, norm;
    conv.name = "conv";
    conv.computation = network::Convolution{};
    conv.has_kernel = true;
    conv.tensors["bias"] = *FindTensor(manifest, "conv/bias");
    norm.name = "bn";
    norm.computation = network::BatchNormalization{};
    norm.epsilon = 1e-3;
    norm.momentum = 0.99;
    for (const char* name : {"gamma", "beta", "moving_mean", "moving_variance"}) {
      norm.tensors[name] = *FindTensor(manifest, std::string("bn/") + name);
    }
    ModelGraph graph{GraphOrigin::kKerasConfig, false, "Keras config", {conv, norm}, {}, {}};
    graph.values.resize(2);
    graph.nodes = {Node{0, {}, 0}, Node{1, {0}, 1}};
    graph.values[0].producer = 0;
    graph.values[0].consumers = {1};
    graph.values[1].producer = 1;
    manifest.graph = graph;
    EXPECT_EQ(CountOf(Audited(network), "BN024"), bias == 0 ? 0U : 1U);
  }
}

TEST(Values, AStatisticAtTheLimitOfFloat16IsAWarning) {
  Network network;
  network.BatchNormalization("bn", {.variance = {1.5, 65504, 2, 3}}, Dtype::kF16);
  const AuditResult result = Audited(network);
  EXPECT_THAT(Judged(result), ElementsAre("warning BN025 bn"));
}

TEST(Values, FloatSixteenSubnormalsMatterOnlyBesideATinyEpsilon) {
  for (const double epsilon : {1e-3, 1e-7}) {
    Network network;
    network.BatchNormalization("bn", {.variance = {1.5, 1e-6, 2, 3}}, Dtype::kF16);
    const AuditResult result = Audited(network, {}, {.epsilon = epsilon});
    ASSERT_EQ(CountOf(result, "BN025"), 1U);
    EXPECT_EQ(FindingOf(result, "BN025")->severity,
              epsilon == 1e-3 ? Severity::kInfo : Severity::kWarning);
  }
}

// Sixteen channels of a trained layer; no value repeats, signs as in training.
Vectors Wide() {
  Vectors vectors{{}, {}, {}, {}};
  for (int c = 0; c < 16; ++c) {
    const double wave = std::sin(2.0 * std::numbers::pi * (c + 0.3) / 7);
    vectors.gamma.push_back(1 + 0.2 * wave);
    vectors.beta.push_back(0.3 * std::cos(c * 1.7));
    vectors.mean.push_back(2 * std::sin(c * 2.3));
    vectors.variance.push_back(std::exp(wave));
  }
  return vectors;
}

TEST(Values, ATrainedLayerDoesNotLookSwapped) {
  Network network;
  network.BatchNormalization("bn", Wide());
  EXPECT_TRUE(Silent(Audited(network)));
}

TEST(Values, MeanAndVarianceSwapped) {
  Network network;
  Vectors vectors = Wide();
  std::swap(vectors.mean, vectors.variance);
  network.BatchNormalization("bn", vectors);
  const AuditResult result = Audited(network);
  ASSERT_EQ(CountOf(result, "BN031"), 1U) << Described(result);
  EXPECT_THAT(FindingOf(result, "BN031")->message, HasSubstr("moving variance and moving mean"));
}

TEST(Values, OneNegativeChannelBehindAReluIsNotSwapped) {
  Network network;
  Vectors vectors = Wide();
  for (double& mean : vectors.mean) mean = std::fabs(mean) + 0.1;
  vectors.variance[3] = -1.92;
  network.BatchNormalization("bn", vectors);
  EXPECT_THAT(Judged(Audited(network)), ElementsAre("error BN021 bn"));
}

TEST(Values, GammaAndBetaSwappedInEveryLayer) {
  Network network;
  Vectors vectors = Wide();
  std::swap(vectors.gamma, vectors.beta);
  network.BatchNormalization("bn1", vectors).BatchNormalization("bn2", vectors);
  const AuditResult result = Audited(network);
  EXPECT_THAT(Judged(result), ElementsAre("warning BN031 bn1 and bn2"));
  EXPECT_THAT(FindingOf(result, "BN031")->message, HasSubstr("gamma and beta"));
}

TEST(Values, OneOddLayerOfThreeIsNotSwapped) {
  Network network;
  Vectors odd = Wide();
  std::swap(odd.gamma, odd.beta);
  network.BatchNormalization("bn1", odd)
      .BatchNormalization("bn2", Wide())
      .BatchNormalization("bn3", Wide());
  EXPECT_TRUE(Silent(Audited(network)));
}

TEST(Values, AMeanBehindAReluIsNotSwapped) {
  Network network;
  Vectors vectors = Wide();
  for (double& mean : vectors.mean) mean = std::fabs(mean) + 0.1;
  network.BatchNormalization("bn", vectors);
  EXPECT_TRUE(Silent(Audited(network)));
}

}  // namespace
}  // namespace ckpt::testing::values_test
