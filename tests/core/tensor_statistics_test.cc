// Numbers of a tensor: by the definitions, whatever the chunks, and with what is not finite
// counted.
#include "ckpt/tensor_statistics.h"

#include <gtest/gtest.h>

#include <cmath>
#include <random>

#include "tests/support/memory_checkpoint.h"

namespace ckpt::tensor_statistics_test {
namespace {

constexpr double kNan = std::numeric_limits<double>::quiet_NaN();
constexpr double kInf = std::numeric_limits<double>::infinity();

TensorStatistics Of(const std::vector<double>& values) {
  testing::MemoryCheckpoint checkpoint;
  checkpoint.Add("x", {static_cast<std::int64_t>(values.size())}, values, Dtype::kF64);
  checkpoint.Seal();
  auto measured = MeasureTensor(checkpoint, TensorId{0});
  EXPECT_TRUE(measured.has_value() && measured->has_value());
  return measured && *measured ? **measured : TensorStatistics{};
}

TEST(TensorStatistics, AreThoseOfTheDefinitions) {
  std::mt19937 random(7);
  std::normal_distribution<double> normal(1e6, 1);  // a mean that squares would drown
  std::vector<double> values(20'000);
  long double sum = 0, squares = 0;
  for (double& value : values) sum += value = normal(random);
  const long double mean = sum / static_cast<long double>(values.size());
  for (const double value : values) squares += (value - mean) * (value - mean);
  const TensorStatistics found = Of(values);
  EXPECT_EQ(found.finite, values.size());
  EXPECT_NEAR(found.mean, static_cast<double>(mean), 1e-9);
  const auto count = static_cast<long double>(values.size());
  EXPECT_NEAR(found.deviation(), static_cast<double>(std::sqrt(squares / count)), 1e-9);
  EXPECT_EQ(found.min, *std::min_element(values.begin(), values.end()));
  EXPECT_EQ(found.max, *std::max_element(values.begin(), values.end()));
}

TEST(TensorStatistics, CountWhatIsNotFiniteAndLeaveItOut) {
  const TensorStatistics found = Of({kNan, 1, kInf, 3, -kInf, kNan, kNan});
  EXPECT_EQ(found.nan, 3U);
  EXPECT_EQ(found.infinite, 2U);
  EXPECT_EQ(found.finite, 2U);
  EXPECT_EQ(found.mean, 2);
  EXPECT_EQ(found.deviation(), 1);
}

TEST(TensorStatistics, OfNothingFiniteAreNone) {
  for (const std::vector<double>& values : {std::vector<double>{}, {kNan, kInf}}) {
    const TensorStatistics found = Of(values);
    EXPECT_EQ(found.finite, 0U);
    EXPECT_TRUE(std::isnan(found.min) && std::isnan(found.mean) && std::isnan(found.deviation()));
  }
}

TEST(TensorStatistics, DoNotOverflowWhereTheMeanDoesNot) {
  const double large = std::numeric_limits<double>::max();
  EXPECT_DOUBLE_EQ(Of({large, large, large, large}).mean, large);
}

TEST(TensorStatistics, OfTwoPartsAreThoseOfTheWhole) {
  TensorStatistics parts = Of({1, 2, 3, kNan});
  parts.Add(Of({10, 20}));
  const TensorStatistics whole = Of({1, 2, 3, kNan, 10, 20});
  EXPECT_DOUBLE_EQ(parts.mean, whole.mean);
  EXPECT_DOUBLE_EQ(parts.deviation(), whole.deviation());
  EXPECT_EQ(parts.nan, 1U);
  EXPECT_EQ(parts.max, 20);
}

TEST(TensorStatistics, AreAbsentForTextAndForDataThatIsNotThere) {
  testing::MemoryCheckpoint checkpoint;
  checkpoint.AddBytes("text", {0}, {}, Dtype::kString);
  checkpoint.Add("x", {1}, {1}).data_present = false;
  checkpoint.Seal();
  for (const std::uint32_t i : {0U, 1U}) {
    const auto measured = MeasureTensor(checkpoint, TensorId{i});
    ASSERT_TRUE(measured.has_value());
    EXPECT_FALSE(measured->has_value());
  }
}

TEST(TensorStatistics, PassOnWhatKeepsTheBytesFromBeingRead) {
  testing::MemoryCheckpoint checkpoint;
  checkpoint.Add("x", {1}, {1});
  checkpoint.Seal();
  checkpoint.Break("x", {ErrorCode::kCorrupt, "cut", {}, {}, {}});
  EXPECT_FALSE(MeasureTensor(checkpoint, TensorId{0}).has_value());
}

}  // namespace
}  // namespace ckpt::tensor_statistics_test
