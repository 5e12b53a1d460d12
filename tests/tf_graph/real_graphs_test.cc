// Graphs that TensorFlow wrote: the fixtures and public files.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <filesystem>
#include <string>

#include "formats/tf_graph/read_op_graph.h"
#include "tests/support/paths.h"

namespace ckpt::formats::real_graphs_test {
namespace {

namespace fs = std::filesystem;

std::shared_ptr<OpGraph> Read(const fs::path& path) {
  auto graph = ReadOpGraph(SystemFiles(), path, Limits());
  EXPECT_TRUE(graph) << (graph ? "" : ToString(graph.error()));
  return graph ? *graph : nullptr;
}

std::size_t Count(const OpBody& body, std::string_view type) {
  return static_cast<std::size_t>(std::count_if(body.ops.begin(), body.ops.end(),
                                                [&](const Op& op) { return op.type == type; }));
}

bool IsGraphFile(const fs::path& path) {
  const std::string name = path.filename().string();
  return name.ends_with(".meta") || name == "saved_model.pb" || name == "saved_model.pbtxt" ||
         name.ends_with(".pbtxt") ||
         (name.ends_with(".pb") && name != "fingerprint.pb" && name != "keras_metadata.pb" &&
          name.rfind("input_", 0) != 0);
}

// UNetCoreograph: a training graph that switches by a placeholder, its batch norms in conditionals.
TEST(RealGraphs, ATrainingGraphWithConditionals) {
  const fs::path folder = fs::path(ckpt::testing::Corpus()) / "B8";
  if (!fs::exists(folder)) GTEST_SKIP();
  for (const auto& entry : fs::recursive_directory_iterator(folder)) {
    if (!entry.path().string().ends_with(".meta")) continue;
    const auto graph = Read(entry.path());
    ASSERT_NE(graph, nullptr);
    EXPECT_EQ(graph->kind, OpGraphKind::kMetaGraph);
    EXPECT_EQ(Count(graph->top, "FusedBatchNorm"), 8u);  // two branches of four layers
    EXPECT_EQ(graph->collections.at("update_ops").size(), 8u);
    EXPECT_TRUE(graph->saver);
    EXPECT_TRUE(graph->records_trainable);
    const auto saved = graph->top.Find("save/SaveV2/tensor_names");
    ASSERT_TRUE(saved);
    ASSERT_TRUE(graph->top.ops[*saved].constant);
    EXPECT_EQ(graph->top.ops[*saved].constant->strings.size(), 93u);
  }
}

TEST(RealGraphs, EveryFixtureIsRead) {
  std::size_t read = 0;
  for (const auto& entry : fs::recursive_directory_iterator(ckpt::testing::TestData())) {
    if (!entry.is_regular_file() || !IsGraphFile(entry.path())) continue;
    SCOPED_TRACE(entry.path().string());
    const auto graph = Read(entry.path());
    ASSERT_NE(graph, nullptr);
    EXPECT_FALSE(graph->top.ops.empty());
    ++read;
  }
  EXPECT_GE(read, 10u);
}

TEST(RealGraphs, EveryGraphOfTheCorpusIsRead) {
  if (!fs::exists(ckpt::testing::Corpus())) GTEST_SKIP();
  std::size_t read = 0;
  for (const auto& entry : fs::recursive_directory_iterator(ckpt::testing::Corpus())) {
    const std::string group = fs::relative(entry.path(), ckpt::testing::Corpus()).begin()->string();
    const bool ours = group[0] == 'B' || group[0] == 'C' || group[0] == 'D' || group[0] == 'E';
    if (!ours || !entry.is_regular_file() || !IsGraphFile(entry.path())) continue;
    SCOPED_TRACE(entry.path().string());
    const auto graph = Read(entry.path());
    ASSERT_NE(graph, nullptr);
    ++read;
  }
  EXPECT_GE(read, 10u);
}

}  // namespace
}  // namespace ckpt::formats::real_graphs_test
