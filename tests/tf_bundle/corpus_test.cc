// Public checkpoints: what their README says to expect.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <filesystem>
#include <map>
#include <set>
#include <string>

#include "formats/tf_bundle/checkpoint_state.h"
#include "formats/tf_bundle/tf_bundle.h"
#include "tests/support/expected_tensors.h"
#include "tests/support/paths.h"

namespace ckpt::formats::corpus_test {
namespace {

using ::testing::IsEmpty;

class Corpus : public ::testing::Test {
 protected:
  void SetUp() override {
    if (!std::filesystem::exists(ckpt::testing::Corpus())) GTEST_SKIP() << "no corpus here";
  }

  // Resolves and opens `path`, which is below the corpus.
  static std::unique_ptr<Checkpoint> Open(const std::string& path) {
    const auto resolved = ResolveTfBundle(SystemFiles(), ckpt::testing::Corpus() + "/" + path);
    if (!resolved || !*resolved) {
      ADD_FAILURE() << path << (resolved ? "" : ToString(resolved.error()));
      return nullptr;
    }
    auto opened = OpenTfBundle(SystemFiles(), (*resolved)->prefix, {});
    if (!opened) ADD_FAILURE() << ToString(opened.error());
    return opened ? *std::move(opened) : nullptr;
  }

  // Reads everything, so that every checksum is checked.
  static void ExpectSound(const Checkpoint& checkpoint, std::size_t tensors) {
    const Manifest& manifest = checkpoint.manifest();
    EXPECT_EQ(manifest.tensors.size(), tensors);
    EXPECT_THAT(manifest.problems, IsEmpty());
    for (std::uint32_t i = 0; i < manifest.tensors.size(); ++i) {
      EXPECT_EQ(testing::AllBytes(checkpoint, TensorId{i}).size(), manifest.tensors[i].byte_size)
          << manifest.tensors[i].name;
    }
  }

  // One problem: the shard that is not there, with all tensors in it.
  static void ExpectNamesOnly(const Checkpoint& checkpoint, std::size_t tensors,
                              const std::string& shard) {
    const Manifest& manifest = checkpoint.manifest();
    EXPECT_EQ(manifest.tensors.size(), tensors);
    ASSERT_EQ(manifest.problems.size(), 1U);
    EXPECT_EQ(manifest.problems[0].error.code, ErrorCode::kNotFound);
    EXPECT_TRUE(manifest.problems[0].error.file.ends_with(shard))
        << manifest.problems[0].error.file;
    EXPECT_EQ(manifest.problems[0].tensors.size(), tensors);
  }

  static std::size_t CountEndingIn(const Checkpoint& checkpoint, const std::string& ending) {
    std::size_t count = 0;
    for (const TensorInfo& info : checkpoint.manifest().tensors) {
      count += info.name.ends_with(ending) ? 1U : 0U;
    }
    return count;
  }

