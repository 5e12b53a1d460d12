// Archives that two readers could take for different things, and damaged ones.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <functional>

#include "formats/container/zip_archive.h"
#include "tests/support/zip_builder.h"

namespace ckpt::formats::zip_malformed_test {
namespace {

using testing::Deflated;
using ::testing::HasSubstr;
using testing::Little;
using testing::Stored;
using testing::Zip64End;
using testing::Zip64Extra;
using testing::ZipFile;
using testing::ZipPart;

Result<ZipArchive> OpenZip(std::string_view bytes, const Limits& limits = {}) {
  MemoryFiles files;
  files.Add("a.zip", bytes);
  return ZipArchive::Open(std::shared_ptr<const RandomAccessFile>(*files.Open("a.zip")), limits);
}

// "a" with 10 bytes stored, "b" deflated.
ZipFile Two() {
  ZipFile zip;
  zip.parts = {Stored("a", "0123456789"), Deflated("b", std::string(1000, 'b'))};
  return zip;
}

struct Malformed {
  std::string name;
  std::string bytes;
  std::uint64_t offset;
  std::string message;
  ErrorCode code = ErrorCode::kCorrupt;
};

void PrintTo(const Malformed& malformed, std::ostream* out) { *out << malformed.name; }

std::vector<Malformed> MalformedArchives() {
  std::vector<Malformed> cases;
  // `spoil` changes the two-member archive; `offset` is asked of it when it is built.
  using Place = std::function<std::uint64_t(const ZipFile&)>;
  const auto spoiled = [&](std::string name, const std::function<void(ZipFile&)>& spoil,
                           const Place& offset, std::string message,
                           ErrorCode code = ErrorCode::kCorrupt) {
    ZipFile zip = Two();
    zip.Build();  // so that `spoil` may use the offsets
    spoil(zip);
    const std::string bytes = zip.Build();
    cases.push_back({std::move(name), bytes, offset(zip), std::move(message), code});
  };
  const Place end = [](const ZipFile& zip) { return zip.end; };
  const Place central_a = [](const ZipFile& zip) { return zip.central_offsets[0]; };
  const Place central_b = [](const ZipFile& zip) { return zip.central_offsets[1]; };
  const Place local_a = [](const ZipFile& zip) { return zip.local_offsets[0]; };
  const Place local_b = [](const ZipFile& zip) { return zip.local_offsets[1]; };
  const Place data_a = [](const ZipFile& zip) { return zip.data_offsets[0]; };
  const Place data_b = [](const ZipFile& zip) { return zip.data_offsets[1]; };

  cases.push_back({"Z01_Empty", "", 0, "cut short"});
  cases.push_back({"Z01_NoEndRecord", std::string(100, 'x'), 100, "cut short"});
  spoiled(
      "Z02_EndRecordInTheComment",
      [](ZipFile& zip) { zip.comment = "PK\x05\x06" + std::string(18, '\0'); },
      [](const ZipFile& zip) { return zip.end + 22; }, "two end records");
  spoiled(
      "Z03_BytesBeforeTheArchive",
      [](ZipFile& zip) {
        zip.parts[0].before = "#!/bin/sh\n";
        for (auto& part : zip.parts) part.header_offset = 0;
        zip.directory_offset = zip.directory;
      },
      end, "does not end at its end record");
  spoiled(
      "Z04_BytesBehindTheArchive", [](ZipFile& zip) { zip.after = "x"; },
      [](const ZipFile& zip) { return zip.end + 23; }, "other bytes follow");
  cases.push_back({"Z05_TwoArchivesInOneFile", Two().Build() + Two().Build(),
                   2 * Two().Build().size() - 22, "does not end at its end record"});
  spoiled(
      "Z06_NameTwice", [](ZipFile& zip) { zip.parts[1] = Stored("a", "other"); }, local_b,
      "\"a\" is there twice");
  spoiled(
      "Z07_NulInAName", [](ZipFile& zip) { zip.parts[1] = Stored(std::string("b\0c", 3), "x"); },
      central_b, "NUL");
  spoiled(
      "Z09_LocalHeaderHasAnotherName", [](ZipFile& zip) { zip.parts[0].local.name = "c"; }, local_a,
      "another name");
  spoiled(
      "Z09_LocalNameIsLonger", [](ZipFile& zip) { zip.parts[0].local.name = "aa"; }, local_a,
      "another name");
  spoiled(
      "Z10_LocalHeaderHasAnotherSize", [](ZipFile& zip) { zip.parts[0].local.size = 9; }, local_a,
      "another size");
  spoiled(
      "Z10_LocalCompressedSizeDiffers",
      [](ZipFile& zip) { zip.parts[1].local.compressed_size += 1; }, local_b, "another size");
  spoiled(
      "Z10_LocalHeaderHasAnotherCrc", [](ZipFile& zip) { zip.parts[0].local.crc ^= 1; }, local_a,
      "another CRC-32");
  spoiled(
      "Z10_LocalHeaderHasAnotherMethod", [](ZipFile& zip) { zip.parts[0].local.method = 8; },
      local_a, "another method");
  spoiled(
      "Z10_ZerosWithoutADescriptor",
      [](ZipFile& zip) {
        zip.parts[0].local.crc = 0;
        zip.parts[0].local.size = zip.parts[0].local.compressed_size = 0;
      },
      local_a, "another CRC-32");
  // Z35: flag 1 is encryption, 0x40 strong encryption, 0x2000 an encrypted directory.
  for (const std::uint16_t flag : std::initializer_list<std::uint16_t>{1, 0x20, 0x40, 0x2000}) {
    spoiled(
        "Z12_DirectoryFlag" + std::to_string(flag),
        [&](ZipFile& zip) { zip.parts[0].central.flags = flag; }, central_a,
        flag == 0x20 ? "patch" : "encrypted", ErrorCode::kUnsupported);
    spoiled(
        "Z12_LocalFlag" + std::to_string(flag),
        [&](ZipFile& zip) { zip.parts[0].local.flags = flag; }, local_a, "another set of flags");
  }
  const auto with_descriptor = [&](std::string name, const std::string& descriptor) {
    spoiled(
        std::move(name),
        [&](ZipFile& zip) {
          ZipPart& part = zip.parts[0];
          part.local.flags = part.central.flags = 8;
          part.local.crc = 0;
          part.local.size = part.local.compressed_size = 0;
          part.descriptor = descriptor;
        },
        [](const ZipFile& zip) { return zip.data_offsets[0] + 10; }, "data descriptor");
  };
  const std::uint32_t crc = testing::ZlibCrc("0123456789");
  with_descriptor("Z13_NoDescriptor", "");
  with_descriptor("Z13_DescriptorWithAnotherCrc",
                  "PK\x07\x08" + Little(crc ^ 1, 4) + Little(10, 4) + Little(10, 4));
  with_descriptor("Z13_DescriptorWithAnotherSize",
                  "PK\x07\x08" + Little(crc, 4) + Little(10, 4) + Little(11, 4));
  with_descriptor("Z13_DescriptorWithAnotherCompressedSize",
                  Little(crc, 4) + Little(9, 8) + Little(10, 8));

  const auto zip64 = [&](std::string name,
                         const std::function<std::string(const ZipFile&)>& records,
                         const Place& offset, std::string message) {
    spoiled(
        std::move(name),
        [&](ZipFile& zip) {
          zip.before_end = records(zip);
          zip.directory_offset = 0xFFFFFFFF;
        },
        offset, std::move(message));
  };
  const Place record = [](const ZipFile& zip) { return zip.end - 76; };
  const Place locator = [](const ZipFile& zip) { return zip.end - 20; };
  zip64(
      "Z14_LocatorPointsElsewhere",
      [](const ZipFile& zip) {
        return Zip64End(2, zip.end - zip.directory, zip.directory, zip.end - 1);
      },
      [](const ZipFile& zip) { return zip.end - 77; }, "where its locator says");
  zip64(
      "Z14_LocatorPointsBehindItself",
      [](const ZipFile& zip) {
        return Zip64End(2, zip.end - zip.directory, zip.directory, zip.end + 60);
      },
      locator, "where its locator says");
  zip64(
      "Z14_LocatorPointsBeyondTheFile",
      [](const ZipFile& zip) {
        return Zip64End(2, zip.end - zip.directory, zip.directory, ~std::uint64_t{0});
      },
      locator, "where its locator says");
  zip64(
      "Z14_AnotherCount",
      [](const ZipFile& zip) {
        return Zip64End(3, zip.end - zip.directory, zip.directory, zip.end);
      },
      record, "contradicts the end record");
  zip64(
      "Z14_AnotherSize", [](const ZipFile& zip) { return Zip64End(2, 1, zip.directory, zip.end); },
      record, "contradicts the end record");
  zip64(
      "Z14_AnotherOffset",
      [](const ZipFile& zip) {
        return Zip64End(2, zip.end - zip.directory, zip.directory - 1, zip.end);
      },
      end, "does not end at its end record");
  zip64(
      "Z14_RecordSizeBeyondTheLocator",
      [](const ZipFile& zip) {
        return Zip64End(2, zip.end - zip.directory, zip.directory, zip.end)
            .replace(4, 8, Little(45, 8));
      },
      record, "reach up to its locator");
  spoiled(
      "Z14_RecordWithoutLocator",
      [](ZipFile& zip) { zip.before_end = Zip64End(2, 0, 0, 0).substr(0, 56); }, end,
      "does not end at its end record");
  spoiled(
      "Z14_SaturatedSizeWithoutZip64Field",
      [](ZipFile& zip) {
        zip.parts[0].central.size = zip.parts[0].central.compressed_size = 0xFFFFFFFF;
      },
      central_a, "malformed extra fields");
  spoiled(
      "Z14_Zip64FieldTooShort",
      [](ZipFile& zip) {
        zip.parts[0].central.size = zip.parts[0].central.compressed_size = 0xFFFFFFFF;
        zip.parts[0].central.extra = Zip64Extra({10});
      },
      central_a, "malformed extra fields");
  spoiled(
      "Z14_LocalZip64FieldTooShort",
      [](ZipFile& zip) {
        zip.parts[0].local.size = zip.parts[0].local.compressed_size = 0xFFFFFFFF;
        zip.parts[0].local.extra = Zip64Extra({10});
      },
      local_a, "malformed extra fields");
  spoiled(
      "Z15_NoLocalHeader", [](ZipFile& zip) { zip.parts[1].header_offset = 5; },
      [](const ZipFile&) { return 5; }, "overlaps");
  spoiled(
      "Z15_OffsetIntoData",
      [](ZipFile& zip) {
        zip.parts.erase(zip.parts.begin() + 1);
        zip.parts[0].header_offset = 1;
      },
      [](const ZipFile&) { return 1; }, "no local header");
  spoiled(
      "Z16_TwoEntriesOnOneMember",
      [](ZipFile& zip) {
        ZipPart twin = zip.parts[0];
        twin.data.clear();
        twin.header_offset = 0;
        twin.local = {};
        zip.parts.push_back(twin);
      },
      [](const ZipFile&) { return 0; }, "overlaps");
  spoiled(
      "Z16_MemberInsideAnother",
      [](ZipFile& zip) {
        ZipFile inner;
        inner.parts = {Stored("inner", "x")};
        const std::string bytes = inner.Build().substr(0, 36);
        zip.parts[0] = Stored("a", bytes);
        ZipPart claimed = Stored("inner", "x");
        claimed.header_offset = 31;
        claimed.data.clear();
        claimed.local = {};
        zip.parts[1] = claimed;
      },
      data_a, "overlaps");
  spoiled(
      "Z17_MemberReachesIntoTheDirectory",
      [](ZipFile& zip) {
        ZipPart& last = zip.parts[1];
        last.local.compressed_size += 1;
        last.central.compressed_size += 1;
      },
      data_b, "reaches into the central directory");
  spoiled(
      "Z19_AnotherMethod",
      [](ZipFile& zip) { zip.parts[0].local.method = zip.parts[0].central.method = 12; }, central_a,
      "method 12", ErrorCode::kUnsupported);
  spoiled(
      "Z20_StoredWithTwoSizes",
      [](ZipFile& zip) { zip.parts[0].local.size = zip.parts[0].central.size = 11; }, central_a,
      "two different sizes");
  spoiled(
      "Z21_MoreThanDeflateCanMake",
      [](ZipFile& zip) { zip.parts[1].local.size = zip.parts[1].central.size = 4'000'000; },
      central_b, "more than DEFLATE can make");
  spoiled(
      "Z23_FewerEntriesThanSaid", [](ZipFile& zip) { zip.count = 3; }, end, "claims 3 members");
  spoiled(
      "Z23_MoreEntriesThanSaid", [](ZipFile& zip) { zip.count = 1; }, central_b,
      "goes on behind its 1 members");
  spoiled(
      "Z24_SeveralDisks", [](ZipFile& zip) { zip.disk = 1; }, end, "of several",
      ErrorCode::kUnsupported);
  spoiled(
      "Z24_MemberOnAnotherDisk", [](ZipFile& zip) { zip.parts[0].disk = 1; }, central_a,
      "of several", ErrorCode::kUnsupported);
  spoiled(
      "Z27_FolderWithContent", [](ZipFile& zip) { zip.parts[0] = Stored("dir/", "x"); }, central_a,
      "a folder with content");
  spoiled(
      "Z29_ExtraFieldOverflows",
      [](ZipFile& zip) { zip.parts[0].central.extra = Little(0x4246, 2) + Little(9, 2) + "x"; },
      central_a, "malformed extra fields");
  spoiled(
      "Z29_ExtraOfThreeBytes", [](ZipFile& zip) { zip.parts[0].central.extra = "abc"; }, central_a,
      "malformed extra fields");
  spoiled(
      "Z34_LocalPaddingLiesAboutItsLength",
      [](ZipFile& zip) { zip.parts[0].local.extra = "FB" + Little(60, 2) + "ZZ"; }, local_a,
      "malformed extra fields");
  spoiled(
      "Z30_NameIsNotTheUtf8ItClaims",
      [](ZipFile& zip) {
        zip.parts[0] = Stored("\xFF", "x");
        zip.parts[0].central.flags = zip.parts[0].local.flags = 0x800;
      },
      central_a, "UTF-8");
  spoiled(
      "Z31_HeaderBeyondTheFile", [](ZipFile& zip) { zip.parts[1].header_offset = 0xFFFFFFF0; },
      [](const ZipFile&) { return 0xFFFFFFF0; }, "begins behind the last member");
  spoiled(
      "Z31_DirectoryBeyondTheFile", [](ZipFile& zip) { zip.directory_offset = 0xFFFFFF00; }, end,
      "does not end at its end record");
  spoiled(
      "CentralSignatureDamaged",
      [](ZipFile& zip) {
        zip.directory_offset = zip.directory + 1;
        zip.directory_size = zip.end - zip.directory - 1;
        zip.count = 1;
      },
      [](const ZipFile& zip) { return zip.directory + 1; }, "no header of the zip directory");
  cases.push_back({"Z36_NotAZip", "7z\xBC\xAF\x27\x1C" + std::string(200, 'x'), 206, "cut short"});
  return cases;
}

class MalformedZip : public ::testing::TestWithParam<Malformed> {};

TEST_P(MalformedZip, IsRefusedWithItsPlace) {
  const Malformed& malformed = GetParam();
  const auto opened = OpenZip(malformed.bytes);
  ASSERT_FALSE(opened.has_value());
  EXPECT_EQ(ErrorCodeName(opened.error().code), ErrorCodeName(malformed.code))
      << ToString(opened.error());
  EXPECT_EQ(opened.error().file, "a.zip");
  EXPECT_EQ(opened.error().offset, malformed.offset) << ToString(opened.error());
  EXPECT_THAT(opened.error().message, HasSubstr(malformed.message));
}

INSTANTIATE_TEST_SUITE_P(Cases, MalformedZip, ::testing::ValuesIn(MalformedArchives()),
                         [](const auto& test) { return test.param.name; });

// Faults that show only when a member is read.
struct BadMember {
  std::string name;
  ZipPart part;
  std::string message;
};

// Z11, Z21, Z22
TEST(ZipMember, IsRefusedWhenItsBytesAreNotWhatTheArchiveSays) {
  const std::string text(10'000, 't');
  ZipPart crc = Stored("m", "0123456789");
  crc.data[3] = 'x';
  ZipPart deflated_crc = Deflated("m", text);
  deflated_crc.local.crc = deflated_crc.central.crc ^= 1;
  ZipPart longer = Deflated("m", text), shorter = Deflated("m", text);
  longer.local.size = longer.central.size = text.size() - 1;
  shorter.local.size = shorter.central.size = text.size() + 1;
  ZipPart cut = Deflated("m", text);
  cut.data.pop_back();
  cut.local.compressed_size = cut.central.compressed_size = cut.data.size();
  ZipPart trailing = Deflated("m", text);
  trailing.data += "xyz";
  trailing.local.compressed_size = trailing.central.compressed_size = trailing.data.size();
  ZipPart garbage = Deflated("m", text);
  garbage.data[0] = '\x07';  // block type 3 does not exist
  ZipPart nothing = Deflated("m", "");
  nothing.data.clear();
  nothing.local.compressed_size = nothing.central.compressed_size = 0;

  const std::vector<BadMember> cases = {
      {"CRC of a stored member", crc, "CRC-32"},
      {"CRC of a deflated member", deflated_crc, "CRC-32"},
      {"inflates to more", longer, "does not inflate to the 9999 bytes"},
      {"inflates to less", shorter, "does not inflate to the 10001 bytes"},
      {"DEFLATE cut short", cut, "ends before its DEFLATE data do"},
      {"bytes behind the DEFLATE data", trailing, "bytes behind the end"},
      {"no DEFLATE", garbage, "not DEFLATE data"},
      {"no compressed byte at all", nothing, "ends before its DEFLATE data do"},
  };
  for (const BadMember& bad : cases) {
    SCOPED_TRACE(bad.name);
    ZipFile zip;
    zip.parts = {bad.part};
    const auto archive = OpenZip(zip.Build());
    ASSERT_TRUE(archive.has_value()) << ToString(archive.error());
    const auto read = archive->Read(0, 1 << 20);
    ASSERT_FALSE(read.has_value());
    EXPECT_EQ(read.error().code, ErrorCode::kCorrupt);
    EXPECT_EQ(read.error().file, "a.zip");
    ASSERT_TRUE(read.error().offset.has_value());
    EXPECT_GE(*read.error().offset, zip.data_offsets[0]);
    EXPECT_LE(*read.error().offset, zip.directory);
    EXPECT_THAT(read.error().message, HasSubstr("\"m\""));
    EXPECT_THAT(read.error().message, HasSubstr(bad.message));
  }
}

TEST(ZipMember, MayHaveAWrongCrcWhereTheCallerKnowsWhy) {
  ZipFile zip;
  zip.parts = {Stored("m", "0123456789")};
  zip.parts[0].local.crc = zip.parts[0].central.crc = 0;
  const auto archive = OpenZip(zip.Build());
  ASSERT_TRUE(archive.has_value());
  const auto stream = archive->Stream(0, 0, ZipChecksum::kIgnore);
  EXPECT_EQ(stream->Next()->size(), 10U);
  EXPECT_TRUE(stream->Next()->empty());
}

// A small archive of every kind of member, for the sweeps.
std::string Seed() {
  ZipFile zip = Two();
  zip.parts.push_back(Stored("wide", "abc"));
  zip.parts[2].local.size = zip.parts[2].local.compressed_size = 0xFFFFFFFF;
  zip.parts[2].local.extra = Zip64Extra({3, 3});
  ZipPart later = Deflated("later", "descriptor");
  later.descriptor = "PK\x07\x08" + Little(later.local.crc, 4) +
                     Little(later.local.compressed_size, 4) + Little(later.local.size, 4);
  later.local.flags = later.central.flags = 8;
  later.local.crc = 0;
  later.local.size = later.local.compressed_size = 0;
  zip.parts.push_back(later);
  return zip.Build();
}

TEST(ZipSweep, RefusesEveryTruncation) {
  const std::string whole = Seed();
  ASSERT_TRUE(OpenZip(whole).has_value()) << ToString(OpenZip(whole).error());
  for (std::size_t size = 0; size < whole.size(); ++size) {
    const auto opened = OpenZip(std::string_view(whole).substr(0, size));
    ASSERT_FALSE(opened.has_value()) << size;
    EXPECT_EQ(opened.error().code, ErrorCode::kCorrupt) << size;
  }
}

// Whatever a flipped bit makes of an archive, its members are as large as it says, or refused.
TEST(ZipSweep, SurvivesEveryFlippedBit) {
  const std::string whole = Seed();
  std::size_t refused = 0;
  for (std::size_t bit = 0; bit < whole.size() * 8; ++bit) {
    std::string flipped = whole;
    flipped[bit / 8] = static_cast<char>(flipped[bit / 8] ^ (1 << (bit % 8)));
    const auto opened = OpenZip(flipped);
    if (!opened) {
      ++refused;
      continue;
    }
    for (std::size_t i = 0; i < opened->members().size(); ++i) {
      const auto read = opened->Read(i, 1 << 20);
      if (read) {
        EXPECT_EQ(read->size(), opened->members()[i].size);
      }
    }
  }
  EXPECT_GT(refused, whole.size());
}

// Z28 too: a name longer than the limit.
TEST(ZipLimits, HoldForDirectoryMembersAndNames) {
  const std::string bytes = Two().Build();
  Limits limits;
  limits.tensors = 1;
  EXPECT_EQ(OpenZip(bytes, limits).error().code, ErrorCode::kLimitExceeded);
  limits = {};
  limits.index_bytes = 90;
  EXPECT_EQ(OpenZip(bytes, limits).error().code, ErrorCode::kLimitExceeded);
  limits = {};
  limits.name_bytes = 0;
  EXPECT_EQ(OpenZip(bytes, limits).error().code, ErrorCode::kLimitExceeded);
  const auto archive = OpenZip(bytes);
  EXPECT_EQ(archive->Read(1, 999).error().code, ErrorCode::kLimitExceeded);
  EXPECT_TRUE(archive->Read(1, 1000).has_value());
}

}  // namespace
}  // namespace ckpt::formats::zip_malformed_test
