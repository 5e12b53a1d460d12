// One call of the system fails, or the program is killed at it, in the middle of a conversion:
// OUTPUT and its record are both the old ones or both the new, INPUT is untouched, and nothing else
// is left. CKPT_FAULT_POINTS: how many points of each format are tried (60).
#include <gtest/gtest.h>
#include <sys/stat.h>

#include <algorithm>
#include <cstdlib>
#include <fstream>
#include <map>
#include <sstream>

#include "tests/support/program.h"

namespace ckpt {
namespace {

namespace fs = std::filesystem;
using testing::ProgramResult;
using testing::TemporaryFolder;
using Contents = std::map<std::string, std::string>;  // by path below the folder

struct Case {
  std::string name, input, output;
  std::vector<std::string> options;
  bool one_name;  // OUTPUT is one file or folder, which one rename puts in place
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
  ProgramResult Convert(const TemporaryFolder& folder, bool force,
                        const Point* point = nullptr) const {
    const Case& c = GetParam();
    std::vector<std::string> arguments = {"convert", std::string(CKPT_TESTDATA) + "/" + c.input,
                                          "out/" + c.output, "--allow-findings"};
    arguments.insert(arguments.end(), c.options.begin(), c.options.end());
    if (force) arguments.emplace_back("--force");
    testing::ProgramOptions options;
    options.folder = folder.path();
    const std::string root = folder.path().string();
    options.in_child = [point, root] {
      ::setenv("LD_PRELOAD", CKPT_FAULT_SHIM, 1);
      ::setenv("FAULT_FOLDER", root.c_str(), 1);
      if (point == nullptr) {
        ::setenv("FAULT_COUNT", (root + "/counts").c_str(), 1);
        return;
      }
      ::setenv("FAULT_CALL", point->call.c_str(), 1);
      ::setenv("FAULT_KIND", point->kind.c_str(), 1);
      ::setenv("FAULT_AT", std::to_string(point->at).c_str(), 1);
    };
    return testing::RunProgram(CKPT_PROGRAM, arguments, options);
  }

  // Every point of a run that meets none, thinned out evenly to what is wanted.
  static std::vector<Point> PointsOf(const fs::path& counts, std::size_t wanted) {
    std::istringstream lines(testing::ReadFile(counts));
    std::vector<Point> all;
    std::string call;
    for (unsigned long count = 0; lines >> call >> count;) {
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
    const ProgramResult again = Convert(folder, force);
    EXPECT_TRUE(again.exit_code == 0 || (!force && again.exit_code == 2)) << again.err;
    EXPECT_EQ(ReadAll(folder / "out"), now_expected) << "after the next run";
  }

  void Try(bool force) const {
    const TemporaryFolder model;
    Contents old;
    fs::create_directory(model / "out");
    if (force) {
      ASSERT_EQ(Convert(model, false).exit_code, 0);
      // An older OUTPUT, of which no file is like the new one's.
      for (const auto& [name, bytes] : ReadAll(model / "out")) {
        const fs::path path = model / "out" / name;
        if (fs::is_regular_file(path)) testing::WriteFile(path, "old " + name);
      }
      fs::copy(model / "out", model / "old", fs::copy_options::recursive);
      old = ReadAll(model / "out");
    }
    const ProgramResult clean = Convert(model, force);
    ASSERT_EQ(clean.exit_code, 0) << clean.err;
    const Contents now_expected = ReadAll(model / "out");
    const auto points = PointsOf(model / "counts", PointsWanted() / 2);
    ASSERT_FALSE(points.empty());
    for (const Point& point : points) {
      const TemporaryFolder folder;
      fs::create_directory(folder / "out");
      if (force) fs::copy(model / "old", folder / "out", fs::copy_options::recursive);
      Judge(folder, point, force, old, now_expected, Convert(folder, force, &point));
    }
    RecordProperty("points", static_cast<int>(points.size()));
  }
};

TEST_P(Faults, AFreshOutputAppearsWithItsRecordOrNotAtAll) { Try(false); }
TEST_P(Faults, AnOlderOutputAndItsRecordAreReplacedTogetherOrNotAtAll) { Try(true); }

INSTANTIATE_TEST_SUITE_P(EveryFormat, Faults, ::testing::ValuesIn(kCases),
                         [](const auto& instance) { return instance.param.name; });

}  // namespace
}  // namespace ckpt