  // Owners that hold all four tensors of a batch norm.
  static std::size_t BatchNorms(const Checkpoint& checkpoint) {
    std::map<std::string, std::set<std::string>> owners;
    for (const TensorInfo& info : checkpoint.manifest().tensors) {
      if (info.section == Section::kModel) owners[info.owner].insert(info.local_name);
    }
    std::size_t count = 0;
    for (const auto& [owner, members] : owners) {
      const std::set<std::string> all = {"beta", "gamma", "moving_mean", "moving_variance"};
      count += !owner.empty() && members == all ? 1U : 0U;
    }
    return count;
  }
};

TEST_F(Corpus, B2EmptyPrefixWithoutData) {
  for (const std::string folder : {"MSD_vgg", "MTT_vgg"}) {
    for (const std::string name : {"/", "/.index", "/.meta", ""}) {
      const auto checkpoint = Open("B2/musicnn/" + folder + name);
      ASSERT_NE(checkpoint, nullptr);
      ExpectNamesOnly(*checkpoint, 86, folder + "/.data-00000-of-00001");
      EXPECT_EQ(CountEndingIn(*checkpoint, "/moving_mean"), 6U);
      EXPECT_EQ(CountEndingIn(*checkpoint, "/moving_variance"), 6U);
    }
  }
}

TEST_F(Corpus, B3LargeIndexAlone) {
  for (const std::string name : {"", "/checkpoint", "/model.ckpt-13800"}) {
    const auto checkpoint = Open("B3/checkpoint" + name);
    ASSERT_NE(checkpoint, nullptr);
    ExpectNamesOnly(*checkpoint, 1362, "model.ckpt-13800.data-00000-of-00001");
    EXPECT_EQ(CountEndingIn(*checkpoint, "/moving_mean"), 84U);
    EXPECT_EQ(CountEndingIn(*checkpoint, "/Adam") + CountEndingIn(*checkpoint, "/Adam_1"), 738U);
    const auto step = FindTensor(checkpoint->manifest(), "global_step");
    ASSERT_TRUE(step.has_value());
    EXPECT_EQ(checkpoint->manifest().tensors[step->index].dtype, Dtype::kI64);
  }
}

TEST_F(Corpus, B8IndexWithGraph) {
  const auto checkpoint = Open("B8/model/model.ckpt.meta");
  ASSERT_NE(checkpoint, nullptr);
  ExpectNamesOnly(*checkpoint, 93, "model.ckpt.data-00000-of-00001");
  EXPECT_EQ(CountEndingIn(*checkpoint, "/moving_mean"), 4U);
  EXPECT_TRUE(FindTensor(checkpoint->manifest(), "Variable").has_value());
}

TEST_F(Corpus, C1SavedModelVariables) {
  const auto checkpoint = Open("C1/basic_pitch/saved_models/icassp_2022/nmp");
  ASSERT_NE(checkpoint, nullptr);
  ExpectSound(*checkpoint, 74);
  EXPECT_EQ(BatchNorms(*checkpoint), 3U);
  const auto gamma = FindTensor(checkpoint->manifest(), "batch_normalization_2/gamma");
  ASSERT_TRUE(gamma.has_value());
  EXPECT_EQ(checkpoint->manifest().tensors[gamma->index].stored_as,
            "layer_with_weights-2/gamma/.ATTRIBUTES/VARIABLE_VALUE");
  // Gamma and beta have slots, the statistics have none.
  std::set<std::string> trained;
  for (const TensorInfo& info : checkpoint->manifest().tensors) {
    if (info.slot_of) trained.insert(checkpoint->manifest().tensors[info.slot_of->index].name);
  }
  EXPECT_TRUE(trained.contains("batch_normalization_2/gamma"));
  EXPECT_FALSE(trained.contains("batch_normalization_2/moving_mean"));
  EXPECT_EQ(trained.size(), 18U);
}

TEST_F(Corpus, C5SavedModelVariables) {
  const auto checkpoint =
      Open("C5/benchmark/training/keyword_spotting/trained_models/kws_ref_model");
  ASSERT_NE(checkpoint, nullptr);
  ExpectSound(*checkpoint, 142);
  EXPECT_EQ(BatchNorms(*checkpoint), 9U);
}

TEST_F(Corpus, C8VariablesUnderTheNamesOfTheMapping) {
  const auto checkpoint = Open("C8/tf/export_models/RFB/variables");
  ASSERT_NE(checkpoint, nullptr);
  ExpectSound(*checkpoint, 210);
  EXPECT_EQ(BatchNorms(*checkpoint), 35U);
  // The repository's own table: a layer's name and how many tensors it has.
  std::map<std::string, std::size_t> expected, layers;
  for (const auto& layer :
       testing::ReadExpected(ckpt::testing::Corpus() + "/C8/tf/mapping_tables/rfb_320.json")) {
    expected[layer["name"]] = layer["weight"].size();
  }
  for (const TensorInfo& info : checkpoint->manifest().tensors) {
    if (info.section == Section::kModel) ++layers[info.owner];
  }
  EXPECT_EQ(layers, expected);
}

TEST_F(Corpus, C12SnappyIndex) {
  const auto checkpoint =
      Open("C12/tfx/benchmarks/datasets/chicago_taxi/model/tfma_saved_model/variables/variables");
  ASSERT_NE(checkpoint, nullptr);
  ExpectSound(*checkpoint, 21);
}

TEST_F(Corpus, C14TinySavedModels) {
  const std::string base = "C14/tensorflow_serving/servables/tensorflow/testdata/";
  const std::map<std::string, std::size_t> models = {{"saved_model_half_plus_two_2_versions", 3},
                                                     {"saved_model_half_plus_two_cpu", 5},
                                                     {"saved_model_half_plus_two_mkl", 9},
                                                     {"saved_model_half_plus_two_tf2_cpu", 4}};
  for (const auto& [model, tensors] : models) {
    const auto checkpoint = Open(base + model + "/00000123");
    ASSERT_NE(checkpoint, nullptr);
    ExpectSound(*checkpoint, tensors);
  }
}

TEST_F(Corpus, C18OfficialCheckpoints) {
  const auto bundle = Open("C18/tensorflow/contrib/framework/testdata/bundle_checkpoint");
  const auto profiler = Open("C18/tensorflow/core/profiler/internal/testdata/ckpt.meta");
  const auto embedding = Open("C18/tensorflow/python/feature_column/testdata/embedding.ckpt");
  ASSERT_TRUE(bundle && profiler && embedding);
  ExpectSound(*bundle, 2);
  ExpectSound(*profiler, 3);
  ExpectSound(*embedding, 1);
}

TEST_F(Corpus, C21OldStrings) {
  const auto checkpoint =
      Open("C21/tensorflow/core/util/tensor_bundle/testdata/old_string_tensors/foo");
  ASSERT_NE(checkpoint, nullptr);
  ExpectSound(*checkpoint, 4);
  const auto strings = [&](const std::string& name) {
    std::vector<std::uint64_t> lengths;
    const auto stream = testing::AllBytes(*checkpoint, *FindTensor(checkpoint->manifest(), name));
    const auto bytes = testing::StringElements(stream, lengths);
    std::vector<std::string> texts;
    std::size_t at = 0;
    for (const std::uint64_t length : lengths) {
      texts.emplace_back(reinterpret_cast<const char*>(bytes.data()) + at, length);
      at += length;
    }
    return texts;
  };
  EXPECT_THAT(strings("string_tensor"), ::testing::ElementsAre(""));
  EXPECT_THAT(strings("scalar"), ::testing::ElementsAre("hello"));
  EXPECT_THAT(strings("strs"), ::testing::ElementsAre("hello", "", "x01", std::string(1024, 'c')));
}

TEST_F(Corpus, D5TwoScalars) {
  const auto checkpoint =
      Open("D5/tensorflow/contrib/session_bundle/testdata/half_plus_two_ckpt_v2/00000123/export");
  ASSERT_NE(checkpoint, nullptr);
  ExpectSound(*checkpoint, 2);
  const auto value = [&](const std::string& name) {
    const auto values = ReadDoubles(*checkpoint, *FindTensor(checkpoint->manifest(), name), 1);
    return values ? values->at(0) : -1;
  };
  EXPECT_EQ(value("a"), 0.5);
  EXPECT_EQ(value("b"), 2.0);
}

}  // namespace
}  // namespace ckpt::formats::corpus_test
