// BN050 to BN052: two checkpoints of one run.
#include "tests/audit/audited.h"

namespace ckpt::testing {
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

}  // namespace
}  // namespace ckpt::testing
