// Archives that lie, are cut or altered: an error in words, a problem in words, or the same.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "formats/hdf5/hdf5_writer.h"
#include "tests/keras3/keras3_files.h"
#include "tests/support/temporary_folder.h"

namespace ckpt::formats::archive_damage_test {
namespace {

using ckpt::testing::ArchiveOf;
using ckpt::testing::Deflated;
using ckpt::testing::FileBytes;
using ckpt::testing::Keras3Path;
using ckpt::testing::MembersOf;
using ckpt::testing::OpenArchiveBytes;
using ckpt::testing::Replaced;
using ckpt::testing::Stored;
using ckpt::testing::TemporaryFolder;
using ckpt::testing::ZipFile;
using ::testing::HasSubstr;

TEST(ArchiveDamageTest, DeflatedMembersAreRead) {
  const auto members = MembersOf("k3_sequential.keras");
  ZipFile zip;
  for (const auto& [name, bytes] : members) zip.parts.push_back(Deflated(name, bytes));
  const auto deflated = OpenArchiveBytes(zip.Build());
  ASSERT_TRUE(deflated.has_value()) << ToString(deflated.error());
  const auto stored = ckpt::testing::OpenArchive("k3_sequential.keras");
  const auto& tensors = (*deflated)->manifest().tensors;
  ASSERT_EQ(tensors.size(), stored->manifest().tensors.size());
  for (std::uint32_t i = 0; i < tensors.size(); ++i) {
    EXPECT_EQ(tensors[i].name, stored->manifest().tensors[i].name);
    EXPECT_EQ(ReadBytes(**deflated, {i}, 1 << 20).value(),
              ReadBytes(*stored, {i}, 1 << 20).value());
  }
}

TEST(ArchiveDamageTest, AMemberThatWouldFillTheDiskIsRefused) {
  auto members = MembersOf("k3_sequential.keras");
  const std::string weights = members["model.weights.h5"];
  members.erase("model.weights.h5");
  ZipFile zip;
  for (const auto& [name, bytes] : members) zip.parts.push_back(Stored(name, bytes));
  // 6 MB of DEFLATE could hold 5 GiB: the check of the directory lets it pass.
  auto bomb = Deflated("model.weights.h5", weights);
  bomb.data += std::string(6 << 20, 'x');
  for (auto* fields : {&bomb.local, &bomb.central}) {
    fields->compressed_size = bomb.data.size();
    fields->size = 0xFFFFFFFF;
    fields->extra = ckpt::testing::Zip64Extra({std::uint64_t{5} << 30});
  }
  bomb.local.compressed_size = 0xFFFFFFFF;  // a local header has both
  bomb.local.extra = ckpt::testing::Zip64Extra({std::uint64_t{5} << 30, bomb.data.size()});
  zip.parts.push_back(bomb);
  auto opened = OpenArchiveBytes(zip.Build());
  ASSERT_FALSE(opened.has_value());
  EXPECT_EQ(opened.error().code, ErrorCode::kLimitExceeded) << ToString(opened.error());

  // A few bytes that claim much are refused by the archive's own check.
  zip.parts.back() = Deflated("model.weights.h5", weights);
  zip.parts.back().local.size = zip.parts.back().central.size = 0xFFFFFFFE;
  opened = OpenArchiveBytes(zip.Build());
  ASSERT_FALSE(opened.has_value());
  EXPECT_EQ(opened.error().code, ErrorCode::kCorrupt);
}

TEST(ArchiveDamageTest, TextsAreBounded) {
  Limits limits;
  limits.metadata_bytes = 1000;
  const auto opened = OpenArchiveBytes(FileBytes(Keras3Path("k3_sequential.keras")), limits);
  ASSERT_FALSE(opened.has_value());
  EXPECT_EQ(opened.error().code, ErrorCode::kLimitExceeded);
}

TEST(ArchiveDamageTest, DamagedWeightsAreFoundByTheirChecksum) {
  std::string bytes = FileBytes(Keras3Path("k3_sequential.keras"));
  const auto sound = ckpt::testing::OpenArchive("k3_sequential.keras");
  const auto values = ReadBytes(*sound, {0}, 1 << 20).value();
  const std::size_t at =
      bytes.find(std::string(reinterpret_cast<const char*>(values.data()), values.size()));
  ASSERT_NE(at, std::string::npos);
  bytes[at] = static_cast<char>(bytes[at] ^ 1);
  const auto opened = OpenArchiveBytes(bytes);
  ASSERT_TRUE(opened.has_value()) << ToString(opened.error());
  const auto stream = (*opened)->Open({0});
  ASSERT_FALSE(stream.has_value());
  EXPECT_EQ(stream.error().code, ErrorCode::kCorrupt);
  EXPECT_THAT(stream.error().message, HasSubstr("CRC-32"));
}

TEST(ArchiveDamageTest, WithoutConfigOrWeightsItIsNoArchive) {
  for (const char* name : {"config.json", "model.weights.h5"}) {
    auto members = MembersOf("k3_sequential.keras");
    members.erase(name);
    const auto opened = OpenArchiveBytes(ArchiveOf(members));
    ASSERT_FALSE(opened.has_value()) << name;
    EXPECT_THAT(opened.error().message, HasSubstr(name));
  }
}

TEST(ArchiveDamageTest, WithoutMetadataTheConfigTellsTheGeneration) {
  for (const char* fixture : {"k3_nested.keras", "k2_nested.keras"}) {
    auto members = MembersOf(fixture);
    members.erase("metadata.json");
    const auto opened = OpenArchiveBytes(ArchiveOf(members));
    ASSERT_TRUE(opened.has_value()) << ToString(opened.error());
    EXPECT_TRUE((*opened)->manifest().graph.has_value());
    EXPECT_EQ((*opened)->manifest().framework_version, fixture[1] == '3' ? "3" : "2");
  }
}

// The config is left out, with the reason; the weights are still read.
void ExpectUnused(std::map<std::string, std::string> members, const std::string& reason) {
  const auto opened = OpenArchiveBytes(ArchiveOf(members));
  ASSERT_TRUE(opened.has_value()) << ToString(opened.error());
  const Manifest& manifest = (*opened)->manifest();
  EXPECT_FALSE(manifest.graph.has_value());
  EXPECT_FALSE(manifest.tensors.empty());
  ASSERT_TRUE(manifest.metadata.contains("model_config"));
  EXPECT_THAT(manifest.metadata.at("model_config"), HasSubstr(reason));
}

TEST(ArchiveDamageTest, AConfigThatIsNoneIsLeftOut) {
  auto members = MembersOf("k3_sequential.keras");
  members["config.json"] = "{";
  ExpectUnused(members, "not used");
  members["config.json"] = std::string(100000, '[');
  ExpectUnused(members, "not used");
  members["config.json"] = "";
  ExpectUnused(members, "not used");
  // A model in a model in a model...
  std::string deep = R"({"class_name": "Dense", "config": {"name": "d"}})";
  for (int i = 0; i < 80; ++i) {
    deep = R"({"class_name": "Sequential", "config": {"name": "m)" + std::to_string(i) +
           R"(", "layers": [)" + deep + "]}}";
  }
  members["config.json"] = deep;
  ExpectUnused(members, "deep");
}

