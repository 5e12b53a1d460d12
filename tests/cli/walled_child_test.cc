// What somebody else's program finds around it, and how it is ended.
#include "cli/walled_child.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/wait.h>

#include <cstdlib>

#include "tests/support/program.h"

namespace ckpt::cli::walled_child_test {
namespace {

namespace fs = std::filesystem;
using ckpt::testing::TemporaryFolder;
using ::testing::HasSubstr;
using ::testing::Not;

class WalledChild : public ::testing::Test {
 protected:
  WalledChild() { fs::create_directory(folder_ / "work"); }

  Result<WalledResult> Run(const std::string& script,
                           std::chrono::milliseconds most = std::chrono::minutes{1}) {
    WalledProgram program;
    program.command = {"/bin/bash", "-c", script};
    program.folder = folder_ / "work";
    program.output = folder_ / "printed";
    program.wall_clock = most;
    fs::remove(program.output);
    return RunWalled(program);
  }
  std::string Printed() const { return folder_.Read("printed"); }

  // The process whose number the file in the working folder holds. It may be a zombie for a moment,
  // until init has reaped it.
  bool IsGone(const std::string& file) const {
    const pid_t process = std::atoi(folder_.Read("work/" + file).c_str());
    if (process <= 0) return false;
    for (int i = 0; i < 100; ++i) {
      const std::string stat =
          ckpt::testing::ReadFile("/proc/" + std::to_string(process) + "/stat");
      if (stat.empty() || stat.find(") Z ") != std::string::npos) return true;
      ::usleep(10000);
    }
    return false;
  }

  TemporaryFolder folder_;
};

TEST_F(WalledChild, HasACleanedEnvironmentAnEmptyFolderAndNoDescriptors) {
  ::setenv("CKPT_TEST_SECRET", "x", 1);
  const int held = ::open("/etc/hostname", O_RDONLY);
  const auto result = Run("env; echo at $PWD with [$(ls -A)]; ls /proc/$$/fd | tr '\\n' ' '");
  ::close(held);
  ASSERT_TRUE(result) << result.error().message;
  const std::string work = (folder_ / "work").string();
  EXPECT_EQ(result->status, 0);
  EXPECT_THAT(Printed(), Not(HasSubstr("CKPT_TEST_SECRET")));
  EXPECT_THAT(Printed(), HasSubstr("HOME=" + work + "\n"));
  EXPECT_THAT(Printed(), HasSubstr("KERAS_HOME=" + work + "\n"));
  EXPECT_THAT(Printed(), HasSubstr("CUDA_VISIBLE_DEVICES=\n"));
  EXPECT_THAT(Printed(), HasSubstr("at " + work + " with []\n"));
  // 255 is bash's own.
  EXPECT_THAT(Printed(), ::testing::AnyOf(::testing::EndsWith("\n0 1 2 "),
                                          ::testing::EndsWith("\n0 1 2 255 ")));
}

TEST_F(WalledChild, HasNoNetwork) {
  const auto result = Run("exec 5<>/dev/tcp/127.0.0.1/9");
  ASSERT_TRUE(result);
  if (result->missing_walls.find("seccomp") != std::string::npos) GTEST_SKIP() << "no seccomp";
  EXPECT_NE(result->status, 0);
  EXPECT_THAT(Printed(), HasSubstr("Operation not permitted"));
}

TEST_F(WalledChild, WritesInItsFolderAndNowhereElse) {
  const auto result =
      Run("echo in > inside; echo > /dev/null && echo null; echo out > ../outside; mkdir ../made; "
          "rm ../kept; echo more > ../kept; mv inside ../moved; true");
  ASSERT_TRUE(result);
  if (result->missing_walls.find("Landlock") != std::string::npos) GTEST_SKIP() << "no Landlock";
  EXPECT_EQ(folder_.Read("work/inside"), "in\n");
  EXPECT_THAT(Printed(), HasSubstr("null"));
  EXPECT_THAT(folder_.Names(), ::testing::ElementsAre("printed", "work")) << Printed();
  folder_.Write("kept", "old");
  ASSERT_TRUE(Run("rm ../kept; echo more > ../kept; echo more >> ../kept; true"));
  EXPECT_EQ(folder_.Read("kept"), "old");
}

TEST_F(WalledChild, IsEndedWithAllThatItStartedWhenItsTimeIsUp) {
  const auto start = std::chrono::steady_clock::now();
  const auto result = Run("(sleep 60; echo late > late) & echo $! > child; sleep 60",
                          std::chrono::milliseconds{300});
  ASSERT_TRUE(result);
  EXPECT_TRUE(result->out_of_time);
  EXPECT_TRUE(WIFSIGNALED(result->status));
  EXPECT_LT(std::chrono::steady_clock::now() - start, std::chrono::seconds{20});
  EXPECT_TRUE(IsGone("child"));
}

TEST_F(WalledChild, WhatItLeavesBehindIsEndedToo) {
  const auto result = Run("sleep 60 & echo $! > child; exit 0");
  ASSERT_TRUE(result);
  EXPECT_EQ(result->status, 0);
  EXPECT_FALSE(result->out_of_time);
  EXPECT_TRUE(IsGone("child"));
}

TEST_F(WalledChild, AProgramThatIsNotThereIsSaid) {
  WalledProgram program;
  program.command = {(folder_ / "nothing").string()};
  program.folder = folder_ / "work";
  program.output = folder_ / "printed";
  const auto result = RunWalled(program);
  ASSERT_FALSE(result);
  EXPECT_EQ(result.error().code, ErrorCode::kIo);
  EXPECT_THAT(result.error().message, HasSubstr("No such file"));
}

}  // namespace
}  // namespace ckpt::cli::walled_child_test
