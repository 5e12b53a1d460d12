// One call of the system fails, or the program is killed at it, in the middle of a conversion or a
// calibration: OUTPUT and its record are both the old ones or both the new, INPUT is untouched, and
// nothing else is left. CKPT_FAULT_POINTS: how many points of each format are tried (60).
#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <cstdlib>
#include <fstream>
#include <future>
#include <map>
#include <sstream>

#include "tests/faults/example_array.h"
#include "tests/support/paths.h"
#include "tests/support/program.h"

namespace ckpt::faults_test {
namespace {

namespace fs = std::filesystem;
using testing::ProgramResult;
using testing::TemporaryFolder;
using Contents = std::map<std::string, std::string>;  // by path below the folder

struct Case {
  std::string name, input, output;
  std::vector<std::string> options;
  bool one_name;  // OUTPUT is one file or folder, which one rename puts in place
  std::vector<std::size_t> examples = {};  // the shape of a calibration's data; none: a conversion
};

const Case kCases[] = {
    {"npz", "bad_values/absorbed.h5", "out.npz", {}, true},
    {"safetensors", "bad_values/absorbed.h5", "out.safetensors", {}, true},
    {"torch", "bad_values/absorbed.h5", "out.pt", {}, true},
    {"keras_h5", "bad_values/absorbed.h5", "out.h5", {}, true},
    {"tf_bundle", "bad_values/absorbed.h5", "out", {"--to", "tf-bundle"}, false},
    {"keras", "keras3/k3_custom.keras", "out.keras", {}, true},
    {"keras_weights", "keras3/k3_custom.keras", "out.weights.h5", {}, true},
    {"keras_set", "keras3/k3_custom.keras", "out.weights.json", {"--shard-size", "2600"}, false},
    {"onnx", "onnx/gemm_transposed_input_bn.onnx", "out.onnx", {}, true},
    {"graph_def", "tf_graphs/tf2.15/served/1", "out.pb", {}, true},
    {"saved_model", "tf_graphs/tf2.15/served/1", "out", {"--to", "saved-model"}, true},
};

const Case kCalibrations[] = {
    {"calibrated_onnx", "onnx/conv2d_bn.onnx", "out.onnx", {"--all"}, true, {2, 4, 7, 6}},
    {"calibrated_h5", "bad_values/good.h5", "out.h5", {"--all"}, true, {6, 4}},
    {"calibrated_keras", "keras3/k3_sequential.keras", "out.keras", {"--all"}, true, {6, 7, 9, 4}},
    {"calibrated_tf", "tf1/mnist/trainable_only/model.ckpt-700", "out", {}, false, {3, 8, 8, 1}},
};

Contents ReadAll(const fs::path& folder) {
  Contents contents;
  for (const auto& entry : fs::recursive_directory_iterator(folder)) {
    const std::string name = entry.path().lexically_relative(folder).string();
    contents[name] = entry.is_regular_file() ? testing::ReadFile(entry.path()) : "(folder)";
  }
  return contents;
}

struct Point {
  std::string call, kind;
  unsigned long at;
};

class Faults : public ::testing::TestWithParam<Case> {
 protected:
  static std::size_t PointsWanted() {
    const char* given = std::getenv("CKPT_FAULT_POINTS");
    return given == nullptr ? 60 : std::strtoul(given, nullptr, 10);
  }

  // OUTPUT, its record and nothing else are in out/; INPUT is read where it is.
  ProgramResult Write(const TemporaryFolder& folder, bool force, const Point* point = nullptr,
                      const std::vector<std::string>& more = {}) const {
    const Case& c = GetParam();
    std::vector<std::string> arguments = {c.examples.empty() ? "convert" : "calibrate",
                                          ckpt::testing::TestData() + "/" + c.input,
                                          "out/" + c.output};
    if (c.examples.empty()) {
      arguments.emplace_back("--allow-findings");
    } else {
      testing::WriteFile(folder / "examples.npy", testing::NpyOf(c.examples));
      arguments.insert(arguments.end(), {"--data", "examples.npy"});
    }
    arguments.insert(arguments.end(), c.options.begin(), c.options.end());
    arguments.insert(arguments.end(), more.begin(), more.end());
    if (force) arguments.emplace_back("--force");
    testing::ProgramOptions options;
    options.folder = folder.path();
    const std::string root = folder.path().string();
    options.in_child = [point, root] {
      ::setenv("LD_PRELOAD", ckpt::testing::FaultShim().c_str(), 1);
      ::setenv("FAULT_FOLDER", root.c_str(), 1);
      ::setenv("FAULT_GATE", (root + "/gate").c_str(), 1);
      if (point == nullptr) {
        ::setenv("FAULT_COUNT", (root + "/counts").c_str(), 1);
        return;
      }
      ::setenv("FAULT_CALL", point->call.c_str(), 1);
      ::setenv("FAULT_KIND", point->kind.c_str(), 1);
      ::setenv("FAULT_AT", std::to_string(point->at).c_str(), 1);
    };
    return testing::RunProgram(ckpt::testing::Program(), arguments, options);
  }

