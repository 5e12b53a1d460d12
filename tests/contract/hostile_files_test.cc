// docs/hostile_files.md: every id of the lists has a row, and every row a test that holds the id
// and the words.
#include <gtest/gtest.h>

#include <fstream>
#include <iterator>
#include <set>
#include <sstream>
#include <string>
#include <vector>

#include "tests/support/paths.h"

namespace ckpt::formats::hostile_files_test {
namespace {

const std::string kTests = ckpt::testing::TestData() + "/../tests/";

std::string Contents(const std::string& path) {
  std::ifstream file(path);
  EXPECT_TRUE(file.is_open()) << path;
  return {std::istreambuf_iterator<char>(file), {}};
}

// The cells of "| a | b |", without the spaces around them.
std::vector<std::string> Cells(const std::string& line) {
  std::vector<std::string> cells;
  std::istringstream in(line);
  std::string cell;
  while (std::getline(in, cell, '|')) {
    const std::size_t from = cell.find_first_not_of(' ');
    const std::size_t to = cell.find_last_not_of(' ');
    cells.push_back(from == std::string::npos ? "" : cell.substr(from, to - from + 1));
  }
  if (!cells.empty()) cells.erase(cells.begin());  // before the first bar
  return cells;
}

bool IsId(const std::string& cell) {
  return cell.size() == 3 && std::string("PZO").find(cell[0]) != std::string::npos;
}

TEST(HostileFiles, EveryRowIsTested) {
  std::set<std::string> ids;
  std::istringstream lines(Contents(ckpt::testing::TestData() + "/../docs/hostile_files.md"));
  for (std::string line; std::getline(lines, line);) {
    const std::vector<std::string> cells = Cells(line);
    if (cells.size() < 4 || !cells.back().ends_with(".cc")) continue;
    SCOPED_TRACE(line);
    const std::string test = Contents(kTests + cells.back());
    if (IsId(cells[0])) {
      EXPECT_TRUE(ids.insert(cells[0]).second) << "twice";
      // "Z36" has its name in the file of all archives, and its words where users meet them.
      EXPECT_TRUE(test.find(cells[0]) != std::string::npos ||
                  Contents(kTests + "container/zip_malformed_test.cc").find(cells[0]) !=
                      std::string::npos);
    }
    const std::string& quoted = cells[cells.size() - 2];
    if (quoted.empty()) continue;
    ASSERT_TRUE(quoted.size() > 2 && quoted.front() == '`' && quoted.back() == '`');
    EXPECT_NE(test.find(quoted.substr(1, quoted.size() - 2)), std::string::npos);
  }
  for (const auto& [letter, last] : {std::pair('P', 40), std::pair('Z', 36), std::pair('O', 19)}) {
    for (int i = 1; i <= last; ++i) {
      const std::string id = letter + std::string(i < 10 ? "0" : "") + std::to_string(i);
      EXPECT_TRUE(ids.contains(id)) << id;
    }
  }
}

}  // namespace
}  // namespace ckpt::formats::hostile_files_test
