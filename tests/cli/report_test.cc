// Reports: every form prints what its row promises, and the JSON of every command stays as it is.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <array>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <nlohmann/json.hpp>
#include <regex>
#include <sstream>

#include "cli/report/form.h"
#include "tests/cli/ckpt_program.h"
#include "tests/support/paths.h"

namespace ckpt::cli::report_test {
namespace {

using nlohmann::json;
using ::testing::HasSubstr;

std::filesystem::path Sources() {
  return std::filesystem::path(ckpt::testing::TestData()).parent_path();
}

std::string TextOf(const std::filesystem::path& path) {
  std::ifstream file(path);
  std::ostringstream text;
  text << file.rdbuf();
  return text.str();
}

// A report of the command with one small piece of each kind.
std::string Sample(Form& form, CommandId command) {
  Manifest manifest;
  manifest.resolved = "m";
  const Analysis analysis;
  const InputReport input{"m", {}, &manifest, &analysis, "npz", {}};
  switch (command) {
    case CommandId::kInspect: {
      const std::string first = form.Add(InspectedInput{input});
      return first + form.End(InspectSummary{1, 0});
    }
    case CommandId::kAudit: {
      const AuditedInput audited{input};
      AuditSummary summary;
      summary.Add(audited);
      const std::string first = form.Add(audited);
      return first + form.End(summary);
    }
    case CommandId::kConvert: {
      Conversion conversion{"a", "b"};
      conversion.formats = {"a", "npz", "npz", {}};
      conversion.plan = PlanReport{};
      return form.Add(conversion);
    }
    case CommandId::kCalibrate: {
      Conversion conversion{"a", "b"};
      conversion.formats = {"a", "npz", "npz", {}};
      conversion.plan = PlanReport{};
      conversion.calibration.emplace();
      return form.Add(conversion);
    }
    case CommandId::kDiff: {
      Comparison comparison{"a", "b"};
      comparison.diff.emplace();
      return form.Add(comparison);
    }
    case CommandId::kVerify: {
      VerifiedPair verified{"a", "b"};
      verified.verification.emplace();
      return form.Add(verified);
    }
    case CommandId::kTrend: {
      const std::string first = form.Add(FollowedRun{"a", {{"1.npz"}, {"2.npz"}}});
      return first + form.End(TrendSummary{1});
    }
    case CommandId::kExplain:
      return form.Add(RuleList{{FindRule("BN001")}, true});
  }
  return {};
}

constexpr std::array kCommands = {CommandId::kInspect, CommandId::kAudit,  CommandId::kConvert,
                                  CommandId::kDiff,    CommandId::kVerify, CommandId::kCalibrate,
                                  CommandId::kTrend,   CommandId::kExplain};

TEST(Forms, PrintEveryCommandThatTheirRowLists) {
  for (const FormRow& row : Forms()) {
    for (const CommandId command : kCommands) {
      if (!row.commands.Has(command)) continue;
      EXPECT_NE(Sample(*row.make({}), command), "")
          << row.name << " prints nothing for command " << static_cast<int>(command);
    }
  }
}

TEST(Forms, AreFoundByTheirNameAndHaveAMediaType) {
  for (const FormRow& row : Forms()) {
    EXPECT_EQ(FindForm(row.name), &row);
    EXPECT_THAT(std::string(row.media_type), HasSubstr("/"));
  }
  EXPECT_EQ(FindForm("nope"), nullptr);
  EXPECT_EQ(FormsOf(CommandId::kExplain), "text, json or jsonl");
}

TEST(Forms, EscapeANameOnce) {
  Manifest manifest;
  manifest.resolved = "m";
  const Analysis analysis;
  AuditedInput audited{{"m", {}, &manifest, &analysis, "npz", {}}};
  audited.findings.push_back({FindRule("BN001"), Severity::kError, "a\nb", {}, "a\nb is \\", ""});
  const std::string text = FindForm("text")->make({})->Add(audited);
  EXPECT_THAT(text, HasSubstr("statistics-missing: a\\x0ab\n"));
  EXPECT_THAT(text, HasSubstr("a\\x0ab is \\\\\n"));
  const auto form = FindForm("jsonl")->make({});
  std::istringstream lines(form->Add(audited));
  std::string line;
  std::getline(lines, line);  // the input
  std::getline(lines, line);
  EXPECT_EQ(json::parse(line)["subject"], "a\nb");
}

TEST(Commands, IncludeNeitherAJsonLibraryNorATextTable) {
  std::size_t seen = 0;
  for (const auto& entry : std::filesystem::directory_iterator(Sources() / "cli")) {
    const std::string name = entry.path().filename().string();
    if (!name.starts_with("command_")) continue;
    ++seen;
    const std::string text = TextOf(entry.path());
    for (const char* banned :
         {"nlohmann", "text_table.h", "json_values.h", "json_pieces.h", "text_pieces.h"}) {
      EXPECT_EQ(text.find(banned), std::string::npos) << name << " includes " << banned;
    }
  }
  EXPECT_GE(seen, 6U);
}

// Errors, findings and notes hold names as the file spells them: who prints escapes, once.
TEST(Names, AreEscapedByPrintersAlone) {
  std::size_t seen = 0;
  for (const char* folder : {"lib", "formats"}) {
    for (const auto& entry : std::filesystem::recursive_directory_iterator(Sources() / folder)) {
      if (entry.path().extension() != ".cc" || entry.path().filename() == "error.cc") continue;
      ++seen;
      const std::string text = TextOf(entry.path());
      EXPECT_EQ(text.find("EscapeForDisplay"), std::string::npos) << entry.path();
      // ToString of an error escapes too.
      EXPECT_FALSE(std::regex_search(text, std::regex("ToString\\([^)]*error"))) << entry.path();
    }
  }
  EXPECT_GT(seen, 100U);
}

TEST(Names, WithControlCharactersArePrintedSoThatTheyCanBeReadBack) {
  const ckpt::testing::TemporaryFolder folder;
  std::filesystem::copy(Sources() / "testdata/darknet/old.weights", folder / "net.weights");
  ckpt::testing::WriteFile(folder / "net.cfg", "[net]\nwidth=a\x1b[b\\\n");
  const auto result = ckpt::testing::Ckpt({"inspect", (folder / "net.weights").string()});
  EXPECT_EQ(result.exit_code, 3);
  EXPECT_THAT(result.err, ::testing::EndsWith("has width=a\\x1b[b\\\\\n"));
}

TEST(Epsilon, HasTheSourceOfItsGraphWhateverTheFileIsCalled) {
  const ckpt::testing::TemporaryFolder folder;
  const auto path = folder / "my_config.pb";
  std::filesystem::copy(Sources() / "testdata/tf_graphs/tf2.15/frozen.pb", path);
  const auto result = ckpt::testing::Ckpt({"convert", "--bn", "fold", "--dry-run", "--format",
                                           "json", path.string(), (folder / "o.npz").string()});
  ASSERT_EQ(result.exit_code, 0) << result.err;
  const json folded = json::parse(result.out)["folded"];
  ASSERT_FALSE(folded.empty());
  EXPECT_EQ(folded[0]["epsilon"]["source"], "graph");
}

// The sums of products in a report, each replaced by a mark. They are formed with fused operations
// where compiler and processor have them, and end in other digits there.
std::vector<double> TakeSums(std::string& text) {
  std::vector<double> sums;
  for (const std::string key : {"\"cosine\": ", "\"relative_norm\": "}) {
    for (std::size_t at = text.find(key); at != std::string::npos; at = text.find(key, at)) {
      at += key.size();
      if (text[at] == '"') continue;  // "nan"
      const std::size_t end = text.find_first_of(",\n", at);
      sums.push_back(std::stod(text.substr(at, end - at)));
      text.replace(at, end - at, "~");
    }
  }
  return sums;
}

// What a command prints as JSON for small files of the test data; CKPT_UPDATE_GOLDEN=1 writes it
// anew.
void ExpectGolden(const std::string& name, const std::vector<std::string>& arguments) {
  const auto path = Sources() / "tests" / "cli" / "golden" / (name + ".json");
  std::string printed = ckpt::testing::Ckpt(arguments).out;
  if (std::getenv("CKPT_UPDATE_GOLDEN") != nullptr) std::ofstream(path) << printed;
  std::string golden = TextOf(path);
  const std::vector<double> sums = TakeSums(printed), expected = TakeSums(golden);
  EXPECT_EQ(printed, golden) << path;
  EXPECT_THAT(sums, ::testing::Pointwise(::testing::DoubleNear(1e-14), expected)) << path;
}

TEST(GoldenJson, OfInspect) {
  ExpectGolden("inspect", {"inspect", "--format", "json",
                           "safetensors/torch_never_updated_tracked_0.safetensors", "no/such"});
}
TEST(GoldenJson, OfAudit) {
  ExpectGolden("audit", {"audit", "--format", "json",
                         "safetensors/torch_never_updated_tracked_0.safetensors", "no/such"});
}
TEST(GoldenJson, OfConvert) {
  ExpectGolden("convert", {"convert", "--bn", "fold", "--dry-run", "--format", "json",
                           "keras_h5/bn_conv_same_no_shift.h5", "serving.npz"});
}
TEST(GoldenJson, OfDiff) {
  ExpectGolden("diff", {"diff", "--format", "json", "safetensors/torch_good.safetensors",
                        "safetensors/torch_never_updated_tracked_0.safetensors"});
}
TEST(GoldenJson, OfExplain) { ExpectGolden("explain", {"explain", "--format", "json", "BN001"}); }

}  // namespace
}  // namespace ckpt::cli::report_test
