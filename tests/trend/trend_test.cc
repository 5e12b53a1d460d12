// The batch norms of a run: what each layer did from one checkpoint to the next, and what the run
// is told to be.
#include "ckpt/trend.h"

#include <cmath>
#include <limits>

#include "tests/audit/audited.h"

namespace ckpt::testing::trend_test {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

constexpr double kNan = std::numeric_limits<double>::quiet_NaN();

// What one checkpoint holds: a batch norm behind a kernel, and a head.
struct Moment {
  Vectors bn = {};
  double kernel = 1, head = 1;
  std::string scope = "block/bn";
};

RunTrend Follow(const std::vector<Moment>& moments) {
  TrendBuilder builder;
  for (std::size_t i = 0; i < moments.size(); ++i) {
    auto network = std::make_unique<Network>();
    network->BatchNormalization(moments[i].scope, moments[i].bn)
        .Matrix("block/conv/kernel", {moments[i].kernel, 2, 3, 4})
        .Matrix("head/kernel", {moments[i].head, 2, 3, 4})
        .Scalar("global_step", static_cast<double>(100 * (i + 1)));
    network->Seal();
    Analysis analysis = Analyse(network->manifest());
    builder.Add("step " + std::to_string(i), std::move(network), std::move(analysis));
  }
  return std::move(builder).Finish();
}

// Trained a little further: everything moved.
Moment Trained(int times) {
  const double by = 0.01 * times;
  return {.bn = {.gamma = {0.9 + by, 1.1, 0.95, 1.2},
                 .mean = {0.3 + by, -0.4, 1.5, 0.02},
                 .variance = {0.5 + by, 2.0, 0.09, 1.4}},
          .kernel = 1 + by,
          .head = 1 + by};
}

std::vector<std::string> Judged(const RunTrend& run) {
  std::vector<std::string> out;
  for (const Finding& finding : run.findings) {
    out.push_back(std::string(Name(finding.severity)) + " " + std::string(finding.rule->id) + " " +
                  finding.subject);
  }
  return out;
}

TEST(Trend, OfOrdinaryTrainingIsMovingAndHasNoFindings) {
  const RunTrend run = Follow({Trained(0), Trained(1), Trained(2)});
  EXPECT_EQ(run.verdict, TrendVerdict::kMoving);
  EXPECT_THAT(run.findings, IsEmpty());
  EXPECT_THAT(run.recorded_steps, ElementsAre(100, 200, 300));
}

TEST(Trend, MeasuresInDeviationsOfTheCheckpointBefore) {
  Moment first, second = Trained(1);
  first.bn = {.mean = {0, 0, 0, 0}, .variance = {4, 4, 1, 1}};
  second.bn = {.mean = {2, 0, 3, 0}, .variance = {8, 2, 4, 1}};
  const RunTrend run = Follow({first, second});
  ASSERT_EQ(run.norms.size(), 1U);
  const NormAtStep& step = run.norms[0].steps[1];
  // (2 / 2)^2 + (3 / 1)^2 over four channels; epsilon, where a default is assumed, is 1e-3.
  EXPECT_NEAR(*step.mean_shift, std::sqrt((1.0 + 9.0) / 4), 2e-3);
  EXPECT_NEAR(*step.variance_ratio, std::pow(2.0 * 0.5 * 4.0 * 1.0, 0.25), 1e-12);
  EXPECT_FALSE(run.norms[0].steps[0].mean_shift);
}

TEST(Trend, NamesTheCheckpointAfterWhichStatisticsStopped) {
  Moment third = Trained(3), fourth = Trained(4);
  third.bn.mean = fourth.bn.mean = Trained(1).bn.mean;
  third.bn.variance = fourth.bn.variance = Trained(1).bn.variance;
  const RunTrend run = Follow({Trained(0), Trained(1), third, fourth});
  EXPECT_EQ(run.verdict, TrendVerdict::kStopped);
  EXPECT_EQ(run.norms[0].stopped_since, 1U);
  EXPECT_THAT(Judged(run), ElementsAre("warning BN050 block/bn"));
  EXPECT_THAT(run.findings[0].message, HasSubstr("since step 1"));
}

TEST(Trend, StatisticsThatPausedAndMoveAgainAreNotStopped) {
  Moment second = Trained(2);
  second.bn.mean = Trained(1).bn.mean;
  second.bn.variance = Trained(1).bn.variance;
  EXPECT_EQ(Follow({Trained(1), second, Trained(3)}).verdict, TrendVerdict::kMoving);
}

TEST(Trend, AFrozenLayerIsAtRestAndNoFinding) {
  Moment third = Trained(1), fourth = Trained(1);
  third.head = 3;
  fourth.head = 4;
  const RunTrend run = Follow({Trained(0), Trained(1), third, fourth});
  EXPECT_EQ(run.verdict, TrendVerdict::kMoving);
  EXPECT_THAT(run.findings, IsEmpty());
  EXPECT_EQ(run.norms[0].still_since, 1U);
  EXPECT_FALSE(run.norms[0].stopped_since);
}

TEST(Trend, AFrozenNormWhoseKernelIsTrainedOnHasNotStopped) {
  Moment second = Trained(1), third = Trained(1);
  second.kernel = 5;
  third.kernel = 6;
  const RunTrend run = Follow({Trained(0), Trained(1), second, third});
  EXPECT_THAT(run.findings, IsEmpty());
  EXPECT_FALSE(run.norms[0].still_since);
}

TEST(Trend, StatisticsOfAFrozenLayerThatMoveHaveDrifted) {
  Moment second = Trained(0);
  second.head = 2;
  second.bn.mean[0] += 1;
  const RunTrend run = Follow({Trained(0), second});
  EXPECT_EQ(run.verdict, TrendVerdict::kFrozenDrift);
  EXPECT_THAT(Judged(run), ElementsAre("warning BN051 block/bn"));
}

TEST(Trend, StatisticsThatAreComputedAgainAreANote) {
  Moment second = Trained(0);
  second.bn.mean[0] += 1;
  const RunTrend run = Follow({Trained(0), second});
  EXPECT_EQ(run.verdict, TrendVerdict::kMoving);
  EXPECT_THAT(Judged(run), ElementsAre("info BN051 block/bn"));
}

TEST(Trend, InitialStatisticsInEveryCheckpointWereNeverUpdated) {
  Moment first = Trained(0), second = Trained(1);
  for (Moment* moment : {&first, &second}) {
    moment->bn.mean = {0, 0, 0, 0};
    moment->bn.variance = {1, 1, 1, 1};
  }
  const RunTrend run = Follow({first, second});
  EXPECT_EQ(run.verdict, TrendVerdict::kNeverUpdated);
  EXPECT_THAT(Judged(run), ElementsAre("error BN010 block/bn"));
  EXPECT_EQ(run.norms[0].steps[1].initial_share, 1.0);
}

TEST(Trend, AResetIsNamedWhereItLasts) {
  Moment reset = Trained(2);
  reset.bn.mean = {0, 0, 0, 0};
  reset.bn.variance = {1, 1, 1, 1};
  const RunTrend lasts = Follow({Trained(0), Trained(1), reset});
  EXPECT_EQ(lasts.verdict, TrendVerdict::kReset);
  EXPECT_EQ(lasts.norms[0].reset_at, 2U);
  EXPECT_THAT(Judged(lasts), ElementsAre("warning BN052 block/bn"));
  EXPECT_EQ(Follow({Trained(0), reset, Trained(3)}).verdict, TrendVerdict::kMoving);
}

TEST(Trend, TheFirstValueThatIsNotFiniteIsAnError) {
  Moment bad = Trained(1), worse = Trained(2);
  bad.bn.variance[2] = worse.bn.variance[2] = kNan;
  worse.bn.mean[1] = kNan;
  const RunTrend run = Follow({Trained(0), bad, worse});
  EXPECT_EQ(run.verdict, TrendVerdict::kNonFinite);
  EXPECT_EQ(run.norms[0].non_finite_since, 1U);
  EXPECT_EQ(run.norms[0].steps[2].non_finite, 2U);
  EXPECT_THAT(Judged(run), ElementsAre("error BN020 block/bn"));
}

TEST(Trend, FollowsALayerThatKerasNumberedAnew) {
  Moment first = Trained(0), second = Trained(1);
  first.scope = "batch_normalization_3";
  second.scope = "batch_normalization_8";
  const RunTrend run = Follow({first, second});
  ASSERT_EQ(run.norms.size(), 1U);
  EXPECT_EQ(run.norms[0].scope, "batch_normalization_8");
  EXPECT_EQ(run.norms[0].steps[1].statistics, Movement::kMoved);
}

TEST(Trend, ALayerThatIsGoneStandsBehindThoseThatAreThere) {
  Moment other = Trained(1);
  other.scope = "tail/norm_bn";
  const RunTrend run = Follow({Trained(0), other});
  ASSERT_EQ(run.norms.size(), 2U);
  EXPECT_EQ(run.norms[0].scope, "tail/norm_bn");
  EXPECT_FALSE(run.norms[1].layer);
  EXPECT_FALSE(run.norms[1].steps[1].present);
  EXPECT_EQ(run.verdict, TrendVerdict::kCannotTell);
}

}  // namespace
}  // namespace ckpt::testing::trend_test
