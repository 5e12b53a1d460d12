// BN050 to BN052: two checkpoints of one run.
#include "tests/audit/audited.h"

namespace ckpt::testing::history_test {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

const std::vector<double> kKernel = {1, 2, 3, 4, 5, 6, 7, 8};
const std::vector<double> kTrained = {1.1, 2, 3, 4.2, 5, 6, 7, 8};

// conv, bn and a head; what differs between two checkpoints is an argument.
Network Model(const Vectors& bn, const std::vector<double>& conv, const std::vector<double>& head) {
  Network network;
  network.BatchNormalization("block/bn", bn)
      .Matrix("block/conv/kernel", conv)
      .Matrix("head/kernel", head);
  network.Seal();
  return network;
}

AuditResult Since(Network& newer, const Network& older) {
  AuditOptions options;
  options.older = &older;
  return Audited(newer, options);
}

const Vectors kMoved = {.gamma = {0.8, 1.2, 1.0, 1.1}, .mean = {0.4, -0.6, 1.4, 0.1}};

TEST(History, OrdinaryTrainingIsSilent) {
  const Network older = Model({}, kKernel, kKernel);
  Network newer = Model(kMoved, kTrained, kTrained);
  EXPECT_TRUE(Silent(Since(newer, older)));
}

TEST(History, TheSameFileTwiceIsSilent) {
  const Network older = Model({}, kKernel, kKernel);
  Network newer = Model({}, kKernel, kKernel);
  EXPECT_TRUE(Silent(Since(newer, older)));
}

TEST(History, StatisticsUnchangedWhileGammaMoved) {
  const Network older = Model({}, kKernel, kKernel);
  Network newer = Model({.gamma = {0.8, 1.2, 1.0, 1.1}}, kTrained, kTrained);
  EXPECT_THAT(Judged(Since(newer, older)), ElementsAre("warning BN050 block/bn"));
}

TEST(History, StatisticsUnchangedWithoutGammaAndBetaGoByTheWeights) {
  const Vectors bare = {.gamma = {}, .beta = {}};
  const Network older = Model(bare, kKernel, kKernel);
  Network newer = Model(bare, kTrained, kKernel);
  EXPECT_THAT(Judged(Since(newer, older)), ElementsAre("warning BN050 block/bn"));
}

TEST(History, AFrozenLayerThatDidNotMoveIsSilent) {
  const Network older = Model({}, kKernel, kKernel);
  Network newer = Model({}, kKernel, kTrained);
  EXPECT_TRUE(Silent(Since(newer, older)));
}

TEST(History, AFrozenLayerWhoseStatisticsMovedHasDrifted) {
  const Network older = Model({}, kKernel, kKernel);
  Network newer = Model({.mean = {1.3, -0.4, 1.5, 0.02}}, kKernel, kTrained);
  const AuditResult result = Since(newer, older);
  EXPECT_THAT(Judged(result), ElementsAre("warning BN051 block/bn"));
  // (1.3 - 0.3) / sqrt(0.5)
  EXPECT_THAT(FindingOf(result, "BN051")->message, HasSubstr("1.41421 standard deviations"));
}

TEST(History, GammaLeftOutOfTrainingIsNotAFrozenLayer) {
  const Network older = Model({}, kKernel, kKernel);
  Network newer = Model({.mean = {1.3, -0.4, 1.5, 0.02}}, kTrained, kTrained);
  EXPECT_TRUE(Silent(Since(newer, older)));
}

TEST(History, RecalibratedStatisticsAreInformation) {
  const Network older = Model({}, kKernel, kKernel);
  Network newer = Model({.mean = {1.3, -0.4, 1.5, 0.02}}, kKernel, kKernel);
  const AuditResult result = Since(newer, older);
  EXPECT_TRUE(Silent(result));
  EXPECT_EQ(CountOf(result, "BN051"), 1U);
}

TEST(History, AWarmStartThatResetStatistics) {
  const Network older = Model({}, kKernel, kKernel);
  Network newer = Model(NeverUpdated(), kKernel, kKernel);
  const AuditResult result = Since(newer, older);
  EXPECT_EQ(CountOf(result, "BN052"), 1U) << Described(result);
  EXPECT_THAT(FindingOf(result, "BN052")->message, HasSubstr("warm start"));
}

TEST(History, StoredChecksumsSpareReadingTheKernels) {
  Network older = Model({}, kKernel, kKernel);
  Network newer = Model({.mean = {1.3, -0.4, 1.5, 0.02}}, kKernel, kTrained);
  std::uint32_t value = 1;
  for (Network* network : {&older, &newer}) {
    for (TensorInfo& info : network->mutable_manifest().tensors) {
      if (!info.name.ends_with("kernel")) continue;
      const bool moved = network == &newer && info.name == "head/kernel";
      info.checksum = StoredChecksum{ChecksumKind::kCrc32c, moved ? value + 1 : value};
      network->Break(info.name, {ErrorCode::kInternal, "was read"});
    }
  }
  const AuditResult result = Since(newer, older);
  EXPECT_THAT(Judged(result), ElementsAre("warning BN051 block/bn")) << Described(result);
}

TEST(History, ADamagedOlderCheckpointIsInformation) {
  Network older = Model({}, kKernel, kKernel);
  older.Break("block/bn/moving_mean", {ErrorCode::kCorrupt, "checksum mismatch"});
  Network newer = Model(kMoved, kTrained, kTrained);
  const AuditResult result = Since(newer, older);
  EXPECT_TRUE(Silent(result));
  EXPECT_EQ(CountOf(result, "CK007"), 1U);
}

TEST(History, LayersOfOtherShapesAreNotCompared) {
  Network older;
  older.BatchNormalization("block/bn", {{1}, {0}, {5}, {5}});
  older.Seal();
  Network newer = Model({}, kKernel, kKernel);
  EXPECT_TRUE(Silent(Since(newer, older)));
}

// A network whose names begin with `prefix`, in PyTorch's way.
Network Prefixed(const std::string& prefix, const Vectors& bn, const std::vector<double>& head) {
  Network network;
  network.BatchNorm2d(prefix + "1", bn)
      .Matrix(prefix + "0.weight", kKernel)
      .Matrix(prefix + "4.weight", head);
  network.Seal();
  return network;
}

TEST(History, AFrozenLayerThatDriftedIsFoundUnderAPrefix) {
  const Network older = Prefixed("", {}, kKernel);
  Network newer = Prefixed("model.backbone.", {.mean = {1.3, -0.4, 1.5, 0.02}}, kTrained);
  EXPECT_THAT(Judged(Since(newer, older)), ElementsAre("warning BN051 model.backbone.1"));
  const Network wrapped = Prefixed("backbone.", {}, kKernel);
  Network bare = Prefixed("", {.mean = {1.3, -0.4, 1.5, 0.02}}, kTrained);
  EXPECT_THAT(Judged(Since(bare, wrapped)), ElementsAre("warning BN051 1"));
}

TEST(History, AHeadThatWasReplacedShowsThatTheModelWasTrained) {
  const Network older = Prefixed("", {}, kKernel);
  Network newer = Prefixed("", {.mean = {1.3, -0.4, 1.5, 0.02}}, {1, 2, 3, 4});
  EXPECT_THAT(Judged(Since(newer, older)), ElementsAre("warning BN051 1"));
}

// Against a model of batch_normalization and batch_normalization_1: the same numbered anew under
// `prefix`, the second drifted, with a head.
AuditResult SinceNumberedAnew(const std::string& prefix, const std::string& head) {
  Network older;
  older.BatchNormalization("batch_normalization")
      .BatchNormalization("batch_normalization_1", kMoved)
      .Matrix("dense/kernel", kKernel);
  older.Seal();
  Vectors drifted = kMoved;
  drifted.mean = {1.3, -0.4, 1.5, 0.02};
  Network newer;
  newer.BatchNormalization(prefix + "batch_normalization_9")
      .BatchNormalization(prefix + "batch_normalization_10", drifted)
      .Matrix(prefix + "dense_4/kernel", kKernel)
      .Matrix(head, kTrained);
  return Since(newer, older);
}

TEST(History, LayersThatKerasNumberedAnewAreComparedByTheirOrder) {
  const AuditResult result = SinceNumberedAnew("", "head/kernel");
  EXPECT_THAT(Judged(result), ElementsAre("warning BN051 batch_normalization_10"))
      << Described(result);
}

TEST(History, LayersThatKerasNumberedAnewAreComparedUnderAPrefix) {
  const AuditResult result = SinceNumberedAnew("functional_3/", "dense_5/kernel");
  EXPECT_THAT(Judged(result), ElementsAre("warning BN051 functional_3/batch_normalization_10"))
      << Described(result);
  EXPECT_EQ(CountOf(result, "CK007"), 0U);
}

TEST(History, WhatWasNotComparedIsSaid) {
  const Network older = Model({}, kKernel, kKernel);
  Network newer = Model(kMoved, kTrained, kTrained);
  newer.BatchNormalization("neck/bn");
  const AuditResult result = Since(newer, older);
  EXPECT_TRUE(Silent(result));
  ASSERT_EQ(CountOf(result, "CK007"), 1U);
  EXPECT_THAT(FindingOf(result, "CK007")->message,
              HasSubstr("1 of 2 batch norms have no statistics of the same name, type and shape"));
}

}  // namespace
}  // namespace ckpt::testing::history_test
