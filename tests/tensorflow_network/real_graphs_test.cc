// Every graph of TensorFlow among the test data and the public checkpoints, as a network.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <filesystem>
#include <map>
#include <set>

#include "ckpt/formats/format.h"
#include "ckpt/serving_network.h"
#include "tests/support/paths.h"
#include "tests/tensorflow_network/network_reading.h"

namespace ckpt::real_graphs_test {
namespace {

namespace fs = std::filesystem;

std::vector<std::string> GraphsBelow(const fs::path& root) {
  std::set<std::string> graphs;
  for (const auto& entry : fs::recursive_directory_iterator(root)) {
    const fs::path& path = entry.path();
    const std::string name = path.filename(), folder = path.parent_path();
    if (!entry.is_regular_file() || folder.find("test_data_set") != std::string::npos ||
        folder.find("generators") != std::string::npos) {
      continue;
    }
    if (name.starts_with("saved_model.pb")) {
      graphs.insert(folder);
    } else if (path.extension() == ".pb" || path.extension() == ".pbtxt") {
      graphs.insert(path);
    } else if (path.extension() == ".meta") {
      const fs::path prefix = fs::path(path).replace_extension();
      graphs.insert(fs::exists(prefix.string() + ".index") ? prefix : path);
    }
  }
  return {graphs.begin(), graphs.end()};
}

// What keeps a graph from being understood on the way from input to output, by the end of its path:
// each is a part that turns a file's bytes into numbers, in front of the network proper.
const std::map<std::string, std::vector<std::string>>& NotUnderstood() {
  static const std::vector<std::string> kExamples = {"Placeholder", "Const", "Const",
                                                     "ParseExample"};
  static const std::map<std::string, std::vector<std::string>> kParts = {
      {"D1/tensorflow_serving/session_bundle/testdata/half_plus_two/00000123/export.meta",
       kExamples},
      {"D5/tensorflow/contrib/session_bundle/testdata/half_plus_two/00000123/export.meta",
       kExamples},
      {"D5/tensorflow/contrib/session_bundle/testdata/half_plus_two_ckpt_v2/00000123/export",
       kExamples},
      {"E1/Pretrained_models/DS_CNN/DS_CNN_S.pb",
       {"Placeholder", "DecodeWav", "AudioSpectrogram", "Mfcc"}},
  };
  return kParts;
}

// How many graphs below `root` serve, all of them understood but for those above.
std::size_t GraphsUnderstood(const fs::path& root) {
  std::size_t count = 0;
  for (const std::string& path : GraphsBelow(root)) {
    SCOPED_TRACE(path);
    const auto opened = formats::OpenCheckpoint(path);
    if (!opened) continue;
    // Graphs without inputs, or without the statistics that they serve with, are refused before.
    const auto model = MakeServingModel(**opened, {});
    if (!model) continue;
    const auto network = (*model)->MakeNetwork();
    if (!network) {
      ADD_FAILURE() << network.error().message;
      continue;
    }
    const auto known = NotUnderstood().find(fs::relative(path, root));
    const std::vector<std::string> expected =
        known == NotUnderstood().end() ? std::vector<std::string>{} : known->second;
    EXPECT_EQ(testing::UnknownOnThePath(*network), expected);
    const auto unshaped = std::count_if(network->values.begin(), network->values.end(),
                                        [](const auto& value) { return !value.shape; });
    if (expected.empty()) {
      EXPECT_EQ(unshaped, 0);
    }
    ++count;
  }
  return count;
}

TEST(RealGraphs, OfTheTestDataAreUnderstoodFromInputToOutput) {
  EXPECT_GE(GraphsUnderstood(ckpt::testing::TestData()), 25u);
}

TEST(RealGraphs, OfThePublicCheckpointsAreUnderstoodButForThePartsThatDecodeFiles) {
  if (!fs::exists(ckpt::testing::Corpus())) GTEST_SKIP() << "no corpus";
  EXPECT_GE(GraphsUnderstood(ckpt::testing::Corpus()), 11u);
}

// A frozen graph whose inputs are constants: what it computes is served by name.
TEST(RealGraphs, WithoutInputsAreUnderstoodWhenTheirOutputsAreNamed) {
  const fs::path examples = "src/main/resources/tf_graphs/examples";
  const std::map<std::string, std::string> outputs = {
      {"E8" / examples / "batchnorm/rank2_batch2_sz5_fused", "batch_normalization/batchnorm/add_1"},
      {"E14" / examples / "batchnorm/rank4_nchw_batch4_sz5_noFused",
       "batch_normalization/batchnorm/add_1"},
      {"E17" / examples / "batchnorm/rank4_nhwc_batch4_sz5_noFused_m50e01",
       "batch_normalization/batchnorm/add_1"},
  };
  if (!fs::exists(ckpt::testing::Corpus())) GTEST_SKIP() << "no corpus";
  for (const auto& [folder, output] : outputs) {
    SCOPED_TRACE(folder);
    const auto opened =
        formats::OpenCheckpoint(fs::path(ckpt::testing::Corpus()) / folder / "frozen_model.pb");
    ASSERT_TRUE(opened);
    ServingOptions options;
    options.outputs = {output};
    const auto served = NetworkOf(**opened, options);
    ASSERT_TRUE(served) << served.error().message;
    EXPECT_TRUE(testing::UnknownOnThePath(served->network).empty());
    EXPECT_EQ(served->network.outputs.size(), 1u);
  }
}

// The network of a checkpoint names that checkpoint's own tensors.
TEST(RealGraphs, OfVariablesNameTheTensorsOfTheCheckpoint) {
  const auto opened =
      formats::OpenCheckpoint(ckpt::testing::TestData() + "/tf1/mnist/correct/model.ckpt-700");
  ASSERT_TRUE(opened);
  const auto network = (*opened)->MakeNetwork();
  ASSERT_TRUE(network) << network.error().message;
  std::set<std::string> named;
  for (const network::Value& value : network->values) {
    const auto* stored =
        value.constant ? std::get_if<network::StoredConstant>(&*value.constant) : nullptr;
    if (stored == nullptr) continue;
    const TensorInfo& tensor = (*opened)->manifest().tensors.at(stored->tensor.index);
    const auto dims = tensor.shape.dims();
    EXPECT_EQ(value.shape, network::PartialShape(network::Sizes(dims.begin(), dims.end())));
    named.insert(tensor.name);
  }
  EXPECT_TRUE(named.contains("block1/conv/kernel"));
  EXPECT_TRUE(named.contains("block1/bn/moving_variance"));
}

}  // namespace
}  // namespace ckpt::real_graphs_test
