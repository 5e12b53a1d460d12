// Sound checkpoints that a hasty rule would complain about. All must be silent.
#include "tests/audit/audited.h"

namespace ckpt::testing::counter_cases_test {
namespace {

using ::testing::IsEmpty;

TEST(CounterCases, NoBatchNormHasNoFindings) {
  Network network;
  network.Matrix("dense/kernel", {1, 2, 3, 4}).Vector("dense/bias", {0, 0});
  EXPECT_THAT(Audited(network).findings, IsEmpty());
}

TEST(CounterCases, WithoutGamma) {
  Network network;
  network.BatchNormalization("Conv/BatchNorm", {.gamma = {}});
  EXPECT_TRUE(Silent(Audited(network)));
}

TEST(CounterCases, WithoutBeta) {
  Network network;
  network.BatchNormalization("bn", {.beta = {}});
  EXPECT_TRUE(Silent(Audited(network)));
}

TEST(CounterCases, WithoutBoth) {
  Network network;
  network.BatchNormalization("bn", {.gamma = {}, .beta = {}});
  EXPECT_TRUE(Silent(Audited(network)));
}

TEST(CounterCases, GammaAllOnes) {
  Network network;
  network.BatchNormalization("bn", {.gamma = {1, 1, 1, 1}});
  EXPECT_TRUE(Silent(Audited(network)));
}

TEST(CounterCases, LargeVariance) {
  Network network;
  network.BatchNormalization("bn_conv1", {.variance = {146335, 12000, 3e5, 80000}});
  EXPECT_TRUE(Silent(Audited(network, {}, {.epsilon = 1e-3})));
}

TEST(CounterCases, OptimizerCopiesOfGammaAndBeta) {
  Network network;
  network.BatchNormalization("bn")
      .Vector("bn/gamma/Adam", {1e-3, 2e-3, 0, 1e-4})
      .Vector("bn/gamma/Adam_1", {1e-6, 2e-6, 0, 1e-7})
      .Vector("bn/beta/Adam", {1e-3, 2e-3, 0, 1e-4})
      .Vector("bn/beta/Adam_1", {1e-6, 2e-6, 0, 1e-7});
  const AuditResult result = Audited(network);
  EXPECT_TRUE(Silent(result));
  EXPECT_EQ(CountOf(result, "CK005"), 1U);
}

TEST(CounterCases, ShadowsOfAMovingAverage) {
  Network network;
  network.BatchNormalization("bn")
      .Vector("bn/gamma/ExponentialMovingAverage", {0.9, 1.1, 0.9, 1.2})
      .Vector("bn/beta/ExponentialMovingAverage", {0.1, -0.2, 0.1, 0});
  const AuditResult result = Audited(network);
  EXPECT_TRUE(Silent(result));
  EXPECT_EQ(CountOf(result, "CK006"), 1U);
}

TEST(CounterCases, BatchCounterZeroBesideTrainedStatistics) {
  Network network;
  network.BatchNorm2d("conv1_BN").Scalar("conv1_BN.num_batches_tracked", 0);
  EXPECT_TRUE(Silent(Audited(network)));
}

TEST(CounterCases, LayerGroupAndInstanceNorm) {
  Network network;
  const std::vector<double> ones = {1, 1, 1, 1}, zeros = {0, 0, 0, 0};
  for (const char* scope : {"encoder/layer_0/attention/output/LayerNorm", "group_normalization",
                            "instance_norm_1", "transformer/h0/ln_1"}) {
    network.Vector(std::string(scope) + "/gamma", ones).Vector(std::string(scope) + "/beta", zeros);
  }
  network.Vector("convnext.norm.weight", {0.5, 2, 1, 1}).Vector("convnext.norm.bias", zeros);
  EXPECT_TRUE(Silent(Audited(network)));
}

TEST(CounterCases, PartsOfAPartitionedVariable) {
  Network network;
  network.BatchNormalization("part_0/bn").BatchNormalization("part_1/bn");
  EXPECT_TRUE(Silent(Audited(network)));
}

TEST(CounterCases, VirtualBatchShapes) {
  Network network;
  network.BatchNormalization("bn", {.mean = {}, .variance = {}});
  network.Add("bn/moving_mean", {1, 1, 1, 1, 4}, {0.3, -0.4, 1.5, 0.02});
  network.Add("bn/moving_variance", {1, 1, 1, 1, 4}, {0.5, 2.0, 0.09, 1.4});
  EXPECT_TRUE(Silent(Audited(network)));
}

TEST(CounterCases, AMeanThatIsNearlyZeroEverywhere) {
  Network network;
  network.BatchNormalization("bn", {.mean = {-8.6e-8, 1.9e-7, 0, 2e-9}});
  EXPECT_TRUE(Silent(Audited(network)));
}

TEST(CounterCases, AMeanOfExactlyZeroBesideALearntVariance) {
  Network network;
  network.BatchNormalization("bn", {.mean = {0, 0, 0, 0}});
  EXPECT_TRUE(Silent(Audited(network)));
}

TEST(CounterCases, NegativeAndZeroGamma) {
  Network network;
  network.BatchNormalization("bn", {.gamma = {-0.9, 0, 1e-8, 0.4}});
  EXPECT_TRUE(Silent(Audited(network)));
}

}  // namespace
}  // namespace ckpt::testing::counter_cases_test
