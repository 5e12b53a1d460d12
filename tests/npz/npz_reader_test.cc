#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <filesystem>

#include "formats/encoding/checksum.h"
#include "tests/npz/npy_builder.h"
#include "tests/support/expected_tensors.h"
#include "tests/support/paths.h"
#include "tests/support/temporary_folder.h"

namespace ckpt::formats::npz_reader_test {
namespace {

using testing::Deflated;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using testing::Little;
using testing::Stored;
using testing::ZipPart;

std::string Text(const Checkpoint& checkpoint, std::uint32_t index) {
  const auto bytes = testing::AllBytes(checkpoint, TensorId{index});
  return {reinterpret_cast<const char*>(bytes.data()), bytes.size()};
}

std::vector<std::string> Names(const Checkpoint& checkpoint) {
  std::vector<std::string> names;
  for (const TensorInfo& info : checkpoint.manifest().tensors) names.push_back(info.name);
  return names;
}

TEST(NpzGolden, ReadsWhatNumPyWrote) {
  const std::filesystem::path folder = ckpt::testing::TestData() + "/npz";
  int archives = 0, arrays = 0;
  for (const auto& entry : std::filesystem::directory_iterator(folder)) {
    const std::string path = entry.path().string();
    if (!std::filesystem::exists(path + ".expected.json")) continue;
    SCOPED_TRACE(path);
    const auto opened = OpenNpz(SystemFiles(), path, {});
    ASSERT_TRUE(opened.has_value()) << ToString(opened.error());
    auto expected = testing::ReadExpected(path + ".expected.json");
    for (auto& tensor : expected["tensors"]) {
      if (tensor["dtype"] == "opaque2") tensor["dtype"] = "void";
      if (tensor["name"] == "") tensor["name"] = entry.path().stem().string();
    }
    testing::ExpectTensors(**opened, expected);
    EXPECT_THAT((*opened)->manifest().problems, IsEmpty());
    ++(entry.path().extension() == ".npz" ? archives : arrays);
  }
  EXPECT_GE(archives, 8);
  EXPECT_GE(arrays, 3);
}

TEST(NpzGolden, RefusesASecondArrayInOneFile) {
  const auto opened = OpenNpz(SystemFiles(), ckpt::testing::TestData() + "/npz/two_arrays.npy", {});
  ASSERT_FALSE(opened.has_value());
  EXPECT_EQ(opened.error().code, ErrorCode::kUnsupported);
  EXPECT_EQ(opened.error().offset, 128U);
  EXPECT_EQ(opened.error().tensor, "two_arrays");
}

TEST(NpzGolden, NeverUnpickles) {
  const auto alone =
      OpenNpz(SystemFiles(), ckpt::testing::TestData() + "/malformed/npz/object.npy", {});
  ASSERT_FALSE(alone.has_value());
  EXPECT_EQ(alone.error().code, ErrorCode::kUnsafe);
  EXPECT_EQ(alone.error().tensor, "object");

  const auto opened =
      OpenNpz(SystemFiles(), ckpt::testing::TestData() + "/malformed/npz/object.npz", {});
  ASSERT_TRUE(opened.has_value()) << ToString(opened.error());
  const Manifest& manifest = (*opened)->manifest();
  EXPECT_THAT(Names(**opened), ElementsAre("objects", "plain"));
  EXPECT_FALSE(manifest.tensors[0].data_present);
  EXPECT_EQ(ToString(manifest.tensors[0].shape), "[2]");
  ASSERT_EQ(manifest.problems.size(), 1U);
  EXPECT_EQ(manifest.problems[0].error.code, ErrorCode::kUnsafe);
  EXPECT_EQ(manifest.problems[0].error.tensor, "objects");
  EXPECT_THAT(manifest.problems[0].tensors, ElementsAre(TensorId{0}));
  EXPECT_EQ((*opened)->Open(TensorId{0}).error().code, ErrorCode::kUnsafe);
  EXPECT_EQ(Text(**opened, 1), Little(0, 8) + Little(1, 8) + Little(2, 8));
}

TEST(NpzGolden, ListsRecordsAndReadsTheRest) {
  const auto opened =
      OpenNpz(SystemFiles(), ckpt::testing::TestData() + "/malformed/npz/structured.npz", {});
  ASSERT_TRUE(opened.has_value()) << ToString(opened.error());
  const Manifest& manifest = (*opened)->manifest();
  EXPECT_THAT(Names(**opened), ElementsAre("plain", "records"));
  ASSERT_EQ(manifest.problems.size(), 1U);
  EXPECT_EQ(manifest.problems[0].error.code, ErrorCode::kUnsupported);
  EXPECT_EQ(manifest.problems[0].error.tensor, "records");
  EXPECT_EQ(Text(**opened, 0).size(), 24U);
}

TEST(Npz, SaysWhatOpaqueBytesMayBe) {
  const auto opened = OpenNpz(SystemFiles(), ckpt::testing::TestData() + "/npz/bfloat16.npz", {});
  ASSERT_TRUE(opened.has_value());
  EXPECT_THAT((*opened)->manifest().metadata.at("dtype of values"), HasSubstr("bfloat16"));
}

TEST(Npz, NamesTensorsByTheirKeys) {
  const auto opened = OpenNpzOf({Stored("b/kernel.npy", Npy(Literal("|u1", "(2,)"), "xy")),
                                 Deflated("a.npy.npy", Npy(Literal("|u1", "()"), "z")),
                                 Stored(".npy", Npy(Literal("|u1", "(0,)")))});
  ASSERT_TRUE(opened.has_value()) << ToString(opened.error());
  EXPECT_EQ((*opened)->format(), "npz");
  EXPECT_THAT(Names(**opened), ElementsAre("", "a.npy", "b/kernel"));
  EXPECT_EQ((*opened)->manifest().tensors[2].stored_as, "b/kernel");
  EXPECT_EQ(Text(**opened, 1), "z");
  EXPECT_EQ(Text(**opened, 2), "xy");
  EXPECT_THAT((*opened)->manifest().files, ElementsAre("a.npz"));
}

TEST(Npz, LeavesOutMembersThatAreNoArraysAndSaysSo) {
  const auto opened =
      OpenNpzOf({Stored("notes.txt", "hello"), Stored("a.npy", Npy(Literal("|u1", "()"), "z"))});
  ASSERT_TRUE(opened.has_value());
  EXPECT_THAT(Names(**opened), ElementsAre("a"));
  EXPECT_THAT((*opened)->manifest().note, HasSubstr("notes.txt"));
  EXPECT_THAT((*opened)->manifest().problems, IsEmpty());
  const auto none = OpenNpzOf({Stored("notes.txt", "hello")});
  ASSERT_FALSE(none.has_value());
  EXPECT_EQ(none.error().code, ErrorCode::kUnsupported);
}

TEST(Npz, ALoneArrayIsNamedAfterItsFile) {
  const auto opened = OpenNpyBytes(Npy(Literal("<u2", "(2,)"), "abcd"));
  ASSERT_TRUE(opened.has_value()) << ToString(opened.error());
  EXPECT_THAT(Names(**opened), ElementsAre("array"));
  EXPECT_EQ(Text(**opened, 0), "abcd");
}

struct BadArray {
  std::string what;
  std::string bytes;
  ErrorCode code;
  std::optional<std::uint64_t> offset;  // in the array
  std::string shape;
};

TEST(Npz, AFaultyArrayLeavesTheOthersReadable) {
  const std::string f4 = Literal("<f4", "(2,)");
  const std::vector<BadArray> cases = {
      {"no array", "hello, world", ErrorCode::kCorrupt, 0, "[]"},
      {"header cut", Npy(f4).substr(0, 30), ErrorCode::kCorrupt, 30, "[]"},
      {"data too short", Npy(f4, "1234567"), ErrorCode::kCorrupt, 10 + f4.size(), "[2]"},
      {"data too long", Npy(f4, "123456789"), ErrorCode::kCorrupt, 10 + f4.size(), "[2]"},
      {"dates", Npy(Literal("<M8[ns]", "(1,)"), "12345678"), ErrorCode::kUnsupported, 6, "[1]"},
      {"long double", Npy(Literal("<f16", "()"), std::string(16, 'x')), ErrorCode::kUnsupported, 6,
       "[]"},
      {"strings without width", Npy(Literal("|S0", "(1000000000000,)")), ErrorCode::kUnsupported, 6,
       "[1000000000000]"},
      {"opaque bytes of an odd size", Npy(Literal("|V5", "(1,)"), "12345"), ErrorCode::kUnsupported,
       6, "[1]"},
      {"an 80-byte claim of 32 GiB", Npy(Literal("<f8", "(4294967296,)")), ErrorCode::kCorrupt,
       10 + Literal("<f8", "(4294967296,)").size(), "[4294967296]"},
      {"surrogate in text",
       Npy(Literal("<U1", "()"), Little(0xD800, 4)),
       ErrorCode::kCorrupt,
       {},
       "[]"},
  };
  for (const BadArray& bad : cases) {
    SCOPED_TRACE(bad.what);
    testing::ZipFile zip;
    zip.parts = {Stored("a.npy", Npy(Literal("|u1", "()"), "z")), Stored("bad.npy", bad.bytes)};
    MemoryFiles files;
    files.Add("a.npz", zip.Build());
    const auto opened = OpenNpz(files, "a.npz", {});
    ASSERT_TRUE(opened.has_value()) << ToString(opened.error());
    const Manifest& manifest = (*opened)->manifest();
    EXPECT_THAT(Names(**opened), ElementsAre("a", "bad"));
    EXPECT_EQ(Text(**opened, 0), "z");
    ASSERT_EQ(manifest.problems.size(), 1U);
    const Error& error = manifest.problems[0].error;
    EXPECT_EQ(ErrorCodeName(error.code), ErrorCodeName(bad.code)) << ToString(error);
    EXPECT_EQ(error.file, "a.npz");
    EXPECT_EQ(error.tensor, "bad");
    if (bad.offset) {
      EXPECT_EQ(error.offset, *bad.offset + zip.data_offsets[1]) << ToString(error);
    }
    EXPECT_FALSE(manifest.tensors[1].data_present);
    EXPECT_EQ(ToString(manifest.tensors[1].shape), bad.shape);
    EXPECT_EQ((*opened)->Open(TensorId{1}).error().code, bad.code);
  }
}

TEST(Npz, ChecksTheCrcOfWhatItReads) {
  for (const bool fortran : {false, true}) {
    ZipPart part = Stored("w.npy", Npy(Literal("<u2", "(2, 3)", fortran), "0123456789ab"));
    part.data.back() = 'x';
    const auto opened = OpenNpzOf({part});
    ASSERT_TRUE(opened.has_value()) << ToString(opened.error());
    const auto read = ReadBytes(**opened, TensorId{0}, 100);
    ASSERT_FALSE(read.has_value());
    EXPECT_EQ(read.error().code, ErrorCode::kCorrupt);
    EXPECT_EQ(read.error().tensor, "w");
    EXPECT_THAT(read.error().message, HasSubstr("CRC-32"));
  }
}

// The checksum is of the data alone: headers of other lengths do not change it.
TEST(Npz, OffersTheCrcOfTheDataWhereTheyAreStreamedAsStored) {
  const std::string data = "0123456789ab";
  const std::string padded = Literal("<u2", "(2, 3)") + std::string(100, ' ');
  const auto opened = OpenNpzOf({Stored("a.npy", Npy(Literal("<u2", "(2, 3)"), data)),
                                 Deflated("b.npy", Npy(padded, data)),
                                 Stored("c.npy", Npy(Literal("<u2", "(2, 3)"), data, 2)),
                                 Stored("d.npy", Npy(Literal("<u2", "(2, 3)", true), data)),
                                 Stored("e.npy", Npy(Literal(">u2", "(2, 3)"), data)),
                                 Stored("f.npy", Npy(Literal("<u2", "(6,)", true), data)),
                                 Stored("g.npy", Npy(Literal("<u2", "(0,)")))});
  ASSERT_TRUE(opened.has_value()) << ToString(opened.error());
  const auto& tensors = (*opened)->manifest().tensors;
  const StoredChecksum of_data{ChecksumKind::kCrc32, testing::ZlibCrc(data)};
  for (const std::size_t i : {0U, 1U, 2U, 5U}) EXPECT_EQ(tensors[i].checksum, of_data) << i;
  EXPECT_EQ(tensors[3].checksum, std::nullopt);
  EXPECT_EQ(tensors[4].checksum, std::nullopt);
  EXPECT_EQ(tensors[6].checksum, (StoredChecksum{ChecksumKind::kCrc32, 0}));
}

TEST(Npz, TurnsBigEndianAround) {
  const auto read = [](const std::string& descr, const std::string& data) {
    const auto opened = OpenNpyBytes(Npy(Literal(descr, "(1,)"), data));
    return Text(**opened, 0);
  };
  EXPECT_EQ(read(">u2", "ab"), "ba");
  EXPECT_EQ(read(">f4", "abcd"), "dcba");
  EXPECT_EQ(read(">i8", "abcdefgh"), "hgfedcba");
  EXPECT_EQ(read(">c8", "abcdefgh"), "dcbahgfe");
  EXPECT_EQ(read(">c16", "abcdefghijklmnop"), "hgfedcbaponmlkji");
  EXPECT_EQ(read("<f4", "abcd"), "abcd");
}

TEST(Npz, TrimsStringsAsNumPyDoes) {
  const auto lengths_and_text = [](const Checkpoint& checkpoint) {
    std::vector<std::uint64_t> lengths;
    const auto elements =
        testing::StringElements(testing::AllBytes(checkpoint, TensorId{0}), lengths);
    return std::pair(lengths,
                     std::string(reinterpret_cast<const char*>(elements.data()), elements.size()));
  };
  const auto bytes =
      OpenNpyBytes(Npy(Literal("|S3", "(4,)"), std::string("a\0\0abc\0\0\0x\0y", 12)));
  ASSERT_TRUE(bytes.has_value()) << ToString(bytes.error());
  EXPECT_EQ(lengths_and_text(**bytes),
            std::pair(std::vector<std::uint64_t>({1, 3, 0, 3}), std::string("aabcx\0y", 7)));
  EXPECT_EQ((*bytes)->manifest().tensors[0].byte_size, 4 * 8 + 7U);

  std::string ucs4;
  for (const std::uint32_t code : {0x41U, 0xE9U, 0x20ACU, 0x1F600U, 0U}) ucs4 += Little(code, 4);
  const auto text = OpenNpyBytes(Npy(Literal("<U5", "()"), ucs4));
  ASSERT_TRUE(text.has_value()) << ToString(text.error());
  EXPECT_EQ(lengths_and_text(**text),
            std::pair(std::vector<std::uint64_t>({10}), std::string("A\u00e9\u20ac\U0001F600")));
  const auto big = OpenNpyBytes(Npy(Literal(">U1", "()"), std::string("\0\0\x20\xAC", 4)));
  EXPECT_EQ(lengths_and_text(**big).second, "\u20ac");
}

TEST(Npz, TransposesStringsToo) {
  std::vector<std::uint64_t> lengths;
  const auto small =
      OpenNpyBytes(Npy(Literal("|S2", "(2, 2)", true), std::string("a\0bbc\0dd", 8)));
  ASSERT_TRUE(small.has_value()) << ToString(small.error());
  const auto elements = testing::StringElements(testing::AllBytes(**small, TensorId{0}), lengths);
  EXPECT_EQ(std::string(reinterpret_cast<const char*>(elements.data()), elements.size()), "acbbdd");
  EXPECT_THAT(lengths, ElementsAre(1, 1, 2, 2));

  // Elements larger than a chunk of a stream.
  const std::string a(1'000'000, 'a'), b(1'000'000, 'b'), c(1'000'000, 'c'), d(1'000'000, 'd');
  const auto large = OpenNpyBytes(Npy(Literal("|S1000000", "(2, 2)", true), a + b + c + d));
  ASSERT_TRUE(large.has_value()) << ToString(large.error());
  const auto joined = testing::StringElements(testing::AllBytes(**large, TensorId{0}), lengths);
  EXPECT_TRUE(std::string(reinterpret_cast<const char*>(joined.data()), joined.size()) ==
              a + c + b + d);
}

TEST(Npz, ReadsNoMoreTextAtOpeningThanTheLimit) {
  Limits limits;
  limits.metadata_bytes = 10;
  const auto opened = OpenNpzOf({Stored("a.npy", Npy(Literal("|S6", "()"), "abcdef")),
                                 Stored("b.npy", Npy(Literal("|S6", "()"), "abcdef"))},
                                limits);
  ASSERT_TRUE(opened.has_value());
  ASSERT_EQ((*opened)->manifest().problems.size(), 1U);
  EXPECT_EQ((*opened)->manifest().problems[0].error.code, ErrorCode::kLimitExceeded);
  EXPECT_EQ((*opened)->manifest().problems[0].error.tensor, "b");
}

// Element (i, j, ...) of a test array is its index in C order.
std::string CounterInOrder(const std::vector<std::uint64_t>& dims, bool fortran) {
  std::uint64_t count = 1;
  for (const std::uint64_t dim : dims) count *= dim;
  std::vector<std::uint64_t> index(dims.size(), 0);
  std::string data;
  data.reserve(count * 4);
  for (std::uint64_t n = 0; n < count; ++n) {
    std::uint64_t c_order = 0;
    for (std::size_t axis = 0; axis < dims.size(); ++axis)
      c_order = c_order * dims[axis] + index[axis];
    for (unsigned i = 0; i < 4; ++i) data += static_cast<char>((c_order >> (8 * i)) & 0xFF);
    for (std::size_t step = 0; step < dims.size(); ++step) {
      const std::size_t axis = fortran ? step : dims.size() - 1 - step;
      if (++index[axis] < dims[axis]) break;
      index[axis] = 0;
    }
  }
  return data;
}

std::string ShapeText(const std::vector<std::uint64_t>& dims) {
  std::string text = "(";
  for (const std::uint64_t dim : dims) text += std::to_string(dim) + ",";
  return text + ")";
}

TEST(Npz, TransposesFortranOrder) {
  for (const std::vector<std::uint64_t>& dims :
       std::vector<std::vector<std::uint64_t>>{{2, 3},
                                               {3, 2},
                                               {1, 5},
                                               {5, 1},
                                               {2, 3, 4},
                                               {4, 1, 3, 2},
                                               {1, 1},
                                               {7},
                                               {2, 2, 2, 2, 2},
                                               {3, 0, 2}}) {
    SCOPED_TRACE(ShapeText(dims));
    const std::string npy = Npy(Literal("<u4", ShapeText(dims), true), CounterInOrder(dims, true));
    const std::string expected = CounterInOrder(dims, false);
    EXPECT_EQ(Text(**OpenNpyBytes(npy), 0), expected);
    EXPECT_EQ(Text(**OpenNpzOf({Stored("a.npy", npy)}), 0), expected);
    EXPECT_EQ(Text(**OpenNpzOf({Deflated("a.npy", npy)}), 0), expected);
  }
}

// Above 32 MiB a stored array is gathered by position, in several blocks.
// Larger than what is put in order in memory: many rows, and rows that are large themselves.
TEST(Npz, TransposesALargeArrayInBlocks) {
  for (const std::vector<std::uint64_t>& dims :
       {std::vector<std::uint64_t>{300, 7, 4200}, {3, 1000, 3000}}) {
    const std::string npy = Npy(Literal("<u4", ShapeText(dims), true), CounterInOrder(dims, true));
    EXPECT_TRUE(Text(**OpenNpyBytes(npy), 0) == CounterInOrder(dims, false)) << ShapeText(dims);
  }
}

// The checksum is known at the end of the member, before the first byte is handed out.
TEST(Npz, DamageInAnArrayThatIsTransposedIsFound) {
  const std::vector<std::uint64_t> dims = {300, 7, 4200};
  const std::string npy = Npy(Literal("<u4", ShapeText(dims), true), CounterInOrder(dims, true));
  EXPECT_TRUE(Text(**OpenNpzOf({Stored("a.npy", npy)}), 0) == CounterInOrder(dims, false));
  ZipPart damaged = Stored("a.npy", npy);
  damaged.data[1000] ^= 1;
  const auto opened = OpenNpzOf({damaged});
  const auto stream = (*opened)->Open(TensorId{0});
  ASSERT_TRUE(stream.has_value());
  const auto read = (*stream)->Next();
  ASSERT_FALSE(read.has_value());
  EXPECT_EQ(read.error().code, ErrorCode::kCorrupt);
  EXPECT_EQ(read.error().tensor, "a");
}

TEST(Npz, BigEndianFortranOrderIsBoth) {
  const auto opened = OpenNpyBytes(Npy(Literal(">u2", "(2, 2)", true), "abcdefgh"));
  EXPECT_EQ(Text(**opened, 0), "bafedchg");
}

Match Probe(std::string_view name, const std::string& bytes) {
  const auto all = std::as_bytes(std::span(bytes));
  return ProbeNpz({name, all.first(std::min<std::size_t>(all.size(), 512)),
                   all.last(std::min<std::size_t>(all.size(), 65536)), all.size()});
}

TEST(NpzProbe, TellsItsArchivesFromOthers) {
  const auto zip = [](const std::vector<std::string>& names) {
    testing::ZipFile file;
    for (const std::string& name : names) file.parts.push_back(Stored(name, "x"));
    return file.Build();
  };
  EXPECT_EQ(Probe("x", Npy("{}")), Match::kCertain);
  EXPECT_EQ(Probe("x", zip({"a.npy", "b/c.npy"})), Match::kCertain);
  EXPECT_EQ(Probe("x", zip({"a.npy", "notes.txt"})), Match::kLikely);
  EXPECT_EQ(Probe("x.npz", zip({})), Match::kLikely);
  EXPECT_EQ(Probe("x.npz", zip({"a.npy"}).substr(0, 40)), Match::kLikely);
  EXPECT_EQ(Probe("x.npz", "nonsense"), Match::kLikely);
  EXPECT_EQ(Probe("x", zip({})), Match::kNo);
  EXPECT_EQ(Probe("x", zip({"notes.txt"})), Match::kNo);
  EXPECT_EQ(Probe("x", "nonsense"), Match::kNo);
  EXPECT_EQ(Probe("x.pt", zip({"archive/data.pkl", "archive/data/0"})), Match::kNo);
  EXPECT_EQ(Probe("x.npz", zip({"archive/data.pkl", "a.npy"})), Match::kNo);
  EXPECT_EQ(Probe("x.keras", zip({"metadata.json", "config.json", "model.weights.h5"})),
            Match::kNo);
}

std::string SeedArchive() {
  testing::ZipFile zip;
  zip.parts = {Stored("a.npy", Npy(Literal("<f4", "(2,)"), "abcdefgh")),
               Deflated("b.npy", Npy(Literal(">u2", "(2, 3)", true), "0123456789ab")),
               Stored("s.npy", Npy(Literal("<U1", "(2,)"), Little('x', 4) + Little(0xE9, 4)))};
  return zip.Build();
}

TEST(NpzSweep, RefusesEveryTruncation) {
  const std::string whole = SeedArchive();
  for (std::size_t size = 0; size < whole.size(); ++size) {
    MemoryFiles files;
    files.Add("a.npz", std::string_view(whole).substr(0, size));
    const auto opened = OpenNpz(files, "a.npz", {});
    ASSERT_FALSE(opened.has_value()) << size;
    EXPECT_EQ(opened.error().code, ErrorCode::kCorrupt) << size;
  }
  const std::string lone = Npy(Literal("<f4", "(2,)"), "abcdefgh");
  for (std::size_t size = 0; size < lone.size(); ++size) {
    const auto opened = OpenNpyBytes(std::string_view(lone).substr(0, size));
    ASSERT_FALSE(opened.has_value()) << size;
    EXPECT_EQ(opened.error().code, ErrorCode::kCorrupt) << size;
    EXPECT_EQ(opened.error().file, "dir/array.npy");
  }
}

// Each byte is covered by a CRC-32 or contradicts another field: values never change in silence.
TEST(NpzSweep, AFlippedBitNeverChangesAValueInSilence) {
  const std::string whole = SeedArchive();
  MemoryFiles sound;
  sound.Add("a.npz", whole);
  const auto original = *OpenNpz(sound, "a.npz", {});
  std::size_t read_whole = 0;
  for (std::size_t bit = 0; bit < whole.size() * 8; ++bit) {
    std::string flipped = whole;
    flipped[bit / 8] = static_cast<char>(flipped[bit / 8] ^ (1 << (bit % 8)));
    MemoryFiles files;
    files.Add("a.npz", flipped);
    const auto opened = OpenNpz(files, "a.npz", {});
    if (!opened) continue;
    const auto& tensors = (*opened)->manifest().tensors;
    for (std::uint32_t i = 0; i < tensors.size(); ++i) {
      const auto id = FindTensor(original->manifest(), tensors[i].name);
      const auto bytes = ReadBytes(**opened, TensorId{i}, 1 << 20);
      if (!bytes || !id) continue;  // refused, or the flip is in the name
      ++read_whole;
      EXPECT_EQ(*bytes, testing::AllBytes(*original, *id)) << bit;
    }
  }
  EXPECT_GT(read_whole, 0U);
}

}  // namespace
}  // namespace ckpt::formats::npz_reader_test
