#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/safetensors/file_builder.h"
#include "tests/support/expected_tensors.h"

namespace ckpt::formats::shard_set_test {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

const std::string kIndexPath = "set/model.safetensors.index.json";

// One shard with one-byte tensors of these names; the value is the name's last character.
std::string Shard(const std::vector<std::string>& names, const std::string& metadata = {}) {
  std::string header = "{" + metadata, data;
  for (const std::string& name : names) {
    header += (header.size() > 1 ? ",\"" : "\"") + name +
              R"(":{"dtype":"U8","shape":[1],"data_offsets":[)" + std::to_string(data.size()) +
              "," + std::to_string(data.size() + 1) + "]}";
    data += name.back();
  }
  return FileOf(header + "}", data);
}

std::string Index(const std::string& weight_map, const std::string& metadata = "{}") {
  return R"({"metadata":)" + metadata + R"(,"weight_map":)" + weight_map + "}";
}

Result<std::unique_ptr<Checkpoint>> OpenSet(
    const std::vector<std::pair<std::string, std::string>>& shards, const std::string& index) {
  MemoryFiles files;
  for (const auto& [name, bytes] : shards) files.Add("set/" + name, bytes);
  files.Add(kIndexPath, index);
  return OpenSafetensors(files, kIndexPath, {});
}

std::vector<std::string> Names(const Checkpoint& checkpoint) {
  std::vector<std::string> names;
  for (const TensorInfo& info : checkpoint.manifest().tensors) names.push_back(info.name);
  return names;
}

std::string ValueOf(const Checkpoint& checkpoint, const std::string& name) {
  const auto bytes = testing::AllBytes(checkpoint, *FindTensor(checkpoint.manifest(), name));
  return {reinterpret_cast<const char*>(bytes.data()), bytes.size()};
}

TEST(SafetensorsSet, PresentsItsShardsAsOneCheckpoint) {
  const auto opened =
      OpenSet({{"1.safetensors", Shard({"d", "a"}, R"("__metadata__":{"format":"pt"})")},
               {"2.safetensors", Shard({"c", "b"})}},
              Index(R"({"a":"1.safetensors","b":"2.safetensors",)"
                    R"("c":"2.safetensors","d":"1.safetensors"})",
                    R"({"total_size":4})"));
  ASSERT_TRUE(opened.has_value()) << ToString(opened.error());
  const Manifest& manifest = (*opened)->manifest();
  EXPECT_THAT(Names(**opened), ElementsAre("a", "b", "c", "d"));
  for (const TensorInfo& info : manifest.tensors) {
    EXPECT_EQ(ValueOf(**opened, info.name), info.name);
  }
  EXPECT_EQ(manifest.tensors[1].data_file, "set/2.safetensors");
  EXPECT_THAT(manifest.problems, IsEmpty());
  EXPECT_EQ(manifest.note, "");
  EXPECT_EQ(manifest.framework, Framework::kPyTorch);
  EXPECT_THAT(manifest.files, ElementsAre(kIndexPath, "set/1.safetensors", "set/2.safetensors"));
}

TEST(SafetensorsSet, SaysThatTheTotalSizeIsAnother) {
  const auto opened = OpenSet({{"1.safetensors", Shard({"a"})}},
                              Index(R"({"a":"1.safetensors"})", R"({"total_size":5})"));
  ASSERT_TRUE(opened.has_value());
  EXPECT_THAT((*opened)->manifest().note, HasSubstr("total_size of 5 bytes"));
  EXPECT_THAT((*opened)->manifest().problems, IsEmpty());
}

TEST(SafetensorsSet, ListsTheTensorsOfAnAbsentShardByName) {
  const auto opened =
      OpenSet({{"1.safetensors", Shard({"b"})}},
              Index(R"({"a":"2.safetensors","b":"1.safetensors","c":"2.safetensors"})"));
  ASSERT_TRUE(opened.has_value()) << ToString(opened.error());
  const Manifest& manifest = (*opened)->manifest();
  EXPECT_THAT(Names(**opened), ElementsAre("a", "b", "c"));
  ASSERT_EQ(manifest.problems.size(), 1U);
  EXPECT_EQ(manifest.problems[0].error.code, ErrorCode::kNotFound);
  EXPECT_EQ(manifest.problems[0].error.file, "set/2.safetensors");
  EXPECT_THAT(manifest.problems[0].tensors, ElementsAre(TensorId{0}, TensorId{2}));
  EXPECT_FALSE(manifest.tensors[0].data_present);
  EXPECT_EQ(manifest.tensors[0].dtype, Dtype::kVoid);
  EXPECT_EQ(manifest.tensors[0].byte_size, 0U);
  EXPECT_EQ(manifest.tensors[0].data_file, "set/2.safetensors");
  EXPECT_EQ(ValueOf(**opened, "b"), "b");
  const auto lost = (*opened)->Open(TensorId{0});
  ASSERT_FALSE(lost.has_value());
  EXPECT_EQ(lost.error().code, ErrorCode::kNotFound);
  EXPECT_EQ(lost.error().tensor, "a");
  EXPECT_THAT(manifest.files, ElementsAre(kIndexPath, "set/1.safetensors"));
}

TEST(SafetensorsSet, KeepsTheRestWhereOneShardIsDamaged) {
  const std::string damaged = Shard({"a"});
  const auto opened = OpenSet(
      {{"1.safetensors", damaged.substr(0, damaged.size() - 1)}, {"2.safetensors", Shard({"b"})}},
      Index(R"({"a":"1.safetensors","b":"2.safetensors"})"));
  ASSERT_TRUE(opened.has_value());
  const Manifest& manifest = (*opened)->manifest();
  ASSERT_EQ(manifest.problems.size(), 1U);
  EXPECT_EQ(manifest.problems[0].error.code, ErrorCode::kCorrupt);
  EXPECT_EQ(manifest.problems[0].error.file, "set/1.safetensors");
  EXPECT_EQ(manifest.problems[0].error.offset, damaged.size() - 1);
  EXPECT_THAT(manifest.problems[0].tensors, ElementsAre(TensorId{0}));
  EXPECT_EQ(ValueOf(**opened, "b"), "b");
}

TEST(SafetensorsSet, ReportsATensorThatItsShardDoesNotHold) {
  const std::string index = Index(R"({"a":"1.safetensors","lost":"1.safetensors"})");
  const auto opened = OpenSet({{"1.safetensors", Shard({"a"})}}, index);
  ASSERT_TRUE(opened.has_value());
  const Manifest& manifest = (*opened)->manifest();
  ASSERT_EQ(manifest.problems.size(), 1U);
  EXPECT_EQ(manifest.problems[0].error.code, ErrorCode::kCorrupt);
  EXPECT_EQ(manifest.problems[0].error.file, kIndexPath);
  EXPECT_EQ(manifest.problems[0].error.offset, index.find(R"("lost")"));
  EXPECT_EQ(manifest.problems[0].error.tensor, "lost");
  EXPECT_THAT(manifest.problems[0].tensors, ElementsAre(TensorId{1}));
  EXPECT_FALSE(manifest.tensors[1].data_present);
}

TEST(SafetensorsSet, ListsATensorThatTheIndexDoesNotMentionAndSaysSo) {
  const auto opened =
      OpenSet({{"1.safetensors", Shard({"extra", "a"})}, {"2.safetensors", Shard({"b", "extra"})}},
              Index(R"({"a":"1.safetensors","b":"2.safetensors"})"));
  ASSERT_TRUE(opened.has_value());
  const Manifest& manifest = (*opened)->manifest();
  EXPECT_THAT(Names(**opened), ElementsAre("a", "b", "extra"));
  ASSERT_EQ(manifest.problems.size(), 2U);
  for (const Problem& problem : manifest.problems) {
    EXPECT_EQ(problem.error.code, ErrorCode::kCorrupt);
    EXPECT_EQ(problem.error.tensor, "extra");
    EXPECT_THAT(problem.tensors, IsEmpty());
  }
  EXPECT_EQ(manifest.tensors[2].data_file, "set/1.safetensors");
  EXPECT_EQ(ValueOf(**opened, "extra"), "a");
}

TEST(SafetensorsSet, TakesATensorThatIsInTwoShardsFromWhereTheIndexSays) {
  const auto opened =
      OpenSet({{"1.safetensors", Shard({"z", "a"})}, {"2.safetensors", Shard({"a", "b"})}},
              Index(R"({"a":"2.safetensors","b":"2.safetensors","z":"1.safetensors"})"));
  ASSERT_TRUE(opened.has_value());
  const Manifest& manifest = (*opened)->manifest();
  EXPECT_THAT(Names(**opened), ElementsAre("a", "b", "z"));
  EXPECT_EQ(manifest.tensors[0].data_file, "set/2.safetensors");
  ASSERT_EQ(manifest.problems.size(), 1U);
  EXPECT_EQ(manifest.problems[0].error.file, "set/1.safetensors");
  EXPECT_EQ(manifest.problems[0].error.tensor, "a");
}

TEST(SafetensorsSet, RefusesShardsOutOfItsFolder) {
  for (const std::string name :
       {"../1.safetensors", "/etc/passwd", "a/../b", "..", "", "a\\\\b", "./x", "x\\u0000"}) {
    SCOPED_TRACE(name);
    const std::string index = Index(R"({"a":")" + name + R"("})");
    const auto opened = OpenSet({}, index);
    ASSERT_FALSE(opened.has_value());
    EXPECT_EQ(opened.error().code, ErrorCode::kUnsafe) << ToString(opened.error());
    EXPECT_EQ(opened.error().file, kIndexPath);
    EXPECT_EQ(opened.error().offset, index.find(R"("a")"));
    EXPECT_EQ(opened.error().tensor, "a");
  }
}

struct BadIndex {
  std::string text;
  std::optional<std::uint64_t> offset;
};

TEST(SafetensorsSet, RefusesADamagedIndex) {
  const std::vector<BadIndex> cases = {
      {R"({"metadata":{}})", std::nullopt},
      {R"({"weight_map":[]})", 14},
      {R"({"weight_map":null})", 14},
      {R"({"weight_map":{"a":1}})", 19},
      {R"({"weight_map":{"a":{}}})", 19},
      {R"({"weight_map":{"a":"x","a":"y"}})", 23},
      {R"({"weight_map":{},"weight_map":{}})", 17},
      {R"({"weight_map":{"a":"x"})", 23},
      {R"({"weight_map":{}} x)", 18},
  };
  for (const BadIndex& bad : cases) {
    SCOPED_TRACE(bad.text);
    const auto opened = OpenSet({}, bad.text);
    ASSERT_FALSE(opened.has_value());
    EXPECT_EQ(opened.error().code, ErrorCode::kCorrupt);
    EXPECT_EQ(opened.error().file, kIndexPath);
    EXPECT_EQ(opened.error().offset, bad.offset) << ToString(opened.error());
  }
}

TEST(SafetensorsFolder, StandsForItsIndexOrItsOnlyFile) {
  const auto resolve = [](const std::vector<std::string>& names) {
    MemoryFiles files;
    for (const auto& name : names) files.Add("dir/" + name, "");
    return ResolveSafetensorsFolder(files, "dir");
  };
  EXPECT_EQ(*resolve({"config.json"}), std::nullopt);
  EXPECT_EQ(*resolve({"x.safetensors", "config.json"}), "x.safetensors");
  EXPECT_EQ(*resolve({"a-1.safetensors", "a-2.safetensors", "a.safetensors.index.json"}),
            "a.safetensors.index.json");
  EXPECT_EQ(*resolve({"a.safetensors.index.json", "model.safetensors.index.json"}),
            "model.safetensors.index.json");
  EXPECT_EQ(*resolve({".x.safetensors.1-1.partial", ".y.safetensors", "x.safetensors"}),
            "x.safetensors");
  const auto several = resolve({"a.safetensors", "b.safetensors"});
  ASSERT_FALSE(several.has_value());
  EXPECT_EQ(several.error().code, ErrorCode::kInvalidArgument);
  EXPECT_THAT(several.error().message, HasSubstr("a.safetensors, b.safetensors"));
}

}  // namespace
}  // namespace ckpt::formats::shard_set_test
