#include "formats/container/atomic_output.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/resource.h>
#include <sys/stat.h>

#include <csignal>

#include "formats/container/file.h"
#include "formats/container/file_identity.h"
#include "tests/support/temporary_folder.h"

namespace ckpt::formats::atomic_output_test {
namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;
using ::testing::SizeIs;
using testing::TemporaryFolder;
using Overwrite = AtomicOutput::Overwrite;

std::span<const std::byte> Bytes(std::string_view text) { return std::as_bytes(std::span(text)); }

TEST(AtomicOutput, AppearsWholeAtCommit) {
  const TemporaryFolder folder;
  AtomicOutput output(Overwrite::kRefuse);
  OutputFile* file = *output.Create(folder / "out");
  ASSERT_TRUE(file->Append(Bytes("hello, ")).has_value());
  ASSERT_TRUE(file->Append(Bytes("world")).has_value());
  ASSERT_TRUE(file->WriteAt(0, Bytes("J")).has_value());
  EXPECT_EQ(file->size(), 12U);
  EXPECT_FALSE(std::filesystem::exists(folder / "out"));
  ASSERT_TRUE(output.Commit().has_value());
  EXPECT_EQ(folder.Read("out"), "Jello, world");
  EXPECT_THAT(folder.Names(), ElementsAre("out"));
}

TEST(AtomicOutput, LeavesNothingBehindWithoutCommit) {
  const TemporaryFolder folder;
  {
    AtomicOutput output(Overwrite::kRefuse);
    ASSERT_TRUE((*output.Create(folder / "out"))->Append(Bytes("x")).has_value());
    EXPECT_THAT(folder.Names(), SizeIs(1));
  }
  EXPECT_THAT(folder.Names(), IsEmpty());
}

TEST(AtomicOutput, RefusesAnExistingTarget) {
  const TemporaryFolder folder;
  folder.Write("out", "old");
  AtomicOutput output(Overwrite::kRefuse);
  const auto created = output.Create(folder / "out");
  ASSERT_FALSE(created.has_value());
  EXPECT_EQ(created.error().code, ErrorCode::kAlreadyExists);
  EXPECT_EQ(created.error().file, (folder / "out").string());
  EXPECT_THAT(folder.Names(), ElementsAre("out"));
}

TEST(AtomicOutput, RefusesATargetThatAppearsMeanwhile) {
  const TemporaryFolder folder;
  {
    AtomicOutput output(Overwrite::kRefuse);
    ASSERT_TRUE((*output.Create(folder / "out"))->Append(Bytes("new")).has_value());
    folder.Write("out", "another's");
    const Status committed = output.Commit();
    ASSERT_FALSE(committed.has_value());
    EXPECT_EQ(committed.error().code, ErrorCode::kAlreadyExists);
  }
  EXPECT_EQ(folder.Read("out"), "another's");
  EXPECT_THAT(folder.Names(), ElementsAre("out"));
}

TEST(AtomicOutput, KeepsTheOldFileUntilCommit) {
  const TemporaryFolder folder;
  folder.Write("out", "old");
  {
    AtomicOutput abandoned(Overwrite::kReplace);
    ASSERT_TRUE((*abandoned.Create(folder / "out"))->Append(Bytes("half")).has_value());
  }
  EXPECT_EQ(folder.Read("out"), "old");
  AtomicOutput output(Overwrite::kReplace);
  ASSERT_TRUE((*output.Create(folder / "out"))->Append(Bytes("new")).has_value());
  EXPECT_EQ(folder.Read("out"), "old");
  ASSERT_TRUE(output.Commit().has_value());
  EXPECT_EQ(folder.Read("out"), "new");
  EXPECT_THAT(folder.Names(), ElementsAre("out"));
}

TEST(AtomicOutput, ReplacesWhatALinkPointsToAndKeepsTheLink) {
  const TemporaryFolder folder;
  folder.Write("precious", "old");
  std::filesystem::create_symlink("precious", folder / "out");
  AtomicOutput refusing(Overwrite::kRefuse);
  EXPECT_EQ(refusing.Create(folder / "out").error().code, ErrorCode::kAlreadyExists);
  AtomicOutput output(Overwrite::kReplace);
  ASSERT_TRUE((*output.Create(folder / "out"))->Append(Bytes("new")).has_value());
  ASSERT_TRUE(output.Commit().has_value());
  EXPECT_TRUE(std::filesystem::is_symlink(folder / "out"));
  EXPECT_EQ(folder.Read("precious"), "new");
  EXPECT_THAT(folder.Names(), ElementsAre("out", "precious"));
}

TEST(AtomicOutput, CommitsSeveralFilesAndRemovesStaleOnes) {
  const TemporaryFolder folder;
  folder.Write("data-2", "of an older, larger output");
  {
    AtomicOutput output(Overwrite::kReplace);
    ASSERT_TRUE((*output.Create(folder / "data-1"))->Append(Bytes("d")).has_value());
    ASSERT_TRUE((*output.Create(folder / "index"))->Append(Bytes("i")).has_value());
    ASSERT_TRUE(output.RemoveAtCommit(folder / "data-2"));
    ASSERT_TRUE(output.RemoveAtCommit(folder / "data-3"));  // is not there
    EXPECT_TRUE(std::filesystem::exists(folder / "data-2"));
    ASSERT_TRUE(output.Commit().has_value());
  }
  EXPECT_THAT(folder.Names(), ElementsAre("data-1", "index"));
}

TEST(AtomicOutput, RefusesAFolderAndAFolderThatIsNotThere) {
  const TemporaryFolder folder;
  std::filesystem::create_directory(folder / "dir");
  AtomicOutput output(Overwrite::kReplace);
  EXPECT_EQ(output.Create(folder / "dir").error().code, ErrorCode::kInvalidArgument);
  EXPECT_FALSE(output.Create(folder / "absent/out").has_value());
  EXPECT_THAT(folder.Names(), ElementsAre("dir"));
}

TEST(AtomicOutput, ReservesTheRoomAndGivesBackWhatWasNotNeeded) {
  const TemporaryFolder folder;
  constexpr std::uint64_t kReserved = 8U << 20;
  const auto blocks = [](const std::filesystem::path& path) {
    struct stat status {};
    EXPECT_EQ(::stat(path.c_str(), &status), 0);
    return static_cast<std::uint64_t>(status.st_blocks) * 512;
  };
  AtomicOutput output(Overwrite::kRefuse);
  OutputFile* file = *output.Create(folder / "out", kReserved);
  if (blocks(file->temporary_path()) == 0) GTEST_SKIP() << "the file system reserves nothing";
  EXPECT_GE(blocks(file->temporary_path()), kReserved);
  ASSERT_TRUE(file->Append(Bytes("small")).has_value());
  ASSERT_TRUE(output.Commit().has_value());
  EXPECT_EQ(folder.Read("out"), "small");
  EXPECT_LT(blocks(folder / "out"), kReserved / 2);
}

TEST(AtomicOutput, MeetsAFullDiskBeforeTheWork) {
  const TemporaryFolder folder;
  {
    AtomicOutput output(Overwrite::kRefuse);
    const auto created = output.Create(folder / "out", std::uint64_t{1} << 60);
    ASSERT_FALSE(created.has_value());
    EXPECT_EQ(created.error().code, ErrorCode::kIo);
    EXPECT_EQ(created.error().file, (folder / "out").string());
  }
  EXPECT_THAT(folder.Names(), IsEmpty());
}

// A limit on the size of files stands for a disk that fills up on the way.
TEST(AtomicOutput, LeavesNothingBehindWhenAWriteFails) {
  const TemporaryFolder folder;
  folder.Write("out", "old");
  struct rlimit before {};
  ASSERT_EQ(::getrlimit(RLIMIT_FSIZE, &before), 0);
  const auto handler = std::signal(SIGXFSZ, SIG_IGN);
  {
    AtomicOutput output(Overwrite::kReplace);
    OutputFile* file = *output.Create(folder / "out");
    struct rlimit small = before;
    small.rlim_cur = 1U << 20;
    ASSERT_EQ(::setrlimit(RLIMIT_FSIZE, &small), 0);
    const std::string chunk(700'000, 'x');
    EXPECT_TRUE(file->Append(Bytes(chunk)).has_value());
    const Status full = file->Append(Bytes(chunk));
    ASSERT_EQ(::setrlimit(RLIMIT_FSIZE, &before), 0);
    ASSERT_FALSE(full.has_value());
    EXPECT_EQ(full.error().code, ErrorCode::kIo);
    EXPECT_EQ(full.error().file, (folder / "out").string());
  }
  std::signal(SIGXFSZ, handler);
  EXPECT_THAT(folder.Names(), ElementsAre("out"));
  EXPECT_EQ(folder.Read("out"), "old");
}

TEST(AtomicOutput, IsRemovedByTheCleanUpOfASignal) {
  const TemporaryFolder folder;
  AtomicOutput output(Overwrite::kRefuse);
  ASSERT_TRUE((*output.Create(folder / "a"))->Append(Bytes("x")).has_value());
  ASSERT_TRUE(output.Create(folder / "b").has_value());
  EXPECT_THAT(folder.Names(), SizeIs(1));
  RemovePartialOutputs();
  EXPECT_THAT(folder.Names(), IsEmpty());
}

TEST(AtomicOutput, ACommittedFileIsNotRemovedByTheCleanUpOfASignal) {
  const TemporaryFolder folder;
  AtomicOutput output(Overwrite::kRefuse);
  ASSERT_TRUE(output.Create(folder / "a").has_value());
  ASSERT_TRUE(output.Commit().has_value());
  RemovePartialOutputs();
  EXPECT_THAT(folder.Names(), ElementsAre("a"));
}

TEST(AtomicOutput, KeepsWhatALibraryWroteByPath) {
  const TemporaryFolder folder;
  AtomicOutput output(Overwrite::kRefuse);
  OutputFile* file = *output.Create(folder / "out", 1U << 20);
  std::ofstream(file->temporary_path(), std::ios::binary) << "by path";
  ASSERT_TRUE(output.Commit().has_value());
  EXPECT_EQ(folder.Read("out"), "by path");
}

TEST(AtomicOutput, PutsEverythingBackWhenALaterFileCannotBePutInPlace) {
  const TemporaryFolder folder;
  folder.Write("index", "old index");
  folder.Write("data", "old data");
  {
    AtomicOutput output(Overwrite::kReplace);
    ASSERT_TRUE((*output.Create(folder / "data"))->Append(Bytes("new data")));
    ASSERT_TRUE((*output.Create(folder / "index"))->Append(Bytes("new index")));
    output.CloseSet();
    ASSERT_TRUE((*output.Create(folder / "record"))->Append(Bytes("new record")));
    // A folder takes the record's place meanwhile: no file can be put there.
    folder.Write("record/in it", "x");
    ASSERT_FALSE(output.Commit());
  }
  EXPECT_EQ(folder.Read("index"), "old index");
  EXPECT_EQ(folder.Read("data"), "old data");
  EXPECT_THAT(folder.Names(), ElementsAre("data", "index", "record"));
}

TEST(AtomicOutput, ReadsBackWhatIsNotInPlaceYetUnderItsFinalName) {
  const TemporaryFolder folder;
  folder.Write("out", "old");
  AtomicOutput output(Overwrite::kReplace);
  ASSERT_TRUE((*output.Create(folder / "out"))->Append(Bytes("new")));
  const auto file = output.files().OpenBeneath(folder.path(), "out");
  ASSERT_TRUE(file);
  EXPECT_EQ((*file)->path(), (folder / "out").string());
  EXPECT_EQ(*ReadWhole(**file, 100), "new");
  EXPECT_EQ(folder.Read("out"), "old");
}

TEST(AtomicOutput, KeepsTheModeOfTheFileItReplaces) {
  const TemporaryFolder folder;
  folder.Write("out", "old");
  ASSERT_EQ(::chmod((folder / "out").c_str(), 0640), 0);
  AtomicOutput output(Overwrite::kReplace);
  ASSERT_TRUE(output.Create(folder / "out"));
  ASSERT_TRUE(output.Commit());
  struct stat status {};
  ASSERT_EQ(::stat((folder / "out").c_str(), &status), 0);
  EXPECT_EQ(status.st_mode & 07777, 0640U);
}

TEST(AtomicOutput, WritesANameOf255Bytes) {
  const TemporaryFolder folder;
  const std::string name(255, 'n');
  AtomicOutput output(Overwrite::kRefuse);
  ASSERT_TRUE((*output.Create(folder / name))->Append(Bytes("x")));
  ASSERT_TRUE(output.Commit());
  EXPECT_THAT(folder.Names(), ElementsAre(name));
}

TEST(AtomicOutput, RefusesADeviceAndAFifo) {
  const TemporaryFolder folder;
  ASSERT_EQ(::mkfifo((folder / "fifo").c_str(), 0600), 0);
  AtomicOutput output(Overwrite::kReplace);
  EXPECT_EQ(output.Create(folder / "fifo").error().code, ErrorCode::kInvalidArgument);
  EXPECT_EQ(output.Create("/dev/null").error().code, ErrorCode::kInvalidArgument);
}

TEST(AtomicOutput, RefusesAFileUnderAnotherNameThatMustNotBeWritten) {
  const TemporaryFolder folder;
  folder.Write("input", "precious");
  std::filesystem::create_hard_link(folder / "input", folder / "out");
  ProtectedFiles read;
  read.Add(folder / "input", "read by this run");
  AtomicOutput output(Overwrite::kReplace, &read);
  EXPECT_EQ(output.Create(folder / "out").error().code, ErrorCode::kInvalidArgument);
  EXPECT_EQ(output.RemoveAtCommit(folder / "out").error().code, ErrorCode::kInvalidArgument);
}

TEST(AtomicOutput, RemovesTheFolderOfADeadRunAndNotThatOfALiveOne) {
  const TemporaryFolder folder;
  AtomicOutput live(Overwrite::kRefuse);
  ASSERT_TRUE(live.Create(folder / "live"));
  folder.Write(".ckpt-0123456789abcdef.partial/lock", "");
  folder.Write(".ckpt-0123456789abcdef.partial/new/half", "x");
  std::filesystem::permissions(folder / ".ckpt-0123456789abcdef.partial",
                               std::filesystem::perms::owner_all);
  AtomicOutput other(Overwrite::kRefuse);
  ASSERT_TRUE(other.Create(folder / "other"));
  EXPECT_THAT(folder.Names(), SizeIs(2));
  ASSERT_TRUE(live.Commit());
  ASSERT_TRUE(other.Commit());
  EXPECT_THAT(folder.Names(), ElementsAre("live", "other"));
}

TEST(AtomicOutput, AFolderTakesThePlaceOfAnOlderOneAndKeepsWhatIsNotItsOwn) {
  const TemporaryFolder folder;
  folder.Write("m/model", "old");
  folder.Write("m/notes", "the user's");
  folder.Write("m/parts/stale", "old");
  AtomicOutput output(Overwrite::kReplace);
  ASSERT_TRUE(output.CreateFolder(folder / "m", {"model", "parts"}));
  ASSERT_TRUE((*output.Create(folder / "m/model"))->Append(Bytes("new")));
  EXPECT_EQ(folder.Read("m/model"), "old");
  EXPECT_FALSE(output.files().Exists(folder / "m/parts/stale"));
  ASSERT_TRUE(output.Commit());
  EXPECT_EQ(folder.Read("m/model"), "new");
  EXPECT_EQ(folder.Read("m/notes"), "the user's");
  EXPECT_FALSE(std::filesystem::exists(folder / "m/parts"));
  EXPECT_THAT(folder.Names(), ElementsAre("m"));
}

}  // namespace
}  // namespace ckpt::formats::atomic_output_test
