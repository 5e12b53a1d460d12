// Weights without a config: what the file records, and nothing more.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <filesystem>

#include "ckpt/formats/format.h"
#include "formats/hdf5/hdf5_writer.h"
#include "tests/keras3/keras3_files.h"
#include "tests/support/paths.h"
#include "tests/support/temporary_folder.h"

namespace ckpt::formats::weights_reader_test {
namespace {

namespace fs = std::filesystem;
using ckpt::testing::ExpectTensor;
using ckpt::testing::Info;
using ckpt::testing::Keras3Path;
using ckpt::testing::ReadExpected;
using ckpt::testing::StoredAs;
using ckpt::testing::TemporaryFolder;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::SizeIs;

std::unique_ptr<Checkpoint> Open(const std::string& path) {
  auto opened = OpenCheckpoint(path);
  if (!opened) ADD_FAILURE() << ToString(opened.error());
  return opened ? *std::move(opened) : nullptr;
}

TEST(KerasWeightsTest, EveryDatasetIsListed) {
  for (const char* name :
       {"k3_functional.weights.h5", "k3_subclass.weights.h5", "k3_sequential.weights.h5",
        "k2_functional.weights.h5", "k2_subclass.weights.h5"}) {
    SCOPED_TRACE(name);
    const auto weights = Open(Keras3Path(name));
    ASSERT_NE(weights, nullptr);
    EXPECT_EQ(weights->format(), "keras-weights");
    EXPECT_FALSE(weights->manifest().graph.has_value());
    const auto expected = ReadExpected(Keras3Path(name) + ".expected.json");
    for (const auto& dataset : expected["datasets"]) {
      ExpectTensor(*weights, dataset, dataset["name"].get<std::string>());
    }
    EXPECT_EQ(weights->manifest().tensors.size(), expected["datasets"].size());
  }
}

TEST(KerasWeightsTest, RecordedNamesGiveTheNamesOfKeras) {
  for (const char* name : {"k3_sequential.weights.h5", "k3_subclass.weights.h5"}) {
    SCOPED_TRACE(name);
    const auto weights = Open(Keras3Path(name));
    ASSERT_NE(weights, nullptr);
    const auto expected = ReadExpected(Keras3Path(name) + ".expected.json");
    for (const auto& tensor : expected["tensors"]) {
      std::string own = tensor["name"].get<std::string>();
      // Neither its attribute "conv1" nor its name tells this layer's class.
      if (own == "conv_one/kernel") own = "conv_one/0";
      if (own == "conv_one/bias") own = "conv_one/1";
      ExpectTensor(*weights, tensor, own);
    }
  }
}

TEST(KerasWeightsTest, WithoutAConfigGammaAndBetaAreNotGuessed) {
  const auto weights = Open(Keras3Path("k3_functional.weights.h5"));
  ASSERT_NE(weights, nullptr);
  EXPECT_THAT(StoredAs(*weights, "batch_normalization/gamma"),
              ::testing::MatchesRegex("layers/batch_normalization_[123]/vars/0"));
  EXPECT_THAT(StoredAs(*weights, "bn_b/0"), ::testing::EndsWith("/vars/0"));
  EXPECT_THAT(StoredAs(*weights, "bn_b/moving_mean"), ::testing::EndsWith("/vars/1"));
  EXPECT_FALSE(FindTensor(weights->manifest(), "bn_b/gamma").has_value());
  EXPECT_FALSE(FindTensor(weights->manifest(), "bn_b/beta").has_value());
}

TEST(KerasWeightsTest, WithoutNamesTheGroupsKeepTheirPlace) {
  const auto weights = Open(Keras3Path("k2_functional.weights.h5"));
  ASSERT_NE(weights, nullptr);
  EXPECT_THAT(weights->manifest().note, HasSubstr("no layer names"));
  EXPECT_EQ(StoredAs(*weights, "layers/batch_normalization/gamma"),
            "layers/batch_normalization/vars/0");
  EXPECT_EQ(StoredAs(*weights, "layers/conv2d/kernel"), "layers/conv2d/vars/0");
}

TEST(KerasWeightsTest, ASetIsOneCheckpoint) {
  const std::string index = Keras3Path("k3_many.weights.json");
  const auto weights = Open(index);
  ASSERT_NE(weights, nullptr);
  EXPECT_EQ(weights->format(), "keras-weights");
  const auto expected = ReadExpected(index + ".expected.json");
  EXPECT_EQ(weights->manifest().files.size(), 1 + expected["shards"].size());
  // Six of the layers have no bias; all names follow from the file.
  for (const auto& tensor : expected["tensors"]) {
    ExpectTensor(*weights, tensor, tensor["name"].get<std::string>());
  }
  EXPECT_EQ(weights->manifest().tensors.size(), expected["tensors"].size());
}

TEST(KerasWeightsTest, AnAbsentShardIsAProblemAndTheRestIsRead) {
  const TemporaryFolder folder;
  for (const auto& entry : fs::directory_iterator(Keras3Path(""))) {
    const std::string name = entry.path().filename().string();
    if (name.starts_with("k3_many") && name != "k3_many_00001.weights.h5") {
      fs::copy_file(entry.path(), folder / name);
    }
  }
  const auto weights = Open((folder / "k3_many.weights.json").string());
  ASSERT_NE(weights, nullptr);
  ASSERT_THAT(weights->manifest().problems, SizeIs(1));
  EXPECT_EQ(weights->manifest().problems[0].error.code, ErrorCode::kNotFound);
  EXPECT_THAT(weights->manifest().problems[0].error.file, HasSubstr("k3_many_00001"));
  EXPECT_FALSE(weights->manifest().tensors.empty());
}

TEST(KerasWeightsTest, AMapThatLiesIsRefused) {
  const TemporaryFolder folder;
  fs::copy_file(Keras3Path("k3_many_00000.weights.h5"), folder / "a.weights.h5");
  const auto open = [&](const std::string& map) {
    folder.Write("m.weights.json", R"({"metadata": {}, "weight_map": )" + map + "}");
    return OpenKerasWeights(SystemFiles(), folder / "m.weights.json", {});
  };
  EXPECT_TRUE(open(R"({"/layers/dense/vars": "a.weights.h5"})").has_value());
  EXPECT_TRUE(open(R"({"/layers/dense/vars": ["a.weights.h5"]})").has_value());
  for (const char* map :
       {R"({"/layers/dense_77/vars": "a.weights.h5"})", R"({"/x": 3})", R"({"/x": {"a": "b"}})",
        R"([])", R"({"/x": "a.weights.h5", "/x": "a.weights.h5"})", R"({"/x": [["a"]]})"}) {
    const auto opened = open(map);
    ASSERT_FALSE(opened.has_value()) << map;
    EXPECT_EQ(opened.error().code, ErrorCode::kCorrupt) << map;
    EXPECT_TRUE(opened.error().offset.has_value()) << map;
  }
  for (const char* name : {"../a.weights.h5", "/etc/passwd", ""}) {
    const auto opened = open(R"({"/layers/dense/vars": ")" + std::string(name) + R"("})");
    ASSERT_FALSE(opened.has_value()) << name;
    EXPECT_NE(opened.error().code, ErrorCode::kCorrupt) << name;
  }
}

TEST(KerasWeightsTest, AVariableInTwoShardsIsRefused) {
  const TemporaryFolder folder;
  fs::copy_file(Keras3Path("k3_many_00000.weights.h5"), folder / "a.weights.h5");
  fs::copy_file(Keras3Path("k3_many_00000.weights.h5"), folder / "b.weights.h5");
  folder.Write("m.weights.json",
               R"({"weight_map": {"/layers/dense/vars": ["a.weights.h5", "b.weights.h5"]}})");
  const auto opened = OpenKerasWeights(SystemFiles(), folder / "m.weights.json", {});
  ASSERT_FALSE(opened.has_value());
  EXPECT_EQ(opened.error().code, ErrorCode::kCorrupt);
}

TEST(KerasWeightsTest, AFileOfAnotherLayoutIsRefusedInWords) {
  const auto opened =
      OpenKerasWeights(SystemFiles(), ckpt::testing::TestData() + "/keras_h5/conv2d_bn.h5", {});
  ASSERT_FALSE(opened.has_value());
  EXPECT_EQ(opened.error().code, ErrorCode::kUnfit);
}

// Layers that save in a way of their own use other keys than numbers; names may collide.
TEST(KerasWeightsTest, OtherKeysAndSecondNamesAreKeptApart) {
  const TemporaryFolder folder;
  const std::string path = (folder / "m.weights.h5").string();
  {
    const auto file = *Hdf5Writer::Create(path);
    const auto put = [&](const std::string& dataset) {
      ASSERT_TRUE(file->CreateDataset(dataset, Dtype::kF32, *Shape::FromDims({1})));
      const float value = 1;
      ASSERT_TRUE(file->Append(std::as_bytes(std::span(&value, 1))));
    };
    put("/layers/a/vars/0");
    put("/layers/a/vars/table");
    put("/layers/b/vars/0");
    put("/loose");
    ASSERT_TRUE(file->SetText("/layers/a/vars", "name", "same"));
    ASSERT_TRUE(file->SetText("/layers/b/vars", "name", "same"));
    ASSERT_TRUE(file->Close());
  }
  const auto weights = Open(path);
  ASSERT_NE(weights, nullptr);
  EXPECT_EQ(StoredAs(*weights, "same/0"), "layers/a/vars/0");
  EXPECT_EQ(StoredAs(*weights, "same/table"), "layers/a/vars/table");
  EXPECT_EQ(StoredAs(*weights, "layers/b/vars/0"), "layers/b/vars/0");
  EXPECT_EQ(StoredAs(*weights, "loose"), "loose");
}

}  // namespace
}  // namespace ckpt::formats::weights_reader_test
