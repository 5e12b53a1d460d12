// Known findings: what a baseline keeps out of the count, and what it does not.
#include "cli/policy/baseline.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <nlohmann/json.hpp>

#include "tests/cli/ckpt_program.h"
#include "tests/support/paths.h"
#include "tests/support/temporary_folder.h"

namespace ckpt::cli::baseline_test {
namespace {

using ckpt::testing::Ckpt;
using ckpt::testing::ProgramOptions;
using ckpt::testing::ProgramResult;
using ckpt::testing::TemporaryFolder;
using nlohmann::json;
using ::testing::HasSubstr;
using ::testing::Not;

const std::string kNeverUpdated =
    ckpt::testing::TestData() +
    "/safetensors/torch_never_updated_tracked_0.safetensors";  // BN011, a warning
const std::string kGood = ckpt::testing::TestData() + "/safetensors/torch_good.safetensors";
const std::string kInfinite =
    ckpt::testing::TestData() + "/bad_values/inf_mean.h5";  // BN020, an error

class Gate : public TemporaryFolder {
 public:
  Gate() {
    Write(".git/HEAD", "");
    Copy(kNeverUpdated, "m.safetensors");
    Copy(kInfinite, "sub/n.h5");
  }
  void Copy(const std::string& from, const std::string& to) const {
    std::filesystem::create_directories((*this / to).parent_path());
    std::filesystem::copy_file(from, *this / to, std::filesystem::copy_options::overwrite_existing);
  }
  ProgramResult Audit(std::vector<std::string> arguments) const {
    arguments.insert(arguments.begin(), "audit");
    ProgramOptions options;
    options.folder = path();
    return Ckpt(arguments, options);
  }
  ProgramResult WriteBaseline(std::vector<std::string> arguments,
                              const std::string& reason = "old") const {
    arguments.insert(arguments.end(), {"--write-baseline", "b.json", "--reason", reason});
    return Audit(arguments);
  }
  json File() const { return json::parse(Read("b.json")); }
};

TEST(Baseline, KeepsWhatIsKnownOutOfTheCount) {
  const Gate gate;
  EXPECT_EQ(gate.Audit({"m.safetensors", "sub/n.h5"}).exit_code, 1);
  const ProgramResult written = gate.WriteBaseline({"m.safetensors", "sub/n.h5"});
  EXPECT_EQ(written.exit_code, 0);
  EXPECT_THAT(written.out, HasSubstr("wrote 2 known findings to b.json, 2 of them new"));
  const ProgramResult run = gate.Audit({"m.safetensors", "sub/n.h5", "--baseline", "b.json"});
  EXPECT_EQ(run.exit_code, 0);
  EXPECT_THAT(run.out, HasSubstr("baseline b.json: 1 error, 1 warning known, not counted"));
  EXPECT_THAT(run.out, HasSubstr("known, not counted: BN011 (old)"));
}

TEST(Baseline, CountsWhatIsNewInAKnownFile) {
  const Gate gate;
  gate.WriteBaseline({"m.safetensors"});
  gate.Copy(kInfinite, "m.safetensors");
  EXPECT_EQ(gate.Audit({"m.safetensors", "--baseline", "b.json"}).exit_code, 1);
}

TEST(Baseline, DoesNotCoverAnotherFileWithTheSameFinding) {
  const Gate gate;
  gate.WriteBaseline({"m.safetensors"});
  gate.Copy(kNeverUpdated, "other.safetensors");
  EXPECT_EQ(gate.Audit({"other.safetensors", "--baseline", "b.json"}).exit_code, 1);
}

TEST(Baseline, FollowsAFileThatWasMovedOnce) {
  const Gate gate;
  gate.WriteBaseline({"m.safetensors"});
  std::filesystem::rename(gate / "m.safetensors", gate / "sub/m2.safetensors");
  const ProgramResult run =
      gate.Audit({"sub/m2.safetensors", "--baseline", "b.json", "--format", "json"});
  EXPECT_EQ(run.exit_code, 0);
  const json known = json::parse(run.out)["inputs"][0]["known"];
  ASSERT_EQ(known.size(), 1U);
  EXPECT_THAT(known[0]["moved_from"].get<std::string>(), HasSubstr("m.safetensors"));
  gate.Copy(kNeverUpdated, "second.safetensors");
  EXPECT_EQ(
      gate.Audit({"sub/m2.safetensors", "second.safetensors", "--baseline", "b.json"}).exit_code,
      1);
}

TEST(Baseline, SaysWhichEntriesAreNotFoundAnyMore) {
  const Gate gate;
  gate.WriteBaseline({"m.safetensors", "sub/n.h5"}, "until March");
  gate.Copy(kGood, "m.safetensors");
  const ProgramResult run = gate.Audit({"m.safetensors", "--baseline", "b.json"});
  EXPECT_EQ(run.exit_code, 0);
  EXPECT_THAT(run.out, HasSubstr("not found any more: m.safetensors: BN011"));
  EXPECT_THAT(run.out, HasSubstr("(until March)"));
  EXPECT_THAT(run.out, Not(HasSubstr("n.h5")));  // was not looked at
  // Rules that were left out were not looked for.
  const ProgramResult some =
      gate.Audit({"m.safetensors", "--baseline", "b.json", "--no-rule", "BN011"});
  EXPECT_THAT(some.out, Not(HasSubstr("not found any more")));
}

TEST(Baseline, KeepsItsReasonsAndWhatWasNotLookedAtWhenItIsWrittenAgain) {
  const Gate gate;
  gate.WriteBaseline({"m.safetensors", "sub/n.h5"}, "first");
  gate.Copy(kNeverUpdated, "other.safetensors");
  EXPECT_EQ(gate.WriteBaseline({"m.safetensors", "other.safetensors"}, "second").exit_code, 0);
  const json findings = gate.File()["findings"];
  ASSERT_EQ(findings.size(), 3U);
  EXPECT_EQ(findings[0]["path"], "m.safetensors");
  EXPECT_EQ(findings[0]["reason"], "first");
  EXPECT_EQ(findings[1]["path"], "other.safetensors");
  EXPECT_EQ(findings[1]["reason"], "second");
  EXPECT_EQ(findings[2]["path"], "sub/n.h5");
  gate.Copy(kGood, "m.safetensors");
  gate.WriteBaseline({"m.safetensors"}, "third");
  EXPECT_EQ(gate.File()["findings"].size(), 2U);
}

TEST(Baseline, IsNamedByTheSettings) {
  const Gate gate;
  gate.WriteBaseline({"m.safetensors"});
  gate.Write("ckpt.toml", "[audit]\nbaseline = 'b.json'\n");
  EXPECT_EQ(gate.Audit({"m.safetensors"}).exit_code, 0);
  EXPECT_EQ(gate.Audit({"m.safetensors", "--no-config"}).exit_code, 1);
  gate.Write("ckpt.toml", "[audit]\nbaseline = 'absent.json'\n");
  EXPECT_EQ(gate.Audit({"m.safetensors"}).exit_code, 2);
}

TEST(Baseline, ThatIsAbsentOrDamagedIsAMistake) {
  const Gate gate;
  EXPECT_EQ(gate.Audit({"m.safetensors", "--baseline", "absent"}).exit_code, 2);
  gate.WriteBaseline({"m.safetensors"});
  const json good = gate.File();
  const auto refused = [&](const json& file) {
    gate.Write("b.json", file.dump());
    const ProgramResult run = gate.Audit({"m.safetensors", "--baseline", "b.json"});
    EXPECT_EQ(run.exit_code, 2) << file.dump();
    return run.err;
  };
  for (const char* key : {"path", "rule", "severity", "fingerprint", "reason"}) {
    for (const json& value : {json(), json(""), json(3), json("zzz\n")}) {
      if (value == "zzz\n" && std::string_view("path rule reason").find(key) != std::string::npos)
        continue;
      if (value == "" && std::string_view(key) == "rule") continue;
      json file = good;
      file["findings"][0][key] = value;
      EXPECT_THAT(refused(file), HasSubstr("entry 1 of \"findings\" has no \"" + std::string(key)));
    }
  }
  json other = good;
  other["schema"] = "ckpt.audit/1";
  EXPECT_THAT(refused(other), HasSubstr("is no baseline"));
  EXPECT_THAT(refused(json::array()), HasSubstr("is no baseline"));
  gate.Write("b.json", std::string(20U << 20, ' '));
  EXPECT_THAT(gate.Audit({"m.safetensors", "--baseline", "b.json"}).err, HasSubstr("at most"));
}

TEST(Baseline, IsNeverWrittenOverAnythingElse) {
  const Gate gate;
  const std::string before = gate.Read("sub/n.h5");
  for (const std::string target : {"sub/n.h5", "m.safetensors"}) {
    EXPECT_EQ(gate.Audit({"m.safetensors", "--write-baseline", target, "--reason", "x"}).exit_code,
              2);
  }
  EXPECT_EQ(gate.Read("sub/n.h5"), before);
  EXPECT_EQ(gate.Audit({"m.safetensors", "--write-baseline", "b.json"}).exit_code, 2);
  gate.WriteBaseline({"m.safetensors"});
  EXPECT_EQ(
      gate.Audit({"m.safetensors", "--baseline", "b.json", "--report", "json:b.json"}).exit_code,
      2);
  EXPECT_EQ(gate.File()["schema"], "ckpt.baseline/1");
}

TEST(Baseline, NeverCoversAnInputThatCannotBeRead) {
  const Gate gate;
  gate.Write("cut.safetensors", gate.Read("m.safetensors").substr(0, 40));
  EXPECT_EQ(gate.WriteBaseline({"cut.safetensors"}).exit_code, 3);
  EXPECT_TRUE(gate.File()["findings"].empty());
}

TEST(Baseline, IsInSarifAndJunitAsTheyHaveIt) {
  const Gate gate;
  gate.WriteBaseline({"m.safetensors"}, "known since May");
  const ProgramResult sarif =
      gate.Audit({"m.safetensors", "sub/n.h5", "--baseline", "b.json", "--format", "sarif"});
  const json report = json::parse(sarif.out);
  std::map<std::string, json> results;
  for (const json& result : report["runs"][0]["results"])
    results[result["ruleId"].get<std::string>()] = result;
  EXPECT_EQ(results["BN011"]["baselineState"], "unchanged");
  EXPECT_EQ(results["BN011"]["suppressions"][0]["justification"], "known since May");
  EXPECT_EQ(results["BN020"]["baselineState"], "new");
  EXPECT_FALSE(results["BN020"].contains("suppressions"));
  const ProgramResult junit =
      gate.Audit({"m.safetensors", "--baseline", "b.json", "--format", "junit"});
  EXPECT_THAT(junit.out, HasSubstr("<skipped message=\"known: known since May\"/>"));
}

// Of an input with a finding of `rule` about the batch norms of these indices, of four.
AuditedInput Found(const Manifest& manifest, const Analysis& analysis, Severity severity,
                   std::vector<std::size_t> layers) {
  AuditedInput audited{{"m.npz", {}, &manifest, &analysis, "npz", {}}};
  audited.findings.push_back(
      {FindRule("BN011"), severity, "some", {}, "message", "fix", std::move(layers)});
  return audited;
}

class Matching : public ::testing::Test {
 protected:
  Matching() {
    manifest_.resolved = "m.npz";
    analysis_.batch_norms.resize(4);
    for (std::size_t i = 0; i < 4; ++i) analysis_.batch_norms[i].scope = "bn" + std::to_string(i);
  }
  AuditedInput Found(Severity severity, std::vector<std::size_t> layers) const {
    return baseline_test::Found(manifest_, analysis_, severity, std::move(layers));
  }
  // Is a finding known where this one was written?
  bool IsKnown(const AuditedInput& written, AuditedInput now) const {
    BaselineEntry entry = EntryFor(written.findings[0], written.input);
    entry.reason = "old";
    Baseline baseline({entry});
    baseline.Settle(now);
    return now.findings.empty();
  }

