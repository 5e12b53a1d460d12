// ckpt.toml: where it is looked for, whose it may be, what may stand in it and what it does.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/stat.h>
#include <unistd.h>

#include <nlohmann/json.hpp>

#include "cli/policy/config_file.h"
#include "cli/policy/path_glob.h"
#include "tests/cli/ckpt_program.h"
#include "tests/support/paths.h"
#include "tests/support/temporary_folder.h"

namespace ckpt::cli::config_test {
namespace {

using ckpt::testing::Ckpt;
using ckpt::testing::ProgramOptions;
using ckpt::testing::ProgramResult;
using ckpt::testing::TemporaryFolder;
using nlohmann::json;
using ::testing::HasSubstr;
using ::testing::Not;

const std::string kBad =
    ckpt::testing::TestData() +
    "/safetensors/torch_never_updated_tracked_0.safetensors";  // BN011, a warning

std::string Mistake(const std::string& text) {
  const Result<AuditConfig> config = ParseConfig(text, "ckpt.toml");
  EXPECT_FALSE(config.has_value()) << text;
  if (config) return {};
  EXPECT_EQ(config.error().code, ErrorCode::kInvalidArgument);
  return ToString(config.error());
}

// A folder that has a .git, so that the search ends in it.
class Project : public TemporaryFolder {
 public:
  explicit Project(const std::string& config) {
    Write(".git/HEAD", "");
    Write("sub/deep/x", "");
    if (!config.empty()) Write("ckpt.toml", config);
    std::filesystem::copy(kBad, *this / "bad.safetensors");
    std::filesystem::create_directories(*this / "legacy");
    std::filesystem::copy(kBad, *this / "legacy/bad.safetensors");
  }
  ProgramResult Audit(std::vector<std::string> arguments, const std::string& folder = ".") const {
    arguments.insert(arguments.begin(), "audit");
    ProgramOptions options;
    options.folder = *this / folder;
    return Ckpt(arguments, options);
  }
};

TEST(Config, NamesTheMistakeItsPlaceAndTheNearestWord) {
  EXPECT_THAT(Mistake("[audit]\nfail_on = 'error'"),
              HasSubstr("ckpt.toml:2:1: [audit] has no key \"fail_on\"; did you mean fail-on?"));
  EXPECT_THAT(Mistake("[audti]"), HasSubstr("ckpt.toml:1:2: "));
  EXPECT_THAT(Mistake("[audti]"), HasSubstr("did you mean audit?"));
  EXPECT_THAT(Mistake("[audit]\nfail-on = 'eror'"), HasSubstr("did you mean error?"));
  EXPECT_THAT(Mistake("[audit]\nno-rule = ['BN011', 'never-updatd']"),
              HasSubstr("2:21: there is no rule \"never-updatd\"; did you mean never-updated?"));
  EXPECT_THAT(Mistake("[audit.severity]\nBN01 = 'info'"), HasSubstr("ckpt.toml:2:1: "));
  EXPECT_THAT(Mistake("[audit.severity]\nBN011 = 'never'"), HasSubstr("is none of error, warning"));
  EXPECT_THAT(Mistake("[[audit.path]]\nrule = 'BN011'"), HasSubstr("needs a \"glob\""));
  EXPECT_THAT(Mistake("[audit]\nx = [1,"), HasSubstr("ckpt.toml:2:"));
}

TEST(Config, RefusesValuesOfTheWrongType) {
  for (const char* line :
       {"fail-on = 3", "rule = 3", "rule = [3]", "epsilon = '1'", "epsilon = -1", "epsilon = inf",
        "epsilon = nan", "momentum = 1.5", "checksums = 1", "max-operations = 0",
        "max-operations = 1.5", "baseline = ''", "baseline = ['a']", "path = 'x'", "path = []",
        "severity = 'info'", "path = [{glob = '!x'}]", "path = [{glob = 3}]"})
    EXPECT_THAT(Mistake(std::string("[audit]\n") + line), HasSubstr("ckpt.toml:2:")) << line;
  EXPECT_THAT(Mistake("audit = 1"), HasSubstr("is not a table"));
}

TEST(Config, CannotSetWhatTheCommandLineAloneMaySay) {
  for (const char* key : {"report", "write-baseline", "python", "with", "allow-findings", "network",
                          "trust-input", "force", "record"})
    EXPECT_THAT(Mistake(std::string("[audit]\n") + key + " = 'x'"),
                HasSubstr("cannot be set here: it is given on the command line"))
        << key;
}

TEST(Config, OfHostileContentIsAMistakeLikeAnyOther) {
  std::string dotted = "a";
  for (int i = 0; i < 30'000; ++i) dotted += ".a";
  EXPECT_THAT(Mistake(dotted + " = 1"), HasSubstr("a key has too many parts"));
  EXPECT_THAT(Mistake("[" + dotted + "]"), HasSubstr("a key has too many parts"));
  EXPECT_THAT(Mistake("x = " + std::string(60'000, '[')), HasSubstr("depth"));
  EXPECT_THAT(Mistake("x = '\xFF'"), HasSubstr("utf-8"));
  EXPECT_THAT(Mistake("\"\\u001b[2J\" = 1"), Not(HasSubstr("\x1b")));
  const TemporaryFolder folder;
  folder.Write("big.toml", std::string(70'000, '#'));
  const formats::FilesRead files;
  EXPECT_EQ(ReadConfig(files, folder / "big.toml").error().code, ErrorCode::kInvalidArgument);
}

TEST(Config, ReadsEveryKey) {
  const Result<AuditConfig> config = ParseConfig(
      "[audit]\nfail-on = 'never'\nrule = ['bn011', 'non-finite']\nno-rule = 'BN040'\n"
      "epsilon = 1\nmomentum = 0.5\nchecksums = true\nmax-operations = 7\nbaseline = 'b.json'\n"
      "severity = {BN011 = 'info'}\n[[audit.path]]\nglob = ['a', 'b/**']\nrule = 'BN010'\n"
      "[audit.path.severity]\nlooks-never-updated = 'error'\n",
      "ckpt.toml");
  ASSERT_TRUE(config) << ToString(config.error());
  EXPECT_TRUE(config->fail_on.has_value());
  EXPECT_FALSE(config->fail_on->has_value());
  EXPECT_THAT(config->rules.only, ::testing::ElementsAre("BN011", "BN020"));
  EXPECT_THAT(config->rules.without, ::testing::ElementsAre("BN040"));
  EXPECT_EQ(config->rules.severity.at("BN011"), Severity::kInfo);
  EXPECT_EQ(config->epsilon, 1.0);
  EXPECT_EQ(config->momentum, 0.5);
  EXPECT_EQ(config->checksums, true);
  EXPECT_EQ(config->max_operations, 7U);
  EXPECT_EQ(config->baseline, "b.json");
  ASSERT_EQ(config->paths.size(), 1U);
  EXPECT_THAT(config->paths[0].globs, ::testing::ElementsAre("a", "b/**"));
  EXPECT_EQ(config->paths[0].rules.severity.at("BN011"), Severity::kError);
}

TEST(PathGlob, FollowsGitignore) {
  const auto matches = [](const char* pattern, const char* path) {
    return MatchesPath(pattern, "/p", path);
  };
  EXPECT_TRUE(matches("*.h5", "/p/a/b/m.h5"));
  EXPECT_TRUE(matches("legacy", "/p/a/legacy/m.h5"));
  EXPECT_TRUE(matches("legacy/", "/p/legacy/m.h5"));
  EXPECT_TRUE(matches("legacy/**", "/p/legacy/a/m.h5"));
  EXPECT_TRUE(matches("/legacy", "/p/legacy"));
  EXPECT_TRUE(matches("a/*/m.h5", "/p/a/b/m.h5"));
  EXPECT_TRUE(matches("a/**/m.h5", "/p/a/m.h5"));
  EXPECT_TRUE(matches("**/b/*.h5", "/p/a/b/m.h5"));
  EXPECT_TRUE(matches("m[0-9]?.h5", "/p/m12.h5"));
  EXPECT_FALSE(matches("a/*/m.h5", "/p/a/b/c/m.h5"));
  EXPECT_FALSE(matches("b/m.h5", "/p/a/b/m.h5"));
  EXPECT_FALSE(matches("/legacy", "/p/a/legacy"));
  EXPECT_FALSE(matches("*.h5", "/p/m.h5x"));
  EXPECT_FALSE(matches("/", "/p/m.h5"));
  // Outside of the folder.
  EXPECT_TRUE(matches("*.h5", "/q/m.h5"));
  EXPECT_TRUE(matches("**/q/m.h5", "/q/m.h5"));
  EXPECT_FALSE(matches("q/**", "/q/m.h5"));
}

TEST(Config, IsTheNearestOneUpToTheRepository) {
  const Project project("[audit]\nfail-on = 'error'\n");
  EXPECT_EQ(project.Audit({"../../bad.safetensors"}, "sub/deep").exit_code, 0);
  project.Write("sub/ckpt.toml", "[audit]\nfail-on = 'info'\n");
  EXPECT_EQ(project.Audit({"../../bad.safetensors"}, "sub/deep").exit_code, 1);
  project.Write("sub/deep/.git", "gitdir: elsewhere");  // of a worktree or a submodule
  const ProgramResult run = project.Audit({"../../bad.safetensors"}, "sub/deep");
  EXPECT_EQ(run.exit_code, 1);
  EXPECT_THAT(run.out, Not(HasSubstr("settings of")));
}

TEST(Config, IsNotLookedForAboveTheHomeFolder) {
  const Project project("[audit]\nfail-on = 'error'\n");
  ProgramOptions options;
  options.folder = project / "sub/deep";
  const std::string home = (project / "sub").string();
  options.in_child = [&] { ::setenv("HOME", home.c_str(), 1); };
  EXPECT_EQ(Ckpt({"audit", "../../bad.safetensors"}, options).exit_code, 1);
}

TEST(Config, IsNeverTakenFromTheFolderOfAnInput) {
  const Project project("");
  project.Write("legacy/ckpt.toml", "[audit]\nno-rule = 'BN011'\n");
  EXPECT_EQ(project.Audit({"legacy/bad.safetensors"}).exit_code, 1);
  EXPECT_EQ(project.Audit({"legacy"}).exit_code, 1);
}

TEST(Config, ThatOthersMayWriteIsRefused) {
  const Project project("[audit]\nfail-on = 'error'\n");
  ASSERT_EQ(::chmod((project / "ckpt.toml").c_str(), 0646), 0);
  const ProgramResult run = project.Audit({"bad.safetensors"});
  EXPECT_EQ(run.exit_code, 2);
  EXPECT_THAT(run.err, HasSubstr("ckpt.toml: can be written by other users"));
  EXPECT_EQ(project.Audit({"bad.safetensors", "--no-config"}).exit_code, 1);
  EXPECT_EQ(project.Audit({"bad.safetensors", "--config", "ckpt.toml"}).exit_code, 0);
}

TEST(Config, OfAnotherUserIsRefused) {
  if (::geteuid() != 0) GTEST_SKIP() << "only root can give a file away";
  const Project project("[audit]\nfail-on = 'error'\n");
  ASSERT_EQ(::chown((project / "ckpt.toml").c_str(), 12345, 12345), 0);
  const ProgramResult run = project.Audit({"bad.safetensors"});
  EXPECT_EQ(run.exit_code, 2);
  EXPECT_THAT(run.err, HasSubstr("belongs to another user"));
}

TEST(Config, ThatIsNoFileIsAMistake) {
  const Project project("");
  std::filesystem::create_directory(project / "ckpt.toml");
  EXPECT_EQ(project.Audit({"bad.safetensors"}).exit_code, 2);
  EXPECT_EQ(project.Audit({"bad.safetensors", "--config", "absent.toml"}).exit_code, 2);
  EXPECT_EQ(Ckpt({"inspect", kBad, "--config", (project / "absent.toml").string()}).exit_code, 2);
}

TEST(Config, HidesForAPathAndSaysSoInEveryForm) {
  const Project project("[[audit.path]]\nglob = 'legacy/**'\nno-rule = 'BN011'\n");
  EXPECT_EQ(project.Audit({"legacy/bad.safetensors"}).exit_code, 0);
  EXPECT_EQ(project.Audit({"bad.safetensors"}).exit_code, 1);
  for (const char* form : {"text", "concise", "markdown", "github", "junit", "sarif", "gitlab"}) {
    const ProgramResult run = project.Audit({"legacy/bad.safetensors", "--format", form});
    EXPECT_EQ(run.exit_code, 0) << form;
    EXPECT_THAT(run.out, HasSubstr("settings of ckpt.toml: hid 1 warning")) << form;
  }
  const json summary =
      json::parse(project.Audit({"legacy", "--format", "json"}).out)["summary"]["config"];
  EXPECT_EQ(summary["path"], "ckpt.toml");
  EXPECT_EQ(summary["hidden"]["warnings"], 1);
  EXPECT_THAT(project.Audit({"legacy", "-q"}).out, HasSubstr("hid 1 warning"));
}

TEST(Config, GivesFindingsAnotherSeverity) {
  const Project project(
      "[audit.severity]\nBN011 = 'error'\n[[audit.path]]\nglob = 'legacy'\nseverity = {BN011 = "
      "'info'}\n");
  const json report =
      json::parse(project.Audit({"bad.safetensors", "legacy", "--format", "json"}).out);
  EXPECT_EQ(report["summary"]["errors"], 1);
  EXPECT_EQ(report["summary"]["warnings"], 0);
  EXPECT_EQ(report["summary"]["config"]["other_severity"], 2);
  EXPECT_EQ(report["inputs"][0]["findings"][0]["severity"], "error");
}

TEST(Config, GivesWayToTheCommandLine) {
  const Project project("[audit]\nfail-on = 'error'\nno-rule = 'BN011'\n");
  EXPECT_EQ(project.Audit({"bad.safetensors", "--fail-on", "info"}).exit_code, 1);
  EXPECT_EQ(project.Audit({"bad.safetensors", "--rule", "bn011", "--fail-on", "warning"}).exit_code,
            1);
}

TEST(Config, LetsNothingPassAConversion) {
  const Project project("[audit]\nno-rule = 'BN020'\n");
  ProgramOptions options;
  options.folder = project.path();
  const std::string input = ckpt::testing::TestData() + "/bad_values/inf_mean.h5";
  EXPECT_EQ(Ckpt({"convert", input, "out.h5"}, options).exit_code, 3);
}

}  // namespace
}  // namespace ckpt::cli::config_test
