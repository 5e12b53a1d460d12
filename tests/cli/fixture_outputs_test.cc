// What `convert` writes for the test data stays as it is, byte for byte: a digest of OUTPUT for
// each file that converts, with batch norms folded and preserved.
#include <gtest/gtest.h>

#include <algorithm>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <iostream>
#include <map>
#include <sstream>
#include <string>
#include <vector>

#include "ckpt/sha256.h"
#include "cli/command.h"
#include "tests/support/paths.h"
#include "tests/support/program.h"
#include "tests/support/sanitized.h"

namespace ckpt::testing::fixture_outputs_test {
namespace {

namespace fs = std::filesystem;

const fs::path& Data() {
  static const fs::path kData = ckpt::testing::TestData();
  return kData;
}

// Files that hold expected values, what other files are made of, or the text of a program.
bool IsInput(const fs::path& path) {
  static const std::vector<std::string> kOthers = {".json", ".py",  ".npz", ".txt",
                                                   ".md",   ".bin", ".meta"};
  const std::string name = path.filename();
  if (name == "model.json" || name == "saved_model.pb") return true;
  return std::find(kOthers.begin(), kOthers.end(), path.extension()) == kOthers.end() &&
         name.find(".data-") == std::string::npos && name != "checkpoint" && name != "SHA256SUMS";
}

// Relative to the folder of the test data, sorted. A SavedModel is a folder.
std::vector<std::string> Inputs() {
  std::vector<std::string> inputs;
  for (const auto& entry : fs::recursive_directory_iterator(Data())) {
    const fs::path path = entry.path().lexically_relative(Data());
    if (!entry.is_regular_file() || *path.begin() == "generators" || !IsInput(path)) continue;
    inputs.push_back(path.filename() == "saved_model.pb" ? path.parent_path() : path);
  }
  std::sort(inputs.begin(), inputs.end());
  return inputs;
}

// Of a file, or of the names and contents of all files in a folder but the record.
std::string DigestOf(const fs::path& path) {
  if (!fs::is_directory(path)) return Sha256(ReadFile(path));
  std::map<std::string, std::string> files;
  for (const auto& entry : fs::recursive_directory_iterator(path)) {
    const std::string name = entry.path().lexically_relative(path);
    if (entry.is_regular_file() && name != "assets.extra/ckpt.json") {
      files[name] = Sha256(ReadFile(entry.path()));
    }
  }
  std::string text;
  for (const auto& [name, digest] : files) text.append(name).append(" ").append(digest) += '\n';
  return Sha256(text);
}

// The program in this process: a thousand starts would take most of the time.
int Convert(const std::vector<std::string>& arguments) {
  std::vector<const char*> argv = {"ckpt", "convert", "-q", "--allow-findings", "--no-verify"};
  for (const std::string& argument : arguments) argv.push_back(argument.c_str());
  std::ostringstream silent;
  std::streambuf* const before = std::cerr.rdbuf(silent.rdbuf());
  const int code = cli::RunCommandLine(static_cast<int>(argv.size()), argv.data());
  std::cerr.rdbuf(before);
  return code;
}

// "fold onnx/chain.onnx": digest.
std::map<std::string, std::string> DigestsOfOutputs() {
  std::map<std::string, std::string> digests;
  for (const std::string& input : Inputs()) {
    for (const std::string mode : {"fold", "preserve"}) {
      const TemporaryFolder folder;
      const fs::path output = folder.path() / fs::path(input).filename();
      const int code = Convert({"--bn", mode, (Data() / input).string(), output.string(),
                                "--record", (folder / "record").string()});
      if (code > 1) continue;
      fs::remove(folder / "record");
      std::string all;
      for (const auto& entry : fs::directory_iterator(folder.path())) {
        all = all.empty() ? DigestOf(entry.path()) : DigestOf(folder.path());
      }
      digests[mode + " " + input] = all;
    }
  }
  return digests;
}

std::string Line(const std::string& what, const std::string& digest) {
  return digest + "  " + what + "\n";
}

// CKPT_UPDATE_GOLDEN=1 in the environment writes the list, whose differences are to be explained.
TEST(FixtureOutputs, AreTheBytesThatAreListed) {
  if (kSanitized) GTEST_SKIP() << "would take ten times as long; other tests convert all this, too";
  const fs::path path = Data().parent_path() / "tests/cli/golden/fixture_outputs.sha256";
  const auto digests = DigestsOfOutputs();
  std::string all;
  for (const auto& [what, digest] : digests) all += Line(what, digest);
  if (std::getenv("CKPT_UPDATE_GOLDEN") != nullptr) std::ofstream(path) << all;
  std::istringstream listed(ReadFile(path));
  std::size_t compared = 0;
  for (std::string digest, mode, input; listed >> digest >> mode && std::getline(listed, input);) {
    const auto found = digests.find(mode + input);
    EXPECT_TRUE(found != digests.end() && found->second == digest) << mode << input;
    ++compared;
  }
  EXPECT_GT(compared, 800U);
  std::cout << compared << " outputs compared; " << digests.size() << " fixtures convert\n";
}

}  // namespace
}  // namespace ckpt::testing::fixture_outputs_test
