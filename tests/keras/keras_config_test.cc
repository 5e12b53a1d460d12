// Configs that Keras 2.15 and 3.15 wrote, against what they say of their own layers.
#include <gtest/gtest.h>

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <nlohmann/json.hpp>
#include <set>

#include "ckpt/layer_computation.h"
#include "formats/keras/model/layer_order.h"
#include "formats/keras/model/model_config.h"
#include "formats/keras/model/network.h"
#include "tests/support/paths.h"

namespace ckpt::formats::keras::keras_config_test {
namespace {

struct RecordedConfig {
  nlohmann::json expected;
  std::unique_ptr<ModelConfig> config;
};

// With the weights that Keras made, in their shapes: what the layers make of their inputs follows.
void BindRecorded(RecordedConfig& recorded) {
  Manifest manifest;
  ModelGraph& graph = manifest.graph.emplace(std::move(recorded.config->graph));
  for (const auto& expected : recorded.expected["layers"]) {
    const std::string path = expected["path"];
    const auto id = graph.FindLayer(path);
    if (!id) continue;
    for (const auto& [name, shape] : expected["weights"].items()) {
      TensorInfo& tensor = manifest.tensors.emplace_back();
      tensor.name = path + "/" + name;
      tensor.shape = *Shape::FromDims(shape.get<std::vector<std::int64_t>>());
      const auto index = static_cast<std::uint32_t>(manifest.tensors.size() - 1);
      graph.layers[*id].tensors.emplace(name, TensorId{index});
    }
  }
  SayComputations(*recorded.config, recorded.expected["keras_version"].get<std::string>(),
                  manifest);
  recorded.config->graph = *std::move(manifest.graph);
}

RecordedConfig ReadRecorded(const std::filesystem::path& path) {
  RecordedConfig recorded;
  recorded.expected = nlohmann::json::parse(std::ifstream(path));
  auto config = ParseModelConfig(recorded.expected["model_config"].get<std::string>(),
                                 recorded.expected["keras_version"].get<std::string>());
  if (config) {
    recorded.config = *std::move(config);
    BindRecorded(recorded);
  } else {
    ADD_FAILURE() << config.error().message;
  }
  return recorded;
}

// Without functions of keras.ops, which Keras does not list as layers.
std::vector<std::string> OrderOf(const ModelConfig& config, const RemovedLayers& removed) {
  std::set<const LayerRecord*> operations;
  for (const ConfigLayer& layer : config.layers) {
    if (layer.facts.is_operation) operations.insert(layer.record);
  }
  std::vector<std::string> names;
  for (const std::uint32_t layer : KerasLayerOrder(*config.model, removed)) {
    const LayerRecord& record = config.model->layers[layer];
    if (!operations.contains(&record)) names.push_back(record.name);
  }
  return names;
}

class KerasConfigTest : public ::testing::TestWithParam<std::filesystem::path> {};

TEST_P(KerasConfigTest, HasTheLayersThatKerasHas) {
  const RecordedConfig recorded = ReadRecorded(GetParam());
  const ModelGraph& graph = recorded.config->graph;
  const auto operations =
      std::count_if(recorded.config->layers.begin(), recorded.config->layers.end(),
                    [](const ConfigLayer& layer) { return layer.facts.is_operation; });
  ASSERT_EQ(graph.layers.size() - static_cast<std::size_t>(operations),
            recorded.expected["layers"].size());
  for (const auto& expected : recorded.expected["layers"]) {
    SCOPED_TRACE(expected["path"]);
    const auto id = graph.FindLayer(expected["path"].get<std::string>());
    ASSERT_TRUE(id.has_value());
    const Layer& layer = graph.layers[*id];
    EXPECT_TRUE(layer.op_type.starts_with(expected["class"].get<std::string>())) << layer.op_type;
    EXPECT_EQ(layer.trainable, expected["trainable"]);
    if (expected.contains("epsilon")) {
      EXPECT_TRUE(IsBatchNorm(layer));
      EXPECT_EQ(layer.epsilon, expected["epsilon"].get<double>());
      EXPECT_EQ(layer.momentum, expected["momentum"].get<double>());
    }
    const auto& weights = recorded.config->layers[*id].facts.weights;
    if (weights) {
      EXPECT_EQ(weights->size(), expected["weights"].size());
    }
  }
}

// Within the whole model; a nested model is called by its layers' names.
TEST_P(KerasConfigTest, HasTheCallsThatKerasHas) {
  const RecordedConfig recorded = ReadRecorded(GetParam());
  const ModelGraph& graph = recorded.config->graph;
  for (const auto& expected : recorded.expected["layers"]) {
    const std::string path = expected["path"];
    SCOPED_TRACE(path);
    if (path.find('/') != std::string::npos) continue;
    const std::vector<NodeId> calls = graph.CallsOf(*graph.FindLayer(path));
    ASSERT_EQ(calls.size(), expected["calls"].size());
    for (std::size_t i = 0; i < calls.size(); ++i) {
      const Node& node = graph.nodes[calls[i]];
      // Keras 3 records every rank that something reads.
      const Value& output = graph.values[node.output];
      if (output.rank ||
          (GetParam().stem().string().starts_with("keras3") && !output.consumers.empty())) {
        EXPECT_EQ(output.rank, expected["calls"][i]["rank"].get<std::int64_t>());
      }
      std::vector<std::string> reads;
      for (const ValueId input : node.inputs) {
        const std::string& name =
            graph.layers[graph.nodes[*graph.values[input].producer].layer].name;
        reads.push_back(name.substr(0, name.find('/')));
      }
      EXPECT_EQ(reads, expected["calls"][i]["reads"].get<std::vector<std::string>>());
    }
  }
}

TEST_P(KerasConfigTest, ListsLayersInKerasOwnOrder) {
  const RecordedConfig recorded = ReadRecorded(GetParam());
  const ModelRecord& model = *recorded.config->model;
  EXPECT_EQ(OrderOf(*recorded.config, RemovedLayers(model.layers.size(), false)),
            recorded.expected["order"].get<std::vector<std::string>>());
}

TEST_P(KerasConfigTest, ListsWhatRemainsAsKerasListsAModelBuiltWithoutBatchNorm) {
  const RecordedConfig recorded = ReadRecorded(GetParam());
  const ModelRecord& model = *recorded.config->model;
  RemovedLayers removed;
  for (const LayerRecord& layer : model.layers) {
    removed.push_back(layer.class_name == "BatchNormalization" &&
                      layer.name != "bn_training");  // the twin has it too
  }
  EXPECT_EQ(OrderOf(*recorded.config, removed),
            recorded.expected["order_without_bn"].get<std::vector<std::string>>());
}

std::vector<std::filesystem::path> RecordedConfigs() {
  std::vector<std::filesystem::path> paths;
  for (const auto& entry :
       std::filesystem::directory_iterator(ckpt::testing::TestData() + "/keras_configs")) {
    paths.push_back(entry.path());
  }
  std::sort(paths.begin(), paths.end());
  return paths;
}

INSTANTIATE_TEST_SUITE_P(RecordedConfigs, KerasConfigTest, ::testing::ValuesIn(RecordedConfigs()),
                         [](const auto& test) { return test.param.stem().string(); });

TEST(KerasConfigsTest, MetBatchNormInBranchesReordersLayers) {
  const RecordedConfig recorded =
      ReadRecorded(ckpt::testing::TestData() + "/keras_configs/keras2_branches.json");
  std::vector<std::string> without;
  for (const std::string name : recorded.expected["order"]) {
    if (name.find("bn") == std::string::npos) without.push_back(name);
  }
  EXPECT_NE(without, recorded.expected["order_without_bn"].get<std::vector<std::string>>());
}

// Keras 2 counts the call that built a nested model, Keras 3 only where it lists outputs.
TEST(KerasConfigsTest, NestedModelsOfBothGenerationsGiveTheSameGraph) {
  for (const char* name : {"nested", "shared", "two_ended"}) {
    SCOPED_TRACE(name);
    const std::string folder = ckpt::testing::TestData() + "/keras_configs/";
    const RecordedConfig two = ReadRecorded(folder + "keras2_" + name + ".json");
    const RecordedConfig three = ReadRecorded(folder + "keras3_" + name + ".json");
    const ModelGraph &a = two.config->graph, &b = three.config->graph;
    ASSERT_EQ(a.nodes.size(), b.nodes.size());
    for (std::size_t i = 0; i < a.nodes.size(); ++i) {
      EXPECT_EQ(a.layers[a.nodes[i].layer].name, b.layers[b.nodes[i].layer].name);
      EXPECT_EQ(a.nodes[i].inputs, b.nodes[i].inputs);
      EXPECT_EQ(a.nodes[i].output, b.nodes[i].output);
    }
    for (std::size_t i = 0; i < a.values.size(); ++i) {
      // One of the two may say more.
      if (a.values[i].rank && b.values[i].rank) {
        EXPECT_EQ(*a.values[i].rank, *b.values[i].rank);
      }
      EXPECT_EQ(a.values[i].is_model_output, b.values[i].is_model_output);
    }
  }
}

TEST(KerasConfigsTest, NestedModelCalledTwiceHasTwoCallsOfEachOfItsLayers) {
  const RecordedConfig recorded =
      ReadRecorded(ckpt::testing::TestData() + "/keras_configs/keras2_nested.json");
  const ModelGraph& graph = recorded.config->graph;
  for (const char* path : {"block/inner/conv", "block/inner/bn", "block/block_bn"}) {
    EXPECT_EQ(graph.CallsOf(*graph.FindLayer(path)).size(), 2) << path;
  }
  EXPECT_FALSE(graph.layers[*graph.FindLayer("block/block_bn")].trainable);
}

TEST(KerasConfigsTest, OddCallsAreNotTakenForTheirUsualMeaning) {
  for (const char* generation : {"keras2", "keras3"}) {
    SCOPED_TRACE(generation);
    const RecordedConfig recorded =
        ReadRecorded(std::string(ckpt::testing::TestData() + "/keras_configs/") + generation +
                     "_odd_calls.json");
    const ModelGraph& graph = recorded.config->graph;
    const auto layer = [&](const char* name) { return graph.layers[*graph.FindLayer(name)]; };
    EXPECT_EQ(layer("bn_training").training_mode, "called with training=True");
    EXPECT_EQ(layer("bn_training").training_mode_overridden, generation == std::string("keras3"));
    EXPECT_TRUE(IsUnknown(layer("dropout_training")));
    EXPECT_TRUE(IsIdentity(layer("dropout")));
    EXPECT_TRUE(IsUnknown(layer("attention")));
    EXPECT_TRUE(IsDense(layer("steps")));
    EXPECT_EQ(layer("steps").op_type, "TimeDistributed(Dense)");
    EXPECT_TRUE(IsBatchNorm(layer("steps_bn")));
    EXPECT_EQ(layer("steps_bn").not_affine, "");
    EXPECT_TRUE(IsUnknown(layer("both_ways")));
    // The attention reads x by keyword, which must count as a consumer.
    const NodeId attention = graph.CallsOf(*graph.FindLayer("attention"))[0];
    EXPECT_EQ(graph.nodes[attention].inputs.size(), 2);
  }
}

}  // namespace
}  // namespace ckpt::formats::keras::keras_config_test
