// Bundles whose table is sound and whose entries or data are not.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/stat.h>

#include <filesystem>
#include <fstream>
#include <string>

#include "tests/support/expected_tensors.h"
#include "tests/support/temporary_folder.h"
#include "tests/tf_bundle/bundle_builder.h"

namespace ckpt::formats::malformed_test {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using Alter = std::function<void(BundleBuilder::Entry&)>;

// One tensor "t" of two floats, altered.
BundleBuilder One(const Alter& alter = {}) {
  BundleBuilder bundle;
  bundle.Add("t", kTfFloat, {2}, "12345678", alter);
  return bundle;
}

Error ErrorOf(const BundleBuilder& bundle, const Limits& limits = {}) {
  const MemoryFiles files = bundle.Files();
  const auto opened = OpenTfBundle(files, "m", limits);
  EXPECT_FALSE(opened.has_value());
  return opened ? Error{} : opened.error();
}

// The entry of "t" stands behind the header's: two entries of three lengths, key and value.
std::uint64_t EntryOffset(const BundleBuilder& bundle) {
  return 3 + bundle.header.SerializeAsString().size();
}

void ExpectHeaderError(const std::function<void(tf_proto::BundleHeaderProto&)>& alter,
                       ErrorCode code, const std::string& message) {
  BundleBuilder bundle = One();
  alter(bundle.header);
  const Error error = ErrorOf(bundle);
  EXPECT_EQ(error.code, code) << message;
  EXPECT_EQ(error.file, "m.index");
  EXPECT_EQ(error.offset, 0U);
  EXPECT_THAT(error.message, HasSubstr(message));
}

void ExpectEntryError(const Alter& alter, ErrorCode code, const std::string& message) {
  const BundleBuilder bundle = One(alter);
  const Error error = ErrorOf(bundle);
  EXPECT_EQ(error.code, code) << message;
  EXPECT_EQ(error.file, "m.index");
  EXPECT_EQ(error.offset, EntryOffset(bundle)) << message;
  EXPECT_EQ(error.tensor, "t");
  EXPECT_THAT(error.message, HasSubstr(message));
}

TEST(BundleHeader, MustBeThere) {
  const auto error_of = [](const std::string& index) {
    MemoryFiles files;
    files.Add("m.index", index);
    const auto opened = OpenTfBundle(files, "m", {});
    return opened ? Error{} : opened.error();
  };
  const Error empty = error_of(TableOf({}));
  EXPECT_EQ(empty.code, ErrorCode::kCorrupt);
  EXPECT_EQ(empty.offset, 0U);
  const Error missing = error_of(TableOf({{"t", One().entries[0].second}}));
  EXPECT_EQ(missing.code, ErrorCode::kCorrupt);
  EXPECT_THAT(missing.message, HasSubstr("first entry is not a bundle's header"));
  const Error unparsable = error_of(TableOf({{"", "\x08"}}));
  EXPECT_EQ(unparsable.code, ErrorCode::kCorrupt);
  EXPECT_THAT(unparsable.message, HasSubstr("not a BundleHeaderProto"));
}

TEST(BundleHeader, TellsAV1CheckpointFromDamage) {
  MemoryFiles files;
  files.Add("m.index", TableOf({{"", std::string("\x0a\x02\x12\x00", 4)}}));
  const auto opened = OpenTfBundle(files, "m", {});
  ASSERT_FALSE(opened.has_value());
  EXPECT_EQ(opened.error().code, ErrorCode::kUnsupported);
  EXPECT_THAT(opened.error().message, HasSubstr("V1 format"));
}

TEST(BundleHeader, RejectsImpossibleShardCounts) {
  for (const std::int32_t count : {0, -1, INT32_MIN}) {
    ExpectHeaderError([&](auto& header) { header.set_num_shards(count); }, ErrorCode::kCorrupt,
                      std::to_string(count) + " data shards");
  }
}

TEST(BundleHeader, RejectsOtherVersionsAndByteOrders) {
  ExpectHeaderError([](auto& header) { header.mutable_version()->set_min_consumer(2); },
                    ErrorCode::kUnsupported, "another bundle version than 1 (at least 2)");
  ExpectHeaderError([](auto& header) { header.mutable_version()->add_bad_consumers(1); },
                    ErrorCode::kUnsupported, "another bundle version");
  ExpectHeaderError([](auto& header) { header.mutable_version()->set_producer(-1); },
                    ErrorCode::kCorrupt, "producer version -1");
  ExpectHeaderError(
      [](auto& header) {
        header.set_endianness(static_cast<tf_proto::BundleHeaderProto::Endianness>(5));
      },
      ErrorCode::kCorrupt, "unknown byte order 5");
}

TEST(BundleHeader, AcceptsNewerProducersAndOtherBadConsumers) {
  BundleBuilder bundle = One();
  bundle.header.mutable_version()->set_producer(9);
  bundle.header.mutable_version()->set_min_consumer(1);
  bundle.header.mutable_version()->add_bad_consumers(7);
  const MemoryFiles files = bundle.Files();
  EXPECT_TRUE(OpenTfBundle(files, "m", {}).has_value());
}

TEST(BundleHeader, NoTensorIsNoError) {
  const MemoryFiles files = BundleBuilder().Files();
  const auto opened = OpenTfBundle(files, "m", {});
  ASSERT_TRUE(opened.has_value());
  EXPECT_THAT((*opened)->manifest().tensors, IsEmpty());
  EXPECT_THAT((*opened)->manifest().problems, IsEmpty());
}

TEST(BundleEntry, MustBeAMessage) {
  BundleBuilder bundle;
  bundle.AddRaw("t", "\x08");
  const Error error = ErrorOf(bundle);
  EXPECT_EQ(error.code, ErrorCode::kCorrupt);
  EXPECT_EQ(error.offset, EntryOffset(bundle));
  EXPECT_EQ(error.tensor, "t");
}

TEST(BundleEntry, RejectsElementTypesThatAreNotStored) {
  for (const std::int32_t number : {0, -1, 101, 107, 130, INT32_MIN}) {
    ExpectEntryError([&](auto& entry) { entry.set_dtype(number); }, ErrorCode::kCorrupt,
                     "element type number " + std::to_string(number) + ", which no stored tensor");
  }
  for (const std::int32_t number : {34, 99, 127 + 100, INT32_MAX}) {
    ExpectEntryError([&](auto& entry) { entry.set_dtype(number); }, ErrorCode::kUnsupported,
                     "element type number " + std::to_string(number) + ", which is not known here");
  }
}

TEST(BundleEntry, RejectsImpossibleShapes) {
  const auto with_dims = [](const std::vector<std::int64_t>& dims) {
    return [dims](BundleBuilder::Entry& entry) {
      entry.clear_shape();
      for (const std::int64_t dim : dims) entry.mutable_shape()->add_dim()->set_size(dim);
    };
  };
  ExpectEntryError(with_dims({-1}), ErrorCode::kCorrupt, "negative dimension -1");
  ExpectEntryError(with_dims({0, -5}), ErrorCode::kCorrupt, "negative dimension -5");
  ExpectEntryError(with_dims({std::int64_t{1} << 62, 2}), ErrorCode::kCorrupt, "2^63 - 1");
  ExpectEntryError(with_dims({std::int64_t{1} << 32, std::int64_t{1} << 32}), ErrorCode::kCorrupt,
                   "2^63 - 1");
  ExpectEntryError(with_dims({std::int64_t{1} << 62}), ErrorCode::kCorrupt, "do not hold");
  ExpectEntryError(with_dims(std::vector<std::int64_t>(255, 1)), ErrorCode::kCorrupt,
                   "255 dimensions");
  ExpectEntryError([](auto& entry) { entry.mutable_shape()->set_unknown_rank(true); },
                   ErrorCode::kCorrupt, "unknown rank");
}

TEST(BundleEntry, RejectsSizesThatAreNotShapeTimesType) {
  for (const std::int64_t size : {0, 7, 9, 16}) {
    ExpectEntryError([&](auto& entry) { entry.set_size(size); }, ErrorCode::kCorrupt,
                     "has " + std::to_string(size) + " bytes, which do not hold [2] of float32");
  }
  ExpectEntryError(
      [](auto& entry) {
        entry.set_dtype(kTfString);
        entry.mutable_shape()->mutable_dim(0)->set_size(5);  // five lengths and a checksum: nine
      },
      ErrorCode::kCorrupt, "do not hold [5] of string");
  ExpectEntryError(
      [](auto& entry) {
        entry.set_dtype(kTfString);
        entry.mutable_shape()->mutable_dim(0)->set_size(INT64_MAX);
      },
      ErrorCode::kCorrupt, "do not hold");
}

TEST(BundleEntry, RejectsShardsAndPlacesThatCannotBe) {
  for (const std::int32_t shard : {1, -1, INT32_MAX}) {
    ExpectEntryError([&](auto& entry) { entry.set_shard_id(shard); }, ErrorCode::kCorrupt,
                     "in shard " + std::to_string(shard) + " of 1");
  }
  ExpectEntryError([](auto& entry) { entry.set_offset(-1); }, ErrorCode::kCorrupt, "impossible");
  ExpectEntryError([](auto& entry) { entry.set_size(-8); }, ErrorCode::kCorrupt, "impossible");
  ExpectEntryError([](auto& entry) { entry.set_offset(INT64_MAX - 7); }, ErrorCode::kCorrupt,
                   "impossible");
}

TEST(BundleEntry, RejectsTensorsThatShareBytes) {
  BundleBuilder bundle;
  bundle.Add("a", kTfFloat, {2}, "12345678");
  bundle.Add("b", kTfFloat, {2}, "12345678", [](auto& entry) { entry.set_offset(7); });
  const Error error = ErrorOf(bundle);
  EXPECT_EQ(error.code, ErrorCode::kCorrupt);
  EXPECT_EQ(error.tensor, "b");
  EXPECT_THAT(error.message, HasSubstr("byte 7 of shard 0, inside of \"a\""));
}

TEST(BundleEntry, BoundsTheNumberOfTensors) {
  BundleBuilder bundle;
  bundle.Add("a", kTfUint8, {1}, "1").Add("b", kTfUint8, {1}, "2");
  Limits limits;
  limits.tensors = 1;
  EXPECT_EQ(ErrorOf(bundle, limits).code, ErrorCode::kLimitExceeded);
}

// The tensors of a problem, by name.
std::vector<std::string> NamesOf(const Manifest& manifest, const Problem& problem) {
  std::vector<std::string> names;
  for (const TensorId id : problem.tensors) names.push_back(manifest.tensors[id.index].name);
  return names;
}

TEST(BundleShards, AnAbsentOneLeavesTheRestReadable) {
  BundleBuilder bundle;
  bundle.header.set_num_shards(2);
  bundle.Add("a", kTfUint8, {3}, "abc");
  bundle.Add("b", kTfUint8, {3}, "", [](auto& entry) {
    entry.set_shard_id(1);
    entry.set_offset(0);
    entry.set_size(3);
  });
  MemoryFiles files;
  files.Add("d/m.index", bundle.Index());
  files.Add("d/m.data-00000-of-00002", bundle.data);
  const auto opened = OpenTfBundle(files, "d/m", {});
  ASSERT_TRUE(opened.has_value()) << ToString(opened.error());
  const Manifest& manifest = (*opened)->manifest();
  ASSERT_EQ(manifest.problems.size(), 1U);
  EXPECT_EQ(manifest.problems[0].error.code, ErrorCode::kNotFound);
  EXPECT_EQ(manifest.problems[0].error.file, "d/m.data-00001-of-00002");
  EXPECT_THAT(NamesOf(manifest, manifest.problems[0]), ElementsAre("b"));
  EXPECT_THAT(manifest.files, ElementsAre("d/m.index", "d/m.data-00000-of-00002"));
  EXPECT_TRUE(manifest.tensors[0].data_present);
  EXPECT_FALSE(manifest.tensors[1].data_present);
  EXPECT_EQ(testing::AllBytes(**opened, TensorId{0}).size(), 3U);
  const auto absent = (*opened)->Open(TensorId{1});
  ASSERT_FALSE(absent.has_value());
  EXPECT_EQ(absent.error().code, ErrorCode::kNotFound);
  EXPECT_EQ(absent.error().tensor, "b");
}

TEST(BundleShards, AShortOneLosesOnlyWhatIsBeyondItsEnd) {
  BundleBuilder bundle;
  bundle.Add("a", kTfUint8, {3}, "abc").Add("b", kTfUint8, {3}, "def");
  for (std::size_t size = 0; size < 6; ++size) {
    MemoryFiles files;
    files.Add("m.index", bundle.Index());
    files.Add("m.data-00000-of-00001", bundle.data.substr(0, size));
    const auto opened = OpenTfBundle(files, "m", {});
    ASSERT_TRUE(opened.has_value()) << size;
    const Manifest& manifest = (*opened)->manifest();
    ASSERT_EQ(manifest.problems.size(), 1U) << size;
    const Problem& problem = manifest.problems[0];
    EXPECT_EQ(problem.error.code, ErrorCode::kCorrupt);
    EXPECT_EQ(problem.error.file, "m.data-00000-of-00001");
    EXPECT_EQ(problem.error.offset, size);
    EXPECT_THAT(problem.error.message, HasSubstr("tensors up to byte 6"));
    EXPECT_EQ(problem.tensors.size(), size < 3 ? 2U : 1U) << size;
    EXPECT_EQ(manifest.tensors[0].data_present, size >= 3) << size;
    EXPECT_FALSE((*opened)->Open(TensorId{1}).has_value());
  }
}

TEST(BundleShards, FewerFilesThanTheHeaderSaysAreFound) {
  BundleBuilder bundle;
  bundle.header.set_num_shards(INT32_MAX);
  bundle.Add("a", kTfUint8, {3}, "abc");
  MemoryFiles files;
  files.Add("d/m.index", bundle.Index());
  files.Add("d/m.data-00000-of-00001", bundle.data);
  files.Add("d/other.data-00000-of-00003", "of another checkpoint");
  const auto opened = OpenTfBundle(files, "d/m", {});
  ASSERT_TRUE(opened.has_value());
  EXPECT_THAT((*opened)->manifest().problems, IsEmpty());
  EXPECT_EQ((*opened)->manifest().tensors[0].data_file, "d/m.data-00000-of-00001");
  // With two sets to choose from, none is chosen.
  files.Add("d/m.data-00000-of-00002", bundle.data);
  const auto ambiguous = OpenTfBundle(files, "d/m", {});
  ASSERT_TRUE(ambiguous.has_value());
  ASSERT_EQ((*ambiguous)->manifest().problems.size(), 1U);
  EXPECT_EQ((*ambiguous)->manifest().problems[0].error.file, "d/m.data-00000-of-2147483647");
}

TEST(BundleShards, MustBeRegularFilesBesideTheIndex) {
  const testing::TemporaryFolder folder;
  const BundleBuilder bundle = One();
  folder.Write("m.index", bundle.Index());
  folder.Write("elsewhere", bundle.data);
  const std::filesystem::path shard = folder / "m.data-00000-of-00001";
  const auto problem = [&]() -> std::optional<ErrorCode> {
    const auto opened = OpenTfBundle(SystemFiles(), folder / "m", {});
    if (!opened || (*opened)->manifest().problems.size() != 1) return std::nullopt;
    EXPECT_FALSE((*opened)->manifest().tensors[0].data_present);
    return (*opened)->manifest().problems[0].error.code;
  };
  std::filesystem::create_symlink("elsewhere", shard);
  EXPECT_EQ(problem(), ErrorCode::kUnsafe);
  std::filesystem::remove(shard);
  std::filesystem::create_directory(shard);
  EXPECT_EQ(problem(), ErrorCode::kUnsupported);
  std::filesystem::remove(shard);
  ASSERT_EQ(::mkfifo(shard.c_str(), 0600), 0);
  EXPECT_EQ(problem(), ErrorCode::kUnsupported);
  std::filesystem::remove(shard);
  EXPECT_EQ(problem(), ErrorCode::kNotFound);
}

TEST(BundleShards, SayWhenGitLfsKeepsThem) {
  const std::string pointer =
      "version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 12345\n";
  BundleBuilder bundle;
  bundle.Add("a", kTfUint8, {1000}, std::string(1000, 'x'));
  MemoryFiles files;
  files.Add("m.index", bundle.Index());
  files.Add("m.data-00000-of-00001", pointer);
  files.Add("n.index", pointer);
  const auto opened = OpenTfBundle(files, "m", {});
  ASSERT_TRUE(opened.has_value());
  ASSERT_EQ((*opened)->manifest().problems.size(), 1U);
  EXPECT_THAT((*opened)->manifest().problems[0].error.message, HasSubstr("Git LFS pointer"));
  const auto index = OpenTfBundle(files, "n", {});
  ASSERT_FALSE(index.has_value());
  EXPECT_EQ(index.error().code, ErrorCode::kUnsupported);
  EXPECT_THAT(index.error().message, HasSubstr("Git LFS pointer"));
}

TEST(BundleData, EveryWrongByteIsNoticed) {
  const BundleBuilder bundle = One();
  for (std::size_t i = 0; i < bundle.data.size(); ++i) {
    BundleBuilder damaged = bundle;
    damaged.data[i] ^= 1;
    const MemoryFiles files = damaged.Files();
    const auto opened = OpenTfBundle(files, "m", {});
    ASSERT_TRUE(opened.has_value());
    const auto stream = (*opened)->Open(TensorId{0});
    ASSERT_TRUE(stream.has_value());
    EXPECT_TRUE((*stream)->Next().has_value()) << "the bytes come first";
    for (int again = 0; again < 2; ++again) {
      const auto end = (*stream)->Next();
      ASSERT_FALSE(end.has_value());
      EXPECT_EQ(end.error().code, ErrorCode::kCorrupt);
      EXPECT_EQ(end.error().file, "m.data-00000-of-00001");
      EXPECT_EQ(end.error().offset, 0U);
      EXPECT_EQ(end.error().tensor, "t");
      EXPECT_THAT(end.error().message, HasSubstr("checksum mismatch over 8 bytes: stored 0x"));
    }
  }
}

// Lengths as varints, their checksum, the bytes; the entry's checksum is over all of it in the form
// that TensorFlow gives it.
struct StringTensor {
  std::string bytes;
  std::uint32_t masked_crc = 0;
};
StringTensor Strings(const std::vector<std::string>& strings) {
  std::string lengths, fixed, all;
  for (const std::string& string : strings) {
    lengths += Varint(string.size());
    fixed += Fixed32(static_cast<std::uint32_t>(string.size()));
    all += string;
  }
  const std::string crc = Fixed32(MaskedCrc(fixed));
  return {lengths + crc + all, MaskedCrc(fixed + crc + all)};
}

BundleBuilder StringBundle(const StringTensor& tensor, std::int64_t count) {
  BundleBuilder bundle;
  bundle.Add("s", kTfString, {count}, tensor.bytes,
             [&](auto& entry) { entry.set_crc32c(tensor.masked_crc); });
  return bundle;
}

// What goes wrong when the only tensor is read.
Error ReadError(const BundleBuilder& bundle) {
  const MemoryFiles files = bundle.Files();
  const auto opened = OpenTfBundle(files, "m", {});
  if (!opened) return opened.error();
  const auto bytes = ReadBytes(**opened, TensorId{0}, 1 << 20);
  EXPECT_FALSE(bytes.has_value());
  return bytes ? Error{} : bytes.error();
}

TEST(BundleStrings, EveryWrongByteIsNoticed) {
  const StringTensor tensor = Strings({"one", "", std::string(200, 'x')});
  for (std::size_t i = 0; i < tensor.bytes.size(); ++i) {
    for (const char flip : {'\x01', '\x80'}) {
      StringTensor damaged = tensor;
      damaged.bytes[i] ^= flip;
      const Error error = ReadError(StringBundle(damaged, 3));
      EXPECT_EQ(error.code, ErrorCode::kCorrupt) << i;
      EXPECT_EQ(error.tensor, "s") << i;
      EXPECT_EQ(error.file, "m.data-00000-of-00001") << i;
    }
  }
}

TEST(BundleStrings, RejectsLengthsThatDoNotAddUp) {
  const auto message = [](const std::string& bytes, std::int64_t count) {
    const Error error = ReadError(StringBundle({bytes, 0}, count));
    EXPECT_EQ(error.code, ErrorCode::kCorrupt);
    EXPECT_EQ(error.tensor, "s");
    EXPECT_EQ(error.offset, 0U);
    return error.message;
  };
  const std::string good = Strings({"ab", "cd"}).bytes;
  EXPECT_THAT(message(good + "e", 2), HasSubstr("add up to 4 bytes"));
  EXPECT_THAT(message(good.substr(0, good.size() - 1), 2), HasSubstr("add up to 4 bytes"));
  EXPECT_THAT(message(good, 1), HasSubstr("add up to 2 bytes"));
  EXPECT_THAT(message(Varint(UINT64_MAX) + std::string(10, 'x'), 1), HasSubstr("longer than"));
  EXPECT_THAT(message(std::string(12, '\xff'), 1), HasSubstr("not a varint"));
  EXPECT_THAT(message(std::string(5, '\x80'), 1), HasSubstr("not a varint"));
  EXPECT_THAT(message(std::string("\x01\x01", 2) + "xxxx" + "ab", 2), HasSubstr("checksum"));
}

TEST(BundleStrings, AreProblemsOfTheManifestToo) {
  const MemoryFiles files = StringBundle({std::string(20, '\xff'), 0}, 2).Files();
  const auto opened = OpenTfBundle(files, "m", {});
  ASSERT_TRUE(opened.has_value());
  ASSERT_EQ((*opened)->manifest().problems.size(), 1U);
  EXPECT_EQ((*opened)->manifest().problems[0].error.code, ErrorCode::kCorrupt);
  EXPECT_EQ((*opened)->manifest().problems[0].error.tensor, "s");
}

TEST(BundleStrings, BoundsWhatOpeningReads) {
  const MemoryFiles files = StringBundle(Strings(std::vector<std::string>(50)), 50).Files();
  Limits limits;
  limits.metadata_bytes = 49;
  const auto opened = OpenTfBundle(files, "m", limits);
  ASSERT_TRUE(opened.has_value());
  ASSERT_EQ((*opened)->manifest().problems.size(), 1U);
  EXPECT_EQ((*opened)->manifest().problems[0].error.code, ErrorCode::kLimitExceeded);
}

TEST(BundleVariants, AreListedOnly) {
  BundleBuilder bundle;
  bundle.Add("v", kTfVariant, {3}, "whatever it is");
  const MemoryFiles files = bundle.Files();
  const auto opened = OpenTfBundle(files, "m", {});
  ASSERT_TRUE(opened.has_value());
  EXPECT_EQ((*opened)->manifest().tensors[0].dtype, Dtype::kVariant);
  EXPECT_EQ((*opened)->manifest().tensors[0].byte_size, 14U);
  const auto stream = (*opened)->Open(TensorId{0});
  ASSERT_FALSE(stream.has_value());
  EXPECT_EQ(stream.error().code, ErrorCode::kUnsupported);
  EXPECT_EQ(stream.error().tensor, "v");
}

TEST(BundleProbe, TellsAnIndexFromAV1Checkpoint) {
  const auto probe = [](const std::string& bytes, const std::string& name) {
    return ProbeTfBundle({name, Bytes(bytes).first(std::min<std::size_t>(bytes.size(), 512)),
                          Bytes(bytes), bytes.size()});
  };
  const std::string index = One().Index();
  EXPECT_EQ(probe(index, "m.index"), Match::kCertain);
  EXPECT_EQ(probe(index, "anything"), Match::kCertain);
  EXPECT_EQ(probe(TableOf({{"", std::string("\x0a\x02\x12\x00", 4)}}), "model.ckpt-3"), Match::kNo);
  EXPECT_EQ(probe(index.substr(0, index.size() - 1), "m.index"), Match::kNo);
  EXPECT_EQ(probe("", "m.index"), Match::kNo);
}

}  // namespace
}  // namespace ckpt::formats::malformed_test
