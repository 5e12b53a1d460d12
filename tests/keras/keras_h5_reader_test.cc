#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <filesystem>

#include "ckpt/layer_computation.h"
#include "formats/keras/h5/keras_h5.h"
#include "formats/keras/model/weight_order.h"
#include "tests/support/expected_tensors.h"
#include "tests/support/paths.h"

namespace ckpt::formats::keras_h5_reader_test {
namespace {

using ::testing::ElementsAre;

std::unique_ptr<Checkpoint> OpenOrFail(const std::string& path) {
  auto checkpoint = OpenKerasH5(SystemFiles(), path, Limits{});
  if (!checkpoint) ADD_FAILURE() << ToString(checkpoint.error());
  return checkpoint ? *std::move(checkpoint) : nullptr;
}

std::unique_ptr<Checkpoint> OpenFixture(const std::string& name) {
  return OpenOrFail(ckpt::testing::TestData() + "/keras_h5/" + name + ".h5");
}

keras::WeightOrder OrderOf(const Manifest& manifest) {
  for (const Document& document : manifest.documents) {
    if (document.name == keras::kWeightOrderDocument)
      return *keras::ParseWeightOrder(document.text);
  }
  ADD_FAILURE() << "no weight order";
  return {};
}

class KerasH5FixtureTest : public ::testing::TestWithParam<std::filesystem::path> {};

TEST_P(KerasH5FixtureTest, HoldsWhatH5pyReads) {
  const auto checkpoint = OpenOrFail(GetParam());
  ASSERT_NE(checkpoint, nullptr);
  const auto expected = testing::ReadExpected(GetParam().string() + ".expected.json");
  for (auto tensor : expected["tensors"]) {
    // h5py knows no bfloat16; the config of this model does.
    if (tensor["dtype"] == "opaque2") tensor["dtype"] = "bfloat16";
    testing::ExpectTensor(*checkpoint, tensor, tensor["name"].get<std::string>().substr(1));
  }
  const Manifest& manifest = checkpoint->manifest();
  EXPECT_EQ(manifest.tensors.size(), expected["tensors"].size());
  EXPECT_EQ(manifest.framework, Framework::kKeras);
  EXPECT_EQ(manifest.framework_version, expected["keras_version"]);
  EXPECT_TRUE(manifest.problems.empty());
}

TEST_P(KerasH5FixtureTest, KeepsTheOrderOfLayersAndWeights) {
  const auto checkpoint = OpenOrFail(GetParam());
  ASSERT_NE(checkpoint, nullptr);
  const auto expected = testing::ReadExpected(GetParam().string() + ".expected.json")["layers"];
  const keras::WeightOrder order = OrderOf(checkpoint->manifest());
  ASSERT_GE(order.groups.size(), expected.size());
  for (std::size_t i = 0; i < expected.size(); ++i) {
    EXPECT_EQ(order.groups[i].layer, expected[i]["name"]);
    std::vector<std::string> stored;
    for (const auto& weight : order.groups[i].weights) stored.push_back(weight.stored);
    EXPECT_EQ(stored, expected[i]["weights"].get<std::vector<std::string>>());
  }
}

// Every weight of a layer that is understood is bound, and none is missing: Keras loads the file.
TEST_P(KerasH5FixtureTest, BindsEveryWeightOfItsGraph) {
  const auto checkpoint = OpenOrFail(GetParam());
  ASSERT_NE(checkpoint, nullptr);
  const Manifest& manifest = checkpoint->manifest();
  if (!manifest.graph) {
    EXPECT_TRUE(GetParam().stem().string().starts_with("weights_only"));
    return;
  }
  std::set<std::uint32_t> bound;
  for (const Layer& layer : manifest.graph->layers) {
    EXPECT_THAT(layer.missing_tensors, ::testing::IsEmpty()) << layer.name;
    for (const auto& [name, id] : layer.tensors) bound.insert(id.index);
  }
  for (std::uint32_t i = 0; i < manifest.tensors.size(); ++i) {
    if (manifest.tensors[i].section == Section::kModel) {
      EXPECT_TRUE(bound.contains(i)) << manifest.tensors[i].name;
    }
  }
}

std::vector<std::filesystem::path> Fixtures() {
  std::vector<std::filesystem::path> paths;
  for (const char* folder : {"keras_h5", "keras_h5_variants"}) {
    for (const auto& entry : std::filesystem::directory_iterator(
             std::string(ckpt::testing::TestData() + "/") + folder)) {
      // A layout message of HDF5 2.0, which no released library of this platform reads.
      if (entry.path().stem() == "latest_gzip_shuffle") continue;
      if (entry.path().extension() == ".h5") paths.push_back(entry.path());
    }
  }
  std::sort(paths.begin(), paths.end());
  return paths;
}

INSTANTIATE_TEST_SUITE_P(Fixtures, KerasH5FixtureTest, ::testing::ValuesIn(Fixtures()),
                         [](const auto& test) { return test.param.stem().string(); });

TEST(KerasH5ReaderTest, NamesNestedWeightsByTheirModel) {
  const auto checkpoint = OpenFixture("nested_functional");
  const Manifest& manifest = checkpoint->manifest();
  const auto id = FindTensor(manifest, "inner/inner_bn/moving_variance");
  ASSERT_TRUE(id.has_value());
  const TensorInfo& info = manifest.tensors[id->index];
  EXPECT_EQ(info.stored_as, "model_weights/inner/inner_bn/moving_variance:0");
  EXPECT_EQ(info.owner, "inner/inner_bn");
  EXPECT_EQ(info.local_name, "moving_variance");
  const Layer& layer = manifest.graph->layers[*manifest.graph->FindLayer("inner/inner_bn")];
  EXPECT_EQ(layer.tensors.at("moving_variance"), *id);
}

TEST(KerasH5ReaderTest, StripsTheNameOfASequentialOfKeras3) {
  const auto checkpoint = OpenFixture("keras3_sequential");
  const auto id = FindTensor(checkpoint->manifest(), "bn/gamma");
  ASSERT_TRUE(id.has_value());
  EXPECT_TRUE(checkpoint->manifest().tensors[id->index].stored_as.starts_with(
      "model_weights/bn/sequential"));
}

TEST(KerasH5ReaderTest, FindsTheVariablesOfOptimizerSlots) {
  for (const char* name : {"trained_functional_adam", "trained_functional_legacy_momentum",
                           "trained_sequential_momentum", "keras3_trained_sequential"}) {
    const auto checkpoint = OpenFixture(name);
    const Manifest& manifest = checkpoint->manifest();
    const auto gamma = FindTensor(manifest, "bn/gamma");
    std::size_t slots_of_gamma = 0, slots = 0;
    for (const TensorInfo& info : manifest.tensors) {
      EXPECT_EQ(info.section == Section::kOptimizer, info.name.starts_with("optimizer_weights/"));
      if (info.slot_of) ++slots;
      if (info.slot_of == gamma) ++slots_of_gamma;
    }
    const bool adam = std::string(name).find("momentum") == std::string::npos;
    EXPECT_EQ(slots_of_gamma, adam ? 2 : 1) << name;
    EXPECT_EQ(slots, adam ? 12 : 6) << name;
  }
}

TEST(KerasH5ReaderTest, KeepsConfigsAsDocuments) {
  const auto checkpoint = OpenFixture("trained_functional_adam");
  std::vector<std::string> names;
  for (const Document& document : checkpoint->manifest().documents) names.push_back(document.name);
  EXPECT_THAT(names, ElementsAre("model_config", "training_config", "weight_order"));
  EXPECT_EQ(checkpoint->manifest().metadata.at("backend"), "tensorflow");
}

TEST(KerasH5ReaderTest, ProbesTheSignature) {
  const std::string signature = "\x89HDF\r\n\x1a\n";
  const auto probe = [](const std::string& bytes) {
    const auto all = std::as_bytes(std::span(bytes));
    return ProbeKerasH5({.file_name = "x",
                         .head = all.first(std::min<std::size_t>(512, all.size())),
                         .tail = all.last(std::min<std::size_t>(65536, all.size())),
                         .file_size = all.size()});
  };
  EXPECT_EQ(probe(signature), Match::kCertain);
  EXPECT_EQ(probe(std::string(512, 'x') + signature), Match::kCertain);  // a user block
  EXPECT_EQ(probe(std::string(2048, 'x') + signature), Match::kCertain);
  EXPECT_EQ(probe(std::string(100, 'x') + signature), Match::kNo);
  EXPECT_EQ(probe(""), Match::kNo);
}

class KerasH5CorpusTest : public ::testing::Test {
 protected:
  static std::unique_ptr<Checkpoint> OpenPublic(const std::string& file) {
    const std::string path = ckpt::testing::Corpus() + "/" + file;
    if (!std::filesystem::exists(path)) return nullptr;
    return OpenOrFail(path);
  }
};

TEST_F(KerasH5CorpusTest, ReadsWeightsOfKeras2) {
  const auto checkpoint = OpenPublic("F1/weights/Meso4_DF.h5");
  if (!checkpoint) GTEST_SKIP();
  EXPECT_EQ(checkpoint->manifest().framework_version, "2.1.5");
  for (int i = 5; i <= 8; ++i) {
    EXPECT_TRUE(FindTensor(checkpoint->manifest(),
                           "batch_normalization_" + std::to_string(i) + "/moving_variance"));
  }
}

TEST_F(KerasH5CorpusTest, ReadsWeightsOfKeras1FromBothBackends) {
  for (const char* backend : {"tensorflow", "theano"}) {
    const auto checkpoint = OpenPublic(std::string("F18/compact_cnn/weights_") + backend + ".hdf5");
    if (!checkpoint) GTEST_SKIP();
    const auto id =
        FindTensor(checkpoint->manifest(), "ConvBNEluDr/batchnormalization_5/running_std");
    ASSERT_TRUE(id.has_value());
    EXPECT_EQ(checkpoint->manifest().tensors[id->index].owner, "ConvBNEluDr/batchnormalization_5");
  }
}

TEST_F(KerasH5CorpusTest, ReadsWholeModels) {
  struct Case {
    const char* file;
    std::size_t batch_norms;
  };
  for (const Case& c :
       {Case{"F7/benchmark/training/anomaly_detection/trained_models/ad01.h5", 9},
        Case{"F10/benchmark/training/streaming_wakeword/trained_models/str_ww_ref_model.h5", 4}}) {
    const auto checkpoint = OpenPublic(c.file);
    if (!checkpoint) GTEST_SKIP();
    ASSERT_TRUE(checkpoint->manifest().graph.has_value());
    std::size_t batch_norms = 0;
    for (const Layer& layer : checkpoint->manifest().graph->layers) {
      if (!IsBatchNorm(layer)) continue;
      ++batch_norms;
      EXPECT_EQ(layer.tensors.size(), 4) << layer.name;
      EXPECT_EQ(layer.epsilon, 0.001);
    }
    EXPECT_EQ(batch_norms, c.batch_norms);
  }
}

}  // namespace
}  // namespace ckpt::formats::keras_h5_reader_test