TEST(ArchiveDamageTest, OtherNamesThanTheWeightsRecordAreNotBelieved) {
  auto members = MembersOf("k3_sequential.keras");
  members["config.json"] =
      Replaced(members["config.json"], "\"name\": \"bn_up\"", "\"name\": \"bn_down\"");
  ExpectUnused(members, "bn_down");
}

TEST(ArchiveDamageTest, VariablesThatTheConfigCallsForAreMissed) {
  auto members = MembersOf("k2_sequential.keras");  // records no names
  // One more batch norm than there are groups, and a bias that is not there.
  members["config.json"] =
      Replaced(members["config.json"], "\"use_bias\": false", "\"use_bias\": true");
  const auto opened = OpenArchiveBytes(ArchiveOf(members));
  ASSERT_TRUE(opened.has_value()) << ToString(opened.error());
  const ModelGraph& graph = *(*opened)->manifest().graph;
  EXPECT_EQ(graph.layers[*graph.FindLayer("up")].missing_tensors, std::vector<std::string>{"bias"});
}

TEST(ArchiveDamageTest, VariablesThatTheConfigDoesNotKnowAreAProblem) {
  auto members = MembersOf("k2_sequential.keras");
  members["config.json"] =
      Replaced(members["config.json"], "\"center\": true", "\"center\": false");
  const auto opened = OpenArchiveBytes(ArchiveOf(members));
  ASSERT_TRUE(opened.has_value()) << ToString(opened.error());
  ASSERT_EQ((*opened)->manifest().problems.size(), 1U);
  EXPECT_THAT((*opened)->manifest().problems[0].error.message, HasSubstr("4 variables"));
}

