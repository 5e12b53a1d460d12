// A run over many files that goes on with what an earlier one found: --resume.
#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/file.h>
#include <sys/resource.h>
#include <unistd.h>

#include <nlohmann/json.hpp>
#include <sstream>

#include "tests/cli/ckpt_program.h"
#include "tests/support/paths.h"
#include "tests/support/temporary_folder.h"

namespace ckpt::resume_test {
namespace {

namespace fs = std::filesystem;
using nlohmann::json;
using ::testing::ElementsAre;
using ::testing::HasSubstr;

const std::string kGood = ckpt::testing::TestData() + "/safetensors/torch_good.safetensors";
const std::string kBad =
    ckpt::testing::TestData() + "/safetensors/torch_never_updated_tracked_0.safetensors";

class Resume : public ::testing::Test {
 protected:
  Resume() {
    fs::copy_file(kGood, folder_ / "a.safetensors");
    fs::copy_file(kBad, folder_ / "b.safetensors");
    folder_.Write("c.pt", "no checkpoint");
  }
  testing::ProgramResult Run(const std::vector<std::string>& options = {},
                             const std::string& input = "a.safetensors\nb.safetensors\nc.pt\n") {
    std::vector<std::string> arguments = {"audit", "--files-from", "-", "--resume", "r.jsonl"};
    arguments.insert(arguments.end(), options.begin(), options.end());
    testing::ProgramOptions run;
    run.folder = folder_.path();
    run.input = input;
    return testing::Ckpt(arguments, run);
  }
  // How many were taken over, by the summary of a run with these options.
  int TakenOver(std::vector<std::string> options = {},
                const std::string& input = "a.safetensors\nb.safetensors\nc.pt\n") {
    options.insert(options.end(), {"--format", "json"});
    const json report = json::parse(Run(options, input).out);
    return report["summary"]["resumed"]["inputs"];
  }
  std::vector<json> Records() const {
    std::vector<json> records;
    std::istringstream lines(folder_.Read("r.jsonl"));
    for (std::string line; std::getline(lines, line);) records.push_back(json::parse(line));
    return records;
  }
  std::vector<std::string> Paths() const {
    std::vector<std::string> paths;
    for (const json& record : Records()) paths.push_back(record["path"]);
    return paths;
  }

