// Graphs as inputs: SavedModels, frozen graphs, a graph beside a checkpoint or by itself. What
// TensorFlow reads from the fixtures is in their expected.json.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>
#include <string>

#include "ckpt/formats/format.h"
#include "ckpt/graph_only.h"
#include "tests/support/expected_tensors.h"
#include "tests/support/paths.h"
#include "tests/support/temporary_folder.h"

namespace ckpt::formats::graph_checkpoint_test {
namespace {

namespace fs = std::filesystem;
using ::testing::HasSubstr;

std::string Fixture(const std::string& name) { return ckpt::testing::TestData() + "/" + name; }

std::unique_ptr<Checkpoint> Open(const std::string& path, const OpenOptions& options = {}) {
  auto checkpoint = OpenCheckpoint(path, options);
  EXPECT_TRUE(checkpoint) << (checkpoint ? "" : ToString(checkpoint.error()));
  return checkpoint ? *std::move(checkpoint) : nullptr;
}

// Of both releases of TensorFlow that made the fixtures.
class GraphFixture : public ::testing::TestWithParam<const char*> {
 protected:
  static std::string In(const std::string& name) {
    return Fixture("tf_graphs/" + std::string(GetParam()) + "/" + name);
  }
};
INSTANTIATE_TEST_SUITE_P(Releases, GraphFixture, ::testing::Values("tf2.15", "tf2.21"),
                         [](const auto& release) {
                           return std::string(release.param) == "tf2.15" ? "tf215" : "tf221";
                         });

TEST_P(GraphFixture, FrozenGraphsListTheirWeights) {
  for (const std::string name : {"frozen", "values"}) {
    const auto expected = testing::ReadExpected(In(name + ".expected.json"));
    // NumPy has no bfloat16: that constant is not in the list.
    const std::size_t count = expected["tensors"].size() + (name == "values" ? 1U : 0U);
    for (const std::string suffix : {".pb", ".pbtxt"}) {
      SCOPED_TRACE(name + suffix);
      const auto checkpoint = Open(In(name + suffix));
      ASSERT_NE(checkpoint, nullptr);
      EXPECT_EQ(checkpoint->format(), "graph-def");
      EXPECT_EQ(checkpoint->manifest().tensors.size(), count);
      for (const auto& tensor : expected["tensors"])
        testing::ExpectTensor(*checkpoint, tensor, tensor["name"].get<std::string>());
      ASSERT_NE(checkpoint->manifest().ops, nullptr);
      std::size_t bound = 0;
      for (const Op& op : checkpoint->manifest().ops->top.ops) {
        if (!op.tensor) continue;
        ++bound;
        EXPECT_EQ(checkpoint->manifest().tensors[op.tensor->index].name, op.name);
      }
      EXPECT_EQ(bound, count);
    }
  }
}

TEST_P(GraphFixture, ASavedModelHasItsVariablesByName) {
  const auto checkpoint = Open(In("served/1"));
  ASSERT_NE(checkpoint, nullptr);
  EXPECT_EQ(checkpoint->format(), "saved-model");
  const Manifest& manifest = checkpoint->manifest();
  const auto expected = testing::ReadExpected(In("served/1/variables/variables.expected.json"));
  for (const auto& tensor : expected["tensors"]) {
    if (tensor["name"] != "_CHECKPOINTABLE_OBJECT_GRAPH")
      testing::ExpectTensor(*checkpoint, tensor, tensor["name"].get<std::string>());
  }
  const auto trainable = [&](const char* name) {
    const auto id = FindTensor(manifest, name);
    EXPECT_TRUE(id) << name;
    return id ? manifest.tensors[id->index].trainable : std::nullopt;
  };
  EXPECT_EQ(trainable("conv/kernel"), true);
  EXPECT_EQ(trainable("bn0/gamma"), true);
  EXPECT_EQ(trainable("bn0/moving_mean"), false);
  EXPECT_EQ(trainable("bn1/moving_variance"), false);
  const OpGraph& graph = *manifest.ops;
  EXPECT_EQ(graph.kind, OpGraphKind::kSavedModel);
  EXPECT_THAT(graph.tags, ::testing::ElementsAre("serve"));
  const auto signature =
      std::find_if(graph.signatures.begin(), graph.signatures.end(),
                   [](const OpSignature& s) { return s.name == "serving_default"; });
  ASSERT_NE(signature, graph.signatures.end());
  EXPECT_EQ(signature->method, "tensorflow/serving/predict");
  EXPECT_EQ(signature->inputs.count("images"), 1u);
  EXPECT_EQ(signature->outputs.count("logits"), 1u);
  // Each variable's key is one of the bundle.
  std::size_t keys = 0;
  for (const OpVariable& variable : graph.variables) {
    if (variable.checkpoint_key.empty()) continue;
    EXPECT_TRUE(FindTensor(manifest, variable.checkpoint_key)) << variable.checkpoint_key;
    ++keys;
  }
  EXPECT_EQ(keys, 12u);
}

TEST_P(GraphFixture, AModelServersFolder) {
  const auto checkpoint = Open(In("served"));
  ASSERT_NE(checkpoint, nullptr);
  EXPECT_THAT(checkpoint->manifest().resolved, HasSubstr("served/2/saved_model.pb"));
  EXPECT_THAT(checkpoint->input_name().note, HasSubstr("version 2"));
  EXPECT_EQ(Open(In("served/1/saved_model.pb"))->format(), "saved-model");
  EXPECT_EQ(Open(In("served/1/variables/variables"))->format(), "tf-bundle");
}

TEST_P(GraphFixture, ASavedModelWithoutVariables) {
  const auto frozen = Open(In("frozen_saved_model"));
  ASSERT_NE(frozen, nullptr);
  EXPECT_EQ(frozen->format(), "saved-model");
  EXPECT_TRUE(frozen->manifest().problems.empty());
  const auto expected = testing::ReadExpected(In("frozen.expected.json"));
  for (const auto& tensor : expected["tensors"])
    testing::ExpectTensor(*frozen, tensor, tensor["name"].get<std::string>());
  // The same in text, of a graph that has variables: they are missed.
  const auto text = Open(In("text"));
  ASSERT_NE(text, nullptr);
  ASSERT_EQ(text->manifest().problems.size(), 1u);
  EXPECT_EQ(text->manifest().problems[0].error.code, ErrorCode::kNotFound);
  EXPECT_FALSE(text->manifest().tensors.empty());
  EXPECT_FALSE(text->Open(TensorId{0}));
}

// In a function's body an output is called by its argument.
TEST_P(GraphFixture, OutputsOfFunctionsAreCounted) {
  const auto checkpoint = Open(In("served/1"));
  ASSERT_NE(checkpoint, nullptr);
  std::size_t variances = 0;
  for (const auto& [name, function] : checkpoint->manifest().ops->functions) {
    for (const Op& op : function.body.ops) {
      for (const OpEdge& edge : op.inputs) {
        const Op& producer = function.body.ops[edge.op];
        if (producer.type != "FusedBatchNormV3") continue;
        if (edge.output_arg == "y") {
          EXPECT_EQ(edge.output, 0u);
        }
        if (edge.output_arg == "batch_mean") {
          EXPECT_EQ(edge.output, 1u);
        }
        if (edge.output_arg == "batch_variance") {
          EXPECT_EQ(edge.output, 2u);
          ++variances;
        }
      }
    }
    EXPECT_EQ(function.results.size(), function.result_names.size());
  }
  EXPECT_EQ(variances, 2u);
}

TEST(MetaGraphBeside, IsEvidence) {
  const auto checkpoint = Open(Fixture("tf1/resnet/correct/model.ckpt-200"));
  ASSERT_NE(checkpoint, nullptr);
  EXPECT_EQ(checkpoint->format(), "tf-bundle");
  ASSERT_NE(checkpoint->manifest().ops, nullptr);
  EXPECT_EQ(checkpoint->manifest().ops->kind, OpGraphKind::kMetaGraph);
  EXPECT_THAT(checkpoint->manifest().note, HasSubstr("model.ckpt-200.meta"));
  const auto v1 = Open(Fixture("tf/v1/resnet/model.ckpt-200"));
  ASSERT_NE(v1, nullptr);
  EXPECT_EQ(v1->format(), "tf-v1");
  EXPECT_NE(v1->manifest().ops, nullptr);
}

TEST(MetaGraphBeside, ADamagedOneLeavesTheCheckpoint) {
  const ckpt::testing::TemporaryFolder folder;
  for (const auto& entry : fs::directory_iterator(Fixture("tf1/resnet/correct")))
    if (entry.is_regular_file())
      fs::copy_file(entry.path(), folder / entry.path().filename().string());
  const std::string meta = folder / "model.ckpt-200.meta";
  fs::resize_file(meta, fs::file_size(meta) / 2);
  const auto checkpoint = Open(folder / "model.ckpt-200");
  ASSERT_NE(checkpoint, nullptr);
  EXPECT_EQ(checkpoint->manifest().ops, nullptr);
  EXPECT_TRUE(checkpoint->manifest().problems.empty());
  EXPECT_THAT(checkpoint->manifest().note, HasSubstr("is not used"));
  EXPECT_TRUE(ReadBytes(*checkpoint, TensorId{0}, 1 << 20));
  OpenOptions as_graph;
  as_graph.format = "tf-meta";
  EXPECT_FALSE(OpenCheckpoint(meta, as_graph));
}

TEST(MetaGraphAlone, ListsWhatACheckpointOfItWouldHold) {
  OpenOptions as_graph;
  as_graph.format = "tf-meta";
  for (const std::string variant : {"correct", "trainable_only"}) {
    const auto graph = Open(Fixture("tf1/resnet/" + variant + "/model.ckpt-200.meta"), as_graph);
    const auto saved = Open(Fixture("tf1/resnet/correct/model.ckpt-200"));
    ASSERT_TRUE(graph && saved);
    EXPECT_EQ(graph->format(), "tf-meta");
    EXPECT_TRUE(IsGraphOnly(graph->manifest()));
    EXPECT_TRUE(graph->manifest().problems.empty());
    ASSERT_EQ(graph->manifest().tensors.size(), saved->manifest().tensors.size());
    for (std::size_t i = 0; i < saved->manifest().tensors.size(); ++i) {
      const TensorInfo& here = graph->manifest().tensors[i];
      const TensorInfo& there = saved->manifest().tensors[i];
      EXPECT_EQ(here.name, there.name);
      EXPECT_EQ(here.shape, there.shape);
      EXPECT_EQ(here.dtype, there.dtype);
      EXPECT_EQ(here.byte_size, there.byte_size);
      EXPECT_FALSE(here.data_present);
    }
    const auto stream = graph->Open(TensorId{0});
    ASSERT_FALSE(stream);
    EXPECT_EQ(stream.error().code, ErrorCode::kUnfit);
  }
}

TEST(MetaGraphAlone, ByItsContent) {
  const ckpt::testing::TemporaryFolder folder;
  fs::copy_file(Fixture("tf1/resnet/correct/model.ckpt-200.meta"), folder / "graph.bin");
  const auto graph = Open(folder / "graph.bin");
  ASSERT_NE(graph, nullptr);
  EXPECT_EQ(graph->format(), "tf-meta");
  std::ofstream(folder / "no.pb") << "\x01\x02\xff\xfe";
  const auto other = OpenCheckpoint(folder / "no.pb");
  ASSERT_FALSE(other);
  EXPECT_EQ(other.error().code, ErrorCode::kUnsupported);
  EXPECT_THAT(other.error().message, HasSubstr("not by its content"));
}

}  // namespace
}  // namespace ckpt::formats::graph_checkpoint_test
