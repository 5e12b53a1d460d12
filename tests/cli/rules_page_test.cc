// docs/rules.md is the table of rules, with the options that their findings take.
#include <gtest/gtest.h>

#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <iterator>

#include "ckpt/audit.h"
#include "cli/report/advice.h"
#include "tests/support/paths.h"

namespace ckpt::cli::rules_page_test {
namespace {

std::string Page() {
  std::string page =
      "# Audit rules\n\n"
      "What `ckpt audit` looks for. `ckpt explain RULE` prints the same text. Ids do not change\n"
      "meaning once released. The severity is the usual one; a finding may be milder by its\n"
      "evidence. The fourth column says what becomes of it in a conversion: its findings of that\n"
      "severity stop it, or it closes them (or stops where it cannot), or they are about what\n"
      "stays behind. What is written without --allow-findings passes `ckpt audit --fail-on "
      "error`.\n\n"
      "| id | name | severity | in a conversion | what |\n|---|---|---|---|---|\n";
  for (const Rule& rule : Rules()) {
    page += "| " + std::string(rule.id) + " | " + std::string(rule.name) + " | " +
            std::string(Name(rule.severity)) + " | " + std::string(Name(rule.in_conversion)) +
            " | " + std::string(rule.summary) + " |\n";
  }
  for (const Rule& rule : Rules()) {
    page += "\n## " + std::string(rule.id) + " " + std::string(rule.name) + "\n\n" + TextOf(rule);
  }
  return page;
}

// CKPT_UPDATE_DOCS=1 in the environment writes the page from the table.
TEST(RulesPage, IsWrittenFromTheTableWithTheOptionsOfThisProgram) {
  const std::filesystem::path path =
      std::filesystem::path((ckpt::testing::Sources() + "/docs/cli.md")).parent_path() / "rules.md";
  if (std::getenv("CKPT_UPDATE_DOCS") != nullptr) std::ofstream(path) << Page();
  std::ifstream file(path);
  const std::string stored{std::istreambuf_iterator<char>(file), {}};
  EXPECT_EQ(stored, Page()) << "run this test with CKPT_UPDATE_DOCS=1 to write " << path;
}

}  // namespace
}  // namespace ckpt::cli::rules_page_test
