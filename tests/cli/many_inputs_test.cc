// What folders and lists of names stand for, and what a mistyped word is answered with.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <nlohmann/json.hpp>

#include "cli/nearest.h"
#include "tests/cli/ckpt_program.h"
#include "tests/support/temporary_folder.h"

namespace ckpt {
namespace {

namespace fs = std::filesystem;
using nlohmann::json;
using ::testing::ElementsAre;
using ::testing::EndsWith;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

const std::string kGood = std::string(CKPT_TESTDATA) + "/safetensors/torch_good.safetensors";
const std::string kBad =
    std::string(CKPT_TESTDATA) + "/safetensors/torch_never_updated_tracked_0.safetensors";

class Folders : public ::testing::Test {
 protected:
  void Put(const std::string& from, const std::string& name) const {
    fs::create_directories((folder_ / name).parent_path());
    fs::copy(from, folder_ / name, fs::copy_options::recursive);
  }
  testing::ProgramResult Run(const std::vector<std::string>& arguments,
                             testing::ProgramOptions options = {}) const {
    options.folder = folder_.path();
    return testing::Ckpt(arguments, options);
  }
  // The paths of the inputs, as the report has them.
  std::vector<std::string> Audited(std::vector<std::string> arguments) {
    arguments.insert(arguments.begin(), {"audit", "--format", "json"});
    report_ = json::parse(Run(arguments).out);
    std::vector<std::string> paths;
    for (const json& input : report_["inputs"]) paths.push_back(input["path"]);
    return paths;
  }
  std::vector<std::string> NotRead() const {
    std::vector<std::string> paths;
    for (const json& left : report_["summary"]["not_read"]) paths.push_back(left["path"]);
    return paths;
  }

