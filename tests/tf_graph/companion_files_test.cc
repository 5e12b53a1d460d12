// What lies beside the graph of a SavedModel and belongs to it.
#include "formats/tf_graph/companion_files.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>
#include <span>
#include <string>
#include <vector>

#include "formats/tf_graph/graph_kind.h"
#include "tests/support/temporary_folder.h"

namespace ckpt::formats::companion_files_test {
namespace {

namespace fs = std::filesystem;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

std::vector<std::string> Names(const std::vector<CompanionFile>& files) {
  std::vector<std::string> names;
  for (const CompanionFile& file : files) names.push_back(file.name);
  return names;
}

TEST(CompanionFiles, AreAllFilesOfTheTwoFolders) {
  MemoryFiles files;
  for (const char* name : {"m/saved_model.pb", "m/assets/words.txt", "m/assets/deep/er/words.txt",
                           "m/assets.extra/warm_up", "m/other/file"})
    files.Add(name, "x");
  const auto found = ListCompanions(files, "m");
  ASSERT_TRUE(found) << ToString(found.error());
  EXPECT_THAT(Names(*found),
              ElementsAre("assets/deep/er/words.txt", "assets/words.txt", "assets.extra/warm_up"));
}

TEST(CompanionFiles, TheRecordOfAnEarlierConversionIsNone) {
  MemoryFiles files;
  files.Add("m/assets.extra/ckpt.json", "{}");
  const auto found = ListCompanions(files, "m");
  ASSERT_TRUE(found);
  EXPECT_THAT(*found, IsEmpty());
}

TEST(CompanionFiles, FoldersBeyondReasonAreALimit) {
  MemoryFiles files;
  std::string name = "m/assets";
  for (int i = 0; i < 40; ++i) name += "/d";
  files.Add(name + "/f", "x");
  const auto found = ListCompanions(files, "m");
  ASSERT_FALSE(found);
  EXPECT_EQ(found.error().code, ErrorCode::kLimitExceeded);
}

TEST(CompanionFiles, ALinkOutOfTheFolderIsNotCopied) {
  const ckpt::testing::TemporaryFolder folder;
  const fs::path root = folder.path();
  fs::create_directories(root / "m" / "assets");
  std::ofstream(root / "secret") << "secret";
  fs::create_symlink(root / "secret", root / "m" / "assets" / "words.txt");
  const auto found = ListCompanions(SystemFiles(), root / "m");
  ASSERT_TRUE(found);
  ASSERT_THAT(Names(*found), ElementsAre("assets/words.txt"));
  AtomicOutput output(AtomicOutput::Overwrite::kRefuse);
  WriteSummary summary;
  const Status copied = CopyCompanion(found->front(), root / "copy", output, summary);
  ASSERT_FALSE(copied);
  EXPECT_EQ(copied.error().code, ErrorCode::kUnsafe);
}

TEST(SavedModels, InChunksAreNamedWithTheWayOut) {
  MemoryFiles files;
  const std::string chunks("\x83\xaf\x70\xd1\0\0\0\0\xff\xfe", 10);
  files.Add("m/saved_model.cpb", chunks);
  files.Add("versions/3/saved_model.pb", "older");
  files.Add("versions/12/saved_model.cpb", chunks);
  for (const char* path : {"m", "m/saved_model.cpb", "versions"}) {
    const auto opened = OpenCheckpoint(files, path);
    ASSERT_FALSE(opened) << path;
    EXPECT_EQ(opened.error().code, ErrorCode::kUnsupported) << ToString(opened.error());
    EXPECT_THAT(opened.error().message, HasSubstr("experimental_image_format=False"));
  }
}

// SavedMetadata: nodes, of which the first has no id, a path, an identifier and a long text.
TEST(GraphKinds, KerasMetadataAreNoGraph) {
  const std::string metadata(900, '{');
  std::string node = "\x1a\x04root";
  node += "\"\x11_tf_keras_network";
  node += "*\x84\x07" + metadata;
  std::string file = "\x0a";
  file += static_cast<char>(node.size() % 128 + 128);
  file += static_cast<char>(node.size() / 128);
  file += node;
  EXPECT_FALSE(SniffGraphKind(std::as_bytes(std::span(file)).first(512)));
}

}  // namespace
}  // namespace ckpt::formats::companion_files_test