  testing::TemporaryFolder folder_;
};

TEST_F(Resume, WritesARecordForEachInputAndLeavesOutWhatIsRecorded) {
  const auto first = Run();
  EXPECT_EQ(first.exit_code, 3);
  EXPECT_THAT(Paths(), ElementsAre("a.safetensors", "b.safetensors", "c.pt"));
  const json bad = Records()[1];
  EXPECT_EQ(bad["type"], "record");
  EXPECT_EQ(bad["state"], "warnings");
  EXPECT_EQ(bad["findings"][0]["rule"], "BN011");
  EXPECT_EQ(bad["files"][0]["size"], fs::file_size(folder_ / "b.safetensors"));
  const std::string before = folder_.Read("r.jsonl");
  const auto second = Run();
  EXPECT_EQ(folder_.Read("r.jsonl"), before);
  EXPECT_EQ(second.exit_code, 3);
  EXPECT_THAT(second.out, HasSubstr("3 of 3 files as recorded in r.jsonl\n"));
  EXPECT_THAT(second.out, HasSubstr("3 files: 1 clean, 1 with warnings, 1 unreadable\n"
                                    "  warnings: b.safetensors\n  unreadable: c.pt\n"));
  EXPECT_EQ(second.err, "");
}

TEST_F(Resume, EndsAsTheWholeRunWould) {
  const std::string good = "a.safetensors\n", both = "a.safetensors\nb.safetensors\n";
  EXPECT_EQ(Run({}, both).exit_code, 1);
  EXPECT_EQ(TakenOver({}, both), 2);
  EXPECT_EQ(Run({}, both).exit_code, 1);
  EXPECT_EQ(Run({"--fail-on", "error"}, both).exit_code, 0);  // decides over records, too
  EXPECT_EQ(Run({}, good).exit_code, 0);
  EXPECT_EQ(Paths().size(), 2U);
}

TEST_F(Resume, RedoesATornLastLine) {
  Run();
  const std::string whole = folder_.Read("r.jsonl");
  for (const std::size_t cut : {std::size_t{1}, std::size_t{20}, std::size_t{150}}) {
    folder_.Write("r.jsonl", whole.substr(0, whole.size() - cut));
    EXPECT_EQ(TakenOver(), 2) << cut;
    EXPECT_EQ(folder_.Read("r.jsonl"), whole);
  }
  // What a crash of the machine leaves behind whole lines, and a first line that is torn.
  folder_.Write("r.jsonl", whole + std::string(100, '\0'));
  EXPECT_EQ(TakenOver(), 3);
  EXPECT_EQ(folder_.Read("r.jsonl"), whole);
  folder_.Write("r.jsonl", whole.substr(0, 30));
  EXPECT_EQ(TakenOver(), 0);
  EXPECT_EQ(folder_.Read("r.jsonl"), whole);
}

TEST_F(Resume, AuditsAgainWhatWasChanged) {
  Run();
  fs::copy_file(kGood, folder_ / "b.safetensors", fs::copy_options::overwrite_existing);
  EXPECT_EQ(TakenOver(), 2);
  EXPECT_THAT(Paths(), ElementsAre("a.safetensors", "c.pt", "b.safetensors"));
  EXPECT_EQ(Records()[2]["state"], "clean");
  // The same size and bytes, another time.
  fs::last_write_time(folder_ / "a.safetensors", fs::file_time_type::clock::now());
  EXPECT_EQ(TakenOver(), 2);
  fs::remove(folder_ / "a.safetensors");
  EXPECT_EQ(TakenOver(), 2);
  EXPECT_EQ(TakenOver(), 2) << "an absent file is looked for again";
  EXPECT_EQ(Paths().size(), 3U);
}

TEST_F(Resume, AuditsAgainForOtherOptionsAndAnotherVersion) {
  Run();
  for (const std::vector<std::string>& options : {std::vector<std::string>{"--checksums"},
                                                  {"--no-rule", "BN011"},
                                                  {"--epsilon", "0.5"},
                                                  {"--momentum", "0.5"},
                                                  {"--from", "safetensors"}}) {
    EXPECT_EQ(TakenOver(options), 0) << options[0];
    EXPECT_GE(TakenOver(options), 2) << options[0];
  }
  folder_.Write("ckpt.toml", "[audit]\nno-rule = [\"BN011\"]\n");
  EXPECT_EQ(TakenOver(), 0);
  EXPECT_EQ(TakenOver(), 3);
  std::string text = folder_.Read("r.jsonl");
  const std::size_t tool = text.find("\"tool\":\"ckpt ");
  text.replace(tool, 13, "\"tool\":\"ckpt 9");
  folder_.Write("r.jsonl", text);
  EXPECT_EQ(TakenOver(), 2);
}

TEST_F(Resume, KeepsRecordsOfInputsThatAreNotNamed) {
  Run();
  EXPECT_EQ(TakenOver({"--checksums"}, "b.safetensors\n"), 0);
  EXPECT_THAT(Paths(), ElementsAre("a.safetensors", "c.pt", "b.safetensors"));
}

TEST_F(Resume, LeavesAFileAloneThatHoldsNoRecords) {
  for (const std::string text : {"x", "x\n", "{}\n", "{\"schema\":\"ckpt.diff/1\"}\n"}) {
    folder_.Write("r.jsonl", text);
    const auto run = Run();
    EXPECT_EQ(run.exit_code, 2) << text;
    EXPECT_THAT(run.err, HasSubstr("r.jsonl: --resume: line 1 of it is no record"));
    EXPECT_EQ(folder_.Read("r.jsonl"), text);
  }
  fs::copy_file(kGood, folder_ / "r.jsonl", fs::copy_options::overwrite_existing);
  EXPECT_EQ(Run().exit_code, 2);
  EXPECT_EQ(folder_.Read("r.jsonl"), testing::ReadFile(kGood));
  EXPECT_EQ(Run({"--report", "json:r.jsonl"}).exit_code, 2);
  EXPECT_EQ(Run({"--write-baseline", "b.json", "--reason", "known"}).exit_code, 2);
}

TEST_F(Resume, IsForOneRunAtATime) {
  folder_.Write("r.jsonl", "");
  const int held = ::open((folder_ / "r.jsonl").c_str(), O_RDWR | O_CLOEXEC);
  ASSERT_EQ(::flock(held, LOCK_EX), 0);
  const auto run = Run();
  ::close(held);
  EXPECT_EQ(run.exit_code, 4);
  EXPECT_THAT(run.err, HasSubstr("another run goes on with it"));
  EXPECT_EQ(TakenOver(), 0);
}

TEST_F(Resume, SurvivesAFullDiskAndGoesOn) {
  testing::ProgramOptions run;
  run.folder = folder_.path();
  run.in_child = [] {
    const rlimit limit{2000, 2000};  // bytes of a file
    ::setrlimit(RLIMIT_FSIZE, &limit);
  };
  const std::vector<std::string> arguments = {"audit", "--resume", "r.jsonl", "a.safetensors",
                                              "b.safetensors"};
  EXPECT_EQ(testing::Ckpt(arguments, run).exit_code, 4);
  EXPECT_EQ(fs::file_size(folder_ / "r.jsonl"), 2000U);
  run.in_child = {};
  EXPECT_EQ(testing::Ckpt(arguments, run).exit_code, 1);
  EXPECT_THAT(Paths(), ElementsAre("a.safetensors", "b.safetensors"));
}

TEST_F(Resume, KnowsTheFilesThatAnInputConsistsOf) {
  const std::string bundle = ckpt::testing::TestData() + "/tf1/mnist/correct";
  fs::copy(bundle, folder_ / "run");
  EXPECT_EQ(TakenOver({}, "run\n"), 0);
  EXPECT_EQ(TakenOver({}, "run\n"), 1);
  fs::last_write_time(folder_ / "run/model.ckpt-700.meta", fs::file_time_type::clock::now());
  EXPECT_EQ(TakenOver({}, "run\n"), 0);
}

}  // namespace
}  // namespace ckpt::resume_test