  testing::TemporaryFolder folder_;
  json report_;
};

TEST_F(Folders, OfSeveralCheckpointsAreAllOfThem) {
  Put(kGood, "g/good.safetensors");
  Put(kBad, "g/bad.safetensors");
  folder_.Write("g/broken.pt", "not a checkpoint");
  folder_.Write("g/README.md", "text");
  EXPECT_THAT(Audited({"g"}),
              ElementsAre("g/bad.safetensors", "g/broken.pt", "g/good.safetensors"));
  EXPECT_THAT(NotRead(), IsEmpty());
  const auto text = Run({"audit", "g"});
  EXPECT_EQ(text.exit_code, 3);
  EXPECT_THAT(text.out, EndsWith("3 files: 1 clean, 1 with warnings, 1 unreadable\n"
                                 "  warnings: g/bad.safetensors\n  unreadable: g/broken.pt\n"));
}

TEST_F(Folders, HoldEpochsInTheOrderOfTheirNumbers) {
  for (const char* name : {"epoch_10", "epoch_9", "epoch_100"})
    Put(kGood, "run/" + std::string(name) + ".safetensors");
  Put(kGood, "run/checkpoint-20/model.safetensors");
  Put(kGood, "run/checkpoint-3/model.safetensors");
  EXPECT_THAT(Audited({"run"}),
              ElementsAre("run/epoch_9.safetensors", "run/epoch_10.safetensors",
                          "run/epoch_100.safetensors", "run/checkpoint-3", "run/checkpoint-20"));
}

TEST_F(Folders, ThatAreOneCheckpointNameWhatWasLeftAlone) {
  Put(kGood, "hf/model.safetensors");
  Put(kBad, "hf/other.safetensors");
  folder_.Write("hf/optimizer.pt", "x");
  folder_.Write("hf/config.json", "{}");
  EXPECT_THAT(Audited({"hf"}), ElementsAre("hf/model.safetensors"));
  EXPECT_THAT(NotRead(), ElementsAre("hf/optimizer.pt", "hf/other.safetensors"));
  EXPECT_EQ(report_["inputs"][0]["status"], "ok");
}

TEST_F(Folders, OfASavedModelAreAllItsOwn) {
  EXPECT_THAT(Audited({std::string(CKPT_TESTDATA) + "/tf_graphs/tf2.15/served/1"}),
              ::testing::SizeIs(1));
  EXPECT_THAT(NotRead(), IsEmpty());
}

// Its prefix ends in a slash: the files are ".index" and ".data-00000-of-00001".
TEST_F(Folders, ThatAreABundleWithoutANameCountBelowOthersToo) {
  const std::string bundle =
      std::string(CKPT_TESTDATA) + "/tf1/mnist/trainable_only/model.ckpt-700";
  Put(bundle + ".index", "g/deep/.index");
  Put(bundle + ".data-00000-of-00001", "g/deep/.data-00000-of-00001");
  EXPECT_THAT(Audited({"-r", "g"}), ElementsAre("g/deep"));
  EXPECT_EQ(report_["inputs"][0]["status"], "ok");
}

TEST_F(Folders, AreLookedIntoBelowWithR) {
  Put(kGood, "g/a.safetensors");
  Put(kBad, "g/deep/er/b.safetensors");
  EXPECT_THAT(Audited({"g"}), ElementsAre("g/a.safetensors"));
  EXPECT_THAT(Audited({"-r", "g"}), ElementsAre("g/a.safetensors", "g/deep/er/b.safetensors"));
  EXPECT_EQ(Run({"audit", "-r", "g"}).exit_code, 1);
  Put(kBad, "g/deep/c.safetensors");
  EXPECT_THAT(Audited({"g"}), ElementsAre("g/a.safetensors"));
  EXPECT_THAT(NotRead(), ElementsAre("g/deep"));
}

TEST_F(Folders, HideNoCheckpointBehindADotButThoseOfGit) {
  Put(kGood, "g/a.safetensors");
  Put(kBad, "g/.b.safetensors");
  Put(kBad, "g/.cache/c.safetensors");
  Put(kBad, "g/.git/d.safetensors");
  Put(kBad, "g/e.safetensors.part");
  Put(kBad, "g/._a.safetensors");
  EXPECT_THAT(Audited({"g"}), ElementsAre("g/.b.safetensors", "g/a.safetensors"));
  EXPECT_THAT(NotRead(), ElementsAre("g/._a.safetensors", "g/.cache"));
  EXPECT_THAT(Audited({"-r", "g"}),
              ElementsAre("g/.b.safetensors", "g/a.safetensors", "g/.cache/c.safetensors"));
}

TEST_F(Folders, BehindLinksAreNotFollowedAndAFileOfTwoNamesCountsOnce) {
  Put(kGood, "g/a.safetensors");
  Put(kBad, "elsewhere/b.safetensors");
  fs::create_hard_link(folder_ / "g/a.safetensors", folder_ / "g/c.safetensors");
  fs::create_symlink("a.safetensors", folder_ / "g/d.safetensors");
  fs::create_directory_symlink(folder_ / "elsewhere", folder_ / "g/link");
  fs::create_directory_symlink(folder_ / "g", folder_ / "g/loop");
  EXPECT_THAT(Audited({"-r", "g"}), ElementsAre("g/a.safetensors"));
}

TEST_F(Folders, ThatCannotBeReadAreCounted) {
  if (::geteuid() == 0) GTEST_SKIP() << "root reads every folder";
  Put(kGood, "g/a.safetensors");
  fs::create_directories(folder_ / "g/locked");
  fs::permissions(folder_ / "g/locked", fs::perms::none);
  const auto run = Run({"audit", "-r", "g"});
  fs::permissions(folder_ / "g/locked", fs::perms::owner_all);
  EXPECT_EQ(run.exit_code, 4);
  EXPECT_THAT(run.out, HasSubstr("2 files: 1 clean, 1 unreadable"));
}

TEST_F(Folders, OfATensorFlowRunStandForItsLatestHoweverItIsNamed) {
  Put(std::string(CKPT_TESTDATA) + "/tf1/mnist/correct", "run");
  EXPECT_THAT(Audited({"run"}), ElementsAre("run"));
  EXPECT_THAT(report_["inputs"][0]["resolved"].get<std::string>(), EndsWith("model.ckpt-700"));
  EXPECT_THAT(Audited({"run/checkpoint", "run/model.ckpt-700.index", "run/model.ckpt-700.meta",
                       "run/model.ckpt-700.data-00000-of-00001", "run/model.ckpt-700"}),
              ElementsAre("run/checkpoint"));
}

TEST_F(Folders, OfBundlesWithoutAStateFileAreAllOfThem) {
  Put(std::string(CKPT_TESTDATA) + "/tf1/mnist/correct", "run");
  fs::remove(folder_ / "run/checkpoint");
  EXPECT_THAT(Audited({"run"}),
              ElementsAre("run/model.ckpt-300", "run/model.ckpt-400", "run/model.ckpt-500",
                          "run/model.ckpt-600", "run/model.ckpt-700", "run/reference.npz"));
}

TEST_F(Folders, WithoutACheckpointSaySo) {
  folder_.Write("g/README.md", "text");
  const auto run = Run({"audit", "g"});
  EXPECT_EQ(run.exit_code, 3);
  EXPECT_THAT(run.err, HasSubstr("holds no checkpoint"));
}

TEST_F(Folders, ListsMayEndNamesWithNul) {
  Put(kGood, "a\nb.safetensors");
  folder_.Write("list", std::string("a\nb.safetensors\0", 16));
  EXPECT_THAT(Audited({"-0", "--files-from", "list"}), ElementsAre("a\nb.safetensors"));
}

TEST(Nearest, KnowsSlipsOfTheKeyboard) {
  const std::vector<std::string> words = {"audit", "convert", "diff", "inspect"};
  EXPECT_EQ(cli::Nearest("audti", words), "audit");
  EXPECT_EQ(cli::Nearest("AUDIT", words), "audit");
  EXPECT_EQ(cli::Nearest("covnrt", words), "convert");
  EXPECT_EQ(cli::Nearest("dif", words), "diff");
  EXPECT_EQ(cli::Nearest("xyz", words), "");
  EXPECT_EQ(cli::Nearest(std::string(100'000, 'a'), words), "");
}

TEST(Typos, NameTheWordAndTheNearestOne) {
  const auto refusal = [](const std::vector<std::string>& arguments) {
    const auto run = testing::Ckpt(arguments);
    EXPECT_EQ(run.exit_code, 2);
    EXPECT_THAT(run.err, ::testing::StartsWith("ckpt: "));
    return run.err;
  };
  EXPECT_THAT(refusal({"audti", "x"}), HasSubstr("\"audti\"; did you mean audit?"));
  EXPECT_THAT(refusal({"audit", "--fromat=json", "x"}),
              HasSubstr("\"--fromat\" of audit; did you mean --format?"));
  EXPECT_THAT(refusal({"audit", "--format", "jsn", "x"}), HasSubstr("did you mean json?"));
  EXPECT_THAT(refusal({"audit", "--from", "torhc", "x"}), HasSubstr("did you mean torch?"));
  EXPECT_THAT(refusal({"audit", "--rule", "BN20", "x"}), HasSubstr("did you mean BN020?"));
  EXPECT_THAT(refusal({"verify", "--with", "tensroflow", "x", "y"}),
              HasSubstr("did you mean tensorflow?"));
  EXPECT_THAT(refusal({"explain", "never-updatde"}), HasSubstr("did you mean never-updated?"));
  EXPECT_THAT(refusal({"audit", "--epsilon=-1", "x"}), HasSubstr("--epsilon: -1 is negative"));
  EXPECT_THAT(refusal({"verify", "a", "b", "c"}), HasSubstr("\"c\""));
  EXPECT_THAT(refusal({}), HasSubstr("a command is needed: inspect, audit"));
  EXPECT_THAT(refusal({"help", "audt"}), HasSubstr("did you mean audit?"));
}

TEST(Typos, InTheFormOfAReportWriteNoFileOfThatName) {
  const testing::TemporaryFolder folder;
  testing::ProgramOptions options;
  options.folder = folder.path();
  const auto run = testing::Ckpt({"audit", kGood, "--report", "sarrif:out.sarif"}, options);
  EXPECT_EQ(run.exit_code, 2);
  EXPECT_THAT(run.err, HasSubstr("did you mean sarif?"));
  EXPECT_TRUE(fs::is_empty(folder.path()));
  EXPECT_EQ(testing::Ckpt({"audit", kGood, "--report", "./a:b"}, options).exit_code, 0);
  EXPECT_TRUE(fs::exists(folder / "a:b"));
}

TEST(Names, OfNoFileGetASentenceThatGetsOn) {
  const auto refusal = [](const std::string& name) {
    const auto run = testing::Ckpt({"inspect", name});
    EXPECT_EQ(run.exit_code, 3) << name;
    return run.err;
  };
  EXPECT_THAT(refusal("-"), HasSubstr("save it to a file first"));
  EXPECT_THAT(refusal("abfs://container/m.pt"), HasSubstr("fetch it first"));
  EXPECT_EQ(testing::Ckpt({"inspect", "no/such"}).exit_code, 4);
  const testing::TemporaryFolder folder;
  const auto convert =
      testing::Ckpt({"convert", "keras_h5/bn_conv_same_no_shift.h5", (folder / "x.onnx").string()});
  EXPECT_EQ(convert.exit_code, 3);
  EXPECT_THAT(convert.err, HasSubstr("tf2onnx"));
}

TEST(Help, IsACommandToo) {
  EXPECT_EQ(testing::Ckpt({"help", "audit"}).out, testing::Ckpt({"audit", "--help"}).out);
  EXPECT_EQ(testing::Ckpt({"help"}).out, testing::Ckpt({"--help"}).out);
  EXPECT_EQ(testing::Ckpt({"-V"}).out, testing::Ckpt({"--version"}).out);
}

TEST(Rules, AreKnownInAnyCase) {
  EXPECT_EQ(testing::Ckpt({"explain", "bn010"}).out, testing::Ckpt({"explain", "BN010"}).out);
  EXPECT_EQ(testing::Ckpt({"audit", "--no-rule", "bn011", kBad}).exit_code, 0);
  EXPECT_EQ(testing::Ckpt({"audit", "--rule", "Bn011", kBad}).exit_code, 1);
}

TEST(Pipe, ThatNobodyReadsIsNoNews) {
  testing::ProgramOptions options;
  options.in_child = [] {
    int ends[2];
    if (::pipe(ends) != 0) return;
    ::dup2(ends[1], STDOUT_FILENO);
    ::close(ends[0]);
    ::close(ends[1]);
  };
  const auto run = testing::Ckpt({"inspect", kGood}, options);
  EXPECT_EQ(run.exit_code, 4);
  EXPECT_EQ(run.err, "");
}

}  // namespace
}  // namespace ckpt
