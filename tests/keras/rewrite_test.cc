// What a fold changes in the config and in the order of weights. That real Keras loads the results
// and computes the same is tested in tests/interop/test_keras_h5.py.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>
#include <nlohmann/json.hpp>

#include "ckpt/layer_computation.h"
#include "formats/keras/h5/keras_h5.h"
#include "formats/keras/model/config_rewrite.h"
#include "formats/keras/model/weight_order.h"
#include "tests/support/paths.h"

namespace ckpt::formats::rewrite_test {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

Manifest ManifestOf(const std::string& fixture) {
  auto checkpoint = OpenKerasH5(
      SystemFiles(), ckpt::testing::TestData() + "/keras_h5/" + fixture + ".h5", Limits{});
  if (!checkpoint) {
    ADD_FAILURE() << ToString(checkpoint.error());
    return {};
  }
  return (*checkpoint)->manifest();
}

LayerId IdOf(const ModelGraph& graph, const std::string& name) {
  const auto id = graph.FindLayer(name);
  EXPECT_TRUE(id.has_value()) << name;
  return id.value_or(0);
}

std::string TextOf(const std::vector<Document>& documents, std::string_view name) {
  for (const Document& document : documents) {
    if (document.name == name) return document.text;
  }
  ADD_FAILURE() << "no document " << name;
  return "";
}

// The stored names of one layer's weights after `edits`.
std::vector<std::string> WeightsAfter(const std::vector<Document>& documents,
                                      const std::string& layer) {
  const auto order =
      keras::ParseWeightOrder(TextOf(documents, keras::kWeightOrderDocument)).value();
  for (const auto& group : order.groups) {
    if (group.kind != keras::WeightGroup::Kind::kLayer || group.layer != layer) continue;
    std::vector<std::string> stored;
    for (const auto& weight : group.weights) stored.push_back(weight.stored);
    return stored;
  }
  return {"absent"};
}

// The config after `edits`, parsed anew.
std::unique_ptr<keras::ModelConfig> Reparsed(const std::vector<Document>& documents,
                                             const std::string& version = "2.15.0") {
  auto config = keras::ParseModelConfig(TextOf(documents, "model_config"), version);
  if (!config) {
    ADD_FAILURE() << config.error().message;
    return nullptr;
  }
  return *std::move(config);
}

std::vector<std::string> LayerNames(const ModelGraph& graph) {
  std::vector<std::string> names;
  for (const Layer& layer : graph.layers) names.push_back(layer.name);
  return names;
}

// The config alone, without a file.
struct Rewritten {
  std::string text;
  std::unique_ptr<keras::ModelConfig> config;
};
Rewritten RewriteText(const std::string& text, const std::string& version,
                      const std::vector<std::string>& removed,
                      const std::vector<std::string>& gained_bias = {},
                      const std::vector<std::string>& to_affine = {}) {
  auto config = keras::ParseModelConfig(text, version);
  if (!config) {
    ADD_FAILURE() << config.error().message;
    return {};
  }
  GraphEdits edits;
  for (const auto& name : removed) edits.removed.push_back(IdOf((*config)->graph, name));
  for (const auto& name : gained_bias) edits.gained_bias.push_back(IdOf((*config)->graph, name));
  for (const auto& name : to_affine) edits.to_affine.push_back(IdOf((*config)->graph, name));
  auto rewritten = keras::RewriteConfig(**config, edits);
  if (!rewritten) {
    ADD_FAILURE() << rewritten.error().message;
    return {};
  }
  auto again = keras::ParseModelConfig(rewritten->text, version);
  EXPECT_TRUE(again.has_value()) << (again ? "" : again.error().message) << rewritten->text;
  if (!again) return {};
  return {rewritten->text, *std::move(again)};
}

TEST(KerasRewriteTest, WithoutEditsNothingChanges) {
  const Manifest manifest = ManifestOf("trained_functional_adam");
  const auto documents = RewriteKerasH5(manifest, {});
  ASSERT_TRUE(documents.has_value());
  ASSERT_EQ(documents->size(), manifest.documents.size());
  for (std::size_t i = 0; i < documents->size(); ++i) {
    EXPECT_EQ((*documents)[i].text, manifest.documents[i].text);
  }
}

TEST(KerasRewriteTest, FunctionalModelLosesItsBatchNormAndGainsABias) {
  const Manifest manifest = ManifestOf("conv2d_no_bias_bn");
  const ModelGraph& graph = *manifest.graph;
  const auto documents = RewriteKerasH5(
      manifest, {.removed = {IdOf(graph, "bn")}, .gained_bias = {IdOf(graph, "conv")}});
  ASSERT_TRUE(documents.has_value()) << documents.error().message;
  const auto config = Reparsed(*documents);
  EXPECT_THAT(LayerNames(config->graph), ElementsAre("image", "conv", "relu"));
  EXPECT_EQ(config->layers[1].facts.weights->back().name, "bias");
  const ModelGraph& after = config->graph;
  const Node& relu = after.nodes[after.CallsOf(IdOf(after, "relu"))[0]];
  EXPECT_EQ(after.nodes[*after.values[relu.inputs[0]].producer].layer, IdOf(after, "conv"));
  EXPECT_THAT(WeightsAfter(*documents, "conv"), ElementsAre("conv/kernel:0", "conv/bias:0"));
  EXPECT_THAT(WeightsAfter(*documents, "bn"), ElementsAre("absent"));
  EXPECT_THAT(WeightsAfter(*documents, "relu"), IsEmpty());
}

TEST(KerasRewriteTest, NestedModelKeepsItsNodeNumbersAndTheOrderOfItsWeights) {
  const Manifest manifest = ManifestOf("nested_functional");
  const ModelGraph& graph = *manifest.graph;
  const auto documents =
      RewriteKerasH5(manifest, {.removed = {IdOf(graph, "inner/inner_bn"), IdOf(graph, "outer_bn")},
                                .gained_bias = {IdOf(graph, "inner/inner_conv")}});
  ASSERT_TRUE(documents.has_value()) << documents.error().message;
  const auto config = Reparsed(*documents);
  EXPECT_THAT(LayerNames(config->graph), ElementsAre("outer_image", "inner/inner_conv",
                                                     "inner/inner_relu", "inner/inner_conv2"));
  // The output of the model is now the nested model's, by the number that its call has there.
  EXPECT_EQ((*keras::Find(*config->model->config, "output_layers"))[0].dump(), R"(["inner",1,0])");
  EXPECT_TRUE(config->graph.values[config->graph.nodes.back().output].is_model_output);
  EXPECT_THAT(WeightsAfter(*documents, "inner"),
              ElementsAre("inner_conv/kernel:0", "inner_conv/bias:0", "inner_conv2/kernel:0",
                          "inner_conv2/bias:0"));
}

TEST(KerasRewriteTest, WeightsOfAFrozenNestedBatchNormGoFromBehindTheTrainableOnes) {
  const Manifest manifest = ManifestOf("nested_frozen_bn");
  const auto documents =
      RewriteKerasH5(manifest, {.removed = {IdOf(*manifest.graph, "inner/inner_bn")}});
  ASSERT_TRUE(documents.has_value());
  EXPECT_THAT(WeightsAfter(*documents, "inner"),
              ElementsAre("inner_conv/kernel:0", "inner_conv/bias:0", "inner_conv2/kernel:0",
                          "inner_conv2/bias:0"));
}

TEST(KerasRewriteTest, KeepsTheNamesOfKeras3) {
  const Manifest manifest = ManifestOf("keras3_functional");
  const ModelGraph& graph = *manifest.graph;
  const auto documents = RewriteKerasH5(
      manifest, {.removed = {IdOf(graph, "bn_b")}, .gained_bias = {IdOf(graph, "conv_b")}});
  ASSERT_TRUE(documents.has_value());
  EXPECT_THAT(WeightsAfter(*documents, "conv_b"), ElementsAre("conv_b/kernel", "conv_b/bias"));
  const auto config = Reparsed(*documents, "3.15.1");
  EXPECT_FALSE(config->graph.FindLayer("bn_b").has_value());
}

TEST(KerasRewriteTest, AffineBatchNormHasBothVectorsInKerasOrder) {
  const Manifest none = ManifestOf("conv_bn_neither");
  const auto documents = RewriteKerasH5(none, {.to_affine = {IdOf(*none.graph, "bn")}});
  ASSERT_TRUE(documents.has_value());
  EXPECT_THAT(WeightsAfter(*documents, "bn"),
              ElementsAre("bn/gamma:0", "bn/beta:0", "bn/moving_mean:0", "bn/moving_variance:0"));
  const Layer layer = Reparsed(*documents)->graph.layers[2];
  EXPECT_TRUE(layer.has_scale && layer.has_center);

  const Manifest no_scale = ManifestOf("conv_bn_no_scale");
  EXPECT_THAT(
      WeightsAfter(*RewriteKerasH5(no_scale, {.to_affine = {IdOf(*no_scale.graph, "bn")}}), "bn"),
      ElementsAre("bn/gamma:0", "bn/beta:0", "bn/moving_mean:0", "bn/moving_variance:0"));
}

TEST(KerasRewriteTest, AffineBatchNormLosesItsRenormalisation) {
  const Manifest manifest = ManifestOf("conv_bn_renorm");
  const auto documents = RewriteKerasH5(manifest, {.to_affine = {IdOf(*manifest.graph, "bn")}});
  ASSERT_TRUE(documents.has_value());
  EXPECT_EQ(WeightsAfter(*documents, "bn").size(), 4);
  EXPECT_EQ(Reparsed(*documents)->layers[2].facts.weights->size(), 4);
}

TEST(KerasRewriteTest, EditsThatTheConfigCannotTakeAreRefused) {
  const Manifest manifest = ManifestOf("conv2d_bn");
  const LayerId relu = IdOf(*manifest.graph, "relu");
  for (const GraphEdits& edits : {GraphEdits{.removed = {relu}}, GraphEdits{.gained_bias = {relu}},
                                  GraphEdits{.to_affine = {relu}}}) {
    const auto documents = RewriteKerasH5(manifest, edits);
    ASSERT_FALSE(documents.has_value());
    EXPECT_EQ(documents.error().code, ErrorCode::kUnsupported);
    EXPECT_THAT(documents.error().message, HasSubstr("\"relu\""));
  }
  const auto beyond = RewriteKerasH5(manifest, {.removed = {99}});
  ASSERT_FALSE(beyond.has_value());
  EXPECT_EQ(beyond.error().code, ErrorCode::kInternal);
  const auto no_graph = RewriteKerasH5(ManifestOf("weights_only_conv2d_bn"), {.removed = {0}});
  ASSERT_FALSE(no_graph.has_value());
  EXPECT_EQ(no_graph.error().code, ErrorCode::kInternal);
}

// Keras' own order of a model without the batch norms, from keras_configs.py.
TEST(KerasRewriteTest, BranchesAreListedAsKerasListsThemAfterwards) {
  for (const char* generation : {"keras2", "keras3"}) {
    SCOPED_TRACE(generation);
    const auto recorded = nlohmann::json::parse(
        std::ifstream(std::string(ckpt::testing::TestData() + "/keras_configs/") + generation +
                      "_branches.json"));
    const std::string text = recorded["model_config"], version = recorded["keras_version"];
    std::vector<std::string> removed;
    for (const std::string name : recorded["order"]) {
      if (name.find("bn") != std::string::npos) removed.push_back(name);
    }
    const Rewritten rewritten = RewriteText(text, version, removed);
    EXPECT_EQ(LayerNames(rewritten.config->graph),
              recorded["order_without_bn"].get<std::vector<std::string>>());
    EXPECT_EQ(rewritten.text.find("bn"), std::string::npos) << rewritten.text;
  }
}

TEST(KerasRewriteTest, OutputsThatWereABatchNormAreItsInput) {
  for (const char* generation : {"keras2", "keras3"}) {
    SCOPED_TRACE(generation);
    const auto recorded = nlohmann::json::parse(
        std::ifstream(std::string(ckpt::testing::TestData() + "/keras_configs/") + generation +
                      "_two_ended.json"));
    const std::string version = recorded["keras_version"];
    const Rewritten rewritten =
        RewriteText(recorded["model_config"], version, {"bn", "inner/inner_bn"});
    EXPECT_EQ((*keras::Find(*rewritten.config->model->config, "output_layers"))[1].dump(),
              R"(["inner",1,0])");  // both count the nested model's own node here
  }
}

constexpr const char* kSequential = R"({"class_name":"Sequential","config":[
  {"class_name":"BatchNormalization","config":{"name":"bn","batch_input_shape":[null,4],
   "input_dtype":"float32","axis":-1,"mode":0,"epsilon":0.001}},
  {"class_name":"Dense","config":{"name":"dense","output_dim":3,"bias":false,
   "bias_initializer":null}},
  {"class_name":"Activation","config":{"name":"last","activation":"softmax"}}]})";

