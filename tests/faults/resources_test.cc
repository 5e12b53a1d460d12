// The system refuses something while a command reads or writes: a read, a descriptor, memory, a
// thread, a child process. The command ends as it would without, or with exit 4 and a line that
// says why; nothing half done is left. CKPT_FAULT_POINTS: how many points are tried of each command
// and kind of fault, ten times over (60).
#include <gtest/gtest.h>

#include <algorithm>
#include <cstdlib>
#include <map>
#include <ostream>
#include <sstream>

#include "tests/faults/example_array.h"
#include "tests/support/paths.h"
#include "tests/support/program.h"

namespace ckpt::resources_test {
namespace {

namespace fs = std::filesystem;
using testing::ProgramResult;
using testing::TemporaryFolder;

struct Case {
  std::string name, input, output;
  std::vector<std::size_t> examples;  // the shape of data for a calibration; none: there is none
  bool hdf5 = false;                  // read by a child process
};
void PrintTo(const Case& c, std::ostream* out) { *out << c.name; }

const Case kCases[] = {
    {"safetensors", "bad_values/good.safetensors", "out.safetensors", {}},
    {"safetensors_set", "safetensors/sharded/model.safetensors.index.json", "out.npz", {}},
    {"npz", "bad_values/good.npz", "out.npz", {}},
    {"torch", "torch/state_dict.pt", "out.pt", {}},
    {"onnx", "onnx/conv2d_bn.onnx", "out.onnx", {2, 4, 7, 6}},
    {"tf_bundle", "tf1/mnist/correct/model.ckpt-700", "out.npz", {}},
    {"saved_model", "tf_graphs/tf2.15/served/1", "out.pb", {}},
    {"keras_h5", "bad_values/good.h5", "out.h5", {6, 4}, true},
    {"keras", "keras3/k3_sequential.keras", "out.keras", {6, 7, 9, 4}, true},
};

// What the shim is told: see fault_shim.cc.
using Settings = std::map<std::string, std::string>;

struct Ended {
  ProgramResult result;
  std::vector<std::string> left;  // below the folder of OUTPUT

  bool operator==(const Ended& other) const {
    return result.exit_code == other.result.exit_code && result.out == other.result.out &&
           result.err == other.result.err && left == other.left;
  }
};

class Resources : public ::testing::TestWithParam<Case> {
 protected:
  static std::string Input() { return ckpt::testing::TestData() + "/" + GetParam().input; }
  static std::size_t Points() {
    const char* given = std::getenv("CKPT_FAULT_POINTS");
    return std::max<std::size_t>(1,
                                 (given == nullptr ? 60 : std::strtoul(given, nullptr, 10)) / 10);
  }

  // A copy of INPUT: what is compared with a file itself is not read.
  void SetUp() override {
    const fs::path input = Input();
    const std::string name = input.filename().string();
    for (const auto& entry : fs::directory_iterator(input.parent_path())) {
      const std::string here = entry.path().filename().string();
      const bool set = name.find(".index.json") != std::string::npos;
      if (!set && !here.starts_with(name)) continue;
      fs::copy(entry.path(), copies_ / here, fs::copy_options::recursive);
    }
    copy_ = (copies_ / name).string();
    testing::WriteFile(copies_ / "examples.npy", testing::NpyOf(GetParam().examples));
  }

  std::vector<std::vector<std::string>> Commands() const {
    const std::string output = "out/" + GetParam().output;
    std::vector<std::vector<std::string>> commands = {
        {"inspect", Input()},
        {"audit", "--checksums", "--jobs", "2", Input(), copy_},
        {"convert", "--allow-findings", Input(), output},
        {"diff", Input(), copy_},
        {"verify", Input(), copy_},
    };
    if (!GetParam().examples.empty()) {
      commands.push_back(
          {"calibrate", "--all", Input(), output, "--data", (copies_ / "examples.npy").string()});
    }
    return commands;
  }

  static Ended Run(const std::vector<std::string>& command, const Settings& settings,
                   std::map<std::string, unsigned long>* counts = nullptr) {
    const TemporaryFolder folder;
    fs::create_directory(folder / "out");
    testing::ProgramOptions options;
    options.folder = folder.path();
    options.in_child = [&] {
      ::setenv("LD_PRELOAD", ckpt::testing::FaultShim().c_str(), 1);
      ::setenv("FAULT_FOLDER", ckpt::testing::TestData().c_str(), 1);
      if (counts != nullptr) ::setenv("FAULT_COUNT", (folder / "counts").c_str(), 1);
      for (const auto& [name, value] : settings) ::setenv(name.c_str(), value.c_str(), 1);
    };
    Ended ended{testing::RunProgram(ckpt::testing::Program(), command, options), {}};
    for (const auto& entry : fs::recursive_directory_iterator(folder / "out")) {
      ended.left.push_back(entry.path().lexically_relative(folder.path()).string());
    }
    std::sort(ended.left.begin(), ended.left.end());
    if (counts != nullptr) {
      std::istringstream lines(testing::ReadFile(folder / "counts"));
      std::string call;
      for (unsigned long count = 0; lines >> call >> count;) (*counts)[call] = count;
    }
    return ended;
  }

