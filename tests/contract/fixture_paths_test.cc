// No fixture tells of the machine that it was made on.
#include <gtest/gtest.h>

#include <cctype>
#include <filesystem>

#include "tests/support/program.h"

namespace ckpt {
namespace {

// A folder of a user or of a build in plain bytes; members that are deflated are not looked into.
const char* FolderOfAMachine(const std::string& bytes) {
  for (const char* folder : {"/home/", "/root/", "/work/", "/tmp/", "/Users/"}) {
    for (std::size_t at = 0; (at = bytes.find(folder, at)) != std::string::npos; ++at) {
      const bool begins =
          at == 0 || (std::isalnum(static_cast<unsigned char>(bytes[at - 1])) == 0 &&
                      bytes[at - 1] != '.' && bytes[at - 1] != '_');
      if (begins) return folder;
    }
  }
  return nullptr;
}

TEST(Fixtures, HoldNoFolderOfTheMachineThatMadeThem) {
  EXPECT_STREQ(FolderOfAMachine("at /home/me/net.py"), "/home/");
  EXPECT_EQ(FolderOfAMachine("layer1/work/kernel"), nullptr);
  for (const auto& entry : std::filesystem::recursive_directory_iterator(CKPT_TESTDATA)) {
    if (!entry.is_regular_file() || entry.path().extension() == ".py") continue;
    const char* found = FolderOfAMachine(testing::ReadFile(entry.path()));
    EXPECT_EQ(found, nullptr) << entry.path() << " names a folder of a machine";
  }
}

}  // namespace
}  // namespace ckpt
