// What a run may write over, and what becomes of OUTPUT when it fails.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sched.h>
#include <sys/mount.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cstdlib>
#include <nlohmann/json.hpp>
#include <thread>

#include "ckpt/sha256.h"
#include "tests/cli/ckpt_program.h"
#include "tests/support/paths.h"
#include "tests/support/sanitized.h"

namespace ckpt::output_safety_test {
namespace {

namespace fs = std::filesystem;
using testing::Ckpt;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using testing::TemporaryFolder;

const std::string kModel = ckpt::testing::TestData() + "/bad_values/absorbed.h5";

class OutputSafety : public ::testing::Test {
 protected:
  OutputSafety() { fs::copy(kModel, folder_ / "in.h5"); }
  testing::ProgramResult Run(const std::vector<std::string>& arguments,
                             testing::ProgramOptions options = {}) const {
    options.folder = folder_.path();
    return Ckpt(arguments, options);
  }
  bool InputIsUntouched() const { return folder_.Read("in.h5") == testing::ReadFile(kModel); }

  TemporaryFolder folder_;
};

TEST_F(OutputSafety, ARecordThatCannotBeWrittenLeavesTheOlderOutput) {
  ASSERT_EQ(Run({"convert", "in.h5", "out.npz"}).exit_code, 0);
  folder_.Write("out.npz", "older");
  for (const std::string& record :
       std::vector<std::string>{(folder_ / "absent/r.json").string(), std::string("/dev/full")}) {
    const auto failed = Run({"convert", "--force", "--record", record, "in.h5", "out.npz"});
    EXPECT_EQ(failed.exit_code, 4) << failed.err;
    EXPECT_EQ(folder_.Read("out.npz"), "older");
  }
  EXPECT_THAT(folder_.Names(), ElementsAre("in.h5", "out.npz", "out.npz.ckpt.json"));
}

// The record says nothing of how many threads there were, so that it is the same, too.
TEST_F(OutputSafety, OneThreadWritesTheSameBytesAndTheSameRecord) {
  for (const std::string out : {"out.npz", "out.pt", "out.h5", "out.safetensors"}) {
    ASSERT_EQ(Run({"convert", "in.h5", out}).exit_code, 0) << out;
    const std::string bytes = folder_.Read(out), record = folder_.Read(out + ".ckpt.json");
    EXPECT_EQ(nlohmann::json::parse(record)["output_files"][0]["sha256"], Sha256(bytes)) << out;
    ASSERT_EQ(Run({"convert", "--force", "--jobs", "1", "in.h5", out}).exit_code, 0) << out;
    EXPECT_EQ(folder_.Read(out), bytes) << out;
    EXPECT_EQ(folder_.Read(out + ".ckpt.json"), record) << out;
  }
}

TEST_F(OutputSafety, WithoutDigestsTheRecordSaysThatThereAreNone) {
  ASSERT_EQ(Run({"convert", "in.h5", "out.npz"}).exit_code, 0);
  const std::string bytes = folder_.Read("out.npz");
  auto record = nlohmann::json::parse(folder_.Read("out.npz.ckpt.json"));
  ASSERT_EQ(Run({"convert", "--force", "--no-digest", "in.h5", "out.npz"}).exit_code, 0);
  EXPECT_EQ(folder_.Read("out.npz"), bytes);
  for (const char* files : {"source_files", "output_files"}) record[files][0]["sha256"] = nullptr;
  EXPECT_EQ(nlohmann::json::parse(folder_.Read("out.npz.ckpt.json")), record);
}

TEST_F(OutputSafety, NoFileThatIsReadIsWrittenOver) {
  fs::create_hard_link(folder_ / "in.h5", folder_ / "other.h5");
  const std::vector<std::vector<std::string>> runs = {
      {"inspect", "--report", "in.h5", "in.h5"},
      {"audit", "--report", "other.h5", "in.h5"},
      {"diff", "--report", "in.h5", "in.h5", "in.h5"},
      {"convert", "--report", "in.h5", "in.h5", "out.npz"},
      {"convert", "--force", "--record", "other.h5", "in.h5", "out.npz"},
      {"convert", "--force", "in.h5", "other.h5"}};
  for (const auto& run : runs) {
    const auto refused = Run(run);
    EXPECT_EQ(refused.exit_code, 2) << run[0] << ": " << refused.err;
    EXPECT_TRUE(InputIsUntouched()) << run[0];
    EXPECT_FALSE(fs::exists(folder_ / "out.npz")) << run[0];
  }
}

TEST_F(OutputSafety, ReportAndRecordAreNotTheOutput) {
  folder_.Write("out.npz", "older");
  for (const char* option : {"--report", "--record"}) {
    EXPECT_EQ(Run({"convert", "--force", option, "out.npz", "in.h5", "out.npz"}).exit_code, 2);
    EXPECT_EQ(folder_.Read("out.npz"), "older");
  }
}

TEST_F(OutputSafety, AShardOfTheOutputIsNotTheInput) {
  const std::string keras = ckpt::testing::TestData() + "/keras3/k3_custom.keras";
  fs::copy(keras, folder_ / "k_00000.weights.h5");
  const auto refused =
      Run({"convert", "--force", "--from", "keras", "k_00000.weights.h5", "k.weights.json"});
  EXPECT_EQ(refused.exit_code, 2) << refused.err;
  EXPECT_EQ(folder_.Read("k_00000.weights.h5"), testing::ReadFile(keras));
}

TEST_F(OutputSafety, DevicesTakeReportsAndRecordsAndNoOutput) {
  const auto reported = Run({"convert", "--report", "/dev/stdout", "in.h5", "a.npz"});
  EXPECT_EQ(reported.exit_code, 0) << reported.err;
  EXPECT_THAT(reported.out, HasSubstr("wrote"));
  const auto recorded = Run({"convert", "--quiet", "--record", "/dev/fd/1", "in.h5", "b.npz"});
  EXPECT_EQ(recorded.exit_code, 0) << recorded.err;
  EXPECT_EQ(nlohmann::json::parse(recorded.out)["schema"], "ckpt.record/1");
  EXPECT_TRUE(fs::is_symlink("/dev/fd"));
  ASSERT_EQ(::mkfifo((folder_ / "fifo.npz").c_str(), 0600), 0);
  EXPECT_EQ(Run({"convert", "--force", "in.h5", "fifo.npz"}).exit_code, 2);
  EXPECT_EQ(Run({"convert", "--force", "--to", "npz", "in.h5", "/dev/null"}).exit_code, 2);
}

TEST_F(OutputSafety, TheRecordOfASavedModelLiesInIt) {
  const std::string served = ckpt::testing::TestData() + "/tf_graphs/tf2.15/served/1";
  const auto converted = Run({"convert", "--to", "saved-model", served, "models/1"});
  ASSERT_EQ(converted.exit_code, 0) << converted.err;
  EXPECT_TRUE(fs::exists(folder_ / "models/1/assets.extra/ckpt.json"));
  EXPECT_EQ(std::distance(fs::directory_iterator(folder_ / "models"), {}), 1);
}

// No process and no thread beside the first one. Root is exempt from that limit, so that it runs as
// another user.
testing::ProgramOptions Alone() {
  testing::ProgramOptions options;
  options.in_child = [] {
    // The leak checker of a sanitized build wants a thread of its own at the end.
    ::setenv("ASAN_OPTIONS", "detect_leaks=0", 1);
    const rlimit none = {0, 0};
    ::setrlimit(RLIMIT_NPROC, &none);
    if (::geteuid() == 0 && ::setresuid(65534, 65534, 65534) != 0) ::_exit(126);
  };
  return options;
}

// The user could not be changed, or cannot run the program.
bool NotArranged(int exit_code) { return exit_code == 126 || exit_code == 127; }

TEST_F(OutputSafety, WithoutThreadsTheWorkIsDoneAllTheSame) {
  fs::permissions(folder_.path(), fs::perms::all);
  ASSERT_EQ(Run({"convert", "in.h5", "in.npz"}).exit_code, 0);  // HDF5 is read in a child
  const auto converted = Run({"convert", "in.npz", "out.safetensors"}, Alone());
  if (NotArranged(converted.exit_code)) GTEST_SKIP() << "not to be arranged";
  EXPECT_EQ(converted.exit_code, 0) << converted.err;
}

TEST_F(OutputSafety, WithoutAProcessForItAnHdf5FileIsNotReadAndSaysSo) {
  fs::permissions(folder_.path(), fs::perms::all);
  const auto inspected = Run({"inspect", "in.h5"}, Alone());
  if (NotArranged(inspected.exit_code)) GTEST_SKIP() << "not to be arranged";
  EXPECT_EQ(inspected.exit_code, 4) << inspected.out << inspected.err;
  EXPECT_THAT(inspected.err, HasSubstr("in.h5"));
  const auto converted = Run({"convert", "in.h5", "out.npz"}, Alone());
  EXPECT_EQ(converted.exit_code, 4) << converted.err;
  EXPECT_FALSE(fs::exists(folder_ / "out.npz"));
  EXPECT_EQ(Run({"inspect", "in.h5"}).exit_code, 0);
}

TEST_F(OutputSafety, AListOfInputsWithoutAnEndEnds) {
  EXPECT_EQ(Run({"inspect", "--files-from", "/dev/zero"}).exit_code, 4);
}

TEST_F(OutputSafety, AConversionThatWouldWriteNothingIsRefused) {
  ASSERT_EQ(Run({"convert", "in.h5", "in.safetensors"}).exit_code, 0);
  testing::WriteFile(folder_ / "none.safetensors", std::string("\2\0\0\0\0\0\0\0{}", 10));
  const auto refused = Run({"convert", "none.safetensors", "none.npz"});
  EXPECT_EQ(refused.exit_code, 3) << refused.err;
  EXPECT_FALSE(fs::exists(folder_ / "none.npz"));
}

TEST_F(OutputSafety, TwoConversionsIntoOneFolderDoNotDisturbEachOther) {
  std::vector<std::thread> runs;
  std::vector<int> codes(8);
  for (std::size_t i = 0; i < codes.size(); ++i) {
    runs.emplace_back([&, i] {
      codes[i] = std::system((ckpt::testing::Program() + " convert -q " + kModel + " " +
                              (folder_ / ("out" + std::to_string(i) + ".npz")).string())
                                 .c_str());
    });
  }
  for (auto& run : runs) run.join();
  EXPECT_THAT(codes, ::testing::Each(0));
  EXPECT_EQ(folder_.Names().size(), 1 + 2 * codes.size());
}

// An empty file system in the place of /proc, seen by this process alone.
bool HideProc() {
  return ::unshare(CLONE_NEWNS | (::geteuid() == 0 ? 0 : CLONE_NEWUSER)) == 0 &&
         ::mount(nullptr, "/", nullptr, MS_REC | MS_PRIVATE, nullptr) == 0 &&
         ::mount("none", "/proc", "tmpfs", 0, nullptr) == 0;
}

TEST_F(OutputSafety, StdoutNeedsNoProc) {
  if (testing::kSanitized) GTEST_SKIP() << "LeakSanitizer itself reads /proc";
  constexpr int kNotAllowed = 99;
  testing::ProgramOptions hidden;
  hidden.in_child = [] {
    if (!HideProc()) ::_exit(kNotAllowed);
  };
  const auto run = Run({"inspect", "--format", "json", "in.h5"}, hidden);
  if (run.exit_code == kNotAllowed) GTEST_SKIP() << "nothing may be mounted here";
  EXPECT_EQ(run.exit_code, 0) << run.err;
  EXPECT_EQ(nlohmann::json::parse(run.out)["schema"], "ckpt.inspect/1");
  const auto named = Run({"inspect", "--report", "json:/dev/stdout", "in.h5"}, hidden);
  EXPECT_EQ(named.exit_code, 0) << named.err;
  EXPECT_EQ(nlohmann::json::parse(named.out)["schema"], "ckpt.inspect/1");
}

}  // namespace
}  // namespace ckpt::output_safety_test
