// formats/keras is three rooms; what one may know of another stands here and in its CMakeLists.txt.
#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>
#include <map>
#include <regex>
#include <set>
#include <string>

#include "tests/support/paths.h"

namespace ckpt::formats::rooms_test {
namespace {

TEST(KerasRooms, IncludeOnlyWhatTheyStandOn) {
  const std::map<std::string, std::set<std::string>> stands_on = {
      {"model", {}}, {"variables", {"model"}}, {"h5", {"model", "variables"}}};
  const std::filesystem::path keras = ckpt::testing::TestData() + "/../formats/keras";
  const std::regex include("#include \"formats/keras/([a-z0-9]+)/");
  std::size_t read = 0;
  for (const auto& [room, allowed] : stands_on) {
    for (const auto& entry : std::filesystem::directory_iterator(keras / room)) {
      std::ifstream file(entry.path());
      std::smatch found;
      for (std::string line; std::getline(file, line);) {
        if (!std::regex_search(line, found, include)) continue;
        ++read;
        EXPECT_TRUE(found[1] == room || allowed.contains(found[1])) << entry.path() << ": " << line;
      }
    }
  }
  EXPECT_GT(read, 100U);
}

}  // namespace
}  // namespace ckpt::formats::rooms_test