  // True where the fault changed something.
  static bool Judge(const std::vector<std::string>& command, const Settings& settings,
                    const Ended& clean) {
    const Ended ended = Run(command, settings);
    if (ended == clean) return false;
    std::string what = command[0] + " with";
    for (const auto& [name, value] : settings) what += " " + name + "=" + value;
    SCOPED_TRACE(what);
    EXPECT_EQ(ended.result.exit_code, 4) << ended.result.err << ended.result.out;
    EXPECT_EQ(ended.left, std::vector<std::string>()) << ended.result.err;
    std::istringstream lines(ended.result.err);
    int count = 0;
    for (std::string line; std::getline(lines, line); ++count) {
      EXPECT_TRUE(line.starts_with("ckpt: ")) << line;
    }
    EXPECT_GE(count, 1);
    EXPECT_LE(count, command[0] == "audit" ? 2 : 1) << ended.result.err;  // one of each input
    return true;
  }

  // One call of the family fails, at points spread over all of them; with `lasting` all later ones
  // do, too.
  static void TryCalls(const std::vector<std::string>& command, const std::string& call,
                       const std::string& kind, bool lasting = false) {
    std::map<std::string, unsigned long> counts;
    const Ended clean = Run(command, {}, &counts);
    const unsigned long all = counts[call], points = std::min<unsigned long>(all, Points());
    std::size_t felt = 0;
    for (unsigned long i = 0; i < points; ++i) {
      Settings settings = {{"FAULT_CALL", call},
                           {"FAULT_KIND", kind},
                           {"FAULT_AT", std::to_string(1 + i * all / points)}};
      if (lasting) settings["FAULT_LASTING"] = "1";
      if (Judge(command, settings, clean)) ++felt;
    }
    // What can be done without is done without: a thread.
    EXPECT_TRUE(points == 0 || call == "thread" || felt > 0) << command[0] << ", " << call;
  }

  void TryCallsOfAll(const std::string& call, const std::string& kind, bool lasting = false) {
    for (const auto& command : Commands()) TryCalls(command, call, kind, lasting);
  }

 private:
  const TemporaryFolder copies_;
  std::string copy_;
};

TEST_P(Resources, AReadThatFailsEndsEveryCommandWithExit4) { TryCallsOfAll("read", "eio"); }
TEST_P(Resources, AFileThatCannotBeOpenedIsNotTakenForAbsent) { TryCallsOfAll("open", "eio"); }
TEST_P(Resources, ThreadsThatCannotBeHadAreDoneWithout) {
  TryCallsOfAll("thread", "eagain");
  TryCallsOfAll("thread", "eagain", /*lasting=*/true);
}
TEST_P(Resources, AChildProcessThatCannotBeHadIsExit4) { TryCallsOfAll("fork", "eagain"); }

// libhdf5 itself does not survive every allocation that fails: see LittleMemory.
TEST_P(Resources, NoAllocationThatFailsEndsACommandOtherwiseThanWithExit4) {
  if (GetParam().hdf5) GTEST_SKIP() << "libhdf5 allocates";
  for (const auto& command : Commands()) {
    // OpenSSL allocates, too, of which it is known that it may crash: its part is left out.
    if (command[0] == "convert" || command[0] == "calibrate") continue;
    TryCalls(command, "memory", "enomem");
    TryCalls(command, "memory", "enomem", /*lasting=*/true);
  }
}

TEST_P(Resources, LittleMemoryIsExit4) {
  constexpr std::size_t kMost = std::size_t{64} << 20;
  for (const auto& command : Commands()) {
    const Ended clean = Run(command, {});
    EXPECT_TRUE(Judge(command, {{"FAULT_SPACE", "0"}}, clean)) << command[0];
    for (std::size_t i = 1; i < Points(); ++i) {
      Judge(command, {{"FAULT_SPACE", std::to_string(i * kMost / Points())}}, clean);
    }
  }
}

TEST_P(Resources, FewDescriptorsAreExit4) {
  for (const auto& command : Commands()) {
    const Ended clean = Run(command, {});
    EXPECT_TRUE(Judge(command, {{"FAULT_FILES", "3"}}, clean)) << command[0];
    bool felt = true;
    for (int files = 4; felt; ++files) {
      ASSERT_LT(files, 32);
      felt = Judge(command, {{"FAULT_FILES", std::to_string(files)}}, clean);
    }
  }
}

TEST_P(Resources, ATemporaryNameIsDrawnFromTheDeviceOrNotAtAll) {
  const std::vector<std::string> convert = Commands()[2];
  std::map<std::string, unsigned long> counts;
  const Ended clean = Run(convert, {}, &counts);
  EXPECT_EQ(counts["random"], 1U);
  Settings settings = {{"FAULT_CALL", "random"}, {"FAULT_KIND", "enosys"}, {"FAULT_AT", "1"}};
  EXPECT_EQ(Run(convert, settings, &counts), clean);
  EXPECT_EQ(counts["random"], 2U) << "the call, and then the device";
  settings["FAULT_LASTING"] = "1";
  EXPECT_TRUE(Judge(convert, settings, clean));
}

INSTANTIATE_TEST_SUITE_P(EveryFormat, Resources, ::testing::ValuesIn(kCases),
                         [](const auto& instance) { return instance.param.name; });

}  // namespace
}  // namespace ckpt::resources_test
