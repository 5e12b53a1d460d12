// Files that PyTorch wrote, against what PyTorch reads from them.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "ckpt/formats/format.h"
#include "tests/support/expected_tensors.h"
#include "tests/torch/torch_files.h"

namespace ckpt::formats::reader_test {
namespace {

using ckpt::testing::ExpectTensor;
using ckpt::testing::ExpectTensors;
using ckpt::testing::OpenFixture;
using ckpt::testing::ReadExpected;
using ckpt::testing::TorchFile;
using ::testing::HasSubstr;

class TorchFiles : public ::testing::TestWithParam<const char*> {};

TEST_P(TorchFiles, HoldWhatPyTorchReads) {
  const auto opened = OpenCheckpoint(TorchFile(GetParam()));
  ASSERT_TRUE(opened) << ToString(opened.error());
  EXPECT_EQ((*opened)->format(), "torch");
  const Manifest& manifest = (*opened)->manifest();
  EXPECT_EQ(manifest.framework, Framework::kPyTorch);
  EXPECT_TRUE(manifest.problems.empty());
  const auto expected = ReadExpected(TorchFile(GetParam()) + ".expected.json");
  ExpectTensors(**opened, expected);
  for (const auto& tensor : expected["tensors"]) {
    const auto id = FindTensor(manifest, tensor["name"].get<std::string>());
    ASSERT_TRUE(id) << tensor["name"];
    EXPECT_EQ(manifest.tensors[id->index].stored_as, tensor.value("stored_as", tensor["name"]));
  }
}

INSTANTIATE_TEST_SUITE_P(
    All, TorchFiles,
    ::testing::Values("averaged.pth", "big_endian.pt", "compiled_ema.pth", "deflated.pt",
                      "dtypes.pt", "dtypes_legacy.pth", "instance_norm.pt", "lightning.ckpt",
                      "missing_statistics.pt", "never_updated.pt", "no_counter.pth", "no_crc.pt",
                      "no_statistics_by_design.pt", "parallel_adam.pth", "parameters.pt",
                      "protocol4.pt", "records_of_1_6.pt", "scripted.pt", "shapes.pt",
                      "sharded/pytorch_model.bin.index.json", "spectral_norm.pt",
                      "spectral_norm_old.pt", "state_dict.pt", "state_dict_legacy.pth", "traced.pt",
                      "two_groups.pth", "views.pt", "views_legacy.pth", "weight_norm.pt",
                      "weight_norm_old.pt", "whole_module.pt", "whole_module_legacy.pth"),
    [](const auto& instance) {
      std::string name = instance.param;
      for (char& c : name) c = std::isalnum(static_cast<unsigned char>(c)) != 0 ? c : '_';
      return name;
    });

// P38
TEST(TorchReader, TiedWeightsAreAliasesAndOtherViewsAreNot) {
  for (const char* file : {"views.pt", "views_legacy.pth"}) {
    const auto opened = OpenFixture(file);
    ASSERT_TRUE(opened) << ToString(opened.error());
    const Manifest& manifest = (*opened)->manifest();
    for (const TensorInfo& info : manifest.tensors) {
      if (info.name == "tied_b") {
        EXPECT_EQ(info.alias_of, FindTensor(manifest, "tied_a"));
      } else {
        EXPECT_FALSE(info.alias_of) << info.name;
      }
    }
  }
}

TEST(TorchReader, TheChecksumOfAWholeRecordIsTheTensors) {
  const auto opened = OpenFixture("state_dict.pt");
  ASSERT_TRUE(opened) << ToString(opened.error());
  const auto expected = ReadExpected(TorchFile("state_dict.pt.expected.json"));
  for (const auto& tensor : expected["tensors"]) {
    const auto id = FindTensor((*opened)->manifest(), tensor["name"].get<std::string>());
    ASSERT_TRUE(id);
    const auto& checksum = (*opened)->manifest().tensors[id->index].checksum;
    ASSERT_TRUE(checksum) << tensor["name"];
    EXPECT_EQ(checksum->value, std::stoul(tensor["crc32"].get<std::string>(), nullptr, 16));
  }
}

TEST(TorchReader, ADamagedRecordIsFoundWhileItStreams) {
  std::string bytes = ckpt::testing::FileBytes(TorchFile("state_dict.pt"));
  const auto sound = OpenFixture("state_dict.pt");
  ASSERT_TRUE(sound);
  const auto id = *FindTensor((*sound)->manifest(), "conv1.weight");
  const auto values = ckpt::testing::AllBytes(**sound, id);
  const std::string_view wanted(reinterpret_cast<const char*>(values.data()), values.size());
  const std::size_t place = bytes.find(wanted);
  ASSERT_NE(place, std::string::npos);
  bytes[place + 5] = static_cast<char>(bytes[place + 5] ^ 1);
  const auto opened = ckpt::testing::OpenBytes(bytes);
  ASSERT_TRUE(opened) << ToString(opened.error());
  const auto damaged = ReadBytes(**opened, id, 1 << 20);
  ASSERT_FALSE(damaged);
  EXPECT_EQ(damaged.error().code, ErrorCode::kCorrupt);
  EXPECT_EQ(damaged.error().tensor, "conv1.weight");
  EXPECT_THAT(damaged.error().message, HasSubstr("CRC-32"));
}

TEST(TorchReader, MoreTensorsThanOneBatchOfThePickle) {
  const auto opened = OpenFixture("many.pt");
  ASSERT_TRUE(opened) << ToString(opened.error());
  ASSERT_EQ((*opened)->manifest().tensors.size(), 1100U);
  for (const int i : {0, 7, 999, 1000, 1099}) {
    const auto id = FindTensor((*opened)->manifest(), "layers." + std::to_string(i) + ".bias");
    ASSERT_TRUE(id);
    EXPECT_EQ(*ReadDoubles(**opened, *id, 1), std::vector<double>{static_cast<double>(i)});
  }
}

TEST(TorchReader, WhatIsNoPlainTensorIsListedWithTheReason) {
  const auto opened = OpenFixture("not_plain.pt");
  ASSERT_TRUE(opened) << ToString(opened.error());
  const Manifest& manifest = (*opened)->manifest();
  ASSERT_EQ(manifest.tensors.size(), 4U);
  EXPECT_EQ(manifest.problems.size(), 3U);
  const auto why = [&](const char* name) {
    return WhyAbsent(manifest, *FindTensor(manifest, name)).message;
  };
  EXPECT_THAT(why("sparse"), HasSubstr("sparse"));
  EXPECT_THAT(why("meta"), HasSubstr("no values"));
  EXPECT_THAT(why("conj"), HasSubstr("conjugation"));
  EXPECT_EQ(ToString(manifest.tensors[FindTensor(manifest, "meta")->index].shape), "[2, 3]");
  EXPECT_EQ(*ReadDoubles(**opened, *FindTensor(manifest, "plain"), 4),
            (std::vector<double>{0, 1, 2, 3}));
}

TEST(TorchReader, QuantisedTensorsKeepTheirIntegersAndSayTheirScale) {
  const auto opened = OpenFixture("quantised.pt");
  ASSERT_TRUE(opened) << ToString(opened.error());
  const Manifest& manifest = (*opened)->manifest();
  const auto id = FindTensor(manifest, "q");
  ASSERT_TRUE(id);
  EXPECT_EQ(manifest.tensors[id->index].dtype, Dtype::kQI8);
  EXPECT_TRUE(manifest.tensors[id->index].data_present);
  EXPECT_THAT(manifest.metadata.at("dtype of q"), HasSubstr("scale 0.1"));
}

TEST(TorchReader, ParametersThatWantAGradientAreTrainable) {
  const auto opened = OpenFixture("parameters.pt");
  ASSERT_TRUE(opened) << ToString(opened.error());
  const Manifest& manifest = (*opened)->manifest();
  EXPECT_EQ(manifest.tensors[FindTensor(manifest, "weight")->index].trainable, true);
  EXPECT_EQ(manifest.tensors[FindTensor(manifest, "frozen")->index].trainable, std::nullopt);
}

TEST(TorchReader, AFolderStandsForItsIndex) {
  const auto opened = OpenCheckpoint(TorchFile("sharded"));
  ASSERT_TRUE(opened) << ToString(opened.error());
  EXPECT_EQ((*opened)->format(), "torch");
  EXPECT_THAT((*opened)->input_name().note, HasSubstr("pytorch_model.bin.index.json"));
}

TEST(TorchReader, AnAbsentShardLeavesTheOthers) {
  MemoryFiles files;
  const std::string folder = TorchFile("sharded/");
  for (const char* name : {"pytorch_model.bin.index.json", "pytorch_model-00001-of-00002.bin"}) {
    files.Add(name, ckpt::testing::FileBytes(folder + name));
  }
  const auto opened = OpenTorch(files, "pytorch_model.bin.index.json", {});
  ASSERT_TRUE(opened) << ToString(opened.error());
  const Manifest& manifest = (*opened)->manifest();
  ASSERT_EQ(manifest.problems.size(), 1U);
  EXPECT_EQ(manifest.tensors.size(), 15U);
  std::size_t absent = 0;
  for (const TensorInfo& info : manifest.tensors) absent += info.data_present ? 0U : 1U;
  EXPECT_EQ(absent, manifest.problems[0].tensors.size());
  EXPECT_GT(absent, 0U);
}

TEST(TorchReader, AShardOutsideTheFolderIsRefused) {
  MemoryFiles files;
  files.Add("index.bin.index.json", R"({"weight_map": {"w": "../other.bin"}})");
  const auto opened = OpenTorch(files, "index.bin.index.json", {});
  ASSERT_FALSE(opened);
  EXPECT_EQ(opened.error().code, ErrorCode::kUnsafe);
}

TEST(TorchChecksums, AFlippedBitInAStorageIsSeenThroughEveryViewOfIt) {
  const std::string sound = ckpt::testing::FileBytes(TorchFile("views.pt"));
  const auto opened = ckpt::testing::OpenBytes(sound);
  ASSERT_TRUE(opened);
  std::size_t seen = 0;
  for (std::uint32_t i = 0; i < (*opened)->manifest().tensors.size(); ++i) {
    const TensorInfo& info = (*opened)->manifest().tensors[i];
    if (info.shape.element_count() == 0) continue;
    const std::vector<std::byte> bytes = ckpt::testing::AllBytes(**opened, TensorId{i});
    const std::string first(reinterpret_cast<const char*>(bytes.data()), BitSize(info.dtype) / 8);
    // The first element where it stands in the file; zeros stand everywhere.
    const std::size_t place = sound.find(first);
    if (first.find_first_not_of('\0') == std::string::npos || place != sound.rfind(first)) continue;
    std::string flipped = sound;
    flipped[place] = static_cast<char>(flipped[place] ^ 1);
    const auto damaged = ckpt::testing::OpenBytes(flipped);
    ASSERT_TRUE(damaged);
    const auto read = ReadBytes(**damaged, TensorId{i}, std::uint64_t{1} << 20);
    ASSERT_FALSE(read) << info.name;
    EXPECT_EQ(read.error().tensor, info.name);
    EXPECT_THAT(read.error().message, HasSubstr("CRC-32"));
    ++seen;
  }
  EXPECT_GE(seen, 5U);
}

}  // namespace
}  // namespace ckpt::formats::reader_test
