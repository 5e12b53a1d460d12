// What Keras 2.15 and 3.15 record of training, in each container.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "ckpt/batch_norm.h"
#include "ckpt/fold.h"
#include "ckpt/formats/format.h"
#include "formats/keras/model/config_rewrite.h"
#include "tests/support/paths.h"

namespace ckpt::formats::training_facts_test {
namespace {

using ::testing::HasSubstr;

std::unique_ptr<Checkpoint> Open(const std::string& name) {
  auto opened = OpenCheckpoint(ckpt::testing::TestData() + "/keras_training/" + name);
  if (opened) return *std::move(opened);
  ADD_FAILURE() << name << ": " << ToString(opened.error());
  return nullptr;
}

const Layer* Named(const Manifest& manifest, std::string_view name) {
  const auto id = manifest.graph ? manifest.graph->FindLayer(name) : std::nullopt;
  return id ? &manifest.graph->layers[*id] : nullptr;
}

std::vector<double> ValuesOf(const Checkpoint& checkpoint, TensorId id) {
  auto values = ReadDoubles(checkpoint, id, 1000);
  EXPECT_TRUE(values.has_value());
  return values ? *std::move(values) : std::vector<double>();
}

std::string DocumentOf(const Manifest& manifest, std::string_view name) {
  for (const Document& document : manifest.documents) {
    if (document.name == name) return document.text;
  }
  return "";
}

class EachContainer : public ::testing::TestWithParam<const char*> {};
INSTANTIATE_TEST_SUITE_P(Keras2And3, EachContainer,
                         ::testing::Values("k2_few_steps.h5", "k2_few_steps.keras",
                                           "k2_few_steps.weights.h5", "k3_few_steps.h5",
                                           "k3_few_steps.keras", "k3_few_steps.weights.h5"));

TEST_P(EachContainer, HasTheStep) {
  const auto file = Open(GetParam());
  ASSERT_NE(file, nullptr);
  const Analysis analysis = Analyse(file->manifest());
  ASSERT_TRUE(analysis.step.has_value());
  const auto step = ReadDoubles(*file, *analysis.step, 1);
  ASSERT_TRUE(step.has_value());
  EXPECT_EQ(step->front(), 3);
}

TEST(KerasTrainingFacts, AFrozenModelFreezesTheBatchNormsInIt) {
  for (const char* name : {"k2_frozen_sequential.h5", "k2_frozen_functional.keras",
                           "k3_frozen_sequential.keras", "k3_frozen_functional.h5"}) {
    const auto file = Open(name);
    ASSERT_NE(file, nullptr);
    const Analysis analysis = Analyse(file->manifest());
    ASSERT_EQ(analysis.batch_norms.size(), 1U) << name;
    EXPECT_TRUE(analysis.batch_norms[0].frozen) << name;
  }
}

TEST(KerasTrainingFacts, WithoutAConfigTheOptimizersVariablesTellWhatIsFrozen) {
  for (const char* name : {"k2_frozen_sequential.weights.h5", "k3_frozen_functional.weights.h5"}) {
    const auto file = Open(name);
    ASSERT_NE(file, nullptr);
    const Analysis analysis = Analyse(file->manifest());
    ASSERT_EQ(analysis.batch_norms.size(), 1U) << name;
    EXPECT_TRUE(analysis.batch_norms[0].frozen) << name;
  }
  const auto trained = Open("k3_few_steps.weights.h5");
  ASSERT_NE(trained, nullptr);
  EXPECT_FALSE(Analyse(trained->manifest()).batch_norms.at(0).frozen);
}

TEST(KerasTrainingFacts, ACallOfTheModelAroundItPutsABatchNormInTrainingMode) {
  for (const char* name :
       {"k2_called_in_training_sequential.h5", "k2_called_in_training_functional.keras"}) {
    const auto file = Open(name);
    ASSERT_NE(file, nullptr);
    const Layer* layer = Named(file->manifest(), "base/bbn");
    ASSERT_NE(layer, nullptr) << name;
    EXPECT_THAT(layer->training_mode, HasSubstr("training=True")) << name;
    EXPECT_FALSE(layer->training_mode_overridden) << name;
    EXPECT_EQ(layer->not_affine, "") << name;
    EXPECT_EQ(layer->not_inference, "") << name;
  }
  const auto file = Open("k3_called_in_training_functional.keras");
  ASSERT_NE(file, nullptr);
  const Layer* layer = Named(file->manifest(), "base/bbn");
  ASSERT_NE(layer, nullptr);
  EXPECT_NE(layer->training_mode, "");
  EXPECT_TRUE(layer->training_mode_overridden);
}

TEST(KerasTrainingFacts, ACallForInferenceKeepsTheStatistics) {
  const auto file = Open("k2_called_for_inference.h5");
  ASSERT_NE(file, nullptr);
  const Layer* layer = Named(file->manifest(), "base/bbn");
  ASSERT_NE(layer, nullptr);
  EXPECT_TRUE(layer->inference_only);
  EXPECT_EQ(layer->training_mode, "");
}

// The call that decides is that of the Sequential, whose layers record none.
TEST(KerasTrainingFacts, ClosingTrainingModeEditsTheCallThatDecides) {
  for (const char* name :
       {"k2_called_in_training_sequential.h5", "k2_called_in_training_functional.h5"}) {
    const auto file = Open(name);
    ASSERT_NE(file, nullptr);
    const std::string text = DocumentOf(file->manifest(), "model_config");
    auto config = keras::ParseModelConfig(text, "2.15.0");
    ASSERT_TRUE(config.has_value());
    const auto id = (*config)->graph.FindLayer("base/bbn");
    ASSERT_TRUE(id.has_value());
    const auto rewritten = keras::RewriteConfig(**config, {.to_inference = {*id}});
    ASSERT_TRUE(rewritten.has_value()) << rewritten.error().message;
    const auto after = keras::ParseModelConfig(rewritten->text, "2.15.0");
    ASSERT_TRUE(after.has_value());
    EXPECT_EQ((*after)->graph.layers[*id].training_mode, "") << name;
    EXPECT_TRUE((*after)->graph.layers[*id].inference_only) << name;
  }
}

TEST(KerasTrainingFacts, TheOptimizersAveragesAreShadowsOfTheWeights) {
  for (const char* name :
       {"k2_average.h5", "k2_average.keras", "k3_average.h5", "k3_average.keras"}) {
    const auto file = Open(name);
    ASSERT_NE(file, nullptr);
    const Manifest& manifest = file->manifest();
    const auto made = Open(std::string(name, 2) + "_average.npz");  // by the optimizer itself
    ASSERT_NE(made, nullptr);
    const Analysis analysis = Analyse(manifest);
    std::size_t shadows = 0;
    for (std::uint32_t i = 0; i < manifest.tensors.size(); ++i) {
      if (analysis.roles[i].role != Role::kEmaShadow) continue;
      ++shadows;
      ASSERT_TRUE(analysis.roles[i].of.has_value()) << name;
      const std::string& weight = manifest.tensors[analysis.roles[i].of->index].name;
      const std::string plain = weight.substr(weight.rfind('/', weight.rfind('/') - 1) + 1);
      const auto expected = FindTensor(made->manifest(), plain);
      ASSERT_TRUE(expected.has_value()) << weight;
      EXPECT_EQ(ValuesOf(*file, TensorId{i}), ValuesOf(*made, *expected)) << name << ": " << weight;
    }
    EXPECT_EQ(shadows, made->manifest().tensors.size()) << name;
  }
}

TEST(KerasTrainingFacts, AClassThatExtendsBatchNormalizationHasItsConfig) {
  for (const char* name :
       {"k2_own_class.h5", "k2_own_class.keras", "k3_own_class.h5", "k3_own_class.keras"}) {
    const auto file = Open(name);
    ASSERT_NE(file, nullptr);
    const Analysis analysis = Analyse(file->manifest());
    ASSERT_EQ(analysis.batch_norms.size(), 1U) << name;
    const BatchNorm& norm = analysis.batch_norms[0];
    EXPECT_EQ(norm.epsilon->value, 0.02) << name;
    EXPECT_EQ(norm.momentum->value, 0.5) << name;
    EXPECT_TRUE(norm.gamma && norm.beta && norm.moving_mean && norm.moving_variance) << name;
  }
}

TEST(KerasTrainingFacts, SuchAClassIsFoldedWhereTheUserPairsIt) {
  const auto file = Open("k2_own_class.h5");
  ASSERT_NE(file, nullptr);
  const Analysis analysis = Analyse(file->manifest());
  FoldOptions options{.fold = true};
  auto plan = PlanFold(*file, analysis, options);
  ASSERT_TRUE(plan.has_value());
  EXPECT_TRUE(plan->folded.empty());
  EXPECT_EQ(plan->kept.at(0).remedy, Remedy::kGivePair);

  options.pairs = {{.batch_norm = "base/bbn", .into = "base/bc/kernel", .bias = "base/bc/bias"}};
  plan = PlanFold(*file, analysis, options);
  ASSERT_TRUE(plan.has_value()) << plan.error().message;
  ASSERT_EQ(plan->folded.size(), 1U) << plan->kept.at(0).reason;
  EXPECT_EQ(plan->folded[0].epsilon.value, 0.02);

  options.pairs[0].into = "head/kernel";
  EXPECT_FALSE(PlanFold(*file, analysis, options).has_value());
}

TEST(KerasTrainingFacts, BatchNormsInsideALayerOfOnesOwnAreToldApart) {
  for (const char* name : {"k2_own_layer.h5", "k2_own_layer.keras", "k2_own_layer.weights.h5",
                           "k3_own_layer.h5", "k3_own_layer.keras", "k3_own_layer.weights.h5"}) {
    const auto file = Open(name);
    ASSERT_NE(file, nullptr);
    EXPECT_EQ(Analyse(file->manifest()).batch_norms.size(), 2U) << name;
  }
}

}  // namespace
}  // namespace ckpt::formats::training_facts_test
