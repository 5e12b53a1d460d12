// A batch norm's values and its function y = scale * x + shift, against the formula itself.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>

#include "ckpt/batch_norm.h"
#include "tests/support/memory_checkpoint.h"

namespace ckpt::testing::batch_norm_values_test {
namespace {

using ::testing::ElementsAre;

constexpr double kEpsilon = 1e-3;

MemoryCheckpoint Checkpoint() {
  MemoryCheckpoint checkpoint;
  checkpoint.Add("bn/gamma", {3}, {1.5, -2, 0.25});
  checkpoint.Add("bn/beta", {3}, {0.5, 4, -1});
  checkpoint.Add("bn/moving_mean", {3}, {-3, 0.125, 7});
  checkpoint.Add("bn/moving_variance", {3}, {0.0625, 9, 2});
  checkpoint.Seal();
  return checkpoint;
}

BatchNorm Only(const MemoryCheckpoint& checkpoint, std::optional<double> epsilon = kEpsilon) {
  return Analyse(checkpoint.manifest(), {epsilon, {}}).batch_norms.at(0);
}

TEST(EffectiveScaleShift, ComputesWhatBatchNormComputes) {
  const MemoryCheckpoint checkpoint = Checkpoint();
  const auto values = ReadValues(checkpoint, Only(checkpoint));
  ASSERT_TRUE(values);
  const ScaleShift affine = EffectiveScaleShift(*values);
  const double gamma[] = {1.5, -2, 0.25}, beta[] = {0.5, 4, -1}, mean[] = {-3, 0.125, 7},
               variance[] = {0.0625, 9, 2};
  for (std::size_t c = 0; c < 3; ++c) {
    for (const double x : {-10.0, 0.0, 0.3, 100.0}) {
      const double y = gamma[c] * (x - mean[c]) / std::sqrt(variance[c] + kEpsilon) + beta[c];
      EXPECT_NEAR(affine.scale[c] * x + affine.shift[c], y, 1e-12 * (1 + std::fabs(y)));
    }
  }
}

TEST(ReadValues, GivesOnesAndZerosForAbsentGammaAndBeta) {
  MemoryCheckpoint checkpoint;
  checkpoint.Add("bn/moving_mean", {1, 1, 1, 2}, {1, 2});
  checkpoint.Add("bn/moving_variance", {1, 1, 1, 2}, {3, 4});
  checkpoint.Seal();
  const auto values = ReadValues(checkpoint, Only(checkpoint));
  ASSERT_TRUE(values);
  EXPECT_THAT(values->gamma, ElementsAre(1, 1));
  EXPECT_THAT(values->beta, ElementsAre(0, 0));
  EXPECT_THAT(values->mean, ElementsAre(1, 2));
  EXPECT_THAT(values->variance, ElementsAre(3, 4));
}

TEST(ReadValues, TurnsADeviationIntoTheVarianceOfTheSameFunction) {
  MemoryCheckpoint checkpoint;
  checkpoint.Add("bn_gamma", {2}, {2, -0.5});
  checkpoint.Add("bn_beta", {2}, {1, 3});
  checkpoint.Add("bn_running_mean", {2}, {0.5, -4});
  checkpoint.Add("bn_running_std", {2}, {0.75, 3});
  checkpoint.Seal();
  checkpoint.mutable_manifest().framework = Framework::kKeras;
  checkpoint.mutable_manifest().framework_version = "1.0.5";
  const auto values = ReadValues(checkpoint, Only(checkpoint, 1e-2));
  ASSERT_TRUE(values);
  const ScaleShift affine = EffectiveScaleShift(*values);
  // Keras 1.0.5: gamma * (x - mean) / (std + epsilon) + beta.
  EXPECT_NEAR(affine.scale[0] * 5 + affine.shift[0], 2 * (5 - 0.5) / (0.75 + 1e-2) + 1, 1e-12);
  EXPECT_NEAR(affine.scale[1] * 5 + affine.shift[1], -0.5 * (5 + 4) / (3 + 1e-2) + 3, 1e-12);
}

TEST(ReadValues, IsUnfitWithoutEpsilon) {
  const MemoryCheckpoint checkpoint = Checkpoint();
  const auto values = ReadValues(checkpoint, Only(checkpoint, std::nullopt));
  ASSERT_FALSE(values);
  EXPECT_EQ(values.error().code, ErrorCode::kUnfit);
  EXPECT_EQ(values.error().tensor, "bn");
}

TEST(ReadValues, IsUnfitWithoutStatistics) {
  MemoryCheckpoint checkpoint;
  checkpoint.Add("bn/gamma", {1}, {1});
  checkpoint.Add("bn/beta", {1}, {1});
  checkpoint.Seal();
  const auto values = ReadValues(checkpoint, Only(checkpoint));
  ASSERT_FALSE(values);
  EXPECT_EQ(values.error().code, ErrorCode::kUnfit);
}

TEST(ReadValues, IsUnfitWhereSizesDisagree) {
  MemoryCheckpoint checkpoint;
  checkpoint.Add("bn/moving_mean", {2}, {1, 2});
  checkpoint.Add("bn/moving_variance", {3}, {3, 4, 5});
  checkpoint.Seal();
  const auto values = ReadValues(checkpoint, Only(checkpoint));
  ASSERT_FALSE(values);
  EXPECT_EQ(values.error().code, ErrorCode::kUnfit);
}

TEST(ReadValues, PassesOnWhatReadingReports) {
  MemoryCheckpoint checkpoint = Checkpoint();
  checkpoint.Break("bn/moving_variance", {ErrorCode::kCorrupt, "checksum mismatch", "f", 12, "x"});
  const auto values = ReadValues(checkpoint, Only(checkpoint));
  ASSERT_FALSE(values);
  EXPECT_EQ(values.error().code, ErrorCode::kCorrupt);
  EXPECT_EQ(values.error().offset, 12u);
}

}  // namespace
}  // namespace ckpt::testing::batch_norm_values_test