TEST(KerasRewriteTest, FirstLayerOfASequentialHandsItsInputShapeOn) {
  const Rewritten rewritten = RewriteText(kSequential, "1.2.2", {"bn"}, {"dense"});
  EXPECT_THAT(LayerNames(rewritten.config->graph), ElementsAre("dense", "last"));
  const keras::Json& config = *keras::Find(rewritten.config->document["config"][0], "config");
  EXPECT_EQ(config["batch_input_shape"].dump(), "[null,4]");
  EXPECT_EQ(config["input_dtype"], "float32");
  EXPECT_EQ(config["bias"], true);  // as Keras 1 spells it
  EXPECT_FALSE(config.contains("use_bias"));
  EXPECT_EQ(config["bias_initializer"], "zeros");
  EXPECT_EQ(rewritten.config->graph.values[0].rank, 2);
}

TEST(KerasRewriteTest, AModelThatWouldBeEmptyKeepsAnIdentity) {
  const std::string text = R"({"class_name":"Sequential","config":{"name":"outer","layers":[
    {"class_name":"Sequential","config":{"name":"inner","layers":[
      {"class_name":"InputLayer","config":{"name":"in","batch_input_shape":[null,4]}},
      {"class_name":"BatchNormalization","config":{"name":"bn","axis":[1],"dtype":"float32"}}]}},
    {"class_name":"Dense","config":{"name":"dense"}}]}})";
  const Rewritten rewritten = RewriteText(text, "2.15.0", {"inner/bn"}, {"dense"});
  const ModelGraph& graph = rewritten.config->graph;
  EXPECT_THAT(LayerNames(graph), ElementsAre("inner/bn", "dense"));
  EXPECT_TRUE(IsIdentity(graph.layers[0]));
  EXPECT_EQ(graph.layers[0].op_type, "Activation");
}

