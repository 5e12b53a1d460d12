// Settings, baselines and the closing summary of ckpt trend.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <nlohmann/json.hpp>

#include "tests/cli/ckpt_program.h"
#include "tests/support/paths.h"
#include "tests/support/temporary_folder.h"

namespace ckpt::trend_settings_test {
namespace {

using nlohmann::json;
using ::testing::EndsWith;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::Not;
using ::testing::SizeIs;

const std::string kRuns = ckpt::testing::TestData() + "/tf1/mnist/";
const std::string kGood = kRuns + "correct", kBad = kRuns + "updates_not_run";  // BN010, an error

class TrendSettings : public ::testing::Test {
 protected:
  testing::ProgramResult Trend(std::vector<std::string> arguments) const {
    arguments.insert(arguments.begin(), "trend");
    testing::ProgramOptions options;
    options.folder = folder_.path();
    return testing::Ckpt(arguments, options);
  }
  json Report(std::vector<std::string> arguments) const {
    arguments.insert(arguments.end(), {"--format", "json"});
    return json::parse(Trend(arguments).out);
  }
  void Settings(const std::string& text) const { folder_.Write("ckpt.toml", text); }

  testing::TemporaryFolder folder_;
};

TEST_F(TrendSettings, OfARuleAndASeverityHold) {
  ASSERT_EQ(Trend({kBad}).exit_code, 1);
  Settings("[audit]\nno-rule = 'BN010'\n");
  const auto hidden = Trend({kBad});
  EXPECT_EQ(hidden.exit_code, 0);
  EXPECT_THAT(hidden.out, Not(HasSubstr("BN010")));
  EXPECT_THAT(hidden.out, HasSubstr("settings of "));
  EXPECT_THAT(hidden.out, HasSubstr("ckpt.toml: hid 1 error\n"));
  EXPECT_EQ(Trend({"--no-config", kBad}).exit_code, 1);
  Settings("[audit.severity]\nBN010 = 'info'\n");
  const json milder = Report({kBad});
  EXPECT_EQ(milder["runs"][0]["findings"][0]["severity"], "info");
  EXPECT_EQ(milder["summary"]["config"]["other_severity"], 1);
  EXPECT_EQ(Trend({kBad}).exit_code, 0);
}

TEST_F(TrendSettings, OfARunAreToldByItsFolder) {
  Settings("[[audit.path]]\nglob = '**/updates_not_run'\nno-rule = 'BN010'\n");
  EXPECT_EQ(Trend({kBad}).exit_code, 0);
  Settings("[[audit.path]]\nglob = '**/another'\nno-rule = 'BN010'\n");
  EXPECT_EQ(Trend({kBad}).exit_code, 1);
}

TEST_F(TrendSettings, SayWhatFails) {
  Settings("[audit]\nfail-on = 'never'\n");
  EXPECT_EQ(Trend({kBad}).exit_code, 0);
  EXPECT_EQ(Trend({"--fail-on", "error", kBad}).exit_code, 1) << "the command line wins";
  Settings("[audit]\nfail-un = 'never'\n");
  EXPECT_EQ(Trend({kBad}).exit_code, 2);
}

TEST_F(TrendSettings, KnowWhatABaselineKnows) {
  const auto written =
      Trend({"--write-baseline", "b.json", "--reason", "before the fix", kBad, kGood});
  EXPECT_EQ(written.exit_code, 0) << written.err;
  EXPECT_EQ(json::parse(folder_.Read("b.json"))["findings"][0]["looked_at"][0], "trend");
  const auto run = Trend({"--baseline", "b.json", kBad, kGood});
  EXPECT_EQ(run.exit_code, 0);
  EXPECT_THAT(run.out, HasSubstr("known, not counted: BN010 (before the fix)\n"));
  const json known = Report({"--baseline", "b.json", kBad, kGood});
  EXPECT_THAT(known["runs"][0]["findings"], IsEmpty());
  EXPECT_EQ(known["runs"][0]["known"][0]["reason"], "before the fix");
  EXPECT_EQ(known["summary"]["baseline"]["known"]["errors"], 1);
  EXPECT_THAT(known["summary"]["baseline"]["stale"], IsEmpty());
  // An audit of the same folder looks at one checkpoint and cannot say that it is gone.
  testing::ProgramOptions options;
  options.folder = folder_.path();
  const auto audit =
      testing::Ckpt({"audit", "--baseline", "b.json", "--format", "json", kBad}, options);
  EXPECT_THAT(json::parse(audit.out)["summary"]["baseline"]["stale"], IsEmpty());
  // Where it is found no more it is stale.
  Settings("[audit]\nbaseline = 'b.json'\n");
  std::string text = folder_.Read("b.json");
  for (std::size_t at = text.find("updates_not_run"); at != std::string::npos;
       at = text.find("updates_not_run", at)) {
    text.replace(at, 15, "correct");
  }
  folder_.Write("b.json", text);
  EXPECT_THAT(Report({kGood})["summary"]["baseline"]["stale"], SizeIs(1));
  EXPECT_EQ(Trend({kBad}).exit_code, 1);
}

TEST_F(TrendSettings, StandInTheReportsForCiServers) {
  Trend({"--write-baseline", "b.json", "--reason", "before the fix", kBad, kGood});
  const auto junit = Trend({"--baseline", "b.json", "--format", "junit", kBad, kGood});
  EXPECT_THAT(junit.out, HasSubstr("<skipped message=\"known: before the fix\""));
  EXPECT_THAT(Trend({"--baseline", "b.json", "--format", "concise", kBad, kGood}).out,
              HasSubstr("baseline b.json: 1 error known, not counted"));
  EXPECT_THAT(Trend({"--baseline", "b.json", "-q", kBad, kGood}).out,
              HasSubstr("baseline b.json: 1 error known, not counted"));
}

TEST(TrendSummary, CountsTheVerdictsAndNamesTheRunsThatAreNotAsTheyShouldBe) {
  const auto run = testing::Ckpt({"trend", kBad, kGood});
  EXPECT_THAT(run.out,
              EndsWith("2 runs: 1 moving, 1 never-updated\n  never-updated: " + kBad + "\n"));
  const auto report = json::parse(testing::Ckpt({"trend", kBad, kGood, "--format", "json"}).out);
  EXPECT_EQ(report["summary"]["verdicts"]["never-updated"], 1);
  EXPECT_EQ(report["summary"]["verdicts"]["moving"], 1);
  EXPECT_EQ(report["summary"]["not_clean"][0]["path"], kBad);
  EXPECT_THAT(testing::Ckpt({"trend", kGood}).out, Not(HasSubstr("1 run")));
}

}  // namespace
}  // namespace ckpt::trend_settings_test
