// No fixture tells of the machine that it was made on.
#include <gtest/gtest.h>

#include <cctype>
#include <filesystem>
#include <span>
#include <string>
#include <vector>

#include "formats/container/file.h"
#include "formats/container/zip_archive.h"
#include "tests/support/paths.h"
#include "tests/support/program.h"

namespace ckpt::fixture_paths_test {
namespace {

// A folder of a user or of a build in plain bytes.
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

// The members of a zip archive that are deflated, which the bytes of the file hide; none of what is
// no archive, or is made to be refused.
std::vector<std::string> DeflatedMembers(const std::string& bytes) {
  std::vector<std::string> members;
  if (!formats::StartsLikeZip(std::as_bytes(std::span(bytes)))) return members;
  formats::MemoryFiles files;
  files.Add("archive", bytes);
  const auto archive = formats::ZipArchive::Open(*files.Open("archive"), {});
  if (!archive) return members;
  for (std::size_t i = 0; i < archive->members().size(); ++i) {
    if (archive->members()[i].method == formats::ZipMethod::kStored) continue;
    if (auto member = archive->Read(i, std::uint64_t{64} << 20)) {
      members.push_back(*std::move(member));
    }
  }
  return members;
}

TEST(Fixtures, HoldNoFolderOfTheMachineThatMadeThem) {
  EXPECT_STREQ(FolderOfAMachine("at /home/me/net.py"), "/home/");
  EXPECT_EQ(FolderOfAMachine("layer1/work/kernel"), nullptr);
  std::size_t deflated = 0;
  for (const auto& entry :
       std::filesystem::recursive_directory_iterator(ckpt::testing::TestData())) {
    if (!entry.is_regular_file() || entry.path().extension() == ".py") continue;
    std::vector<std::string> texts = DeflatedMembers(testing::ReadFile(entry.path()));
    deflated += texts.size();
    texts.push_back(testing::ReadFile(entry.path()));
    for (const std::string& text : texts) {
      EXPECT_EQ(FolderOfAMachine(text), nullptr) << entry.path() << " names a folder of a machine";
    }
  }
  EXPECT_GT(deflated, 20U);
}

}  // namespace
}  // namespace ckpt::fixture_paths_test
