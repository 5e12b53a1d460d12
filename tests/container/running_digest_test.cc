// SHA-256 taken while a file is written, against that of the file as it lies there afterwards.
#include "formats/container/running_digest.h"

#include <gtest/gtest.h>

#include <fstream>

#include "ckpt/sha256.h"
#include "formats/container/atomic_output.h"
#include "formats/container/file.h"
#include "formats/container/zip_writer.h"
#include "tests/support/temporary_folder.h"

namespace ckpt::formats::running_digest_test {
namespace {

using testing::TemporaryFolder;
using Overwrite = AtomicOutput::Overwrite;

std::vector<std::byte> Pattern(std::size_t size, unsigned seed) {
  std::vector<std::byte> bytes(size);
  for (std::size_t i = 0; i < size; ++i) bytes[i] = static_cast<std::byte>((i * seed) >> 7);
  return bytes;
}

void Append(OutputFile& file, std::span<const std::byte> bytes, std::size_t piece) {
  for (std::size_t at = 0; at < bytes.size(); at += piece) {
    ASSERT_TRUE(file.Append(bytes.subspan(at, std::min(piece, bytes.size() - at))));
  }
}

// "" where none was taken.
std::string Taken(AtomicOutput& output, const std::filesystem::path& target) {
  const auto digest = output.DigestOf(target);
  EXPECT_TRUE(digest) << (digest ? "" : ToString(digest.error()));
  return digest && *digest ? (*digest)->sha256 : "";
}

TEST(RunningDigest, IsThatOfEachFileHoweverItWasAppended) {
  const TemporaryFolder folder;
  const auto a = Pattern(5'000'017, 3), b = Pattern(1'234'567, 5), small = Pattern(3, 7);
  AtomicOutput output(Overwrite::kRefuse);
  output.DigestWhileWriting();
  OutputFile* const first = *output.Create(folder / "a");
  OutputFile* const second = *output.Create(folder / "b", b.size());
  OutputFile* const third = *output.Create(folder / "small");
  Append(*first, std::span(a).first(2'000'000), 4096);
  Append(*second, b, 1'000'003);
  Append(*third, small, 1);
  Append(*first, std::span(a).subspan(2'000'000), 786'432);
  EXPECT_EQ(Taken(output, folder / "small"), Sha256(small));
  EXPECT_EQ(Taken(output, folder / "b"), Sha256(b));
  EXPECT_EQ(Taken(output, folder / "a"), Sha256(a));
  ASSERT_TRUE(output.Commit());
  EXPECT_EQ(Sha256(folder.Read("a")), Sha256(a));
}

TEST(RunningDigest, WaitsForWhatIsAnnouncedToBeWrittenOver) {
  const TemporaryFolder folder;
  const auto bytes = Pattern(4'000'000, 3), head = Pattern(8, 9);
  AtomicOutput output(Overwrite::kRefuse);
  output.DigestWhileWriting();
  OutputFile* const file = *output.Create(folder / "a");
  Append(*file, std::span(bytes).first(1'500'000), 1 << 20);
  file->WillRewrite(file->size());
  Append(*file, std::span(bytes).subspan(1'500'000), 1 << 20);
  ASSERT_TRUE(file->WriteAt(1'500'004, head));
  const std::string taken = Taken(output, folder / "a");
  ASSERT_TRUE(output.Commit());
  EXPECT_EQ(taken, Sha256(folder.Read("a")));
}

TEST(RunningDigest, IsAbsentWhereBytesWereWrittenOverUnannounced) {
  const TemporaryFolder folder;
  AtomicOutput output(Overwrite::kRefuse);
  output.DigestWhileWriting();
  OutputFile* const file = *output.Create(folder / "a");
  Append(*file, Pattern(3'000'000, 3), 1 << 20);
  ASSERT_TRUE(file->WriteAt(5, Pattern(4, 9)));
  EXPECT_EQ(Taken(output, folder / "a"), "");
}

TEST(RunningDigest, IsAbsentWhileARewriteIsStillToCome) {
  const TemporaryFolder folder;
  AtomicOutput output(Overwrite::kRefuse);
  output.DigestWhileWriting();
  OutputFile* const file = *output.Create(folder / "a");
  file->WillRewrite(0);
  Append(*file, Pattern(3'000'000, 3), 1 << 20);
  EXPECT_EQ(Taken(output, folder / "a"), "");
}

TEST(RunningDigest, IsAbsentOfWhatWasWrittenByPathOrBefore) {
  const TemporaryFolder folder;
  AtomicOutput output(Overwrite::kRefuse);
  OutputFile* const before = *output.Create(folder / "before");
  Append(*before, Pattern(100, 3), 10);
  output.DigestWhileWriting();
  OutputFile* const by_path = *output.Create(folder / "by_path");
  std::ofstream(by_path->temporary_path()) << "written by a library";
  EXPECT_EQ(Taken(output, folder / "before"), "");
  EXPECT_EQ(Taken(output, folder / "by_path"), "");
  EXPECT_EQ(Taken(output, folder / "never made"), "");
}

TEST(RunningDigest, OfAnArchiveHasItsPatchedHeaders) {
  const TemporaryFolder folder;
  AtomicOutput output(Overwrite::kRefuse);
  output.DigestWhileWriting();
  OutputFile* const file = *output.Create(folder / "a.zip");
  ZipWriter zip(*file);
  for (const std::size_t size : {2'500'000U, 0U, 17U, 1'100'000U}) {
    const auto bytes = Pattern(size, 11);
    ASSERT_TRUE(zip.Begin("member" + std::to_string(size), size));
    ASSERT_TRUE(zip.Append(bytes));
  }
  ASSERT_TRUE(zip.Finish());
  const std::string taken = Taken(output, folder / "a.zip");
  ASSERT_TRUE(output.Commit());
  EXPECT_EQ(taken, Sha256(folder.Read("a.zip")));
}

TEST(RunningDigest, OfAnArchiveHasWhatALibraryWroteIntoIt) {
  const TemporaryFolder folder;
  AtomicOutput output(Overwrite::kRefuse);
  output.DigestWhileWriting();
  OutputFile* const file = *output.Create(folder / "a.zip");
  ZipWriter zip(*file);
  ASSERT_TRUE(zip.BeginByPath("member"));
  std::ofstream(file->temporary_path(), std::ios::app) << std::string(2'500'000, 'x');
  ASSERT_TRUE(zip.EndByPath(0));
  ASSERT_TRUE(zip.Finish());
  const std::string taken = Taken(output, folder / "a.zip");
  ASSERT_TRUE(output.Commit());
  EXPECT_EQ(taken, Sha256(folder.Read("a.zip")));
}

TEST(RunningDigest, IsLeftWhereNobodyAsksForIt) {
  const TemporaryFolder folder;
  {
    AtomicOutput output(Overwrite::kRefuse);
    output.DigestWhileWriting();
    Append(**output.Create(folder / "a"), Pattern(9'000'000, 3), 1 << 20);
  }
  EXPECT_TRUE(folder.Names().empty());
}

}  // namespace
}  // namespace ckpt::formats::running_digest_test