  Manifest manifest_;
  Analysis analysis_;
};

TEST_F(Matching, GoesByRuleAndLayers) {
  const AuditedInput written = Found(Severity::kWarning, {0, 1, 2});
  EXPECT_TRUE(IsKnown(written, Found(Severity::kWarning, {0, 1, 2})));
  EXPECT_TRUE(IsKnown(written, Found(Severity::kWarning, {1})));  // the others were mended
  EXPECT_FALSE(IsKnown(written, Found(Severity::kWarning, {3})));
  EXPECT_FALSE(IsKnown(written, Found(Severity::kWarning, {0, 1, 2, 3})));
}

TEST_F(Matching, TakesWhatBecameGraverForNew) {
  EXPECT_FALSE(IsKnown(Found(Severity::kWarning, {0}), Found(Severity::kError, {0})));
  EXPECT_TRUE(IsKnown(Found(Severity::kError, {0}), Found(Severity::kWarning, {0})));
}

TEST_F(Matching, TakesAnEntryForOneFinding) {
  BaselineEntry entry =
      EntryFor(Found(Severity::kWarning, {0}).findings[0], Found(Severity::kWarning, {0}).input);
  Baseline baseline({entry});
  AuditedInput twice = Found(Severity::kWarning, {0});
  twice.findings.push_back(twice.findings[0]);
  baseline.Settle(twice);
  EXPECT_EQ(twice.findings.size(), 1U);
  EXPECT_EQ(twice.known.size(), 1U);
}

}  // namespace
}  // namespace ckpt::cli::baseline_test
