// What a pod of integrations/kubernetes runs, run here for each of its indices.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <filesystem>
#include <nlohmann/json.hpp>
#include <sstream>

#include "tests/support/paths.h"
#include "tests/support/program.h"

namespace ckpt::cli::indexed_job_test {
namespace {

namespace fs = std::filesystem;
using ckpt::testing::ProgramOptions;
using ckpt::testing::ProgramResult;
using ckpt::testing::ReadFile;
using ckpt::testing::RunProgram;
using ckpt::testing::TemporaryFolder;
using ckpt::testing::WriteFile;
using ::testing::HasSubstr;

constexpr int kParts = 64;

// The lines below "- |", which are YAML's block text.
std::string ScriptOf(const std::string& file) {
  std::istringstream lines(ReadFile(ckpt::testing::Sources() + "/integrations/kubernetes/" + file));
  std::string script, line;
  std::size_t indent = 0;
  while (std::getline(lines, line)) {
    const std::size_t first = std::min(line.find_first_not_of(' '), line.size());
    if (indent > 0 && first < indent) break;
    if (indent > 0) script += line.substr(indent) + "\n";
    if (line.ends_with("- |")) indent = first + 2;
  }
  return script;
}

// The folder that the pods share.
class Zoo {
 public:
  explicit Zoo(int files) {
    fs::create_symlink(ckpt::testing::Program(), folder_.path() / "ckpt");
    for (int i = 0; i < files; ++i) {
      const fs::path file = folder_.path() / ("model" + std::to_string(i) + ".npz");
      fs::copy_file(ckpt::testing::TestData() + "/npz/keras_net.npz", file);
      list_ += file.string() + "\n";
    }
    WriteFile(folder_.path() / "list.txt", list_);
  }

  const TemporaryFolder& folder() const { return folder_; }
  const std::string& list() const { return list_; }
  ProgramResult RunPod(int index) const {
    std::string script = ScriptOf("audit_job.yaml");
    for (std::size_t at; (at = script.find("/zoo/")) != std::string::npos;) {
      script.replace(at, 5, folder_.path().string() + "/");
    }
    const std::string environment = "PATH=" + folder_.path().string() +
                                    ":$PATH JOB_COMPLETION_INDEX=" + std::to_string(index) + "\n";
    return RunProgram("/bin/sh", {"-c", "export " + environment + script});
  }
  // The paths of all records, one a line, sorted.
  std::vector<std::string> Recorded() const {
    std::vector<std::string> paths;
    for (const auto& entry : fs::directory_iterator(folder_.path())) {
      if (entry.path().extension() != ".jsonl") continue;
      std::istringstream records(ReadFile(entry.path()));
      for (std::string line; std::getline(records, line);) {
        paths.push_back(nlohmann::json::parse(line)["path"]);
      }
    }
    std::sort(paths.begin(), paths.end());
    return paths;
  }
  std::vector<std::string> Listed() const {
    std::vector<std::string> paths;
    std::istringstream lines(list_);
    for (std::string line; std::getline(lines, line);) paths.push_back(line);
    std::sort(paths.begin(), paths.end());
    return paths;
  }

 private:
  TemporaryFolder folder_;
  std::string list_;
};

TEST(IndexedJob, ItsPodsRecordEachFileOnceAndAPodThatRunsAgainAddsNothing) {
  const Zoo zoo(kParts + 6);
  for (const int index : {5, 6}) ASSERT_EQ(zoo.RunPod(index).exit_code, 0);
  for (int index = 0; index < kParts; ++index) {
    const ProgramResult pod = zoo.RunPod(index);
    EXPECT_EQ(pod.exit_code, 0) << index << ": " << pod.err;
  }
  EXPECT_EQ(zoo.Recorded(), zoo.Listed());
}

TEST(IndexedJob, APodWithoutAFileSucceeds) {
  const Zoo zoo(2);
  for (const int index : {0, 1, 2, 3, 63}) {
    const ProgramResult pod = zoo.RunPod(index);
    EXPECT_EQ(pod.exit_code, 0) << index << ": " << pod.err;
  }
  EXPECT_EQ(zoo.Recorded(), zoo.Listed());
}

TEST(IndexedJob, ADamagedFileIsNoReasonForAnotherTryAndAListThatIsMissingIs) {
  const Zoo zoo(1);
  WriteFile(zoo.folder() / "model0.npz", "damaged");
  EXPECT_EQ(zoo.RunPod(1).exit_code, 0);
  EXPECT_EQ(zoo.Recorded(), zoo.Listed());
  fs::remove(zoo.folder() / "list.txt");
  EXPECT_EQ(zoo.RunPod(1).exit_code, 4);
}

TEST(IndexedJob, OfArgoRunsTheSame) {
  EXPECT_THAT(ScriptOf("audit_job.yaml"), HasSubstr("ckpt audit"));
  EXPECT_EQ(ScriptOf("audit_job.yaml"), ScriptOf("audit_workflow.yaml"));
}

}  // namespace
}  // namespace ckpt::cli::indexed_job_test
