// Archives and legacy streams around a sound pickle that contradict it or themselves.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/support/expected_tensors.h"
#include "tests/torch/torch_files.h"

namespace ckpt::formats::hostile_archive_test {
namespace {

using ckpt::testing::FileBytes;
using ckpt::testing::kFourFloats;
using ckpt::testing::OpenBytes;
using ckpt::testing::Stored;
using ckpt::testing::TorchFile;
using ckpt::testing::ZipFile;
using ::testing::HasSubstr;
namespace pickle = ckpt::testing::pickle;

using Records = std::vector<std::pair<std::string, std::string>>;

std::string Archive(const Records& records) {
  ZipFile zip;
  for (const auto& [name, bytes] : records) zip.parts.push_back(Stored(name, bytes));
  return zip.Build();
}

Records Sound() {
  return {{"a/data.pkl", pickle::StateDict(pickle::Vector())},
          {"a/data/0", kFourFloats},
          {"a/version", "3\n"}};
}

void ExpectRefused(const std::string& bytes, ErrorCode code, const std::string& message) {
  const auto opened = OpenBytes(bytes);
  ASSERT_FALSE(opened);
  EXPECT_EQ(opened.error().code, code);
  EXPECT_THAT(opened.error().message, HasSubstr(message));
  EXPECT_EQ(opened.error().file, "model.pt");
}

std::string NoteOf(const std::string& bytes) {
  const auto opened = OpenBytes(bytes);
  EXPECT_TRUE(opened) << ToString(opened.error());
  return opened ? (*opened)->manifest().note : "";
}

TEST(HostileArchive, TheSoundOneIsRead) { EXPECT_EQ(NoteOf(Archive(Sound())), ""); }

TEST(HostileArchive, P29NoPickleWhereItShouldBe) {
  Records records = Sound();
  records[0].first = "a/other.pkl";
  ExpectRefused(Archive(records), ErrorCode::kCorrupt, "no record a/data.pkl");
}

TEST(HostileArchive, P30AnotherByteOrder) {
  Records records = Sound();
  records.push_back({"a/byteorder", "middle"});
  ExpectRefused(Archive(records), ErrorCode::kCorrupt, "middle");
}

TEST(HostileArchive, P31VersionsThatAreAbsentOrAbsurd) {
  Records records = Sound();
  records.pop_back();
  EXPECT_THAT(NoteOf(Archive(records)), HasSubstr("torch.load refuses"));
  records.push_back({"a/version", "x"});
  records.push_back({"a/.format_version", "99999999999999999999"});
  records.push_back({"a/.storage_alignment", ""});
  EXPECT_EQ(NoteOf(Archive(records)), "");  // nothing here depends on them
}

TEST(HostileArchive, P32KeysAreNamesOfRecordsAndNotPaths) {
  for (const std::string& key : {std::string("../../etc/passwd"), std::string("/etc/passwd"),
                                 std::string(), std::string(60'000, 'k')}) {
    const std::string tensor = pickle::Tensor(pickle::Storage(pickle::Int(4), key), pickle::Int(0),
                                              pickle::Int(4) + "\x85", pickle::Int(1) + "\x85");
    Records records = Sound();
    records[0].second = pickle::StateDict(tensor);
    const auto opened = OpenBytes(Archive(records));
    ASSERT_TRUE(opened) << ToString(opened.error());
    ASSERT_EQ((*opened)->manifest().problems.size(), 1U);
    EXPECT_THAT((*opened)->manifest().problems[0].error.message, HasSubstr("no record a/data/"));
    if (key.empty()) continue;  // a folder with content, which no archive may have
    records[1].first = "a/data/" + key;
    const auto named = OpenBytes(Archive(records));
    ASSERT_TRUE(named) << ToString(named.error());
    EXPECT_TRUE((*named)->manifest().problems.empty());
  }
}

TEST(HostileArchive, P33TheTarFilesBefore0_1_10) {
  std::string tar(1024, '\0');
  tar.replace(0, 8, "sys_info");
  tar.replace(257, 5, "ustar");
  ExpectRefused(tar, ErrorCode::kUnsupported, "0.1.10");
}

TEST(HostileArchive, P40TheCodeOfATorchScriptArchiveIsNotRead) {
  Records records = Sound();
  records.push_back({"a/constants.pkl", pickle::kStart + ")."});
  records.push_back({"a/code/__torch__.py", "\xff\xfe is no code ("});
  records.push_back({"a/code/__torch__.py.debug_pkl", "\xff is no pickle"});
  EXPECT_THAT(NoteOf(Archive(records)), HasSubstr("a TorchScript archive, whose code is not run"));
  records[3].second = "\xff";
  ExpectRefused(Archive(records), ErrorCode::kCorrupt, "");
}

TEST(HostileArchive, Z33RecordsInTwoFolders) {
  Records records = Sound();
  records.push_back({"b/data.pkl", records[0].second});
  ExpectRefused(Archive(records), ErrorCode::kCorrupt, "folder of the others");
  records = Sound();
  records.insert(records.begin(), std::pair<std::string, std::string>("data.pkl", "N."));
  ExpectRefused(Archive(records), ErrorCode::kCorrupt, "in no folder");
}

TEST(HostileArchive, Z06ARecordTwice) {
  Records records = Sound();
  records.push_back(records[1]);
  const auto opened = OpenBytes(Archive(records));
  ASSERT_FALSE(opened);
  EXPECT_EQ(opened.error().code, ErrorCode::kCorrupt);
}

TEST(HostileArchive, Z01To04EndsThatAreCutOrPadded) {
  const std::string sound = Archive(Sound());
  EXPECT_FALSE(OpenBytes(sound.substr(0, sound.size() - 1)));
  EXPECT_FALSE(OpenBytes(sound + "x"));
}

TEST(HostileArchive, NeitherArchiveNorStream) {
  ExpectRefused("\x80\x02N.", ErrorCode::kCorrupt, "neither");
}

// The legacy stream: P26.
const std::string kMagic("\x80\x02\x8a\x0a\x6c\xfc\x9c\x46\xf9\x20\x6a\xa8\x50\x19\x2e", 15);

std::string Legacy(const std::string& protocol, const std::string& object, const std::string& keys,
                   const std::string& data) {
  return kMagic + pickle::kStart + protocol + "." + pickle::kStart + "}." + object +
         pickle::kStart + keys + "." + data;
}
const std::string kProtocol = "M\xe9\x03";
const std::string kKeys = "]" + pickle::Text("0") + "a";

std::string SoundLegacy() {
  return Legacy(kProtocol, pickle::StateDict(pickle::Vector()), kKeys,
                ckpt::testing::Little(4, 8) + kFourFloats);
}

TEST(HostileLegacy, TheSoundOneIsRead) {
  EXPECT_EQ(NoteOf(SoundLegacy()), "");
  EXPECT_THAT(NoteOf(SoundLegacy() + "junk"), HasSubstr("4 bytes follow"));
}

TEST(HostileLegacy, P26OtherProtocolsAndMissingParts) {
  const std::string object = pickle::StateDict(pickle::Vector());
  ExpectRefused(Legacy("K\x01", object, kKeys, ""), ErrorCode::kUnsupported, "protocol");
  ExpectRefused(Legacy("N", object, kKeys, ""), ErrorCode::kUnsupported, "protocol");
  ExpectRefused(Legacy(kProtocol, object, "N", ""), ErrorCode::kCorrupt, "list of storages");
  ExpectRefused(Legacy(kProtocol, object, "]Na", ""), ErrorCode::kCorrupt, "no text");
  ExpectRefused(Legacy(kProtocol, object, "]" + pickle::Text("9") + "a", ""), ErrorCode::kCorrupt,
                "belongs to nothing");
  ExpectRefused(kMagic, ErrorCode::kCorrupt, "mid-air");
}

TEST(HostileLegacy, P26SizesThatTheDataContradict) {
  const std::string object = pickle::StateDict(pickle::Vector());
  ExpectRefused(Legacy(kProtocol, object, kKeys, ckpt::testing::Little(5, 8) + kFourFloats),
                ErrorCode::kCorrupt, "its data say 5");
  const std::string huge = pickle::StateDict(
      pickle::Tensor(pickle::Storage(pickle::Long(std::uint64_t{1} << 40)), pickle::Int(0),
                     pickle::Int(4) + "\x85", pickle::Int(1) + "\x85"));
  const auto opened = OpenBytes(
      Legacy(kProtocol, huge, kKeys, ckpt::testing::Little(std::uint64_t{1} << 40, 8) + "x"));
  ASSERT_TRUE(opened) << ToString(opened.error());
  ASSERT_EQ((*opened)->manifest().problems.size(), 1U);
  EXPECT_THAT((*opened)->manifest().problems[0].error.message, HasSubstr("ends before"));
}

TEST(HostileLegacy, AStorageOfTwoSizes) {
  const std::string other = pickle::Tensor(pickle::Storage(pickle::Int(3)), pickle::Int(0),
                                           pickle::Int(3) + "\x85", pickle::Int(1) + "\x85");
  ExpectRefused(Legacy(kProtocol,
                       pickle::kStart + "}" + pickle::Text("a") + pickle::Vector() + "s" +
                           pickle::Text("b") + other + "s.",
                       kKeys, ckpt::testing::Little(4, 8) + kFourFloats),
                ErrorCode::kCorrupt, "two sizes");
}

TEST(HostileLegacy, CutAnywhereItIsRefusedOrTheLostTensorsAreMarked) {
  const std::string whole = FileBytes(TorchFile("state_dict_legacy.pth"));
  const auto sound = OpenBytes(whole);
  ASSERT_TRUE(sound);
  for (std::size_t size = 0; size < whole.size(); ++size) {
    const auto opened = OpenBytes(whole.substr(0, size));
    if (!opened) continue;
    const Manifest& manifest = (*opened)->manifest();
    EXPECT_FALSE(manifest.problems.empty()) << size;
    for (std::uint32_t i = 0; i < manifest.tensors.size(); ++i) {
      if (!manifest.tensors[i].data_present) continue;
      EXPECT_EQ(ckpt::testing::AllBytes(**opened, TensorId{i}),
                ckpt::testing::AllBytes(**sound, TensorId{i}));
    }
  }
}

TEST(HostileLegacy, ViewsOfBefore0_4) {
  // ('storage', class, root key, 'cpu', 4, (view key, 2, 2)): elements 2 and 3 of the storage.
  const std::string id = "(" + pickle::Text("storage") + pickle::Global("torch", "FloatStorage") +
                         pickle::Text("0") + pickle::Text("cpu") + pickle::Int(4) + "(" +
                         pickle::Text("v") + pickle::Int(2) + pickle::Int(2) + "ttQ";
  const std::string view =
      pickle::Tensor(id, pickle::Int(0), pickle::Int(2) + "\x85", pickle::Int(1) + "\x85");
  const std::string floats("\0\0\x80\x3f\0\0\0\x40\0\0\x40\x40\0\0\x80\x40", 16);
  const auto opened = OpenBytes(
      Legacy(kProtocol, pickle::StateDict(view), kKeys, ckpt::testing::Little(4, 8) + floats));
  ASSERT_TRUE(opened) << ToString(opened.error());
  EXPECT_EQ(*ReadDoubles(**opened, TensorId{0}, 4), (std::vector<double>{3, 4}));
}

}  // namespace
}  // namespace ckpt::formats::hostile_archive_test
