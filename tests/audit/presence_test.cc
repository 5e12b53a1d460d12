// BN001 to BN004, BN030, BN040, BN041: which tensors a layer has, and what is recorded of it.
#include "tests/audit/audited.h"

namespace ckpt::testing::presence_test {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::Not;

const Vectors kNoStatistics = {.mean = {}, .variance = {}};

TEST(Presence, StatisticsMissingIsAnErrorThatNamesTheSaver) {
  Network network;
  network.BatchNormalization("block1/bn", kNoStatistics);
  const AuditResult result = Audited(network);
  EXPECT_THAT(Judged(result), ElementsAre("error BN001 block1/bn"));
  const Finding* finding = FindingOf(result, "BN001");
  EXPECT_THAT(finding->message, HasSubstr("tf.trainable_variables()"));
  EXPECT_THAT(finding->tensors, ElementsAre("block1/bn/gamma", "block1/bn/beta"));
  EXPECT_TRUE(finding->rule->stops_conversion());
}

TEST(Presence, AStateDictMayNeverHaveHadStatistics) {
  for (const bool counted : {false, true}) {
    Network network;
    network.mutable_manifest().framework = Framework::kPyTorch;
    network.BatchNorm2d("bn1", kNoStatistics);
    if (counted) network.Scalar("bn1.num_batches_tracked", 7);
    const AuditResult result = Audited(network);
    EXPECT_THAT(Judged(result), ElementsAre("error BN001 bn1"));
    const std::string& message = FindingOf(result, "BN001")->message;
    EXPECT_THAT(message, HasSubstr("named_parameters()"));
    EXPECT_EQ(message.find("track_running_stats=False") == std::string::npos, counted) << message;
  }
}

TEST(Presence, StatisticsMissingBesideSavedOnesDoesNotBlameTheSaver) {
  Network network;
  network.BatchNormalization("bn1").BatchNormalization("bn2", kNoStatistics);
  const AuditResult result = Audited(network);
  EXPECT_THAT(Judged(result), ElementsAre("error BN001 bn2"));
  EXPECT_THAT(FindingOf(result, "BN001")->message, Not(HasSubstr("tf.trainable_variables()")));
}

TEST(Presence, ManyLayersAreOneFindingWithAllTheirTensors) {
  Network network;
  for (int i = 1; i <= 20; ++i) network.BatchNormalization("bn" + std::to_string(i), kNoStatistics);
  network.BatchNormalization("bn21");
  const AuditResult result = Audited(network);
  EXPECT_THAT(Judged(result), ElementsAre("error BN001 20 of 21 batch norms"));
  const Finding* finding = FindingOf(result, "BN001");
  EXPECT_EQ(finding->tensors.size(), 40U);
  EXPECT_EQ(finding->layers.size(), 20U);
  EXPECT_FALSE(finding->IsAbout(20));
  EXPECT_THAT(finding->message, HasSubstr("and 17 more"));
  EXPECT_LT(finding->message.size(), 400U);
}

TEST(Presence, MeanWithoutVarianceAndTheReverseAreWarnings) {
  Network network;
  network.BatchNormalization("bn1", {.variance = {}}).BatchNormalization("bn2", {.mean = {}});
  const AuditResult result = Audited(network);
  EXPECT_THAT(Judged(result), ElementsAre("warning BN002 bn1", "warning BN002 bn2"));
  EXPECT_THAT(FindingOf(result, "BN002")->message, HasSubstr("a moving mean without a variance"));
}

TEST(Presence, GammaAndBetaOfNoKnownKindAreInformation) {
  Network network;
  network.BatchNormalization("encoder/thing", kNoStatistics);
  const AuditResult result = Audited(network);
  EXPECT_TRUE(Silent(result));
  EXPECT_EQ(CountOf(result, "BN003"), 1U);
}

TEST(Presence, TensorThatTheConfigCallsForIsMissed) {
  Network network;
  network.BatchNormalization("bn", {.gamma = {}});
  network.Seal();
  Manifest& manifest = network.mutable_manifest();
  Layer layer;
  layer.name = "bn";
  layer.op_type = "BatchNormalization";
  layer.computation = network::BatchNormalization{};
  layer.missing_tensors = {"gamma"};
  for (const char* name : {"beta", "moving_mean", "moving_variance"}) {
    layer.tensors[name] = *FindTensor(manifest, std::string("bn/") + name);
  }
  manifest.graph = ModelGraph{GraphOrigin::kKerasConfig, false, "Keras config", {layer}, {}, {}};
  const AuditResult result = Audited(network);
  EXPECT_THAT(Judged(result), ElementsAre("warning BN004 bn"));
}

TEST(Presence, TensorsOfDifferentSizesAreAnError) {
  Network network;
  network.BatchNormalization("bn", {.mean = {0.5, 0.5, 0.5}, .variance = {1, 2, 3}});
  const AuditResult result = Audited(network);
  EXPECT_THAT(Judged(result), ElementsAre("error BN030 bn"));
  EXPECT_THAT(FindingOf(result, "BN030")->message, HasSubstr("bn/moving_mean has [3]"));
}

TEST(Presence, UnknownEpsilonAndMomentumAreInformationOnce) {
  Network network;
  network.BatchNormalization("init_bn").BatchNormalization("final_bn");
  const AuditResult result = Audited(network);
  EXPECT_TRUE(Silent(result));
  EXPECT_EQ(CountOf(result, "BN040"), 1U);
  EXPECT_EQ(CountOf(result, "BN041"), 1U);
}

TEST(Presence, AnAssumedEpsilonIsSaidToBeAssumed) {
  Network network;
  network.BatchNormalization("batch_normalization");
  EXPECT_THAT(FindingOf(Audited(network), "BN040")->message, HasSubstr("0.001 is assumed"));
}

TEST(Presence, AGivenEpsilonIsNotMissed) {
  Network network;
  network.BatchNormalization("init_bn");
  const AuditResult result = Audited(network, {}, {.epsilon = 1e-3, .momentum = 0.9});
  EXPECT_EQ(CountOf(result, "BN040"), 0U);
  EXPECT_EQ(CountOf(result, "BN041"), 0U);
}

TEST(Presence, TheLikelyCauseIsOneOfTheFilesFramework) {
  const auto message_of = [](std::optional<Framework> framework) {
    Network network;
    network.BatchNormalization("bn", {.mean = {}, .variance = {}});
    network.mutable_manifest().framework = framework;
    const AuditResult result = Audited(network);
    return FindingOf(result, "BN001")->message;
  };
  EXPECT_THAT(message_of(Framework::kTensorFlow), HasSubstr("tf.trainable_variables()"));
  EXPECT_THAT(message_of(Framework::kKeras), HasSubstr("trainable_weights alone"));
  EXPECT_THAT(message_of(Framework::kPyTorch), HasSubstr("named_parameters()"));
  for (const Framework framework : {Framework::kKeras, Framework::kPyTorch, Framework::kCaffe}) {
    EXPECT_THAT(message_of(framework), Not(HasSubstr("tf."))) << Name(framework);
  }
  EXPECT_THAT(message_of(Framework::kCaffe), Not(HasSubstr("named_parameters")));
}

}  // namespace
}  // namespace ckpt::testing::presence_test