  // Every point of a run that meets none, thinned out evenly to what is wanted.
  static std::vector<Point> PointsOf(const fs::path& counts, std::size_t wanted) {
    std::istringstream lines(testing::ReadFile(counts));
    std::vector<Point> all;
    std::string call;
    for (unsigned long count = 0; lines >> call >> count;) {
      if (call == "read") break;  // those behind are in resources_test.cc
      std::vector<std::string> kinds = {"enospc", "eio", "kill"};
      if (call == "write") kinds.emplace_back("short");
      for (unsigned long at = 1; at <= count; ++at) {
        for (const std::string& kind : kinds) all.push_back({call, kind, at});
      }
    }
    if (all.size() <= wanted) return all;
    std::vector<Point> chosen;
    for (std::size_t i = 0; i < wanted; ++i) chosen.push_back(all[i * all.size() / wanted]);
    return chosen;
  }

  static Contents Without(Contents contents, const std::string& part) {
    std::erase_if(contents,
                  [&](const auto& entry) { return entry.first.find(part) != std::string::npos; });
    return contents;
  }

  void Judge(const TemporaryFolder& folder, const Point& point, bool force, const Contents& old,
             const Contents& now_expected, const ProgramResult& result) const {
    SCOPED_TRACE(point.kind + " at " + point.call + " " + std::to_string(point.at) +
                 (force ? " with --force" : ""));
    Contents found = ReadAll(folder / "out");
    if (point.kind == "kill" && result.exit_code == 128 + SIGKILL) {
      JudgeKilled(folder, force, old, now_expected, std::move(found));
      return;
    }
    EXPECT_TRUE(found == old || found == now_expected) << "neither the old state nor the new";
    if (found == old && old != now_expected) {
      EXPECT_EQ(result.exit_code, 4) << result.err;
      EXPECT_EQ(std::count(result.err.begin(), result.err.end(), '\n'), 1) << result.err;
    } else {
      EXPECT_TRUE(result.exit_code == 0 || result.exit_code == 4) << result.err;
    }
  }

  void JudgeKilled(const TemporaryFolder& folder, bool force, const Contents& old,
                   const Contents& now_expected, Contents found) const {
    if (GetParam().one_name) {
      // The record follows OUTPUT by a rename of its own.
      for (const auto& [name, bytes] : Without(std::move(found), ".partial")) {
        const auto in_old = old.find(name), in_new = now_expected.find(name);
        EXPECT_TRUE((in_old != old.end() && in_old->second == bytes) ||
                    (in_new != now_expected.end() && in_new->second == bytes))
            << name << " is neither the old nor the new";
      }
    }
    // The next run settles what was left half done, and removes what lies about.
    const ProgramResult again = Write(folder, force);
    EXPECT_TRUE(again.exit_code == 0 || (!force && again.exit_code == 2)) << again.err;
    EXPECT_EQ(ReadAll(folder / "out"), now_expected) << "after the next run";
  }

  void Try(bool force) const {
    const TemporaryFolder model;
    Contents old;
    fs::create_directory(model / "out");
    if (force) {
      ASSERT_EQ(Write(model, false).exit_code, 0);
      // An older OUTPUT, of which no file is like the new one's.
      for (const auto& [name, bytes] : ReadAll(model / "out")) {
        const fs::path path = model / "out" / name;
        if (fs::is_regular_file(path)) testing::WriteFile(path, "old " + name);
      }
      fs::copy(model / "out", model / "old", fs::copy_options::recursive);
      old = ReadAll(model / "out");
    }
    const ProgramResult clean = Write(model, force);
    ASSERT_EQ(clean.exit_code, 0) << clean.err;
    const Contents now_expected = ReadAll(model / "out");
    const auto points = PointsOf(model / "counts", PointsWanted() / 2);
    ASSERT_FALSE(points.empty());
    for (const Point& point : points) {
      const TemporaryFolder folder;
      fs::create_directory(folder / "out");
      if (force) fs::copy(model / "old", folder / "out", fs::copy_options::recursive);
      Judge(folder, point, force, old, now_expected, Write(folder, force, &point));
    }
    RecordProperty("points", static_cast<int>(points.size()));
  }
};

// Of two runs onto one OUTPUT the one stands still at each of its renames while the other goes on:
// in the end OUTPUT and the record are of one of them.
class TwoRuns : public Faults {
 protected:
  static constexpr auto kPatience = std::chrono::milliseconds(100);

