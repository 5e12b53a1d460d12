// BN032: copies of a layer whose statistics disagree.
#include "tests/audit/audited.h"

namespace ckpt::testing::towers_test {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

const Vectors kOtherData = {.mean = {1.3, 0.6, 0.5, 1.02}};

TEST(Towers, EqualGammaAndOtherStatisticsAreAWarning) {
  for (const char* word : {"tower", "gpu", "clone", "replica"}) {
    Network network;
    network.BatchNormalization(std::string(word) + "_0/block1/bn")
        .BatchNormalization(std::string(word) + "_1/block1/bn", kOtherData);
    const AuditResult result = Audited(network);
    EXPECT_THAT(Judged(result), ElementsAre("warning BN032 " + std::string(word) + "_1/block1/bn"));
    EXPECT_EQ(FindingOf(result, "BN032")->tensors.size(), 4U);
  }
}

TEST(Towers, OneTowerNeverUpdatedIsSaid) {
  Network network;
  network.BatchNormalization("tower_0/bn", NeverUpdated()).BatchNormalization("tower_1/bn");
  const AuditResult result = Audited(network);
  ASSERT_EQ(CountOf(result, "BN032"), 1U);
  EXPECT_THAT(FindingOf(result, "BN032")->message, HasSubstr("one of them was never updated"));
  EXPECT_EQ(CountOf(result, "BN012"), 1U);
}

TEST(Towers, ThatAgreeAreSilent) {
  Network network;
  network.BatchNormalization("tower_0/bn").BatchNormalization("tower_1/bn");
  EXPECT_TRUE(Silent(Audited(network)));
}

TEST(Towers, ThatDifferByNoiseAreSilent) {
  Network network;
  network.BatchNormalization("tower_0/bn")
      .BatchNormalization("tower_1/bn", {.mean = {0.31, -0.41, 1.49, 0.03}});
  EXPECT_TRUE(Silent(Audited(network)));
}

TEST(Towers, OfTwoDifferentNetworksAreSilent) {
  Network network;
  network.BatchNormalization("tower_0/bn")
      .BatchNormalization("tower_1/bn", {.gamma = {0.5, 1.4, 1.1, 0.8}, .mean = {5, 6, 7, 8}});
  EXPECT_TRUE(Silent(Audited(network)));
}

TEST(Towers, AReusedScopeWithEqualGammaIsACopy) {
  Network network;
  network.BatchNormalization("model/bn").BatchNormalization("model_1/bn", kOtherData);
  EXPECT_THAT(Judged(Audited(network)), ElementsAre("warning BN032 model_1/bn"));
}

TEST(Towers, NumberedLayersOfOneNetworkAreNotCopies) {
  Network network;
  network.BatchNormalization("batch_normalization")
      .BatchNormalization("batch_normalization_1",
                          {.gamma = {0.9, 1.1, 0.95, 1.21}, .mean = {5, 6, 7, 8}})
      .BatchNormalization("batch_normalization_2", {{1, 1, 1, 1}, {0, 0, 0, 0}, {3, 4, 5, 6}})
      .BatchNormalization("batch_normalization_3", {{1, 1, 1, 1}, {0, 0, 0, 0}, {7, 8, 9, 1}});
  EXPECT_TRUE(Silent(Audited(network)));
}

}  // namespace
}  // namespace ckpt::testing::towers_test
