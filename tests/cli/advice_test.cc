// The library says what would help; this program says with which option.
#include "cli/report/advice.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>
#include <regex>
#include <set>

#include "cli/report/error_text.h"
#include "tests/support/paths.h"
#include "tests/support/program.h"

namespace ckpt::cli::advice_test {
namespace {

using ::testing::IsEmpty;

std::vector<std::string> AllWords() {
  std::vector<std::string> words;
  for (int i = 1; i <= static_cast<int>(kLastRemedy); ++i)
    words.push_back(AdviceOf(static_cast<Remedy>(i)));
  for (int i = 1; i <= static_cast<int>(kLastSetting); ++i)
    words.emplace_back(OptionOf(static_cast<Setting>(i)));
  return words;
}

TEST(Advice, EveryRemedyAndEverySettingHasWordsOfItsOwn) {
  const std::vector<std::string> words = AllWords();
  EXPECT_THAT(words, ::testing::Each(::testing::Not(IsEmpty())));
  EXPECT_EQ(std::set<std::string>(words.begin(), words.end()).size(), words.size());
  EXPECT_EQ(AdviceOf(Remedy::kNone), "");
  EXPECT_EQ(OptionOf(Setting::kNone), "");
}

TEST(Advice, EveryOptionThatItNamesIsOnThePageOfTheCommandLine) {
  const std::string page = ckpt::testing::ReadFile((ckpt::testing::Sources() + "/docs/cli.md"));
  const std::regex option("--[a-z][a-z-]*");
  std::set<std::string> named;
  for (const std::string& words : AllWords()) {
    for (std::sregex_iterator it(words.begin(), words.end(), option), end; it != end; ++it)
      named.insert(it->str());
  }
  EXPECT_GT(named.size(), 20U);
  for (const std::string& one : named)
    EXPECT_NE(page.find("`" + one), std::string::npos)
        << one << " is not in " << (ckpt::testing::Sources() + "/docs/cli.md");
}

TEST(Advice, StandsBehindTheMessageAndTheOptionAtFaultBeforeIt) {
  const Error error = Error{ErrorCode::kUnfit, "nothing shows which value serves"}
                          .In("model.meta")
                          .With(Remedy::kFeedBoolean, "phase")
                          .About(Setting::kFeed);
  EXPECT_EQ(MessageOf(error),
            "--feed: nothing shows which value serves; --feed phase=false (or true) says so");
  EXPECT_EQ(Describe(error), "model.meta: " + MessageOf(error));
  EXPECT_EQ(MessageOf(Error{ErrorCode::kCorrupt, "ends early"}), "ends early");
}

// Where each text of lib/ and formats/ names an option: who calls the library has none.
std::vector<std::string> OptionsNamedIn(const std::filesystem::path& folder) {
  const std::regex literal("\"[^\"]*--[a-z][^\"]*\"");
  std::vector<std::string> found;
  for (const auto& entry : std::filesystem::recursive_directory_iterator(folder)) {
    const std::string extension = entry.path().extension().string();
    if (extension != ".cc" && extension != ".h") continue;
    std::ifstream file(entry.path());
    std::size_t number = 0;
    for (std::string line; std::getline(file, line);) {
      ++number;
      const std::size_t comment = line.find("// ");
      if (!std::regex_search(line.substr(0, comment), literal)) continue;
      found.push_back(entry.path().string() + ":" + std::to_string(number) + ": " + line);
    }
  }
  return found;
}

TEST(Advice, NoTextOfTheLibraryNamesAnOption) {
  const std::filesystem::path root =
      std::filesystem::path((ckpt::testing::Sources() + "/README.md")).parent_path();
  for (const char* folder : {"lib", "formats"})
    EXPECT_THAT(OptionsNamedIn(root / folder), IsEmpty()) << "a Remedy says it (ckpt/error.h)";
}

TEST(Advice, ATextThatNamesAnOptionIsSeen) {
  const ckpt::testing::TemporaryFolder folder;
  ckpt::testing::WriteFile(folder / "one.cc",
                           "// \"--pairs\"\nRefuse(\"why; --pairs can say\");\n");
  EXPECT_EQ(OptionsNamedIn(folder.path()).size(), 1U);
}

}  // namespace
}  // namespace ckpt::cli::advice_test
