// Every example of README.md is run, in order, and its output compared.
//
// In a block marked ```console, a line "$ ckpt ..." is a command, the lines up to the next one its
// output; a last line "[exit N]" is its exit code, 0 if there is none. The commands run in a folder
// that holds testdata/.
#include <gtest/gtest.h>

#include <filesystem>
#include <sstream>

#include "tests/support/paths.h"
#include "tests/support/program.h"

namespace ckpt::testing::readme_test {
namespace {

struct Example {
  std::size_t line = 0;
  std::string command, output;
  int exit_code = 0;
};

std::vector<Example> ExamplesOf(const std::string& readme) {
  std::vector<Example> examples;
  std::istringstream lines(readme);
  bool inside = false;
  std::size_t number = 0;
  for (std::string line; std::getline(lines, line);) {
    ++number;
    if (line.starts_with("```")) {
      inside = line == "```console";
    } else if (inside && line.starts_with("$ ")) {
      examples.push_back({number, line.substr(2), "", 0});
    } else if (inside && line.starts_with("[exit ")) {
      examples.back().exit_code = std::stoi(line.substr(6));
    } else if (inside) {
      examples.back().output += line + "\n";
    }
  }
  return examples;
}

TEST(Readme, EveryExampleDoesWhatItShows) {
  const TemporaryFolder folder;
  std::filesystem::create_directory_symlink(ckpt::testing::TestData(), folder.path() / "testdata");
  std::filesystem::create_symlink(ckpt::testing::Program(), folder.path() / "ckpt");
  const auto examples = ExamplesOf(ReadFile((ckpt::testing::Sources() + "/README.md")));
  ASSERT_GE(examples.size(), 3U);
  for (const Example& example : examples) {
    if (example.command.starts_with(".ci/")) continue;  // what runs this test
    ProgramOptions options;
    options.folder = folder.path();
    const auto result = RunProgram("/bin/sh", {"-c", "PATH=.:$PATH; " + example.command}, options);
    EXPECT_EQ(result.exit_code, example.exit_code)
        << "README.md:" << example.line << ": " << result.err;
    EXPECT_EQ(result.out, example.output)
        << "README.md:" << example.line << ": " << example.command;
  }
}

}  // namespace
}  // namespace ckpt::testing::readme_test