TEST(ArchiveDamageTest, GroupsThatAreNotThereAreMissed) {
  const TemporaryFolder folder;
  const std::string path = (folder / "w.h5").string();
  {
    const auto file = *Hdf5Writer::Create(path);
    ASSERT_TRUE(file->CreateGroup("/vars"));
    ASSERT_TRUE(file->Close());
  }
  auto members = MembersOf("k3_sequential.keras");
  members["model.weights.h5"] = FileBytes(path);
  const auto opened = OpenArchiveBytes(ArchiveOf(members));
  ASSERT_TRUE(opened.has_value()) << ToString(opened.error());
  const ModelGraph& graph = *(*opened)->manifest().graph;
  EXPECT_EQ(graph.layers[*graph.FindLayer("bn")].missing_tensors,
            (std::vector<std::string>{"gamma", "beta", "moving_mean", "moving_variance"}));
}

// A line for each tensor, or nothing where the archive is refused.
std::string Listing(const std::string& bytes) {
  const auto opened = OpenArchiveBytes(bytes);
  if (!opened) {
    EXPECT_FALSE(opened.error().message.empty());
    return {};
  }
  std::string all;
  for (const TensorInfo& info : (*opened)->manifest().tensors) {
    all += info.name + ToString(info.shape) + "\n";
  }
  for (std::uint32_t i = 0; i < (*opened)->manifest().tensors.size(); ++i) {
    (void)ReadBytes(**opened, {i}, 1 << 20);
  }
  return all;
}

TEST(ArchiveDamageTest, EveryCutIsAnError) {
  const std::string bytes = FileBytes(Keras3Path("k3_trained.keras"));
  for (std::size_t size = 0; size < bytes.size(); size += 97) {
    EXPECT_EQ(Listing(bytes.substr(0, size)), "") << size;
  }
}

// Bits of the zip's records, the config and the HDF5 file, by a fixed rule: no crash, no hang.
TEST(ArchiveDamageTest, MutantsAreRefusedOrRead) {
  const std::string bytes = FileBytes(Keras3Path("k3_trained.keras"));
  const std::string sound = Listing(bytes);
  ASSERT_FALSE(sound.empty());
  std::uint64_t state = 20240229;
  int refused = 0, read = 0;
  for (int i = 0; i < 400; ++i) {
    std::string mutant = bytes;
    for (int flips = 1 + i % 3; flips > 0; --flips) {
      state = state * 6364136223846793005U + 1442695040888963407U;
      const std::size_t at = static_cast<std::size_t>(state >> 33) % mutant.size();
      mutant[at] = static_cast<char>(mutant[at] ^ (1 << ((state >> 20) & 7)));
    }
    ++(Listing(mutant).empty() ? refused : read);
  }
  EXPECT_GT(refused, 20);
  EXPECT_GT(read, 20);
}

}  // namespace
}  // namespace ckpt::formats::archive_damage_test
