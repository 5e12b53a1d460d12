// What Keras itself says of the variables of its archives, by name and value.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <map>

#include "ckpt/formats/format.h"
#include "ckpt/layer_computation.h"
#include "tests/keras3/keras3_files.h"

namespace ckpt::formats::archive_reader_test {
namespace {

using ckpt::testing::ExpectTensor;
using ckpt::testing::Info;
using ckpt::testing::Keras3Path;
using ckpt::testing::OpenArchive;
using ckpt::testing::ReadExpected;
using ckpt::testing::StoredAs;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

// A class that is not known, and an object that only its attribute tells of, have numbers.
std::string NameHere(const std::string& name) {
  static const std::map<std::string, std::string> numbered = {{"conv_one/kernel", "conv_one/0"},
                                                              {"conv_one/bias", "conv_one/1"},
                                                              {"twice/factor", "twice/0"}};
  const auto found = numbered.find(name);
  return found == numbered.end() ? name : found->second;
}

class KerasArchive : public ::testing::TestWithParam<std::string> {};

TEST_P(KerasArchive, HasTheVariablesOfKerasUnderTheirNames) {
  const auto archive = OpenArchive(GetParam());
  ASSERT_NE(archive, nullptr);
  const auto expected = ReadExpected(Keras3Path(GetParam()) + ".expected.json");
  ASSERT_FALSE(expected["tensors"].empty());
  for (const auto& tensor : expected["tensors"]) {
    ExpectTensor(*archive, tensor, NameHere(tensor["name"].get<std::string>()));
  }
  // Every dataset is listed, under its path too.
  for (const auto& dataset : expected["datasets"]) {
    ExpectTensor(*archive, dataset, dataset["name"].get<std::string>());
  }
  EXPECT_EQ(archive->manifest().tensors.size(), expected["datasets"].size());
  EXPECT_EQ(archive->manifest().framework, Framework::kKeras);
  EXPECT_THAT(archive->manifest().problems, IsEmpty());
}

TEST_P(KerasArchive, HasAGraphWithAllItsTensors) {
  if (GetParam().find("subclass") != std::string::npos) GTEST_SKIP() << "records no layers";
  const auto archive = OpenArchive(GetParam());
  ASSERT_NE(archive, nullptr);
  const Manifest& manifest = archive->manifest();
  ASSERT_TRUE(manifest.graph.has_value());
  std::size_t bound = 0, of_model = 0;
  for (const Layer& layer : manifest.graph->layers) {
    EXPECT_THAT(layer.missing_tensors, IsEmpty()) << layer.name;
    bound += layer.tensors.size();
  }
  for (const TensorInfo& info : manifest.tensors) of_model += info.section == Section::kModel;
  EXPECT_EQ(bound, of_model);
}

TEST_P(KerasArchive, IsRecognisedByItsContent) {
  const auto opened = OpenCheckpoint(Keras3Path(GetParam()));
  ASSERT_TRUE(opened.has_value()) << ToString(opened.error());
  EXPECT_EQ((*opened)->format(), "keras");
}

INSTANTIATE_TEST_SUITE_P(Fixtures, KerasArchive,
                         ::testing::Values("k3_functional.keras", "k3_sequential.keras",
                                           "k3_nested.keras", "k3_trained.keras",
                                           "k3_reordered.keras", "k3_many.keras", "k3_shared.keras",
                                           "k3_wrappers.keras", "k3_custom.keras",
                                           "k3_subclass.keras", "k2_functional.keras",
                                           "k2_sequential.keras", "k2_nested.keras",
                                           "k2_trained.keras"));

TEST(KerasArchiveTest, GroupNamesAreNotLayerNames) {
  for (const char* name : {"k3_functional.keras", "k2_functional.keras"}) {
    const auto archive = OpenArchive(name);
    ASSERT_NE(archive, nullptr);
    // In the order of the model's layers, not by their own names.
    const std::string own = StoredAs(*archive, "batch_normalization/moving_mean");
    EXPECT_THAT(own, ::testing::MatchesRegex("layers/batch_normalization_[123]/vars/2"));
    // Without gamma the variables move up; without beta too.
    EXPECT_THAT(StoredAs(*archive, "bn_b/moving_mean"), ::testing::EndsWith("/vars/1"));
    EXPECT_THAT(StoredAs(*archive, "bn_s/moving_variance"), ::testing::EndsWith("/vars/2"));
  }
}

TEST(KerasArchiveTest, MoreThanTenOfOneClassAreNotSortedAsText) {
  const auto archive = OpenArchive("k3_many.keras");
  ASSERT_NE(archive, nullptr);
  EXPECT_EQ(StoredAs(*archive, "dense_11/kernel"), "layers/dense/vars/0");
  EXPECT_EQ(StoredAs(*archive, "dense_9/kernel"), "layers/dense_2/vars/0");
  EXPECT_EQ(StoredAs(*archive, "dense_1/kernel"), "layers/dense_10/vars/0");
}

TEST(KerasArchiveTest, LayersOfNestedModelsAndWrappersAreFound) {
  const auto nested = OpenArchive("k3_nested.keras");
  ASSERT_NE(nested, nullptr);
  EXPECT_EQ(StoredAs(*nested, "inner/ibn/gamma"),
            "layers/sequential/layers/batch_normalization/vars/0");
  EXPECT_EQ(StoredAs(*nested, "g/gc/kernel"), "layers/functional/layers/conv2d/vars/0");
  const auto wrappers = OpenArchive("k3_wrappers.keras");
  ASSERT_NE(wrappers, nullptr);
  EXPECT_EQ(StoredAs(*wrappers, "td2/td_bn/beta"), "layers/time_distributed_1/layer/vars/1");
  const auto layer = wrappers->manifest().graph->FindLayer("td2");
  ASSERT_TRUE(layer.has_value());
  EXPECT_TRUE(IsBatchNorm(wrappers->manifest().graph->layers[*layer]));
  EXPECT_TRUE(wrappers->manifest().graph->layers[*layer].tensors.contains("moving_variance"));
}

TEST(KerasArchiveTest, OptimizerVariablesAreToldApart) {
  for (const char* name : {"k3_trained.keras", "k2_trained.keras"}) {
    const auto archive = OpenArchive(name);
    ASSERT_NE(archive, nullptr);
    EXPECT_EQ(Info(*archive, "optimizer/vars/0")->section, Section::kOptimizer);
    EXPECT_EQ(Info(*archive, "bn/gamma")->section, Section::kModel);
    // Adam: two slots for each of conv/kernel, conv/bias, bn/gamma, bn/beta, head/kernel,
    // head/bias.
    std::map<std::string, int> slots;
    for (const TensorInfo& info : archive->manifest().tensors) {
      if (!info.slot_of) continue;
      EXPECT_EQ(info.section, Section::kOptimizer);
      ++slots[archive->manifest().tensors[info.slot_of->index].name];
    }
    EXPECT_EQ(slots, (std::map<std::string, int>{{"bn/beta", 2},
                                                 {"bn/gamma", 2},
                                                 {"conv/bias", 2},
                                                 {"conv/kernel", 2},
                                                 {"head/bias", 2},
                                                 {"head/kernel", 2}}));
  }
}

TEST(KerasArchiveTest, CodeOfOthersIsNamed) {
  const auto custom = OpenArchive("k3_custom.keras");
  ASSERT_NE(custom, nullptr);
  EXPECT_THAT(custom->manifest().note, HasSubstr("Twice"));
  const auto subclass = OpenArchive("k3_subclass.keras");
  ASSERT_NE(subclass, nullptr);
  EXPECT_FALSE(subclass->manifest().graph.has_value());
  EXPECT_THAT(subclass->manifest().metadata.at("model_config"), HasSubstr("Subclass"));
}

TEST(KerasArchiveTest, ARegisteredClassIsNotKerasOwnWhateverItsName) {
  auto members = ckpt::testing::MembersOf("k3_custom.keras");
  members["config.json"] = ckpt::testing::Replaced(
      ckpt::testing::Replaced(members["config.json"], "Zoo>Twice", "Zoo>Dropout"),
      "\"class_name\": \"Twice\"", "\"class_name\": \"Dropout\"");
  const auto opened = ckpt::testing::OpenArchiveBytes(ckpt::testing::ArchiveOf(members));
  ASSERT_TRUE(opened.has_value()) << ToString(opened.error());
  const ModelGraph& graph = *(*opened)->manifest().graph;
  EXPECT_TRUE(IsUnknown(graph.layers[*graph.FindLayer("twice")]));
}

TEST(KerasArchiveTest, KeepsItsTexts) {
  const auto archive = OpenArchive("k2_sequential.keras");
  ASSERT_NE(archive, nullptr);
  std::vector<std::string> names;
  for (const Document& document : archive->manifest().documents) names.push_back(document.name);
  EXPECT_THAT(names, ElementsAre("variable_layout", "metadata.json", "config.json"));
  EXPECT_EQ(archive->manifest().framework_version, "2.15.0");
}

}  // namespace
}  // namespace ckpt::formats::archive_reader_test
