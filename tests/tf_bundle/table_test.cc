// The container of the index, with every part wrong in turn. Offsets are those of the builder.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <snappy.h>

#include <string>

#include "formats/tf_bundle/table_reader.h"
#include "tests/tf_bundle/bundle_builder.h"

namespace ckpt::formats::table_test {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::Pair;

Result<KeyValues> Read(const std::string& bytes, const Limits& limits = {}) {
  MemoryFiles files;
  files.Add("t", bytes);
  KeyValues entries;
  CKPT_ASSIGN_OR_RETURN(const auto file, files.Open("t"));
  CKPT_RETURN_IF_ERROR(ReadTable(*file, limits, [&](const TableEntry& entry) -> Status {
    entries.emplace_back(entry.key, std::string(reinterpret_cast<const char*>(entry.value.data()),
                                                entry.value.size()));
    return {};
  }));
  return entries;
}

void ExpectError(const std::string& bytes, ErrorCode code, std::uint64_t offset,
                 const std::string& message, const Limits& limits = {}) {
  const auto read = Read(bytes, limits);
  ASSERT_FALSE(read.has_value()) << message;
  EXPECT_EQ(read.error().code, code) << ToString(read.error());
  EXPECT_EQ(read.error().file, "t");
  EXPECT_EQ(read.error().offset, offset) << ToString(read.error());
  EXPECT_THAT(read.error().message, HasSubstr(message));
}

std::string Compressed(const std::string& contents) {
  std::string out;
  snappy::Compress(contents.data(), contents.size(), &out);
  return out;
}

const KeyValues kTwo = {{"a", "1"}, {"b", "2"}};
// kTwo in one block: two entries of 5 bytes, two restarts, their count, type and checksum.
constexpr std::uint64_t kTwoBytes = 2 * 5 + 3 * 4 + 5, kMetaBytes = 8 + 5;

TEST(Table, ReadsEntriesInOrder) {
  EXPECT_THAT(*Read(TableOf({{"", "head"}, {"a", ""}, {"\xff\xff", "last"}})),
              ElementsAre(Pair("", "head"), Pair("a", ""), Pair("\xff\xff", "last")));
}

TEST(Table, ReadsKeysThatShareTheirBeginning) {
  TableParts parts;
  parts.blocks = {Seal(BlockContents(
      EntryBytes(0, "conv/kernel", "1") + EntryBytes(5, "mean", "2") + EntryBytes(9, "s", "3"),
      {0}))};
  parts.separators = {"d"};
  EXPECT_THAT(*Read(parts.Build()), ElementsAre(Pair("conv/kernel", "1"), Pair("conv/mean", "2"),
                                                Pair("conv/means", "3")));
}

TEST(Table, ReadsSeveralBlocksRawAndCompressed) {
  TableParts parts;
  parts.blocks = {Seal(BlockContents(KeyValues{{"a", "1"}})),
                  Seal(Compressed(BlockContents(KeyValues{{"b", std::string(5000, 'x')}})), 1),
                  Seal(BlockContents("", {})),  // legal: no entry, no restart
                  Seal(BlockContents(KeyValues{{"c", "3"}}))};
  parts.separators = {"a", "b", "b", "c"};
  EXPECT_THAT(*Read(parts.Build()),
              ElementsAre(Pair("a", "1"), Pair("b", std::string(5000, 'x')), Pair("c", "3")));
}

TEST(Table, ReadsATableWithoutEntries) { EXPECT_TRUE(Read(TableParts().Build())->empty()); }

TEST(TableFooter, RejectsFilesTooShortForOne) {
  ExpectError("", ErrorCode::kCorrupt, 0, "too few for a table");
  ExpectError(std::string(47, 'x'), ErrorCode::kCorrupt, 47, "has 47 bytes");
}

TEST(TableFooter, RejectsAnotherMagicNumber) {
  std::string file = TableOf(kTwo);
  file.back() ^= 1;
  ExpectError(file, ErrorCode::kCorrupt, file.size() - 8, "magic number");
}

TEST(TableFooter, RejectsHandlesThatAreNoVarints) {
  std::string file = TableOf(kTwo);
  for (std::size_t i = file.size() - 48; i < file.size() - 8; ++i) file[i] = '\xff';
  ExpectError(file, ErrorCode::kCorrupt, file.size() - 48 + 10, "varint");
}

TEST(TableFooter, RejectsHandlesOutsideTheFile) {
  const std::string file = TableOf(kTwo);
  const std::uint64_t footer = file.size() - 48;
  const std::string body = file.substr(0, footer);
  const std::string metaindex = HandleBytes(kTwoBytes, 8);
  const std::uint64_t max = UINT64_MAX;
  for (const std::string& handle :
       {HandleBytes(footer, 0), HandleBytes(footer - 4, 0), HandleBytes(0, footer - 4),
        HandleBytes(0, max), HandleBytes(0, max - 4), HandleBytes(max, 8), HandleBytes(max, max)}) {
    ExpectError(body + FooterBytes(metaindex, handle), ErrorCode::kCorrupt, footer,
                "points to a block");
    ExpectError(body + FooterBytes(handle, metaindex), ErrorCode::kCorrupt, footer,
                "points to a block");
  }
}

TEST(TableBlocks, RejectsHandlesOutsideTheFile) {
  TableParts parts;
  parts.blocks = {Seal(BlockContents(kTwo))};
  parts.separators = {"b"};
  parts.handle = [](std::size_t, const std::string&) { return HandleBytes(10, 1U << 20U); };
  ExpectError(parts.Build(), ErrorCode::kCorrupt, kTwoBytes + kMetaBytes, "points to a block");
  parts.handle = [](std::size_t, const std::string&) { return std::string("\xff"); };
  ExpectError(parts.Build(), ErrorCode::kCorrupt, kTwoBytes + kMetaBytes, "not the place of a");
}

TEST(TableBlocks, RejectsEveryWrongByteByItsChecksum) {
  const std::string file = TableOf(kTwo);
  for (std::size_t i = 0; i < kTwoBytes; ++i) {
    std::string damaged = file;
    damaged[i] ^= 0x20;
    ExpectError(damaged, ErrorCode::kCorrupt, 0, "does not match its checksum");
  }
  for (std::size_t i = kTwoBytes; i < kTwoBytes + kMetaBytes; ++i) {
    std::string damaged = file;
    damaged[i] ^= 0x20;
    ExpectError(damaged, ErrorCode::kCorrupt, kTwoBytes, "does not match its checksum");
  }
}

TEST(TableBlocks, RejectsUnknownCompression) {
  TableParts parts;
  parts.blocks = {Seal(BlockContents(kTwo), 2)};
  parts.separators = {"b"};
  ExpectError(parts.Build(), ErrorCode::kCorrupt, kTwoBytes - 5, "unknown method 2");
}

TEST(TableBlocks, RejectsSnappyThatLiesAboutItsLength) {
  const auto table_with = [](const std::string& stored) {
    TableParts parts;
    parts.blocks = {Seal(stored, 1)};
    parts.separators = {"b"};
    return parts.Build();
  };
  const std::string good = Compressed(BlockContents(kTwo));  // begins with its length, one byte
  ASSERT_EQ(Read(table_with(good))->size(), 2U);
  const std::string body = good.substr(1);
  ExpectError(table_with(Varint(21) + body), ErrorCode::kCorrupt, 0, "cannot be uncompressed");
  ExpectError(table_with(Varint(23) + body), ErrorCode::kCorrupt, 0, "cannot be uncompressed");
  ExpectError(table_with(Varint(0xffffffff) + body), ErrorCode::kCorrupt, 0, "claims to hold");
  ExpectError(table_with(std::string(6, '\xff')), ErrorCode::kCorrupt, 0, "begin with its length");
  ExpectError(table_with(""), ErrorCode::kCorrupt, 0, "begin with its length");
}

TEST(TableBlocks, RejectsRestartsThatDoNotFit) {
  const auto table_with = [](const std::string& contents) {
    TableParts parts;
    parts.blocks = {Seal(contents)};
    parts.separators = {"b"};
    return parts.Build();
  };
  const std::string entry = EntryBytes(0, "a", "1");
  ExpectError(table_with("abc"), ErrorCode::kCorrupt, 0, "no room for its restart count");
  ExpectError(table_with(entry + Fixed32(2)), ErrorCode::kCorrupt, 5, "claims to have 2 restarts");
  ExpectError(table_with(entry + Fixed32(0xffffffff)), ErrorCode::kCorrupt, 5, "restarts");
  ExpectError(table_with(BlockContents(entry, {})), ErrorCode::kCorrupt, 0, "not a restart");
  ExpectError(table_with(BlockContents(entry, {1})), ErrorCode::kCorrupt, 0, "not a restart");
  ExpectError(table_with(BlockContents(entry, {0, 3})), ErrorCode::kCorrupt, 5,
              "restart offset 3 is not the beginning");
  ExpectError(table_with(BlockContents(entry, {0, 0})), ErrorCode::kCorrupt, 5,
              "restart offset 0 is not the beginning");
  ExpectError(table_with(BlockContents("", {0, 0})), ErrorCode::kCorrupt, 0, "not the beginning");
}

TEST(TableBlocks, RejectsEntriesThatDoNotFit) {
  const auto table_with = [](const std::string& entries, std::vector<std::uint32_t> restarts) {
    TableParts parts;
    parts.blocks = {Seal(BlockContents(entries, restarts))};
    parts.separators = {"z"};
    return parts.Build();
  };
  const std::string first = EntryBytes(0, "ab", "1");
  ExpectError(table_with(EntryBytes(1, "b", "1"), {0}), ErrorCode::kCorrupt, 0, "shares 1 bytes");
  ExpectError(table_with(first + EntryBytes(3, "c", "2"), {0}), ErrorCode::kCorrupt, 6,
              "shares 3 bytes");
  ExpectError(table_with(first + EntryBytes(1, "c", "2"), {0, 6}), ErrorCode::kCorrupt, 6,
              "shares 1 bytes");
  // Lengths that reach past the entries, overflow 32 bits when added, or are no 32-bit varints.
  ExpectError(table_with(Varint(0) + Varint(9) + Varint(0) + "ab", {0}), ErrorCode::kCorrupt, 3,
              "needs 9 more bytes");
  ExpectError(table_with(Varint(0) + Varint(1) + Varint(0xffffffff) + "ab", {0}),
              ErrorCode::kCorrupt, 8, "needs 4294967295 more bytes");
  ExpectError(table_with(Varint(0) + Varint(0xffffffff) + Varint(1) + "ab", {0}),
              ErrorCode::kCorrupt, 7, "needs 4294967295 more bytes");
  ExpectError(table_with(Varint(0) + Varint(std::uint64_t{1} << 32) + Varint(0) + "ab", {0}),
              ErrorCode::kCorrupt, 6, "32 bits");
  ExpectError(table_with(Varint(0) + std::string(11, '\x80'), {0}), ErrorCode::kCorrupt, 11,
              "varint");
}

TEST(TableBlocks, NamesThePlaceInACompressedBlock) {
  TableParts parts;
  parts.blocks = {
      Seal(BlockContents(KeyValues{{"a", "1"}})),
      Seal(Compressed(BlockContents(EntryBytes(0, "bb", "1") + EntryBytes(7, "c", "2"), {0})), 1)};
  parts.separators = {"a", "z"};
  ExpectError(parts.Build(), ErrorCode::kCorrupt, parts.blocks[0].size(),
              "at byte 6 of an uncompressed block: an entry shares 7 bytes");
}

TEST(TableOrder, RejectsKeysThatDoNotIncrease) {
  for (const KeyValues& entries :
       {KeyValues{{"b", "1"}, {"a", "2"}}, KeyValues{{"a", "1"}, {"a", "2"}},
        KeyValues{{"\xff", "1"}, {"a", "2"}}}) {
    TableParts parts;
    parts.blocks = {Seal(BlockContents(entries))};
    parts.separators = {"\xff\xff"};
    ExpectError(parts.Build(), ErrorCode::kCorrupt, 5, "out of order");
  }
}

TEST(TableOrder, RejectsBlocksOutOfOrder) {
  TableParts parts;
  parts.blocks = {Seal(BlockContents(KeyValues{{"b", "1"}})),
                  Seal(BlockContents(KeyValues{{"a", "2"}}))};
  parts.separators = {"b", "c"};
  ExpectError(parts.Build(), ErrorCode::kCorrupt, parts.blocks[0].size(), "out of order");
}

TEST(TableOrder, RejectsIndexKeysThatDoNotSeparate) {
  TableParts parts;
  parts.blocks = {Seal(BlockContents(KeyValues{{"b", "1"}})),
                  Seal(BlockContents(KeyValues{{"d", "2"}}))};
  parts.separators = {"a", "e"};  // below the last key of the first block
  ExpectError(parts.Build(), ErrorCode::kCorrupt, 0, "out of order");
  parts.separators = {"d", "e"};  // not below the first key of the second
  ExpectError(parts.Build(), ErrorCode::kCorrupt, parts.blocks[0].size(), "out of order");
  parts.separators = {"b", "d"};
  EXPECT_EQ(Read(parts.Build())->size(), 2U);
}

TEST(TableOrder, RejectsBlocksThatOverlap) {
  TableParts parts;
  parts.blocks = {Seal(BlockContents(KeyValues{{"b", "1"}})), Seal(BlockContents("", {0}))};
  parts.separators = {"b", "c"};
  parts.handle = [](std::size_t, const std::string&) { return HandleBytes(0, 13); };
  const std::uint64_t index = parts.blocks[0].size() + parts.blocks[1].size() + kMetaBytes;
  ExpectError(parts.Build(), ErrorCode::kCorrupt, index + 3 + 1 + 2, "overlaps the one before");
}

TEST(TableLimits, RejectsKeysLongerThanNamesMayBe) {
  Limits limits;
  limits.name_bytes = 3;
  ExpectError(TableOf({{"abc", "1"}, {"abcd", "2"}}), ErrorCode::kLimitExceeded, 7,
              "a key of 4 bytes", limits);
}

// 16 KiB of shared prefix and 60,000 entries of six bytes each: 1 GB of names in 400 KB.
TEST(TableLimits, RejectsTablesMadeToFillMemoryWithNames) {
  std::string entries = EntryBytes(0, std::string(16384, 'k'), "");
  for (std::uint32_t i = 0; i < 60000; ++i) {
    const std::string suffix = {static_cast<char>(i >> 16), static_cast<char>(i >> 8),
                                static_cast<char>(i)};
    entries += EntryBytes(16384, suffix, "");
  }
  TableParts parts;
  parts.blocks = {Seal(BlockContents(entries, {0}))};
  parts.separators = {"l"};
  const auto read = Read(parts.Build());
  ASSERT_FALSE(read.has_value());
  EXPECT_EQ(read.error().code, ErrorCode::kLimitExceeded);
}

TEST(TableLimits, RejectsBlocksLargerThanTheLimit) {
  Limits limits;
  limits.index_bytes = 100;
  TableParts parts;
  parts.blocks = {Seal(BlockContents(KeyValues{{"a", std::string(200, 'v')}}))};
  parts.separators = {"a"};
  ExpectError(parts.Build(), ErrorCode::kLimitExceeded, 0, "at most 100", limits);
  parts.blocks = {Seal(Compressed(BlockContents(KeyValues{{"a", std::string(200, 'v')}})), 1)};
  ExpectError(parts.Build(), ErrorCode::kLimitExceeded, 0, "at most 100", limits);
}

}  // namespace
}  // namespace ckpt::formats::table_test
