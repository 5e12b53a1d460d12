// What folders and lists of names stand for, and what a mistyped word is answered with.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <nlohmann/json.hpp>

#include "cli/nearest.h"
#include "tests/cli/ckpt_program.h"
#include "tests/support/paths.h"
#include "tests/support/temporary_folder.h"

namespace ckpt::many_inputs_test {
namespace {

namespace fs = std::filesystem;
using nlohmann::json;
using ::testing::ElementsAre;
using ::testing::EndsWith;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::Not;

const std::string kGood = ckpt::testing::TestData() + "/safetensors/torch_good.safetensors";
const std::string kBad =
    ckpt::testing::TestData() + "/safetensors/torch_never_updated_tracked_0.safetensors";

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
  EXPECT_THAT(Audited({ckpt::testing::TestData() + "/tf_graphs/tf2.15/served/1"}),
              ::testing::SizeIs(1));
  EXPECT_THAT(NotRead(), IsEmpty());
}

// Its prefix ends in a slash: the files are ".index" and ".data-00000-of-00001".
TEST_F(Folders, ThatAreABundleWithoutANameCountBelowOthersToo) {
  const std::string bundle = ckpt::testing::TestData() + "/tf1/mnist/trainable_only/model.ckpt-700";
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
  EXPECT_THAT(NotRead(), ElementsAre("g/link", "g/loop"));
}

TEST_F(Folders, OfEpochsNameWhatLiesBesideEachCheckpoint) {
  for (const std::string epoch : {"run/checkpoint-2/", "run/checkpoint-10/"}) {
    Put(kGood, epoch + "model.safetensors");
    Put(kBad, epoch + "other.safetensors");
    folder_.Write(epoch + "optimizer.pt", "x");
  }
  EXPECT_THAT(Audited({"run"}), ElementsAre("run/checkpoint-2", "run/checkpoint-10"));
  EXPECT_THAT(NotRead(),
              ElementsAre("run/checkpoint-2/optimizer.pt", "run/checkpoint-2/other.safetensors",
                          "run/checkpoint-10/optimizer.pt", "run/checkpoint-10/other.safetensors"));
}

TEST_F(Folders, OfManyEpochsListAFewFilesThatWereNotReadAndCountTheOthers) {
  for (int epoch = 1; epoch <= 7; ++epoch) {
    const std::string name = "run/checkpoint-" + std::to_string(epoch);
    Put(kGood, name + "/model.safetensors");
    folder_.Write(name + "/optimizer.pt", "x");
  }
  const std::string text = Run({"audit", "run"}).out;
  EXPECT_THAT(text, HasSubstr("not read: 7\n"));
  EXPECT_THAT(text, HasSubstr("run/checkpoint-5/optimizer.pt"));
  EXPECT_THAT(text, Not(HasSubstr("run/checkpoint-6/optimizer.pt")));
  EXPECT_THAT(text, EndsWith("  and 2 more: a companion of a checkpoint\n"));
  EXPECT_THAT(Run({"audit", "-v", "run"}).out, HasSubstr("run/checkpoint-7/optimizer.pt"));
}

TEST_F(Folders, OfSeveralCheckpointsAreListedWhereOneIsTaken) {
  for (const char* name : {"run/epoch_9", "run/epoch_10"})
    Put(kGood, std::string(name) + ".safetensors");
  Put(kGood, "single/model_best.safetensors");
  const std::string several =
      "run: holds 2 checkpoints, and one is taken here; name one: "
      "epoch_10.safetensors, epoch_9.safetensors";
  for (const std::vector<std::string>& arguments :
       {std::vector<std::string>{"convert", "run", "out.npz"},
        {"diff", "single", "run"},
        {"verify", "run", "single"},
        {"calibrate", "run", "out.npz", "--statistics-from", "single"},
        {"audit", "single", "--since", "run"}}) {
    const auto run = Run(arguments);
    EXPECT_EQ(run.exit_code, 2) << arguments[0];
    EXPECT_THAT(run.err, HasSubstr(several)) << arguments[0];
  }
  EXPECT_FALSE(fs::exists(folder_ / "out.npz"));
}

TEST_F(Folders, OfASingleCheckpointStandForIt) {
  Put(ckpt::testing::TestData() + "/torch/state_dict.pt", "single/weights_only.pt");
  folder_.Write("single/notes.txt", "text");
  const auto run = Run({"convert", "single", "out.npz"});
  EXPECT_EQ(run.exit_code, 0) << run.err;
  EXPECT_THAT(run.out, HasSubstr("the only checkpoint in the folder is single/weights_only.pt"));
  EXPECT_EQ(Run({"diff", "single", "single/weights_only.pt"}).exit_code, 0);
}

TEST_F(Folders, WithCheckpointsInFoldersBelowAloneNameTheOptionThatReadsThem) {
  Put(kGood, "g/a/x.safetensors");
  Put(kGood, "g/b/y.safetensors");
  const auto audit = Run({"audit", "g"});
  EXPECT_EQ(audit.exit_code, 3);
  EXPECT_THAT(audit.err,
              HasSubstr("holds no checkpoint directly; -r reads those in its folders: a/, b/"));
  const auto convert = Run({"convert", "g", "out.npz"});  // which has no -r
  EXPECT_EQ(convert.exit_code, 3);
  EXPECT_THAT(convert.err, HasSubstr("name one of the folders in it: "));
  EXPECT_EQ(Run({"audit", "-r", "g"}).exit_code, 0);
}

TEST_F(Folders, OfAHubsCacheStandForTheMainRevisionUnderItsName) {
  Put(kGood, "hub/models--o--n/blobs/0a1b");
  folder_.Write("hub/models--o--n/refs/main", "abc");
  for (const std::string revision : {"abc", "def"}) {
    const fs::path snapshot = folder_ / ("hub/models--o--n/snapshots/" + revision);
    fs::create_directories(snapshot);
    fs::create_symlink("../../blobs/0a1b", snapshot / "model.safetensors");
  }
  EXPECT_THAT(Audited({"hub/models--o--n"}),
              ElementsAre("hub/models--o--n/snapshots/abc/model.safetensors"));
  EXPECT_THAT(NotRead(), ElementsAre("hub/models--o--n/snapshots/def"));
  EXPECT_THAT(Audited({"-r", "hub"}),
              ElementsAre("hub/models--o--n/snapshots/abc/model.safetensors"));
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
  Put(ckpt::testing::TestData() + "/tf1/mnist/correct", "run");
  EXPECT_THAT(Audited({"run"}), ElementsAre("run"));
  EXPECT_THAT(report_["inputs"][0]["resolved"].get<std::string>(), EndsWith("model.ckpt-700"));
  EXPECT_THAT(Audited({"run/checkpoint", "run/model.ckpt-700.index", "run/model.ckpt-700.meta",
                       "run/model.ckpt-700.data-00000-of-00001", "run/model.ckpt-700"}),
              ElementsAre("run/checkpoint"));
}

TEST_F(Folders, OfBundlesWithoutAStateFileAreAllOfThem) {
  Put(ckpt::testing::TestData() + "/tf1/mnist/correct", "run");
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
  const auto without = Run({"audit", "--files-from", "list"});
  EXPECT_EQ(without.exit_code, 2);
  EXPECT_THAT(without.err, HasSubstr("-0 reads such a list"));
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
  EXPECT_THAT(refusal({"explain", "bn1"}), HasSubstr("did you mean BN001?"));
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
  EXPECT_THAT(refusal("/dev/null"), HasSubstr("save it to a file first"));
  EXPECT_THAT(refusal("abfs://container/m.pt"), HasSubstr("fetch it first"));
  EXPECT_EQ(testing::Ckpt({"inspect", "no/such"}).exit_code, 4);
}

// What cannot be written is answered with the command that makes it, and with no plan before.
TEST(Outputs, ThatCannotBeWrittenGetASentenceThatGetsOn) {
  const testing::TemporaryFolder folder;
  const auto refusal = [&](const std::string& input, const std::string& output, int code,
                           const std::vector<std::string>& more = {}) {
    std::vector<std::string> arguments = {"convert", input, (folder / output).string()};
    arguments.insert(arguments.end(), more.begin(), more.end());
    const auto run = testing::Ckpt(arguments);
    EXPECT_EQ(run.exit_code, code) << output;
    EXPECT_THAT(run.out, Not(HasSubstr("kept"))) << output;
    EXPECT_TRUE(fs::is_empty(folder.path())) << output;
    return run.err;
  };
  const std::string keras = "keras_h5/bn_conv_same_no_shift.h5", torch = "torch/state_dict.pt";
  EXPECT_THAT(refusal(keras, "x.onnx", 3), HasSubstr("python -m tf2onnx.convert --keras " + keras));
  EXPECT_THAT(refusal(torch, "x.onnx", 3), HasSubstr("torch.onnx.export(model.eval()"));
  EXPECT_THAT(refusal(keras, "1", 3, {"--to", "saved-model"}), HasSubstr("model.export("));
  EXPECT_THAT(refusal(torch, "1", 3, {"--to", "saved-model"}), HasSubstr("torch.onnx.export"));
  EXPECT_THAT(refusal(torch, "x.tflite", 2), HasSubstr("tf.lite.TFLiteConverter"));
  EXPECT_THAT(refusal(torch, "serving", 2), HasSubstr("--to saved-model writes a folder"));
  EXPECT_THAT(refusal(torch, "x.best", 2), HasSubstr(".safetensors"));
  EXPECT_THAT(refusal("tf1/mnist/correct/model.ckpt-300", "1", 3, {"--to", "saved-model"}),
              HasSubstr("--graph tf1/mnist/correct/model.ckpt-700.meta"));
}

TEST(Notes, NameLayersWithCodeInModelsOfHdf5Too) {
  EXPECT_THAT(testing::Ckpt({"inspect", "keras_h5/lambda_layer.h5"}).out,
              HasSubstr("code is not Keras' own, none of which was run: Lambda"));
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
}  // namespace ckpt::many_inputs_test
