// ckpt verify --with: which program is started on what, and when none is.
#include "cli/second_opinion.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/stat.h>

#include <cstdlib>
#include <nlohmann/json.hpp>

#include "ckpt/verify.h"
#include "cli/npy_text.h"
#include "tests/cli/ckpt_program.h"

namespace ckpt::cli::second_opinion_test {
namespace {

namespace fs = std::filesystem;
using ckpt::testing::Ckpt;
using ckpt::testing::ProgramOptions;
using ckpt::testing::ProgramResult;
using ckpt::testing::TemporaryFolder;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::Not;

const std::string kModel = "onnx/conv2d_bn.onnx";

// A program that stands in for Python.
fs::path Stand(const TemporaryFolder& folder, const std::string& name, const std::string& script) {
  folder.Write(name, "#!/bin/bash\n" + script + "\n");
  fs::permissions(folder / name, fs::perms::owner_all);
  return folder / name;
}

ProgramResult Verify(const std::vector<std::string>& more) {
  std::vector<std::string> arguments = {"verify", kModel, kModel, "--format", "json"};
  arguments.insert(arguments.end(), more.begin(), more.end());
  return Ckpt(arguments);
}

TEST(SecondOpinion, WithoutTheOptionNoPythonIsStarted) {
  const TemporaryFolder folder;
  Stand(folder, "python3", "touch " + (folder / "started").string());
  ProgramOptions options;
  options.in_child = [&] { ::setenv("PATH", folder.path().c_str(), 1); };
  EXPECT_EQ(Ckpt({"verify", kModel, kModel}, options).exit_code, 0);
  EXPECT_THAT(folder.Names(), ::testing::ElementsAre("python3"));
  // The same program is found where it is asked for. It may write nowhere, so that it says so.
  Stand(folder, "python3", "echo was started >&2; exit 1");
  const ProgramResult asked = Ckpt({"verify", kModel, kModel, "--with", "onnxruntime"}, options);
  EXPECT_EQ(asked.exit_code, 3);
  EXPECT_THAT(asked.err, HasSubstr((folder / "python3").string() + " runs onnxruntime on " +
                                   kModel + " (A)\n"));
  EXPECT_THAT(asked.err, HasSubstr("ckpt: was started\n"));
}

TEST(SecondOpinion, IsAskedInIsolationWithTheInputsOfOurRun) {
  const TemporaryFolder folder;
  const auto python = Stand(
      folder, "p", "echo \"$1 $2 $(head -c 20 \"$3\" | tr '\\n\"' '  ') $(cat \"$4\")\"; exit 1");
  const auto report =
      nlohmann::json::parse(Verify({"--with", "onnxruntime", "--python", python}).out);
  const std::string said = report["second_opinion"]["sides"][0]["not_run"];
  EXPECT_THAT(said, HasSubstr("-I -B    Runs one file by"));
  EXPECT_THAT(said, HasSubstr("\"framework\":\"onnxruntime\""));
  EXPECT_THAT(said, HasSubstr("\"name\":\"x\""));
}

TEST(SecondOpinion, TheLastLineOfWhatFailsIsQuotedEscapedAndCut) {
  const TemporaryFolder folder;
  const auto python = Stand(folder, "p", "echo first; printf '\\033[31m%.0s' {1..500}; exit 1");
  const ProgramResult result = Verify({"--with", "onnxruntime", "--python", python});
  EXPECT_EQ(result.exit_code, 3);
  EXPECT_THAT(result.err, HasSubstr("\\x1b[31m"));
  EXPECT_THAT(result.err, Not(HasSubstr("\033")));
  EXPECT_THAT(result.err, Not(HasSubstr("first")));
  EXPECT_LT(result.err.size(), 4000U);
}

TEST(SecondOpinion, AnAnswerThatIsNoneCannotBeTold) {
  const TemporaryFolder folder;
  for (const char* answer : {"true", "echo no npz > outputs.npz", "mkfifo outputs.npz version",
                             "ln -s /dev/zero outputs.npz", "kill -SEGV $$"}) {
    const auto python = Stand(folder, "p", answer);
    const ProgramResult result = Verify({"--with", "onnxruntime", "--python", python});
    EXPECT_EQ(result.exit_code, 3) << answer << result.err;
    EXPECT_EQ(nlohmann::json::parse(result.out)["verdict"], "cannot tell") << answer;
  }
}

TEST(SecondOpinion, ItsScratchFolderIsGoneAfterwards) {
  const TemporaryFolder folder;
  fs::create_directory(folder / "tmp");
  const auto python = Stand(folder, "p", "echo left > left; exit 1");
  ProgramOptions options;
  options.in_child = [&] { ::setenv("TMPDIR", (folder / "tmp").c_str(), 1); };
  Ckpt({"verify", kModel, kModel, "--with", "onnxruntime", "--python", python}, options);
  EXPECT_TRUE(fs::is_empty(folder / "tmp"));
}

TEST(SecondOpinion, WhatCannotBeAskedIsSaidBeforeAnythingIsRun) {
  const ProgramResult neither = Verify({"--with", "keras"});
  EXPECT_EQ(neither.exit_code, 2);
  EXPECT_THAT(neither.err, HasSubstr("whole models in .keras and .h5 files"));
  EXPECT_EQ(Verify({"--with", "caffe"}).exit_code, 2);
  EXPECT_EQ(Verify({"--trust-input"}).exit_code, 2);
  EXPECT_EQ(Verify({"--with", "onnxruntime", "--until", "conv"}).exit_code, 2);
  const ProgramResult missing = Verify({"--with", "onnxruntime", "--python", "/no/python"});
  EXPECT_EQ(missing.exit_code, 3);
  EXPECT_EQ(missing.err, "ckpt: --python: \"/no/python\" is no program\n");
}

Verification Found(Verdict verdict) {
  Verification found;
  found.verdict = verdict;
  return found;
}
SecondOpinion Opinion(double max_abs, double allowed) {
  FrameworkRun run{true, "1", {}, false, {{"y", 1, max_abs, allowed}}};
  return {"torch", {run}, {}};
}

TEST(SecondOpinion, WhatWasTheSameCannotBeToldWhereTheFrameworkYieldsSomethingElse) {
  Verification agrees = Found(Verdict::kSameUpToRounding);
  Weigh(Opinion(1e-5, 1e-4), agrees);
  EXPECT_EQ(agrees.verdict, Verdict::kSameUpToRounding);
  EXPECT_THAT(agrees.reason, IsEmpty());
  Verification doubted = Found(Verdict::kSame);
  Weigh(Opinion(0.25, 1e-4), doubted);
  EXPECT_EQ(doubted.verdict, Verdict::kCannotTell);
  EXPECT_EQ(doubted.reason,
            "torch yields \"y\" of B 0.25 away from our own run, where rounding explains 0.0001");
  Verification different = Found(Verdict::kDifferent);
  Weigh(Opinion(0.25, 1e-4), different);
  EXPECT_EQ(different.verdict, Verdict::kDifferent);
}

TEST(SecondOpinion, InputsAreWrittenAsNumPyReadsThem) {
  const std::string text = NpyText({{2, 1}, {1.5, -2}, network::ElementKind::kReal});
  EXPECT_EQ(text.substr(0, 8), std::string("\x93NUMPY\x01\x00", 8));
  EXPECT_THAT(text, HasSubstr("'descr': '<f4', 'fortran_order': False, 'shape': (2, 1, ), }"));
  EXPECT_EQ(text.size() % 64, 8U);
  EXPECT_EQ(text.substr(text.size() - 8), std::string("\0\0\xc0\x3f\0\0\0\xc0", 8));
  EXPECT_THAT(NpyText({{1}, {0.1}, network::ElementKind::kReal}), HasSubstr("'<f8'"));
  EXPECT_THAT(NpyText({{1}, {7}, network::ElementKind::kInteger}), HasSubstr("'<i8'"));
  EXPECT_THAT(NpyText({{}, {1}, network::ElementKind::kBoolean}), HasSubstr("'|b1'"));
}

}  // namespace
}  // namespace ckpt::cli::second_opinion_test
