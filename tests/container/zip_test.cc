// Against libzip, an independent reader and writer, and against archives that are unusual but
// sound.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <zip.h>

#include <fstream>

#include "formats/container/range_stream.h"
#include "formats/container/zip_archive.h"
#include "formats/container/zip_writer.h"
#include "formats/encoding/checksum.h"
#include "tests/support/temporary_folder.h"
#include "tests/support/zip_builder.h"

namespace ckpt::formats::zip_test {
namespace {

using testing::Deflated;
using ::testing::ElementsAre;
using testing::Little;
using testing::Stored;
using testing::TemporaryFolder;
using testing::Zip64End;
using testing::Zip64Extra;
using testing::ZipFile;
using testing::ZipPart;

Result<ZipArchive> OpenZip(std::string_view bytes) {
  MemoryFiles files;
  files.Add("a.zip", bytes);
  return ZipArchive::Open(std::shared_ptr<const RandomAccessFile>(*files.Open("a.zip")), {});
}

std::string Pattern(std::size_t size) {
  std::string text(size, '\0');
  for (std::size_t i = 0; i < size; ++i) text[i] = static_cast<char>((i * i) >> 7);
  return text;
}

TEST(Zip, ReadsWhatLibzipWrites) {
  const TemporaryFolder folder;
  const std::string path = (folder / "a.zip").string();
  const std::string large = Pattern(3'000'000);
  int failed = 0;
  zip_t* archive = zip_open(path.c_str(), ZIP_CREATE, &failed);
  ASSERT_NE(archive, nullptr);
  const auto add = [&](const char* name, const std::string& data, int method) {
    zip_source_t* source = zip_source_buffer(archive, data.data(), data.size(), 0);
    const auto index = zip_file_add(archive, name, source, ZIP_FL_ENC_UTF_8);
    ASSERT_GE(index, 0);
    ASSERT_EQ(zip_set_file_compression(archive, static_cast<zip_uint64_t>(index), method, 0), 0);
  };
  const std::string empty, small = "small";
  add("stored/\u00e9", large, ZIP_CM_STORE);
  add("deflated", large, ZIP_CM_DEFLATE);
  add("small", small, ZIP_CM_DEFLATE);
  add("empty", empty, ZIP_CM_STORE);
  ASSERT_GE(zip_dir_add(archive, "folder", ZIP_FL_ENC_UTF_8), 0);
  ASSERT_EQ(zip_close(archive), 0);

  const auto opened =
      ZipArchive::Open(std::shared_ptr<const RandomAccessFile>(*SystemFiles().Open(path)), {});
  ASSERT_TRUE(opened.has_value()) << ToString(opened.error());
  ASSERT_EQ(opened->members().size(), 5U);
  EXPECT_EQ(*opened->Read(*opened->Find("stored/\u00e9"), 1 << 22), large);
  EXPECT_EQ(*opened->Read(*opened->Find("deflated"), 1 << 22), large);
  EXPECT_EQ(*opened->Read(*opened->Find("small"), 1 << 22), small);
  EXPECT_EQ(*opened->Read(*opened->Find("empty"), 0), "");
  EXPECT_EQ(*opened->Read(*opened->Find("folder/"), 0), "");
  EXPECT_EQ(opened->Find("absent"), std::nullopt);
  EXPECT_EQ(opened->members()[1].method, ZipMethod::kDeflated);
  EXPECT_EQ(opened->members()[0].crc32, testing::ZlibCrc(large));
}

// Reads all members through libzip, with its own check of consistency.
std::vector<std::pair<std::string, std::string>> ReadByLibzip(const std::string& path) {
  int failed = 0;
  zip_t* archive = zip_open(path.c_str(), ZIP_RDONLY | ZIP_CHECKCONS, &failed);
  EXPECT_NE(archive, nullptr) << "libzip error " << failed;
  std::vector<std::pair<std::string, std::string>> members;
  const auto count = archive == nullptr ? 0 : zip_get_num_entries(archive, 0);
  for (zip_uint64_t i = 0; i < static_cast<zip_uint64_t>(count); ++i) {
    zip_stat_t status;
    EXPECT_EQ(zip_stat_index(archive, i, 0, &status), 0);
    std::string data(status.size, '\0');
    zip_file_t* member = zip_fopen_index(archive, i, 0);
    EXPECT_EQ(zip_fread(member, data.data(), data.size() + 1),
              static_cast<zip_int64_t>(data.size()));
    zip_fclose(member);
    members.emplace_back(status.name, std::move(data));
  }
  if (archive != nullptr) zip_discard(archive);
  return members;
}

TEST(Zip, IsReadByLibzip) {
  const TemporaryFolder folder;
  const std::string large = Pattern(2'000'000);
  AtomicOutput output(AtomicOutput::Overwrite::kRefuse);
  OutputFile* file = *output.Create(folder / "a.zip");
  ZipWriter zip(*file);
  ASSERT_TRUE(zip.Begin("large", large.size()).has_value());
  ASSERT_TRUE(zip.Append(std::as_bytes(std::span(large)).first(1000)).has_value());
  ASSERT_TRUE(zip.Append(std::as_bytes(std::span(large)).subspan(1000)).has_value());
  ASSERT_TRUE(zip.Begin("empty", 0).has_value());
  ASSERT_TRUE(zip.Begin("\u00e9/x", 1).has_value());
  ASSERT_TRUE(zip.Append(std::as_bytes(std::span("x", 1))).has_value());
  ASSERT_TRUE(zip.Finish().has_value());
  ASSERT_TRUE(output.Commit().has_value());
  const std::vector<std::pair<std::string, std::string>> expected = {
      {"large", large}, {"empty", ""}, {"\u00e9/x", "x"}};
  EXPECT_EQ(ReadByLibzip((folder / "a.zip").string()), expected);
  const auto opened = OpenZip(folder.Read("a.zip"));
  ASSERT_TRUE(opened.has_value()) << ToString(opened.error());
  EXPECT_EQ(*opened->Read(2, 10), "x");
}

TEST(Zip, MoreThan65535MembersNeedZip64AndRoundTrip) {
  const TemporaryFolder folder;
  constexpr std::size_t kCount = 65'536;
  AtomicOutput output(AtomicOutput::Overwrite::kRefuse);
  OutputFile* file = *output.Create(folder / "a.zip");
  ZipWriter zip(*file);
  for (std::size_t i = 0; i < kCount; ++i) {
    ASSERT_TRUE(zip.Begin("t" + std::to_string(i), 0).has_value());
  }
  ASSERT_TRUE(zip.Finish().has_value());
  ASSERT_TRUE(output.Commit().has_value());
  const auto opened = ZipArchive::Open(
      std::shared_ptr<const RandomAccessFile>(*SystemFiles().Open(folder / "a.zip")), {});
  ASSERT_TRUE(opened.has_value()) << ToString(opened.error());
  EXPECT_EQ(opened->members().size(), kCount);
  EXPECT_EQ(opened->Find("t65535"), kCount - 1);
  int failed = 0;
  zip_t* archive = zip_open((folder / "a.zip").c_str(), ZIP_RDONLY | ZIP_CHECKCONS, &failed);
  ASSERT_NE(archive, nullptr);
  EXPECT_EQ(zip_get_num_entries(archive, 0), static_cast<zip_int64_t>(kCount));
  zip_discard(archive);
}

TEST(ZipWriter, AMemberWrittenByPathIsAsOneThatWasAppended) {
  const TemporaryFolder folder;
  const std::string large = Pattern(2'000'000);
  const auto bytes = std::as_bytes(std::span(large));
  AtomicOutput output(AtomicOutput::Overwrite::kRefuse);
  OutputFile* const appended = *output.Create(folder / "appended.zip");
  OutputFile* const by_path = *output.Create(folder / "by_path.zip");
  for (OutputFile* const file : {appended, by_path}) {
    ZipWriter zip(*file);
    ASSERT_TRUE(zip.Begin("before", 1));
    ASSERT_TRUE(zip.Append(bytes.first(1)));
    if (file == appended) {
      ASSERT_TRUE(zip.Begin("large", large.size()));
      ASSERT_TRUE(zip.Append(bytes));
    } else {
      ASSERT_TRUE(zip.BeginByPath("large"));
      std::ofstream(file->temporary_path(), std::ios::binary | std::ios::app) << large;
      ASSERT_TRUE(zip.EndByPath(Crc32(bytes)));
    }
    ASSERT_TRUE(zip.Begin("after", 2));
    ASSERT_TRUE(zip.Append(bytes.first(2)));
    ASSERT_TRUE(zip.Finish());
  }
  ASSERT_TRUE(output.Commit());
  const std::vector<std::pair<std::string, std::string>> expected = {
      {"before", large.substr(0, 1)}, {"large", large}, {"after", large.substr(0, 2)}};
  EXPECT_EQ(ReadByLibzip((folder / "by_path.zip").string()), expected);
  EXPECT_EQ(folder.Read("by_path.zip"), folder.Read("appended.zip"));
}

TEST(ZipWriter, NoticesAMemberOfAnotherSize) {
  const TemporaryFolder folder;
  AtomicOutput output(AtomicOutput::Overwrite::kRefuse);
  ZipWriter zip(**output.Create(folder / "a.zip"));
  const auto two = std::as_bytes(std::span("xy", 2));
  EXPECT_EQ(zip.Append(two).error().code, ErrorCode::kInternal);
  ASSERT_TRUE(zip.Begin("a", 1).has_value());
  EXPECT_EQ(zip.Append(two).error().code, ErrorCode::kInternal);
  EXPECT_EQ(zip.EndByPath(0).error().code, ErrorCode::kInternal);
  EXPECT_EQ(zip.Begin("b", 1).error().code, ErrorCode::kInternal);
}

struct Sound {
  std::string name;
  ZipFile zip;
};

// Unusual, but every reader sees the same.
std::vector<Sound> SoundArchives() {
  std::vector<Sound> cases;
  const auto add = [&](std::string name, const std::function<void(ZipFile&)>& change) {
    ZipFile zip;
    zip.parts = {Stored("a", "0123456789")};
    zip.Build();
    change(zip);
    cases.push_back({std::move(name), zip});
  };
  add("Z08 archive comment", [](ZipFile& zip) { zip.comment = "made by hand"; });
  add("Z08 member comment", [](ZipFile& zip) { zip.parts[0].comment = "made by hand"; });
  add("Z18 bytes between members and directory",
      [](ZipFile& zip) { zip.before_directory = "gap"; });
  add("Z18 bytes before the first member, offsets right",
      [](ZipFile& zip) { zip.parts[0].before = "gap"; });
  for (const std::uint32_t mode : {0120777U, 0060666U, 0104755U}) {  // link, device, setuid
    add("Z26 a Unix mode that only an extraction would heed",
        [&](ZipFile& zip) { zip.parts[0].external_attributes = mode << 16; });
  }
  add("unknown extra fields", [](ZipFile& zip) {
    zip.parts[0].central.extra = Little(0x5455, 2) + Little(1, 2) + "x";
    zip.parts[0].local.extra = Little(0x4246, 2) + Little(40, 2) + std::string(40, 'Z');
  });
  add("local extra longer than what is read at first", [](ZipFile& zip) {
    zip.parts[0].local.extra = Little(0x4246, 2) + Little(5000, 2) + std::string(5000, 'Z');
  });
  add("zip64 fields in both headers", [](ZipFile& zip) {
    for (auto* fields : {&zip.parts[0].local, &zip.parts[0].central}) {
      fields->size = fields->compressed_size = 0xFFFFFFFF;
      fields->extra = Little(0x5455, 2) + Little(0, 2) + Zip64Extra({10, 10});
    }
  });
  add("zip64 field for the offset alone", [](ZipFile& zip) {
    zip.parts[0].header_offset = 0xFFFFFFFF;
    zip.parts[0].central.extra = Zip64Extra({0});
  });
  add("zip64 end record that was not needed", [](ZipFile& zip) {
    zip.before_end = Zip64End(1, zip.end - zip.directory, zip.directory, zip.end);
  });
  add("zip64 end record that was needed", [](ZipFile& zip) {
    zip.before_end = Zip64End(1, zip.end - zip.directory, zip.directory, zip.end);
    zip.count = 0xFFFF;
    zip.directory_size = zip.directory_offset = 0xFFFFFFFF;
  });
  const std::string crc = Little(testing::ZlibCrc("0123456789"), 4);
  const std::string narrow = crc + Little(10, 4) + Little(10, 4);
  const std::string wide = crc + Little(10, 8) + Little(10, 8);
  for (const std::string& descriptor : {narrow, wide, "PK\x07\x08" + narrow, "PK\x07\x08" + wide}) {
    add("descriptor of " + std::to_string(descriptor.size()) + " bytes", [&](ZipFile& zip) {
      ZipPart& part = zip.parts[0];
      part.local.flags = part.central.flags = 8;
      part.local.crc = 0;
      part.local.size = part.local.compressed_size = 0;
      part.descriptor = descriptor;
    });
  }
  return cases;
}

TEST(Zip, TakesUnusualArchivesThatMeanOneThing) {
  for (Sound& sound : SoundArchives()) {
    SCOPED_TRACE(sound.name);
    const auto opened = OpenZip(sound.zip.Build());
    ASSERT_TRUE(opened.has_value()) << ToString(opened.error());
    ASSERT_EQ(opened->members().size(), 1U);
    EXPECT_EQ(opened->members()[0].header_offset, sound.zip.local_offsets[0]);
    EXPECT_EQ(opened->members()[0].data_offset, sound.zip.data_offsets[0]);
    EXPECT_EQ(*opened->Read(0, 10), "0123456789");
  }
}

// Z25, Z28: nothing is ever extracted.
TEST(Zip, NamesThatLookLikePathsAreNames) {
  ZipFile zip;
  zip.parts = {Stored("/etc/passwd", "1"), Stored("../up", "2"), Stored("a\\b", "3"),
               Stored("\xFF", "4"), Stored("", "5")};
  const auto opened = OpenZip(zip.Build());
  ASSERT_TRUE(opened.has_value()) << ToString(opened.error());
  EXPECT_EQ(*opened->Read(*opened->Find("../up"), 1), "2");
  const std::string name(5000, 'n');
  zip.parts = {Stored(name, "6")};
  const auto longer = OpenZip(zip.Build());
  ASSERT_TRUE(longer.has_value()) << ToString(longer.error());
  EXPECT_EQ(*longer->Read(*longer->Find(name), 1), "6");
}

// Z32: an archive that holds archives, itself even, holds bytes.
TEST(Zip, AMemberThatIsAnArchiveIsNotOpened) {
  ZipFile inner;
  inner.parts = {Stored("a", "0123456789")};
  const std::string bytes = inner.Build();
  ZipFile outer;
  outer.parts = {Deflated("inner.zip", bytes)};
  const auto opened = OpenZip(outer.Build());
  ASSERT_TRUE(opened.has_value()) << ToString(opened.error());
  ASSERT_EQ(opened->members().size(), 1U);
  EXPECT_EQ(*opened->Read(0, 1000), bytes);
}

TEST(Zip, AnArchiveMayBeEmpty) {
  const auto opened = OpenZip(ZipFile().Build());
  ASSERT_TRUE(opened.has_value());
  EXPECT_TRUE(opened->members().empty());
}

TEST(ZipStream, SkipsAndStillChecksWhatItSkips) {
  const std::string data = Pattern(2'000'000);
  for (ZipPart part : {Stored("m", data), Deflated("m", data)}) {
    ZipFile zip;
    zip.parts = {part};
    for (const std::uint64_t skip : {0U, 1U, 128U, 1'000'000U, 2'000'000U}) {
      const auto opened = OpenZip(zip.Build());
      const auto stream = opened->Stream(0, skip);
      std::string read;
      while (true) {
        const auto chunk = stream->Next();
        ASSERT_TRUE(chunk.has_value()) << ToString(chunk.error());
        if (chunk->empty()) break;
        const bool last = read.size() + chunk->size() + skip == data.size();
        EXPECT_TRUE(last || chunk->size() == kStreamChunkBytes) << chunk->size();
        read.append(reinterpret_cast<const char*>(chunk->data()), chunk->size());
      }
      EXPECT_EQ(read, data.substr(skip));
    }
  }
  ZipFile damaged;
  damaged.parts = {Stored("m", data)};
  damaged.parts[0].data[5] ^= 1;
  const auto stream = OpenZip(damaged.Build())->Stream(0, 1'999'999);
  EXPECT_EQ(stream->Next()->size(), 1U);
  EXPECT_EQ(stream->Next().error().code, ErrorCode::kCorrupt);
}

TEST(ZipNames, AreSeenInTheTail) {
  ZipFile zip;
  zip.parts = {Stored("archive/data.pkl", "x"), Stored("archive/data/0", "y")};
  const std::string bytes = zip.Build();
  EXPECT_THAT(ZipNamesInTail(std::as_bytes(std::span(bytes))),
              ElementsAre("archive/data.pkl", "archive/data/0"));
  EXPECT_TRUE(StartsLikeZip(std::as_bytes(std::span(bytes))));
  EXPECT_FALSE(StartsLikeZip(std::as_bytes(std::span("PK", 2))));
}

}  // namespace
}  // namespace ckpt::formats::zip_test
