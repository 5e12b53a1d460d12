// Checkpoints that should be one.
#include "ckpt/replicas.h"

#include <cmath>

#include "tests/audit/audited.h"

namespace ckpt::testing::replicas_test {
namespace {

ReplicaReport Compare(const std::vector<std::pair<Vectors, double>>& replicas) {
  ReplicaBuilder builder;
  for (const auto& [bn, kernel] : replicas) {
    Network network;
    network.BatchNormalization("bn", bn).Matrix("conv/kernel", {kernel, 2, 3, 4});
    network.Seal();
    EXPECT_TRUE(builder.Add(network, Analyse(network.manifest())));
  }
  return std::move(builder).Finish();
}

TEST(Replicas, ThatHoldTheSameAreOneGroup) {
  const ReplicaReport report = Compare({{{}, 1}, {{}, 1}, {{}, 1}});
  EXPECT_EQ(report.groups, 1U);
  EXPECT_EQ(report.weights + report.statistics + report.others, 0U);
  EXPECT_TRUE(report.norms.empty());
}

TEST(Replicas, TheOneThatDisagreesIsNamedThoughItIsTheFirst) {
  const ReplicaReport report = Compare({{{}, 9}, {{}, 1}, {{}, 1}});
  EXPECT_EQ(report.groups, 2U);
  EXPECT_EQ(report.weights, 1U);
  EXPECT_EQ(report.replicas[0].weights, 1U);
  EXPECT_EQ(report.replicas[1].weights, 0U);
  EXPECT_EQ(report.replicas[1].group, report.replicas[2].group);
}

TEST(Replicas, OfTwoNeitherIsLikeMost) {
  const ReplicaReport report = Compare({{{}, 9}, {{}, 1}});
  EXPECT_EQ(report.replicas[0].weights, 1U);
  EXPECT_EQ(report.replicas[1].weights, 1U);
}

TEST(Replicas, StatisticsAreMeasuredFromTheMedianOfAll) {
  const Vectors plain = {.mean = {0, 0, 0, 0}, .variance = {4, 4, 4, 4}};
  const Vectors shifted = {.mean = {2, 0, 0, 4}, .variance = {4, 4, 4, 4}};
  const Vectors wide = {.mean = {0, 0, 0, 0}, .variance = {64, 64, 64, 64}};
  const ReplicaReport report =
      Compare({{plain, 1}, {shifted, 1}, {plain, 1}, {plain, 1}, {wide, 1}});
  EXPECT_EQ(report.groups, 3U);
  ASSERT_EQ(report.norms.size(), 1U);
  const ReplicaNorm& norm = report.norms[0];
  EXPECT_DOUBLE_EQ(*norm.replicas[1].mean_shift, std::sqrt((1.0 + 4.0) / 4));
  EXPECT_NEAR(*norm.replicas[4].variance_ratio, 16, 1e-12);
  EXPECT_DOUBLE_EQ(*norm.replicas[0].mean_shift, 0);
  EXPECT_EQ(norm.farthest, 4U);  // log(16) / 2 = 1.39 against 1.12
  EXPECT_EQ(report.replicas[0].statistics, 0U);
  EXPECT_EQ(report.replicas[1].statistics, 1U);
}

TEST(Replicas, ATensorThatOneLacksIsUnlikeTheOthers) {
  ReplicaBuilder builder;
  for (int i = 0; i < 3; ++i) {
    Network network;
    network.Matrix("conv/kernel", {1, 2, 3, 4});
    if (i != 1) network.BatchNormalization("bn");
    network.Seal();
    ASSERT_TRUE(builder.Add(network, Analyse(network.manifest())));
  }
  const ReplicaReport report = std::move(builder).Finish();
  EXPECT_EQ(report.replicas[1].statistics, 2U);
  EXPECT_EQ(report.replicas[1].weights, 2U);  // gamma and beta
  EXPECT_EQ(report.replicas[0].statistics, 0U);
  EXPECT_EQ(report.groups, 2U);
}

}  // namespace
}  // namespace ckpt::testing::replicas_test
