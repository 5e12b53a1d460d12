// The names under which people keep V1 checkpoints.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>

#include "ckpt/formats/format.h"
#include "formats/tf_bundle/checkpoint_state.h"
#include "formats/tf_v1/shard_names.h"
#include "tests/support/paths.h"
#include "tests/tf_v1/saved_file_builder.h"

namespace ckpt::formats::resolve_test {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

const std::string kTestdata = ckpt::testing::TestData();

std::string SmallFile() {
  SavedFileBuilder builder;
  builder.Add("w", 1, {1}, Field(5, Floats({1})));
  return builder.Build();
}

ResolvedBundle Resolved(const Files& files, const std::string& path) {
  const auto resolved = ResolveTfBundle(files, path);
  if (!resolved || !*resolved) {
    ADD_FAILURE() << path << (resolved ? "" : ToString(resolved.error()));
    return {};
  }
  return **resolved;
}

TEST(V1ShardNames, AreThoseOfSets) {
  const auto shard = ParseV1ShardName("d/export-00001-of-00003");
  ASSERT_TRUE(shard.has_value());
  EXPECT_EQ(shard->prefix, "d/export");
  EXPECT_EQ(shard->shard, 1U);
  EXPECT_EQ(shard->count, 3U);
  for (const char* other : {"m.data-00000-of-00001", "export-00003-of-00003", "export-1-of-3",
                            "00000-of-00001", "-of-", "export-00000-of-00001x", ""}) {
    EXPECT_FALSE(ParseV1ShardName(other).has_value()) << other;
  }
}

TEST(V1Resolve, TakesPrefixFolderAndGraph) {
  MemoryFiles files;
  files.Add("d/export-00000-of-00002", SmallFile());
  files.Add("d/export-00001-of-00002", SmallFile());
  files.Add("d/export.meta", "graph");
  for (const char* path : {"d", "d/export", "d/export.meta", "d/export-\?\?\?\?\?-of-00002"}) {
    const ResolvedBundle resolved = Resolved(files, path);
    EXPECT_TRUE(resolved.v1) << path;
    EXPECT_EQ(resolved.prefix, "d/export-00000-of-00002") << path;
  }
}

TEST(V1Resolve, FollowsAStateFile) {
  MemoryFiles files;
  files.Add("d/model.ckpt-3", SmallFile());
  files.Add("d/model.ckpt-2", SmallFile());
  files.Add("d/checkpoint",
            "model_checkpoint_path: \"model.ckpt-3\"\n"
            "all_model_checkpoint_paths: \"model.ckpt-2\"\n"
            "all_model_checkpoint_paths: \"model.ckpt-3\"\n");
  for (const char* path : {"d", "d/checkpoint"}) {
    const ResolvedBundle resolved = Resolved(files, path);
    EXPECT_TRUE(resolved.v1);
    EXPECT_EQ(resolved.prefix, "d/model.ckpt-3");
    EXPECT_THAT(resolved.older, ElementsAre("d/model.ckpt-2"));
  }
}

TEST(V1Resolve, TakesTheHighestStepOfAFolder) {
  MemoryFiles files;
  for (const char* name : {"d/m-5", "d/m-10", "d/m-9"}) files.Add(name, SmallFile());
  files.Add("d/notes.txt", "no checkpoint");
  const ResolvedBundle resolved = Resolved(files, "d");
  EXPECT_EQ(resolved.prefix, "d/m-10");
  EXPECT_THAT(resolved.older, ElementsAre("d/m-5", "d/m-9"));
}

TEST(V1Resolve, AStateFileMayNameASet) {
  const auto opened = OpenCheckpoint(kTestdata + "/tf/v1/saver_sharded");
  ASSERT_TRUE(opened.has_value()) << ToString(opened.error());
  EXPECT_EQ((*opened)->format(), "tf-v1");
  EXPECT_EQ((*opened)->manifest().tensors.size(), 2U);
  EXPECT_TRUE((*opened)->manifest().problems.empty());
  EXPECT_THAT((*opened)->input_name().note, HasSubstr("model.ckpt-2"));
  ASSERT_EQ((*opened)->input_name().older.size(), 1U);
  EXPECT_TRUE(OpenCheckpoint((*opened)->input_name().older[0]).has_value());
}

TEST(V1Resolve, AFileIsRecognisedByItsContent) {
  MemoryFiles files;
  files.Add("d/anything.bin", SmallFile());
  const auto opened = OpenCheckpoint(files, "d/anything.bin");
  ASSERT_TRUE(opened.has_value()) << ToString(opened.error());
  EXPECT_EQ((*opened)->format(), "tf-v1");
}

}  // namespace
}  // namespace ckpt::formats::resolve_test
