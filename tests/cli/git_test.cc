// ckpt as git's textconv and external diff driver, in a real repository.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <sstream>

#include "cli/git/text_of_file.h"
#include "tests/cli/ckpt_program.h"
#include "tests/support/paths.h"
#include "tests/support/temporary_folder.h"

namespace ckpt::cli::git_test {
namespace {

using ckpt::testing::Ckpt;
using ckpt::testing::ProgramOptions;
using ckpt::testing::ProgramResult;
using ckpt::testing::ReadFile;
using ckpt::testing::RunProgram;
using ckpt::testing::TemporaryFolder;
using ::testing::AllOf;
using ::testing::HasSubstr;
using ::testing::Not;
using ::testing::StartsWith;

const std::string kData = ckpt::testing::TestData();
const std::string kGood = kData + "/safetensors/torch_good.safetensors";
const std::string kOther = kData + "/safetensors/torch_never_updated_tracked_0.safetensors";

class Repository : public TemporaryFolder {
 public:
  Repository() {
    Git({"init", "-q"});
    Git({"config", "user.name", "A"});
    Git({"config", "user.email", "a@example.org"});
    Git({"config", "diff.ckpt.textconv",
         "'" + ckpt::testing::Program() + "' inspect --textconv --"});
    Write(".gitattributes", "*.safetensors diff=ckpt\n*.index diff=ckpt\n");
  }
  ProgramResult Git(std::vector<std::string> arguments) const {
    arguments.insert(arguments.begin(), "git");
    ProgramOptions options;
    options.folder = path();
    options.in_child = [] {
      ::setenv("GIT_CONFIG_GLOBAL", "/dev/null", 1);
      ::setenv("GIT_CONFIG_NOSYSTEM", "1", 1);
      ::setenv("GIT_PAGER", "cat", 1);
    };
    return RunProgram("/usr/bin/env", arguments, options);
  }
  void Put(const std::string& from, const std::string& name) const { Write(name, ReadFile(from)); }
  void Commit(const std::string& message) const {
    Git({"add", "-A"});
    EXPECT_EQ(Git({"commit", "-q", "-m", message}).exit_code, 0);
  }
};

#define NEED_GIT() \
  if (RunProgram("/usr/bin/env", {"git", "--version"}).exit_code != 0) GTEST_SKIP() << "no git"

std::string Textconv(const std::filesystem::path& path) {
  const ProgramResult run = Ckpt({"inspect", "--textconv", "--", path.string()});
  EXPECT_EQ(run.exit_code, 0) << path << run.err;
  EXPECT_EQ(run.err, "") << path;
  return run.out;
}

TEST(Textconv, HasALineForEachTensor) {
  const std::string text = Textconv(kGood);
  EXPECT_THAT(text, StartsWith("format: safetensors\n"));
  std::istringstream lines(text);
  std::string found;
  for (std::string line; std::getline(lines, line);) {
    if (line.starts_with("bn1.running_mean  ")) found = line;
  }
  // As numpy has them, of the same file: sha256 of tobytes(), mean() and std() in float64.
  EXPECT_EQ(
      found,
      "bn1.running_mean  float32 [4]  moving_mean  f5aaa82dfc0ba499  mean 1.25846  std 0.400644");
}

std::string TextOf(const std::filesystem::path& path) {
  std::string text;
  const Status status = WriteTextOfFile(path.string(), [&](std::string_view part) -> Status {
    text += part;
    return {};
  });
  EXPECT_TRUE(status.has_value()) << path;
  return text;
}

TEST(Textconv, IsTheSameForEveryFileOfOneContent) {
  std::vector<std::filesystem::path> files;
  for (const auto& entry : std::filesystem::recursive_directory_iterator(kData)) {
    if (entry.is_regular_file() && entry.file_size() < (1U << 19)) files.push_back(entry.path());
  }
  std::sort(files.begin(), files.end());
  const TemporaryFolder one, two;
  for (std::size_t i = 0; i < files.size(); i += 4) {
    const std::string name = files[i].filename().string();
    one.Write(name, ReadFile(files[i]));
    two.Write("else/where/" + name, ReadFile(files[i]));
    const std::string text = TextOf(one / name);
    EXPECT_EQ(text, TextOf(two / ("else/where/" + name))) << files[i];
    // What lies beside it in the working tree makes no difference.
    EXPECT_EQ(text, TextOf(files[i])) << files[i];
    EXPECT_THAT(text, Not(HasSubstr(one.path().string()))) << files[i];
  }
  EXPECT_GT(files.size(), 100U);
}

TEST(Textconv, OfADamagedFileIsTextAllTheSame) {
  const TemporaryFolder folder;
  const std::string good = ReadFile(kGood);
  folder.Write("cut.safetensors", good.substr(0, good.size() - 10));
  EXPECT_THAT(Textconv(folder / "cut.safetensors"),
              AllOf(HasSubstr("unreadable: "), HasSubstr(" bytes, sha256 ")));
  folder.Write("empty.pt", "");
  EXPECT_THAT(Textconv(folder / "empty.pt"), HasSubstr("0 bytes, sha256 e3b0c44298fc1c14"));
  const std::string pointer =
      "version https://git-lfs.github.com/spec/v1\noid sha256:abc\nsize 12\n";
  folder.Write("lfs.pt", pointer);
  EXPECT_EQ(Textconv(folder / "lfs.pt"), pointer);
  EXPECT_EQ(Ckpt({"inspect", "--textconv", (folder / "absent.pt").string()}).exit_code, 4);
  EXPECT_EQ(Ckpt({"inspect", "--textconv", kGood, kOther}).exit_code, 2);
  EXPECT_EQ(Ckpt({"inspect", "--textconv", "--format", "json", kGood}).exit_code, 2);
}

TEST(InARepository, DiffAndLogShowTheTensorsThatChanged) {
  NEED_GIT();
  const Repository repository;
  repository.Put(kGood, "m.safetensors");
  repository.Commit("first");
  repository.Put(kOther, "m.safetensors");
  const ProgramResult diff = repository.Git({"diff"});
  EXPECT_EQ(diff.exit_code, 0);
  EXPECT_THAT(diff.out, HasSubstr("\n-bn1.running_mean  float32 [4]  moving_mean  "));
  EXPECT_THAT(diff.out, HasSubstr("\n+bn1.running_mean  float32 [4]  moving_mean  "));
  EXPECT_THAT(diff.out, Not(HasSubstr("Binary files")));
  repository.Commit("second");
  const ProgramResult log = repository.Git({"log", "-p"});
  EXPECT_EQ(log.exit_code, 0);
  EXPECT_THAT(log.out, HasSubstr("\n-bn1.running_mean  float32 [4]"));
  EXPECT_THAT(log.out, HasSubstr("new file mode"));
}

TEST(InARepository, ADamagedFileEndsNoDiff) {
  NEED_GIT();
  const Repository repository;
  repository.Put(kGood, "a.safetensors");
  repository.Put(kGood, "b.safetensors");
  repository.Commit("first");
  repository.Write("a.safetensors", "no checkpoint");
  repository.Put(kOther, "b.safetensors");
  const ProgramResult diff = repository.Git({"diff"});
  EXPECT_EQ(diff.exit_code, 0);
  EXPECT_THAT(diff.out, HasSubstr("\n+unreadable: "));
  EXPECT_THAT(diff.out, HasSubstr("b/b.safetensors"));
}

TEST(InARepository, TheExternalDriverComparesValues) {
  NEED_GIT();
  const Repository repository;
  repository.Git({"config", "diff.ckpt.command", "'" + ckpt::testing::Program() + "' git-diff --"});
  repository.Put(kGood, "m.safetensors");
  repository.Put(kGood, "gone.safetensors");
  repository.Write("-x.safetensors", ReadFile(kGood));
  repository.Commit("first");
  repository.Put(kOther, "m.safetensors");
  repository.Put(kOther, "-x.safetensors");
  repository.Write("broken.safetensors", "no checkpoint");
  std::filesystem::remove(repository / "gone.safetensors");
  repository.Git({"add", "-A"});
  const ProgramResult diff = repository.Git({"diff", "--cached", "--no-renames"});
  EXPECT_EQ(diff.exit_code, 0) << diff.err;
  EXPECT_THAT(diff.out, HasSubstr("diff --ckpt a/m.safetensors b/m.safetensors\n"));
  EXPECT_THAT(diff.out, HasSubstr("bn1.running_mean"));
  EXPECT_THAT(diff.out, HasSubstr("diff --ckpt a/-x.safetensors b/-x.safetensors\n"));
  EXPECT_THAT(diff.out, HasSubstr("deleted a/gone.safetensors: safetensors, "));
  EXPECT_THAT(diff.out, HasSubstr("new b/broken.safetensors: cannot be read: "));
  EXPECT_THAT(diff.out, Not(HasSubstr("/tmp/")));
  // Without the driver, and in a log, the text of each version is compared.
  EXPECT_THAT(repository.Git({"diff", "--cached", "--no-ext-diff"}).out,
              HasSubstr("\n-bn1.running_mean  float32 [4]"));
}

TEST(GitDiff, TakesTheArgumentsOfARenamedAndOfAnUnmergedFile) {
  const std::vector<std::string> renamed = {"git-diff", "old.pt", kGood,    "0123",   "100644",
                                            kOther,     "4567",   "100644", "new.pt", "similarity"};
  const ProgramResult run = Ckpt(renamed);
  EXPECT_EQ(run.exit_code, 0);
  EXPECT_THAT(run.out, StartsWith("diff --ckpt a/old.pt b/new.pt\n"));
  EXPECT_EQ(Ckpt({"git-diff", "m.pt"}).out, "* Unmerged path m.pt\n");
  EXPECT_EQ(Ckpt({"git-diff", "m.pt", "x"}).exit_code, 2);
}

TEST(GitDiff, ExitsZeroUnlessTheExitCodeIsAskedFor) {
  const std::vector<std::string> rest = {"m.pt", kGood, "01", "100644", kOther, "02", "100644"};
  const auto code = [&](std::vector<std::string> arguments, std::vector<std::string> files) {
    arguments.insert(arguments.begin(), "git-diff");
    arguments.insert(arguments.end(), files.begin(), files.end());
    return Ckpt(arguments).exit_code;
  };
  EXPECT_EQ(code({"--"}, rest), 0);
  EXPECT_EQ(code({"--exit-code", "--"}, rest), 1);
  EXPECT_EQ(code({"--exit-code", "--atol", "1e9", "--"}, rest), 0);
  EXPECT_EQ(code({"--exit-code", "--"}, {"m.pt", kGood, "01", "100644", kGood, "01", "100644"}), 0);
}

}  // namespace
}  // namespace ckpt::cli::git_test
