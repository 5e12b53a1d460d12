// The forms for programs: what a CI server reads, bounded, escaped, and beside the text on stdout.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <nlohmann/json.hpp>
#include <set>
#include <sstream>

#include "cli/report/form.h"
#include "tests/cli/ckpt_program.h"
#include "tests/support/paths.h"
#include "tests/support/temporary_folder.h"

namespace ckpt::cli::program_forms_test {
namespace {

using ckpt::testing::Ckpt;
using nlohmann::json;
using ::testing::EndsWith;
using ::testing::HasSubstr;
using ::testing::Not;
using ::testing::StartsWith;

constexpr const char* kGood = "safetensors/torch_good.safetensors";
constexpr const char* kBad = "safetensors/torch_never_updated_tracked_0.safetensors";

// A file of `count` findings, all of one layer with a hostile name.
std::string Audited(std::string_view form, std::size_t count, const std::string& name = "bn",
                    Severity severity = Severity::kError) {
  Manifest manifest;
  manifest.resolved = "m";
  Analysis analysis;
  analysis.batch_norms.resize(1);
  analysis.batch_norms[0].scope = name;
  AuditedInput audited{{"a,b:c%.npz", {}, &manifest, &analysis, "npz", {}}};
  for (std::size_t i = 0; i < count; ++i) {
    audited.findings.push_back(
        {FindRule("BN020"), severity, name, {}, name + " is not finite", "train", {0}});
  }
  AuditSummary summary;
  summary.Add(audited);
  const auto printer = FindForm(form)->make({});
  const std::string first = printer->Add(audited);
  return first + printer->End(summary);
}

std::size_t CountOf(const std::string& text, const std::string& part) {
  std::size_t count = 0;
  for (std::size_t at = text.find(part); at != std::string::npos; at = text.find(part, at + 1))
    ++count;
  return count;
}

TEST(ProgramForms, StayBoundedAndSayWhatTheyLeftOut) {
  for (const char* form : {"sarif", "junit", "github", "gitlab", "markdown", "concise"}) {
    const std::string text = Audited(form, 100'000);
    EXPECT_LT(text.size(), 8U << 20) << form;
    EXPECT_THAT(text, HasSubstr(" errors more: too many for this report")) << form;
  }
}

// What a report has no room for has not passed.
TEST(ProgramForms, AnInputWithoutRoomForItsErrorsFails) {
  Manifest manifest;
  Analysis analysis;
  analysis.batch_norms.resize(1);
  const auto make = FindForm("junit")->make;
  FormOptions options;
  options.fails_on = Severity::kError;
  const auto junit = make(options);
  AuditSummary summary;
  std::string text;
  for (const std::string path : {"many", "one"}) {
    AuditedInput audited{{path, {}, &manifest, &analysis, "npz", {}}};
    for (int i = 0; i < (path == "many" ? 6000 : 1); ++i) {
      audited.findings.push_back(
          {FindRule("BN020"), Severity::kError, "bn", {}, "bn is not finite", "train", {0}});
    }
    summary.Add(audited);
    text += junit->Add(audited);
  }
  text += junit->End(summary);
  EXPECT_EQ(CountOf(text, "type=\"left-out\""), 2U);
  EXPECT_THAT(text, HasSubstr("1 error more: too many for this report"));
  EXPECT_THAT(text, HasSubstr("name=\"one\" tests=\"1\" failures=\"1\""));
}

TEST(ProgramForms, StayBoundedWhateverTheLengthOfAName) {
  for (const char* form : {"sarif", "junit", "github", "gitlab", "markdown", "concise"}) {
    EXPECT_LT(Audited(form, 2, std::string(60'000, 'n')).size(), 30'000U) << form;
  }
}

TEST(ProgramForms, DropTheMildestFirst) {
  Manifest manifest;
  const Analysis analysis;
  const auto sarif = FindForm("sarif")->make({});
  AuditSummary summary;
  for (const Severity severity : {Severity::kInfo, Severity::kError}) {
    AuditedInput audited{{"m", {}, &manifest, &analysis, "npz", {}}};
    for (int i = 0; i < 4000; ++i)
      audited.findings.push_back({FindRule("BN020"), severity, "x", {}, "m", ""});
    sarif->Add(audited);
    summary.Add(audited);
  }
  const std::string text = sarif->End(summary);
  EXPECT_EQ(CountOf(text, R"("level": "error",
          "message")"),
            4000U);
  EXPECT_THAT(text, HasSubstr("3000 notes more"));
}

TEST(Sarif, HasRulesWithHelpFingerprintsAndTheLayer) {
  const json run =
      json::parse(Ckpt({"audit", "--format", "sarif", kBad, "no/such"}).out)["runs"][0];
  const json& rules = run["tool"]["driver"]["rules"];
  ASSERT_FALSE(rules.empty());
  for (const json& rule : rules) EXPECT_FALSE(rule["help"]["text"].get<std::string>().empty());
  const json& first = run["results"][0];
  EXPECT_EQ(rules[first["ruleIndex"].get<std::size_t>()]["id"], first["ruleId"]);
  EXPECT_EQ(first["level"], "warning");
  const json& place = first["locations"][0];
  EXPECT_EQ(place["physicalLocation"]["artifactLocation"]["uri"], kBad);
  EXPECT_EQ(place["physicalLocation"]["region"]["startLine"], 1);
  EXPECT_FALSE(place["logicalLocations"][0]["fullyQualifiedName"].get<std::string>().empty());
  EXPECT_EQ(first["partialFingerprints"]["ruleAndLayers/v1"].get<std::string>().size(), 64U);
  EXPECT_EQ(run["results"].back()["ruleId"], "unreadable");
  EXPECT_EQ(run["invocations"][0]["executionSuccessful"], false);
}

TEST(Sarif, FingerprintsFollowRuleAndLayerAndNotTheMessage) {
  const auto print = [](const std::string& name) {
    return json::parse(Audited("sarif", 1, name))["runs"][0]["results"][0]["partialFingerprints"];
  };
  EXPECT_EQ(print("a"), print("a"));
  EXPECT_NE(print("a"), print("b"));
}

// The schema wants the places of a result to differ; the names of a layer and of its tensor may
// not.
TEST(Sarif, NamesEachPlaceOfAResultOnce) {
  const json run =
      json::parse(Ckpt({"audit", "--format", "sarif", "--show", "info", "-r", "."}).out);
  for (const json& result : run["runs"][0]["results"]) {
    const json& location = result["locations"][0];
    if (!location.contains("logicalLocations")) continue;
    std::set<std::string> named;
    for (const json& place : location["logicalLocations"])
      EXPECT_TRUE(named.insert(place["fullyQualifiedName"]).second) << result["message"];
  }
}

TEST(Sarif, SpellsAPathAsAUri) {
  const json result = json::parse(Audited("sarif", 1, "a[b](http://x)"))["runs"][0]["results"][0];
  EXPECT_EQ(result["locations"][0]["physicalLocation"]["artifactLocation"]["uri"],
            "a%2Cb%3Ac%25.npz");
  EXPECT_THAT(result["message"]["text"].get<std::string>(), HasSubstr("a\\[b\\](http"));
}

TEST(Junit, EscapesWhatXmlDoesNotHold) {
  const std::string text = Audited("junit", 1, "a<b>&\"'\x1b\xEF\xBF\xBF\n");
  EXPECT_THAT(text, HasSubstr("a&lt;b&gt;&amp;&quot;&apos;\\x1b\xEF\xBF\xBD\\x0a"));
  EXPECT_THAT(text, HasSubstr("tests=\"1\" failures=\"1\" errors=\"0\""));
}

TEST(Junit, FailsWhatFailsTheGate) {
  const auto failures = [](const std::string& threshold) {
    const auto run = Ckpt({"audit", "--format", "junit", "--fail-on", threshold, kBad});
    return std::pair(run.exit_code, run.out.find("<failure") != std::string::npos);
  };
  EXPECT_EQ(failures("warning"), std::pair(1, true));
  EXPECT_EQ(failures("error"), std::pair(0, false));
  EXPECT_EQ(failures("never"), std::pair(0, false));
  const auto missing = Ckpt({"audit", "--format", "junit", "no/such"});
  EXPECT_THAT(missing.out, HasSubstr("<error type=\"unreadable\""));
  EXPECT_EQ(missing.exit_code, 4);
}

TEST(Github, EscapesPropertiesAndDataOfACommand) {
  const std::string text = Audited("github", 1, "50%\r\n::error::x");
  EXPECT_THAT(text, StartsWith("::error file=a%2Cb%3Ac%25.npz,title=BN020 non-finite::50%25"));
  std::istringstream lines(text);
  std::size_t commands = 0;
  for (std::string line; std::getline(lines, line);) commands += line.starts_with("::") ? 1U : 0U;
  EXPECT_EQ(commands, 1U);
}

TEST(Gitlab, GivesEveryEntryAFingerprintOfItsOwn) {
  const json entries = json::parse(Audited("gitlab", 3));
  ASSERT_EQ(entries.size(), 3U);
  EXPECT_NE(entries[0]["fingerprint"], entries[1]["fingerprint"]);
  EXPECT_NE(entries[1]["fingerprint"], entries[2]["fingerprint"]);
  for (const json& entry : entries) {
    EXPECT_EQ(entry["check_name"], "BN020");
    EXPECT_EQ(entry["severity"], "critical");
    EXPECT_EQ(entry["location"]["path"], "a,b:c%.npz");
    EXPECT_EQ(entry["location"]["lines"]["begin"], 1);
  }
}

TEST(Markdown, KeepsCellsMentionsAndTagsOut) {
  const std::string text = Audited("markdown", 1, "a|b <img> @all [x](http://y) `c`");
  EXPECT_THAT(text, HasSubstr("a\\|b &lt;img&gt; &#64;all \\[x\\]\\(http&#58;//y\\) \\`c\\`"));
}

TEST(Concise, IsALineAFindingAndASummary) {
  const auto run = Ckpt({"audit", "--format", "concise", kBad, kGood});
  EXPECT_EQ(run.exit_code, 1);
  EXPECT_THAT(run.out, StartsWith(std::string(kBad) + ": warning BN011 looks-never-updated: "));
  EXPECT_THAT(run.out, EndsWith("\n2 files: 1 clean, 1 with warnings\n"));
}

TEST(Concise, ListsNotesWhereTheyFailTheGate) {
  EXPECT_THAT(Ckpt({"audit", "--format", "concise", kGood}).out, Not(HasSubstr("info")));
  const auto run = Ckpt({"audit", "--format", "concise", "--fail-on", "info", kGood});
  EXPECT_EQ(run.exit_code, 1);
  EXPECT_THAT(run.out, HasSubstr("info BN040"));
}

TEST(Reports, OfOtherFormsGoBesideTheTextOnStdout) {
  const ckpt::testing::TemporaryFolder folder;
  const std::string sarif = folder / "a.sarif", junit = folder / "b.xml";
  const auto run =
      Ckpt({"audit", "--report", "sarif:" + sarif, "--report", "junit:" + junit, kBad});
  EXPECT_EQ(run.exit_code, 1);
  EXPECT_EQ(run.out, Ckpt({"audit", kBad}).out);
  EXPECT_EQ(json::parse(folder.Read("a.sarif"))["version"], "2.1.0");
  EXPECT_THAT(folder.Read("b.xml"), StartsWith("<?xml"));
}

TEST(Reports, ThatTakeThePlaceOfStdoutLeaveAShortTextThere) {
  const ckpt::testing::TemporaryFolder folder;
  const std::string report = folder / "r.json";
  const auto run = Ckpt({"audit", "--format", "json", "--report", report, kBad});
  EXPECT_EQ(run.exit_code, 1);
  EXPECT_EQ(run.out, Ckpt({"audit", "--format", "concise", kBad}).out);
  EXPECT_EQ(folder.Read("r.json"), Ckpt({"audit", "--format", "json", kBad}).out);
  EXPECT_EQ(Ckpt({"audit", "-q", "--format", "json", "--report", report, kBad}).out, "");
  const auto twice = Ckpt({"audit", "--format", "json", "--report", "/dev/stdout", kBad});
  EXPECT_EQ(twice.out, folder.Read("r.json"));
}

TEST(Reports, NameTheFormsThatACommandHas) {
  const ckpt::testing::TemporaryFolder folder;
  const std::string report = "sarif:" + (folder / "a.sarif").string();
  const auto refused = Ckpt({"diff", "--report", report, kGood, kBad});
  EXPECT_EQ(refused.exit_code, 2);
  EXPECT_THAT(refused.err, HasSubstr("no form \"sarif\"; it has text, json, jsonl, concise"));
  EXPECT_FALSE(std::filesystem::exists(folder / "a.sarif"));
  const auto format = Ckpt({"diff", "--format", "sarif", kGood, kBad});
  EXPECT_EQ(format.exit_code, 2);
  EXPECT_THAT(format.err, HasSubstr("junit"));
}

TEST(Reports, DoNotTakeEachOthersPlace) {
  const ckpt::testing::TemporaryFolder folder;
  const std::string path = folder / "r";
  EXPECT_EQ(
      Ckpt({"audit", "--report", "json:" + path, "--report", "junit:" + path, kGood}).exit_code, 2);
  EXPECT_FALSE(std::filesystem::exists(path));
}

TEST(Reports, AreNotTheOutput) {
  const ckpt::testing::TemporaryFolder folder;
  const std::string out = folder / "o.npz";
  const auto refused = Ckpt({"convert", "--report", "json:" + out, kGood, out});
  EXPECT_EQ(refused.exit_code, 2) << refused.err;
  EXPECT_FALSE(std::filesystem::exists(out));
}

TEST(Reports, WithAPathThatHasAColonAreTakenByTheirPath) {
  const ckpt::testing::TemporaryFolder folder;
  ckpt::testing::ProgramOptions options;
  options.folder = folder.path();
  const std::string input = ckpt::testing::TestData() + "/" + kGood;
  EXPECT_EQ(Ckpt({"audit", "--format", "json", "--report", "./json:a", input}, options).exit_code,
            0);
  EXPECT_EQ(json::parse(folder.Read("json:a"))["schema"], "ckpt.audit/1");
}

TEST(Diff, AndVerifyAreCasesOfJUnit) {
  const auto diff = Ckpt({"diff", "--format", "junit", kGood, kBad});
  EXPECT_EQ(diff.exit_code, 1);
  EXPECT_THAT(diff.out, HasSubstr("<failure type=\"changed\""));
  const auto same = Ckpt({"diff", "--format", "junit", kGood, kGood});
  EXPECT_THAT(same.out, HasSubstr("tests=\"1\" failures=\"0\" errors=\"0\""));
}

}  // namespace
}  // namespace ckpt::cli::program_forms_test
