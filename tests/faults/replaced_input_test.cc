// INPUT is replaced while it is read: what is written is that of the INPUT which was opened, with
// its digest in the record, or nothing.
#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/stat.h>
#include <unistd.h>

#include <chrono>
#include <cstdlib>
#include <future>
#include <map>
#include <sstream>

#include "tests/support/paths.h"
#include "tests/support/program.h"

namespace ckpt::replaced_input_test {
namespace {

namespace fs = std::filesystem;
using testing::ProgramResult;
using testing::TemporaryFolder;

// Files of one format. Those of HDF5 are read by a child that may open nothing, the gate neither.
struct Replaced {
  std::string name, first, second;
};
const Replaced kReplaced[] = {
    {"safetensors", "safetensors/torch_good.safetensors",
     "safetensors/torch_never_updated_tracked_0.safetensors"},
    {"torch", "torch/state_dict.pt", "torch/no_counter.pth"},
    {"npz", "bad_values/absorbed.npz", "bad_values/denormal_variance.npz"},
    {"onnx", "onnx/bn_conv.onnx", "onnx/bn_gemm.onnx"},
};

class ReplacedInput : public ::testing::TestWithParam<Replaced> {
 protected:
  static constexpr unsigned long kPoints = 10;  // at which each run is stopped

  static void Put(const std::string& file, const fs::path& path) {
    fs::copy_file(fs::path(ckpt::testing::TestData()) / file, path,
                  fs::copy_options::overwrite_existing);
  }

  // Stops at the read `at` until the gate was opened and closed; 0: at none, and counts them.
  static ProgramResult Convert(const fs::path& folder, unsigned long at) {
    testing::ProgramOptions options;
    options.folder = folder;
    options.in_child = [folder, at] {
      ::setenv("LD_PRELOAD", ckpt::testing::FaultShim().c_str(), 1);
      ::setenv("FAULT_FOLDER", folder.c_str(), 1);
      ::setenv("FAULT_GATE", (folder / "gate").c_str(), 1);
      ::setenv("FAULT_COUNT", (folder / "counts").c_str(), 1);
      if (at == 0) return;
      ::setenv("FAULT_CALL", "read", 1);
      ::setenv("FAULT_KIND", "wait", 1);
      ::setenv("FAULT_AT", std::to_string(at).c_str(), 1);
    };
    return testing::RunProgram(ckpt::testing::Program(),
                               {"convert", "in", "out/made.npz", "--allow-findings"}, options);
  }

  static std::map<std::string, std::string> Written(const fs::path& folder) {
    std::map<std::string, std::string> contents;
    for (const auto& entry : fs::directory_iterator(folder / "out"))
      contents[entry.path().filename().string()] = testing::ReadFile(entry.path());
    return contents;
  }

  static unsigned long ReadsOf(const fs::path& folder) {
    std::istringstream lines(testing::ReadFile(folder / "counts"));
    std::string call;
    for (unsigned long count = 0; lines >> call >> count;)
      if (call == "read") return count;
    return 0;
  }

  // Waits until the run stands at its gate, has `replace` act, and lets it go on.
  template <class Replace>
  static ProgramResult ConvertWhile(const fs::path& folder, unsigned long at, Replace replace) {
    EXPECT_EQ(::mkfifo((folder / "gate").c_str(), 0600), 0);
    auto run = std::async(std::launch::async, [&] { return Convert(folder, at); });
    int gate = -1;
    while (gate < 0 && run.wait_for(std::chrono::milliseconds(1)) != std::future_status::ready)
      gate = ::open((folder / "gate").c_str(), O_WRONLY | O_NONBLOCK | O_CLOEXEC);
    EXPECT_GE(gate, 0) << "it never came to read " << at;
    replace();
    if (gate >= 0) ::close(gate);
    return run.get();
  }

  // How many runs were refused.
  template <class Replace>
  int TryEach(Replace replace) const {
    const TemporaryFolder clean;
    fs::create_directory(clean / "out");
    Put(GetParam().first, clean / "in");
    const ProgramResult whole = Convert(clean.path(), 0);
    EXPECT_EQ(whole.exit_code, 0) << whole.err;
    const auto expected = Written(clean.path());
    const unsigned long reads = ReadsOf(clean.path());
    EXPECT_GT(reads, 1U);
    int refused = 0;
    for (unsigned long i = 0; i < kPoints; ++i) {
      const unsigned long at = 1 + i * reads / kPoints;
      SCOPED_TRACE("at read " + std::to_string(at) + " of " + std::to_string(reads));
      const TemporaryFolder folder;
      fs::create_directory(folder / "out");
      Put(GetParam().first, folder / "in");
      Put(GetParam().second, folder / "other");
      const ProgramResult run = ConvertWhile(folder.path(), at, [&] { replace(folder.path()); });
      if (run.exit_code == 0) {
        EXPECT_EQ(Written(folder.path()), expected) << "a mixture, or a record of another file";
        continue;
      }
      ++refused;
      EXPECT_TRUE(run.exit_code == 3 || run.exit_code == 4) << run.exit_code << run.err;
      EXPECT_TRUE(Written(folder.path()).empty());
    }
    return refused;
  }
};

TEST_P(ReplacedInput, ByARenameIsReadToItsEndOrRefused) {
  const int refused =
      TryEach([](const fs::path& folder) { fs::rename(folder / "other", folder / "in"); });
  EXPECT_GT(refused, 0);
}

TEST_P(ReplacedInput, InItsPlaceIsNeverMixedWithWhatWasRead) {
  const int refused = TryEach([](const fs::path& folder) {
    testing::WriteFile(folder / "in", testing::ReadFile(folder / "other"));
  });
  EXPECT_GT(refused, 0);
}

INSTANTIATE_TEST_SUITE_P(EveryFormat, ReplacedInput, ::testing::ValuesIn(kReplaced),
                         [](const auto& instance) { return instance.param.name; });

}  // namespace
}  // namespace ckpt::replaced_input_test