TEST(KerasRewriteTest, TensorsInKeywordArgumentsAreRewiredToo) {
  const std::string text = R"({"class_name":"Functional","config":{"name":"m","layers":[
    {"class_name":"InputLayer","name":"x","config":{"name":"x"},"inbound_nodes":[]},
    {"class_name":"Dense","name":"d","config":{"name":"d"},"inbound_nodes":[[["x",0,0,{}]]]},
    {"class_name":"BatchNormalization","name":"b","config":{"name":"b","axis":[1]},
     "inbound_nodes":[[["d",0,0,{}]]]},
    {"class_name":"Custom","name":"c","config":{"name":"c"},
     "inbound_nodes":[[["x",0,0,{"other":["b",0,0],"word":["none",0,0]}]]]}],
    "input_layers":[["x",0,0]],"output_layers":[["c",0,0]]}})";
  const Rewritten rewritten = RewriteText(text, "2.15.0", {"b"});
  EXPECT_THAT(rewritten.text, HasSubstr(R"({"other":["d",0,0],"word":["none",0,0]})"));
}

TEST(KerasRewriteTest, TwoBatchNormsInARowLeaveWhatFeedsTheFirst) {
  const Manifest manifest = ManifestOf("conv_bn_bn");
  const ModelGraph& graph = *manifest.graph;
  const auto documents =
      RewriteKerasH5(manifest, {.removed = {IdOf(graph, "bn2"), IdOf(graph, "bn1")}});
  ASSERT_TRUE(documents.has_value());
  const auto config = Reparsed(*documents);
  EXPECT_THAT(LayerNames(config->graph), ElementsAre("image", "conv"));
  EXPECT_TRUE(config->graph.values[config->graph.nodes[1].output].is_model_output);
}

