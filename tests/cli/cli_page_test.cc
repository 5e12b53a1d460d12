// docs/cli.md and the program name the same options.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <regex>
#include <set>

#include "tests/support/paths.h"
#include "tests/support/program.h"

namespace ckpt::testing::cli_page_test {
namespace {

std::set<std::string> OptionsIn(const std::string& text) {
  static const std::regex option("--[a-z][a-z-]*");
  std::set<std::string> options;
  for (std::sregex_iterator it(text.begin(), text.end(), option), end; it != end; ++it) {
    options.insert(it->str());
  }
  return options;
}

std::set<std::string> OptionsOfTheProgram() {
  std::set<std::string> options;
  for (const char* command : {"inspect", "audit", "convert", "diff", "verify", "calibrate",
                              "explain", "git-diff", "trend"}) {
    const auto help = RunProgram(ckpt::testing::Program(), {command, "--help"});
    EXPECT_EQ(help.exit_code, 0) << command;
    options.merge(OptionsIn(help.out));
  }
  return options;
}

TEST(CliPage, NamesEveryOptionOfTheProgramAndNoOther) {
  std::set<std::string> documented =
      OptionsIn(ReadFile((ckpt::testing::Sources() + "/docs/cli.md")));
  documented.insert("--help");
  EXPECT_EQ(documented, OptionsOfTheProgram());
}

}  // namespace
}  // namespace ckpt::testing::cli_page_test
