#include "formats/container/file.h"

#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/stat.h>

#include <array>

#include "tests/support/temporary_folder.h"

namespace ckpt::formats::file_test {
namespace {

using ::testing::ElementsAre;
using testing::TemporaryFolder;

std::string Content(const Result<std::unique_ptr<RandomAccessFile>>& file) {
  if (!file) return ToString(file.error());
  const auto text = ReadWhole(**file, 1000);
  return text ? *text : ToString(text.error());
}

TEST(SystemFiles, ReadsExactlyWhatIsAskedFor) {
  const TemporaryFolder folder;
  folder.Write("f", "0123456789");
  const auto file = SystemFiles().Open(folder / "f");
  ASSERT_TRUE(file.has_value());
  EXPECT_EQ((*file)->size(), 10U);
  std::array<std::byte, 4> bytes{};
  ASSERT_TRUE((*file)->ReadAt(6, bytes).has_value());
  EXPECT_EQ(bytes[3], std::byte{'9'});
  ASSERT_TRUE((*file)->ReadAt(10, {}).has_value());
  const Status beyond = (*file)->ReadAt(7, bytes);
  ASSERT_FALSE(beyond.has_value());
  EXPECT_EQ(beyond.error().code, ErrorCode::kCorrupt);
  EXPECT_EQ(beyond.error().offset, 10U);  // where the file ends
}

TEST(SystemFiles, RefusesWhatIsNoRegularFile) {
  const TemporaryFolder folder;
  folder.Write("sub/f", "x");
  EXPECT_EQ(SystemFiles().Open(folder / "absent").error().code, ErrorCode::kNotFound);
  EXPECT_EQ(SystemFiles().Open(folder / "sub/f/g").error().code, ErrorCode::kNotFound);
  EXPECT_FALSE(SystemFiles().Open(folder / "sub").has_value());
  ASSERT_EQ(::mkfifo((folder / "fifo").c_str(), 0600), 0);
  EXPECT_FALSE(SystemFiles().Open(folder / "fifo").has_value());  // and does not wait for a writer
  EXPECT_FALSE(SystemFiles().Open("/dev/zero").has_value());
}

TEST(SystemFiles, ListsNamesSorted) {
  const TemporaryFolder folder;
  for (const char* name : {"b", "a", ".c"}) folder.Write(name, "");
  EXPECT_THAT(*SystemFiles().List(folder.path()), ElementsAre(".c", "a", "b"));
  EXPECT_FALSE(SystemFiles().List(folder / "absent").has_value());
}

TEST(ReadWhole, HoldsItsLimit) {
  MemoryFiles files;
  files.Add("f", "12345");
  const auto file = *files.Open("f");
  EXPECT_EQ(*ReadWhole(*file, 5), "12345");
  EXPECT_EQ(ReadWhole(*file, 4).error().code, ErrorCode::kLimitExceeded);
}

TEST(OpenBeneath, TakesPlainNamesBelowTheFolder) {
  const TemporaryFolder folder;
  folder.Write("set/shard", "s");
  folder.Write("set/deep/shard", "d");
  const Files& files = SystemFiles();
  EXPECT_EQ(Content(files.OpenBeneath(folder / "set", "shard")), "s");
  EXPECT_EQ(Content(files.OpenBeneath(folder / "set", "deep/shard")), "d");
  EXPECT_EQ(files.OpenBeneath(folder / "set", "absent").error().code, ErrorCode::kNotFound);
}

TEST(OpenBeneath, RefusesNamesThatLeaveTheFolder) {
  const TemporaryFolder folder;
  folder.Write("secret", "x");
  folder.Write("set/shard", "s");
  for (const std::string& name :
       {std::string("../secret"), std::string("shard/../../secret"), (folder / "secret").string(),
        std::string(".."), std::string("."), std::string(""), std::string("./shard"),
        std::string("a\\b"), std::string("shard\0x", 7), std::string("deep/")}) {
    SCOPED_TRACE(name);
    const auto opened = SystemFiles().OpenBeneath(folder / "set", name);
    ASSERT_FALSE(opened.has_value());
    EXPECT_EQ(opened.error().code, ErrorCode::kUnsafe);
  }
}

TEST(OpenBeneath, RefusesLinksEvenToTheSameFolder) {
  const TemporaryFolder folder;
  folder.Write("secret", "x");
  folder.Write("set/shard", "s");
  folder.Write("elsewhere/shard", "e");
  std::filesystem::create_symlink("../secret", folder / "set/up");
  std::filesystem::create_symlink("shard", folder / "set/beside");
  std::filesystem::create_directory_symlink("../elsewhere", folder / "set/deep");
  for (const char* name : {"up", "beside", "deep/shard"}) {
    SCOPED_TRACE(name);
    const auto opened = SystemFiles().OpenBeneath(folder / "set", name);
    ASSERT_FALSE(opened.has_value());
    EXPECT_EQ(opened.error().code, ErrorCode::kUnsafe);
  }
}

// models--x/snapshots/REVISION/shard -> ../../blobs/HASH
TEST(OpenBeneath, FollowsTheLinksOfAHubCacheAndNoOthersInIt) {
  const TemporaryFolder folder;
  folder.Write("secret", "x");
  folder.Write("hub/blobs/cafe", "blob");
  folder.Write("hub/blobs/deep/cafe", "deep");
  const auto snapshot = folder / "hub/snapshots/1234";
  std::filesystem::create_directories(snapshot / "unet");
  std::filesystem::create_symlink("../../blobs/cafe", snapshot / "shard");
  std::filesystem::create_symlink("../../../blobs/cafe", snapshot / "unet/shard");
  std::filesystem::create_symlink("../../../secret", snapshot / "up");
  std::filesystem::create_symlink("../../blobs/../../secret", snapshot / "through");
  std::filesystem::create_symlink("../../blobs/deep/cafe", snapshot / "deep");
  const Files& files = SystemFiles();
  EXPECT_EQ(Content(files.OpenBeneath(snapshot, "shard")), "blob");
  EXPECT_EQ(Content(files.OpenBeneath(snapshot, "unet/shard")), "blob");
  for (const char* name : {"up", "through", "deep"}) {
    EXPECT_EQ(files.OpenBeneath(snapshot, name).error().code, ErrorCode::kUnsafe) << name;
  }
}

// blobs -> a folder of the system: what the snapshot links to is not the cache's own.
TEST(OpenBeneath, RefusesAHubCacheWhoseBlobsAreALink) {
  const TemporaryFolder folder;
  folder.Write("system/passwd", "secret");
  std::filesystem::create_directories(folder / "hub/snapshots/main");
  std::filesystem::create_directory_symlink(folder / "system", folder / "hub/blobs");
  std::filesystem::create_symlink("../../blobs/passwd", folder / "hub/snapshots/main/w.bin");
  std::filesystem::create_symlink(folder / "system/passwd", folder / "hub/snapshots/main/direct");
  for (const char* name : {"w.bin", "direct"}) {
    const auto opened = SystemFiles().OpenBeneath(folder / "hub/snapshots/main", name);
    ASSERT_FALSE(opened.has_value()) << name;
    EXPECT_EQ(opened.error().code, ErrorCode::kUnsafe) << name;
  }
}

TEST(OpenBeneath, RefusesABlobThatIsALinkItself) {
  const TemporaryFolder folder;
  folder.Write("secret", "x");
  std::filesystem::create_directories(folder / "hub/blobs");
  std::filesystem::create_directories(folder / "hub/snapshots/main");
  std::filesystem::create_symlink("../../secret", folder / "hub/blobs/cafe");
  std::filesystem::create_symlink("../../blobs/cafe", folder / "hub/snapshots/main/shard");
  EXPECT_EQ(SystemFiles().OpenBeneath(folder / "hub/snapshots/main", "shard").error().code,
            ErrorCode::kUnsafe);
}

// `snapshots` must be the folder of that name in the repository, not a name on the way to it.
TEST(OpenBeneath, RefusesACacheWhoseSnapshotsAreALink) {
  const TemporaryFolder folder;
  folder.Write("hub/blobs/cafe", "blob");
  std::filesystem::create_directories(folder / "other/main");
  std::filesystem::create_directory_symlink("../other", folder / "hub/snapshots");
  std::filesystem::create_symlink("../../hub/blobs/cafe", folder / "other/main/shard");
  EXPECT_EQ(SystemFiles().OpenBeneath(folder / "hub/snapshots/main", "shard").error().code,
            ErrorCode::kUnsafe);
}

TEST(OpenBeneath, FollowsLinksAboveTheSnapshotThatTheUserNamed) {
  const TemporaryFolder folder;
  folder.Write("disk/hub/blobs/cafe", "blob");
  std::filesystem::create_directories(folder / "disk/hub/snapshots/1234");
  std::filesystem::create_symlink("../../blobs/cafe", folder / "disk/hub/snapshots/1234/shard");
  std::filesystem::create_symlink(folder / "disk/hub/blobs/cafe",
                                  folder / "disk/hub/snapshots/1234/absolute");
  std::filesystem::create_directory_symlink("disk/hub", folder / "cache");
  std::filesystem::create_directory_symlink("disk/hub/snapshots/1234", folder / "current");
  for (const char* above : {"cache/snapshots/1234", "current", "disk/hub/snapshots/1234"}) {
    EXPECT_EQ(Content(SystemFiles().OpenBeneath(folder / above, "shard")), "blob") << above;
    EXPECT_EQ(Content(SystemFiles().OpenBeneath(folder / above, "absolute")), "blob") << above;
  }
}

TEST(MemoryFiles, BehaveLikeFilesOnDisk) {
  MemoryFiles files;
  files.Add("dir/a", "1");
  files.Add("dir/sub/b", "2");
  EXPECT_TRUE(files.IsDirectory("dir"));
  EXPECT_FALSE(files.IsDirectory("dir/a"));
  EXPECT_TRUE(files.Exists("dir/sub"));
  EXPECT_THAT(*files.List("dir"), ElementsAre("a", "sub"));
  EXPECT_EQ(Content(files.Open("dir/./a")), "1");
  EXPECT_EQ(Content(files.OpenBeneath("dir", "sub/b")), "2");
  EXPECT_EQ(files.OpenBeneath("dir/sub", "../a").error().code, ErrorCode::kUnsafe);
  EXPECT_EQ(files.Open("dir/c").error().code, ErrorCode::kNotFound);
  std::array<std::byte, 2> bytes{};
  EXPECT_EQ((*files.Open("dir/a"))->ReadAt(0, bytes).error().code, ErrorCode::kCorrupt);
}

}  // namespace
}  // namespace ckpt::formats::file_test