  // Opens the gate once somebody waits at it; -1 where `run` ends without.
  static int OpenGate(const fs::path& gate, const std::future<ProgramResult>& run) {
    while (run.wait_for(std::chrono::milliseconds(1)) != std::future_status::ready) {
      const int opened = ::open(gate.c_str(), O_WRONLY | O_NONBLOCK | O_CLOEXEC);
      if (opened >= 0) return opened;
    }
    return -1;
  }

  void Begin(const TemporaryFolder& folder, bool older) const {
    fs::create_directory(folder / "out");
    if (!older) return;
    const ProgramResult run = Write(folder, false);
    EXPECT_EQ(run.exit_code, 0) << run.err;
  }

  Contents Alone(bool older, const std::vector<std::string>& more) const {
    const TemporaryFolder folder;
    Begin(folder, older);
    const ProgramResult run = Write(folder, true, nullptr, more);
    EXPECT_EQ(run.exit_code, 0) << run.err;
    return ReadAll(folder / "out");
  }

  static bool Holds(const Contents& found, const Contents& expected) {
    return std::all_of(expected.begin(), expected.end(), [&](const auto& entry) {
      const auto at = found.find(entry.first);
      return at != found.end() && at->second == entry.second;
    });
  }

  // False where the first run has no such call.
  bool RunBoth(bool older, unsigned long at, const Contents& first, const Contents& second) const {
    const TemporaryFolder folder;
    Begin(folder, older);
    EXPECT_EQ(::mkfifo((folder / "gate").c_str(), 0600), 0);
    const Point point{"rename", "wait", at};
    auto waiting = std::async(std::launch::async, [&] {
      return Write(folder, true, &point, {"--bn", "preserve"});
    });
    const int gate = OpenGate(folder / "gate", waiting);
    auto other = std::async(std::launch::async, [&] {
      return Write(folder, true, nullptr, {"--bn", "fold"});
    });
    (void)other.wait_for(kPatience);
    if (gate >= 0) ::close(gate);
    const ProgramResult a = waiting.get(), b = other.get();
    EXPECT_EQ(a.exit_code, 0) << a.err;
    EXPECT_EQ(b.exit_code, 0) << b.err;
    const Contents found = ReadAll(folder / "out");
    EXPECT_TRUE(Holds(found, first) || Holds(found, second)) << "a mixture, at rename " << at;
    return gate >= 0;
  }

  void TryEveryRename(bool older) const {
    const Contents first = Alone(older, {"--bn", "preserve"}),
                   second = Alone(older, {"--bn", "fold"});
    ASSERT_NE(first, second);
    unsigned long at = 1;
    while (RunBoth(older, at, first, second)) ++at;
    EXPECT_GT(at, 1U);
  }
};

TEST_P(TwoRuns, OntoAFreshOutputLeaveTheOutputAndTheRecordOfOne) { TryEveryRename(false); }
TEST_P(TwoRuns, OntoAnOlderOutputLeaveTheOutputAndTheRecordOfOne) { TryEveryRename(true); }

TEST_P(Faults, AFreshOutputAppearsWithItsRecordOrNotAtAll) { Try(false); }
TEST_P(Faults, AnOlderOutputAndItsRecordAreReplacedTogetherOrNotAtAll) { Try(true); }

INSTANTIATE_TEST_SUITE_P(EveryFormat, Faults, ::testing::ValuesIn(kCases),
                         [](const auto& instance) { return instance.param.name; });
INSTANTIATE_TEST_SUITE_P(Calibration, Faults, ::testing::ValuesIn(kCalibrations),
                         [](const auto& instance) { return instance.param.name; });
INSTANTIATE_TEST_SUITE_P(EveryFormat, TwoRuns, ::testing::ValuesIn(kCases),
                         [](const auto& instance) { return instance.param.name; });

}  // namespace
}  // namespace ckpt::faults_test
