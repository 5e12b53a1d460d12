// What a conversion writes with exit 0 passes the audit, and --dry-run exits as the conversion
// does: over all inputs of testdata and of the corpus, folded and preserved, in the format of the
// input and as names alone.
#include <gtest/gtest.h>

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <iostream>
#include <nlohmann/json.hpp>
#include <sstream>

#include "ckpt/formats/format.h"
#include "cli/command.h"
#include "tests/support/paths.h"
#include "tests/support/sanitized.h"
#include "tests/support/temporary_folder.h"

namespace ckpt::cli::output_audit_test {
namespace {

namespace fs = std::filesystem;
using ckpt::testing::TemporaryFolder;

// Under sanitizers, where each takes ten times as long, one input in twelve.
constexpr std::size_t kEvery = ckpt::testing::kSanitized ? 12 : 1;
constexpr std::uintmax_t kLargest = std::uintmax_t{2} << 20;  // larger files add time, not kinds

// The program in this process: a thousand starts would take most of the time.
int RunCkpt(const std::vector<std::string>& arguments, std::string* errors = nullptr) {
  std::vector<const char*> argv = {"ckpt"};
  for (const std::string& argument : arguments) argv.push_back(argument.c_str());
  std::ostringstream silent;
  std::streambuf* const before = std::cerr.rdbuf(silent.rdbuf());
  const int code = RunCommandLine(static_cast<int>(argv.size()), argv.data());
  std::cerr.rdbuf(before);
  if (errors != nullptr) *errors = silent.str();
  return code;
}

bool IsPart(const fs::path& path) {
  static const char* const kOthers[] = {".json", ".py",  ".md",   ".txt", ".sh", ".cfg",
                                        ".meta", ".raw", ".data", ".tar", ".gz"};
  const std::string name = path.filename().string();
  if (name.ends_with("weights.json") || name.ends_with(".safetensors.index.json")) return false;
  const bool shard = name.find(".data-") != std::string::npos;
  return shard || name == "checkpoint" || name == "keras_metadata.pb" || name == "fingerprint.pb" ||
         std::any_of(std::begin(kOthers), std::end(kOthers),
                     [&](const char* suffix) { return name.ends_with(suffix); });
}

std::vector<std::string> InputsBelow(const fs::path& root) {
  std::vector<std::string> inputs;
  std::error_code ignored;
  for (auto it = fs::recursive_directory_iterator(root, ignored);
       it != fs::recursive_directory_iterator(); it.increment(ignored)) {
    if (it->is_directory() && fs::exists(it->path() / "saved_model.pb")) {
      inputs.push_back(it->path().string());
      it.disable_recursion_pending();
    } else if (it->is_regular_file() && !IsPart(it->path()) && it->file_size() <= kLargest) {
      inputs.push_back(it->path().string());
    }
  }
  std::sort(inputs.begin(), inputs.end());
  return inputs;
}

struct Target {
  const char* name;
  std::vector<std::string> options = {};
};

// The formats that an input of this one is usually written to, and names alone.
std::vector<Target> TargetsOf(std::string_view format) {
  std::vector<Target> targets = {{"out.npz"}};
  if (format == "keras-h5") targets.push_back({"out.h5"});
  if (format == "keras") targets.push_back({"out.keras"});
  if (format == "keras-weights") targets.push_back({"out.weights.h5"});
  if (format == "safetensors" || format == "npz") targets.push_back({"out.safetensors"});
  if (format == "torch") targets.push_back({"out.pt"});
  if (format == "onnx") targets.push_back({"out.onnx"});
  if (format == "tf-bundle") targets.push_back({"out", {"--to", "tf-bundle"}});
  if (format == "tf-bundle" || format == "saved-model") {
    targets.push_back({"served", {"--to", "saved-model"}});
  }
  if (format == "graph-def" || format == "saved-model") targets.push_back({"out.pb"});
  return targets;
}

struct Tally {
  std::size_t written = 0, refused = 0;
};

void Convert(const std::string& input, const Target& target, const char* mode, Tally& tally) {
  const TemporaryFolder folder;
  const std::string output = (folder / target.name).string();
  std::vector<std::string> arguments = {"convert", "--quiet", "--bn", mode, input, output};
  arguments.insert(arguments.end(), target.options.begin(), target.options.end());
  SCOPED_TRACE(input + " --bn " + mode + " -> " + target.name);
  std::string errors;
  arguments.emplace_back("--dry-run");
  const int dry = RunCkpt(arguments, &errors);
  EXPECT_TRUE(fs::is_empty(folder.path())) << "--dry-run writes nothing";
  arguments.pop_back();
  const int code = RunCkpt(arguments, &errors);
  EXPECT_EQ(dry, code) << "--dry-run exits as the conversion: " << errors;
  if (code != 0) {
    ++tally.refused;
    return;
  }
  ++tally.written;
  EXPECT_EQ(RunCkpt({"audit", "--quiet", "--fail-on", "error", output}, &errors), 0) << errors;
}

Tally ConvertAll(const fs::path& root) {
  Tally tally;
  const std::vector<std::string> inputs = InputsBelow(root);
  for (std::size_t i = 0; i < inputs.size(); i += kEvery) {
    const std::string& input = inputs[i];
    const auto opened = formats::OpenCheckpoint(input);
    if (!opened) continue;
    for (const Target& target : TargetsOf((*opened)->format())) {
      Convert(input, target, "preserve", tally);
      if (target.name != std::string_view("out.npz")) Convert(input, target, "fold", tally);
    }
  }
  return tally;
}

TEST(OutputPassesAudit, InAllOfTestdata) {
  const Tally tally = ConvertAll(ckpt::testing::TestData());
  EXPECT_GT(tally.written, 1000U / kEvery);
  std::cout << tally.written << " outputs, " << tally.refused << " conversions refused\n";
}

TEST(OutputPassesAudit, InRealCheckpoints) {
  if (!fs::exists(ckpt::testing::Corpus())) GTEST_SKIP() << "the corpus is not here";
  const Tally tally = ConvertAll(ckpt::testing::Corpus());
  EXPECT_GT(tally.written, 10U / kEvery);
  std::cout << tally.written << " outputs, " << tally.refused << " conversions refused\n";
}

TEST(OutputPassesAudit, TheCasesHandledWronglyOnce) {
  const fs::path cases = fs::path(ckpt::testing::Corpus()) / ".." / "cases";
  if (!fs::exists(cases)) GTEST_SKIP() << "the cases are not here";
  const Tally tally = ConvertAll(cases);
  EXPECT_GT(tally.written, 10U / kEvery);
  std::cout << tally.written << " outputs, " << tally.refused << " conversions refused\n";
}

// The last line of a conversion, the report and the record say what the audit thinks.
TEST(OutputAudit, IsSaidInTheReportAndInTheRecord) {
  const TemporaryFolder folder;
  const std::string input = ckpt::testing::TestData() + "/bad_values/looks_never_updated.h5";
  const std::string report = (folder / "report.json").string();
  ASSERT_EQ(RunCkpt({"convert", "--format", "json", "--report", report, input,
                     (folder / "out.h5").string()}),
            0);
  const auto expected =
      nlohmann::json::parse(R"({"errors": 0, "warnings": 1, "infos": 0, "rules": ["BN011"]})");
  for (const std::string& path : {report, (folder / "out.h5.ckpt.json").string()}) {
    const auto json = nlohmann::json::parse(std::ifstream(path));
    EXPECT_EQ(json["audit"]["errors"], expected["errors"]);
    EXPECT_EQ(json["audit"]["rules"], expected["rules"]);
  }
  const std::string text = (folder / "report.txt").string();
  ASSERT_EQ(RunCkpt({"convert", "--report", text, "--force", input, (folder / "out.h5").string()}),
            0);
  std::stringstream said;
  said << std::ifstream(text).rdbuf();
  EXPECT_TRUE(said.str().ends_with("audit: 1 warning (BN011)\n")) << said.str();
}

// A conversion to names alone loses the epsilon that keeps variance + epsilon above 0.
TEST(OutputAudit, ANegativeVarianceWhoseEpsilonIsLostStopsTheConversion) {
  const TemporaryFolder folder;
  const std::string input = ckpt::testing::TestData() + "/bad_values/negative_variance_tiny.h5";
  const std::string names = (folder / "out.npz").string();
  EXPECT_EQ(RunCkpt({"convert", "--quiet", input, names}), 3);
  EXPECT_FALSE(fs::exists(names));
  EXPECT_EQ(RunCkpt({"convert", "--quiet", "--dry-run", input, names}), 3);
  EXPECT_EQ(RunCkpt({"convert", "--quiet", input, (folder / "out.h5").string()}), 0);
  EXPECT_EQ(RunCkpt({"convert", "--quiet", "--allow-findings", input, names}), 0);
}

// Names alone call it a batch norm without statistics; the class or version in a .pt does not.
TEST(OutputAudit, AGroupNormThatOutputCannotTellFromABatchNormIsRefusedByThatReason) {
  for (const char* name : {"/torch_modules/group_norm.pt", "/torch_modules/group_norm_state.pt"}) {
    const TemporaryFolder folder;
    const std::string input = ckpt::testing::TestData() + name;
    std::string errors;
    for (const char* output : {"out.npz", "out.safetensors"}) {
      const std::string path = (folder / output).string();
      EXPECT_EQ(RunCkpt({"convert", "--quiet", input, path}, &errors), 3) << name;
      EXPECT_NE(errors.find("\"bn1\" is "), std::string::npos) << errors;
      EXPECT_NE(errors.find("--rename"), std::string::npos) << errors;
      std::ofstream(folder / "names.json")
          << R"({"bn1.weight": "norm1.weight", "bn1.bias": "norm1.bias"})";
      EXPECT_EQ(
          RunCkpt({"convert", "--quiet", "--rename", (folder / "names.json").string(), input, path},
                  &errors),
          0)
          << errors;
    }
  }
}

}  // namespace
}  // namespace ckpt::cli::output_audit_test
