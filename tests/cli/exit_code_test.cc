// Every exit code, met the way a user meets it.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/resource.h>

#include <algorithm>
#include <csignal>
#include <filesystem>
#include <nlohmann/json.hpp>

#include "tests/cli/ckpt_program.h"
#include "tests/support/paths.h"

namespace ckpt::testing::exit_code_test {
namespace {

using ::testing::HasSubstr;
using ::testing::IsEmpty;

constexpr const char* kGoodModel = "keras_h5/conv2d_bn.h5";
constexpr const char* kNoStatistics = "tf1/mnist/trainable_only";

TEST(ExitCode, ZeroForAGoodCheckpoint) {
  const auto result = Ckpt({"audit", kGoodModel});
  EXPECT_EQ(result.exit_code, 0) << result.out;
  EXPECT_THAT(result.err, IsEmpty());
}

TEST(ExitCode, OneForFindings) {
  const auto result = Ckpt({"audit", kNoStatistics});
  EXPECT_EQ(result.exit_code, 1);
  EXPECT_THAT(result.out, HasSubstr("BN001"));
}

TEST(ExitCode, FailOnMovesTheThreshold) {
  EXPECT_EQ(Ckpt({"audit", "--fail-on", "never", kNoStatistics}).exit_code, 0);
  EXPECT_EQ(Ckpt({"audit", "--fail-on", "error", kNoStatistics}).exit_code, 1);
}

TEST(ExitCode, OneForDifferencesZeroForNone) {
  EXPECT_EQ(Ckpt({"diff", kGoodModel, kGoodModel}).exit_code, 0);
  EXPECT_EQ(Ckpt({"diff", kGoodModel, "keras_h5/conv2d_bn_square.h5"}).exit_code, 1);
}

TEST(ExitCode, TwoForUsage) {
  EXPECT_EQ(Ckpt({}).exit_code, 2);
  EXPECT_EQ(Ckpt({"audit"}).exit_code, 2);
  EXPECT_EQ(Ckpt({"audit", "--no-such-option", kGoodModel}).exit_code, 2);
  EXPECT_EQ(Ckpt({"audit", "--from", "no-such-format", kGoodModel}).exit_code, 2);
  EXPECT_EQ(Ckpt({"audit", "--rule", "BN999", kGoodModel}).exit_code, 2);
  EXPECT_EQ(Ckpt({"explain", "BN999"}).exit_code, 2);
  EXPECT_EQ(Ckpt({"convert", kGoodModel, "/tmp/no_suffix_no_format"}).exit_code, 2);
  EXPECT_EQ(Ckpt({"diff", kGoodModel}).exit_code, 2);
}

// {"nnn...": {"00": 0, "01": 0, ...}} in MessagePack.
TEST(ExitCode, FourForALimitAndItsOptionIsNamed) {
  const TemporaryFolder folder;
  std::string bytes = "\x81\xda\xea\x60" + std::string(60000, 'n') + "\xde\x04\xb0";
  for (int i = 0; i < 1200; ++i) bytes += "\xa4" + std::to_string(1000 + i) + "\x01";
  WriteFile(folder / "long_names.msgpack", bytes);
  const auto refused = Ckpt({"inspect", (folder / "long_names.msgpack").string()});
  EXPECT_EQ(refused.exit_code, 4);
  EXPECT_THAT(refused.err, HasSubstr("--memory SIZE raises this limit"));
  const auto raised =
      Ckpt({"audit", "--memory", "200MB", (folder / "long_names.msgpack").string()});
  EXPECT_EQ(raised.exit_code, 0) << raised.err;
}

TEST(ExitCode, ThreeForMalformedInput) {
  const TemporaryFolder folder;
  WriteFile(folder / "bad.safetensors", std::string("\x10\0\0\0\0\0\0\0{\"w\": 1}", 16));
  WriteFile(folder / "empty.h5", "");
  WriteFile(folder / "text.txt", "no checkpoint at all\n");
  for (const char* name : {"bad.safetensors", "empty.h5", "text.txt"}) {
    const auto result = Ckpt({"inspect", folder / name});
    EXPECT_EQ(result.exit_code, 3) << name << result.err;
    EXPECT_THAT(result.err, HasSubstr(name));
    EXPECT_EQ(std::count(result.err.begin(), result.err.end(), '\n'), 1) << result.err;
  }
}

TEST(ExitCode, ThreeForAGitLfsPointer) {
  const TemporaryFolder folder;
  WriteFile(folder / "model.h5",
            "version https://git-lfs.github.com/spec/v1\noid sha256:abc\nsize 12\n");
  const auto result = Ckpt({"audit", folder / "model.h5"});
  EXPECT_EQ(result.exit_code, 3);
  EXPECT_THAT(result.err, HasSubstr("Git LFS pointer"));
}

TEST(ExitCode, ThreeForAConversionWithoutStatistics) {
  const TemporaryFolder folder;
  const auto result = Ckpt({"convert", kNoStatistics, folder / "out.npz"});
  EXPECT_EQ(result.exit_code, 3);
  EXPECT_THAT(result.err, HasSubstr("block1/bn"));
  EXPECT_THAT(folder.Names(), IsEmpty());
}

// Whatever the format, and whether or not anything proves which layer the batch norm follows.
TEST(ExitCode, ThreeForAFoldOfWhatIsServedInTrainingMode) {
  for (const char* input :
       {"torch_modules/traced_in_training.pt", "onnx/training_opset6.onnx",
        "onnx/training_opset15.onnx", "keras_training/k2_called_in_training_functional.h5",
        "keras_training/k2_called_in_training_sequential.keras"}) {
    const TemporaryFolder folder;
    const std::string output = (folder / "out.npz").string();
    std::vector<std::string> arguments = {"convert", "--bn", "fold", "--format",
                                          "json",    input,  output};
    const ProgramResult refused = Ckpt(arguments);
    EXPECT_EQ(refused.exit_code, 3) << input;
    EXPECT_THAT(refused.err, HasSubstr("--close-training-mode")) << input;
    EXPECT_FALSE(std::filesystem::exists(output)) << input;
    arguments.emplace_back("--close-training-mode");
    const ProgramResult closed = Ckpt(arguments);
    ASSERT_EQ(closed.exit_code, 0) << closed.err;
    const auto report = nlohmann::json::parse(closed.out);
    EXPECT_FALSE(report["changed"].empty()) << input;
    EXPECT_TRUE(report["kept"].empty()) << input;
    const auto record = nlohmann::json::parse(ckpt::testing::ReadFile(output + ".ckpt.json"));
    EXPECT_EQ(record["changed"], report["changed"]) << input;
  }
  const TemporaryFolder folder;  // predict() of Keras 3 overrides the call
  EXPECT_EQ(
      Ckpt({"convert", "--bn", "fold", "keras_training/k3_called_in_training_functional.keras",
            (folder / "out.npz").string()})
          .exit_code,
      0);
}

TEST(ExitCode, FourForAFileThatIsNotThere) {
  const auto result = Ckpt({"audit", "no/such/file.h5"});
  EXPECT_EQ(result.exit_code, 4);
  EXPECT_THAT(result.err, HasSubstr("no/such/file.h5"));
}

TEST(ExitCode, FourForAFullStdout) {
  ProgramOptions options;
  options.stdout_path = "/dev/full";
  EXPECT_EQ(Ckpt({"inspect", kGoodModel}, options).exit_code, 4);
  EXPECT_EQ(Ckpt({"explain"}, options).exit_code, 4);
}

TEST(ExitCode, TheHighestOfSeveralInputsAndEachIsReported) {
  const auto result =
      Ckpt({"audit", "--format", "json", kNoStatistics, "no/such/file", kGoodModel});
  EXPECT_EQ(result.exit_code, 4);
  const auto json = nlohmann::json::parse(result.out);
  ASSERT_EQ(json["inputs"].size(), 3U);
  EXPECT_EQ(json["inputs"][1]["status"], "error");
  EXPECT_EQ(json["inputs"][2]["status"], "ok");
  EXPECT_TRUE(json["inputs"][2]["findings"].is_array());
}

TEST(Output, ExistingIsKeptWithoutForce) {
  const TemporaryFolder folder;
  WriteFile(folder / "out.npz", "precious");
  EXPECT_EQ(Ckpt({"convert", kGoodModel, folder / "out.npz"}).exit_code, 2);
  EXPECT_EQ(Ckpt({"convert", "--dry-run", kGoodModel, folder / "out.npz"}).exit_code, 2);
  EXPECT_EQ(ReadFile(folder / "out.npz"), "precious");
  EXPECT_EQ(folder.Names(), std::vector<std::string>{"out.npz"});
  EXPECT_EQ(Ckpt({"convert", "--force", kGoodModel, folder / "out.npz"}).exit_code, 0);
  EXPECT_NE(ReadFile(folder / "out.npz"), "precious");
}

TEST(Output, OverItsOwnInputIsRefused) {
  const TemporaryFolder folder;
  std::filesystem::copy(std::filesystem::path(ckpt::testing::TestData()) / kGoodModel,
                        folder.path() / "model.h5");
  std::filesystem::create_symlink("model.h5", folder.path() / "link.h5");
  const std::string before = ReadFile(folder / "model.h5");
  EXPECT_EQ(Ckpt({"convert", "--force", folder / "model.h5", folder / "model.h5"}).exit_code, 2);
  EXPECT_EQ(Ckpt({"convert", "--force", folder / "model.h5", folder / "link.h5"}).exit_code, 2);
  EXPECT_EQ(ReadFile(folder / "model.h5"), before);
}

TEST(Output, NothingIsLeftWhenTheDiskIsFull) {
  for (const char* name : {"out.npz", "out.safetensors", "out.h5", "out.ckpt"}) {
    const TemporaryFolder folder;
    ProgramOptions options;
    options.in_child = [] {
      std::signal(SIGXFSZ, SIG_IGN);
      const rlimit limit{1024, 1024};
      ::setrlimit(RLIMIT_FSIZE, &limit);
    };
    options.stdout_path = "/dev/null";
    const auto result = Ckpt({"convert", "--to",
                              std::string(name) == "out.npz"           ? "npz"
                              : std::string(name) == "out.safetensors" ? "safetensors"
                              : std::string(name) == "out.h5"          ? "keras-h5"
                                                                       : "tf-bundle",
                              kGoodModel, folder / name},
                             options);
    EXPECT_EQ(result.exit_code, 4) << name << ": " << result.err;
    EXPECT_THAT(folder.Names(), IsEmpty()) << name;
  }
}

TEST(Output, TheSameBytesEachTime) {
  for (const char* name : {"out.npz", "out.safetensors", "out.h5"}) {
    const TemporaryFolder one, two;
    ASSERT_EQ(Ckpt({"convert", "--bn", "fold", kGoodModel, one / name}).exit_code, 0) << name;
    ASSERT_EQ(Ckpt({"convert", "--bn", "fold", kGoodModel, two / name}).exit_code, 0) << name;
    EXPECT_EQ(ReadFile(one / name), ReadFile(two / name)) << name;
  }
}

TEST(Graph, OfAnotherFileProvesAFold) {
  const TemporaryFolder folder;
  ASSERT_EQ(Ckpt({"convert", kGoodModel, folder / "names.npz"}).exit_code, 0);
  const auto without =
      Ckpt({"convert", "--bn", "fold", "--strict", folder / "names.npz", folder / "no.npz"});
  EXPECT_EQ(without.exit_code, 3) << without.out;
  const auto with = Ckpt({"convert", "--bn", "fold", "--strict", "--graph", kGoodModel,
                          folder / "names.npz", folder / "folded.npz"});
  EXPECT_EQ(with.exit_code, 0) << with.err;
  ASSERT_EQ(Ckpt({"convert", "--bn", "fold", kGoodModel, folder / "direct.npz"}).exit_code, 0);
  EXPECT_EQ(folder.Read("folded.npz"), folder.Read("direct.npz"));
  EXPECT_EQ(
      Ckpt({"audit", "--graph", "keras_h5/conv2d_bn_square.h5", folder / "names.npz"}).exit_code,
      3);
}

TEST(Help, WordsOfAChoiceAreNamed) {
  for (const char* command : {"inspect", "audit", "convert", "diff"}) {
    const std::string help = Ckpt({command, "--help"}).out;
    EXPECT_THAT(help, HasSubstr("json, jsonl, "));
    const auto is_control = [](char c) { return c >= 0 && c < ' ' && c != '\n'; };
    EXPECT_EQ(std::count_if(help.begin(), help.end(), is_control), 0) << command;
  }
  const auto result = Ckpt({"inspect", "--format", "xml", "x"});
  EXPECT_EQ(result.exit_code, 2);
  EXPECT_THAT(result.err,
              HasSubstr("\"xml\" is none of concise, html, json, jsonl, markdown, text"));
}

TEST(Help, EveryLevelHasAnExample) {
  EXPECT_THAT(Ckpt({"--help"}).out, HasSubstr("Example:"));
  for (const char* command : {"inspect", "audit", "convert", "diff", "explain"}) {
    const auto result = Ckpt({command, "--help"});
    EXPECT_EQ(result.exit_code, 0);
    EXPECT_THAT(result.out, HasSubstr("Example:")) << command;
    EXPECT_THAT(result.err, IsEmpty());
  }
  EXPECT_EQ(Ckpt({"--version"}).exit_code, 0);
}

}  // namespace
}  // namespace ckpt::testing::exit_code_test