TEST(KerasRewriteTest, ABatchNormCalledTwiceIsReplacedByTheCallThatFedEach) {
  const Manifest manifest = ManifestOf("shared_conv_and_bn");
  const auto documents = RewriteKerasH5(manifest, {.removed = {IdOf(*manifest.graph, "bn")}});
  ASSERT_TRUE(documents.has_value());
  EXPECT_THAT(TextOf(*documents, "model_config"),
              HasSubstr(R"("inbound_nodes":[[["conv",0,0,{}],["conv",1,0,{}]]])"));
}

// Inside a nested model weights are stored by its layers' order, which a fold can change.
TEST(KerasRewriteTest, NestedWeightsFollowTheNewOrderOfTheirLayers) {
  const auto layer = [](const std::string& type, const std::string& name, const std::string& from,
                        const std::string& more = "") {
    std::string nodes;
    for (const char c : from)
      nodes += (nodes.empty() ? "" : ",") + ("[\"" + std::string(1, c)) + "\",0,0,{}]";
    return R"({"class_name":")" + type + R"(","name":")" + name + R"(","config":{"name":")" + name +
           "\"" + more + R"(},"inbound_nodes":)" + (nodes.empty() ? "[]" : "[[" + nodes + "]]") +
           "}";
  };
  // p -> b (BN) -> s and q -> s: p is deeper by the batch norm and so listed first; without it the
  // walk back from s meets q first.
  const std::string inner =
      R"({"class_name":"Functional","name":"inner","config":{"name":"inner","layers":[)" +
      layer("InputLayer", "i", "") + "," + layer("Dense", "p", "i") + "," +
      layer("BatchNormalization", "b", "p", R"(,"axis":[1])") + "," + layer("Dense", "q", "i") +
      "," + layer("Add", "s", "qb") +
      R"(],"input_layers":[["i",0,0]],"output_layers":[["s",0,0]]},"inbound_nodes":[[["x",0,0,{}]]]})";
  const std::string text = R"({"class_name":"Functional","config":{"name":"m","layers":[)" +
                           layer("InputLayer", "x", "") + "," + inner +
                           R"(],"input_layers":[["x",0,0]],"output_layers":[["inner",1,0]]}})";
  Manifest manifest;
  manifest.framework_version = "2.15.0";
  auto config = keras::ParseModelConfig(text, "2.15.0");
  ASSERT_TRUE(config.has_value()) << config.error().message;
  manifest.graph = (*config)->graph;
  keras::WeightGroup group{.layer = "inner"};
  for (const char* name : {"p/kernel", "p/bias", "b/gamma", "b/beta", "q/kernel", "q/bias",
                           "b/moving_mean", "b/moving_variance"}) {
    group.weights.push_back({std::string("inner/") + name, std::string(name) + ":0"});
  }
  manifest.documents = {{"model_config", text},
                        {std::string(keras::kWeightOrderDocument),
                         keras::WeightOrderText({{{.layer = "x"}, group}})}};
  const auto documents = RewriteKerasH5(manifest, {.removed = {IdOf(*manifest.graph, "inner/b")}});
  ASSERT_TRUE(documents.has_value()) << documents.error().message;
  EXPECT_THAT(WeightsAfter(*documents, "inner"),
              ElementsAre("q/kernel:0", "q/bias:0", "p/kernel:0", "p/bias:0"));
}

}  // namespace
}  // namespace ckpt::formats::rewrite_test
