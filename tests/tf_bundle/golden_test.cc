// Bundles that TensorFlow wrote, against what TensorFlow reads from them.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>
#include <vector>

#include "formats/tf_bundle/tf_bundle.h"
#include "tests/support/expected_tensors.h"
#include "tests/support/paths.h"

namespace ckpt::formats::golden_test {
namespace {

const std::string kTestdata = ckpt::testing::TestData();

std::unique_ptr<Checkpoint> OpenFixture(const std::string& prefix) {
  auto opened = OpenTfBundle(SystemFiles(), kTestdata + "/" + prefix, {});
  if (!opened) ADD_FAILURE() << ToString(opened.error());
  return opened ? *std::move(opened) : nullptr;
}

class Golden : public ::testing::TestWithParam<std::string> {};

TEST_P(Golden, ReadsWhatTensorFlowReads) {
  const auto checkpoint = OpenFixture(GetParam());
  ASSERT_NE(checkpoint, nullptr);
  testing::ExpectTensors(*checkpoint,
                         testing::ReadExpected(kTestdata + "/" + GetParam() + ".expected.json"));
  const Manifest& manifest = checkpoint->manifest();
  EXPECT_EQ(checkpoint->format(), "tf-bundle");
  EXPECT_EQ(manifest.framework, Framework::kTensorFlow);
  EXPECT_TRUE(manifest.problems.empty());
  EXPECT_TRUE(std::is_sorted(manifest.tensors.begin(), manifest.tensors.end(),
                             [](const auto& a, const auto& b) { return a.name < b.name; }));
}

INSTANTIATE_TEST_SUITE_P(
    , Golden,
    ::testing::Values("tf1/resnet/correct/model.ckpt-200",
                      "tf1/mnist/trainable_only/model.ckpt-700", "tf/slim/ema/model.ckpt-300",
                      "tf/cases/virtual_batch/model.ckpt-150", "tf/bundles/strings/model.ckpt",
                      "tf/bundles/shapes/model.ckpt", "tf/bundles/partitioned/sliced/model.ckpt-1",
                      "tf/bundles/partitioned/whole/model.ckpt-1",
                      "tf/bundles/slice_grid/model.ckpt", "tf/bundles/sharded/model.ckpt-1",
                      "tf/rewritten/big_endian/model.ckpt",
                      "tf/rewritten/big_endian_dtypes/model.ckpt",
                      "tf/rewritten/snappy_index/model.ckpt", "tf/rewritten/many_blocks/model.ckpt",
                      "tf/rewritten/snappy_many_blocks/model.ckpt", "tf2/classic_optimizer/ckpt-2",
                      "tf2/new_optimizer/ckpt-1", "tf2/save_weights/weights"),
    [](const auto& instance) {
      std::string name = instance.param;
      for (char& c : name) c = std::isalnum(static_cast<unsigned char>(c)) != 0 ? c : '_';
      return name;
    });

// A TensorStream packs elements of four bits two to a byte, where TensorFlow has one to a byte.
TEST(GoldenDtypes, ReadsEveryNumericType) {
  const auto checkpoint = OpenFixture("tf/bundles/numeric_dtypes/model.ckpt");
  ASSERT_NE(checkpoint, nullptr);
  const auto expected =
      testing::ReadExpected(kTestdata + "/tf/bundles/numeric_dtypes/model.ckpt.expected.json");
  EXPECT_EQ(checkpoint->manifest().tensors.size(), 24U);
  for (const auto& tensor : expected["tensors"]) {
    const std::string name = tensor["name"];
    const auto id = FindTensor(checkpoint->manifest(), name);
    ASSERT_TRUE(id.has_value()) << name;
    const TensorInfo& info = checkpoint->manifest().tensors[id->index];
    if (BitSize(info.dtype) != 4) {
      testing::ExpectTensor(*checkpoint, tensor, name);
      continue;
    }
    EXPECT_EQ(DtypeFromName(tensor["dtype"].get<std::string>()), info.dtype);
    EXPECT_EQ(info.byte_size, 3U);
    std::vector<std::byte> unpacked;
    for (const std::byte pair : testing::AllBytes(*checkpoint, *id)) {
      unpacked.push_back(pair & std::byte{0x0f});
      unpacked.push_back(pair >> 4);
    }
    EXPECT_EQ(testing::HexCrc(unpacked), tensor["crc32"]) << name;
  }
}

TEST(GoldenChecksums, AreGivenWhereEqualOnesMeanEqualBytes) {
  const auto checksum = [](const std::string& prefix, const std::string& name) {
    const auto checkpoint = OpenFixture(prefix);
    const auto id = FindTensor(checkpoint->manifest(), name);
    return checkpoint->manifest().tensors[id->index].checksum;
  };
  const auto whole = checksum("tf/bundles/partitioned/whole/model.ckpt-1", "net/conv/bias");
  ASSERT_TRUE(whole.has_value());
  EXPECT_EQ(whole->kind, ChecksumKind::kCrc32c);
  // CRC-32C of the six values, which TensorFlow stores masked.
  const auto checkpoint = OpenFixture("tf/bundles/partitioned/whole/model.ckpt-1");
  const auto bias = FindTensor(checkpoint->manifest(), "net/conv/bias");
  EXPECT_EQ(whole->value, Crc32c(testing::AllBytes(*checkpoint, *bias)));

  EXPECT_FALSE(checksum("tf/bundles/partitioned/sliced/model.ckpt-1", "net/conv/kernel"));
  EXPECT_FALSE(checksum("tf/bundles/strings/model.ckpt", "strings/vector"));
  EXPECT_FALSE(checksum("tf/rewritten/big_endian/model.ckpt", "global_step"));
}

TEST(GoldenShards, NamesTheFileOfEachTensor) {
  const auto checkpoint = OpenFixture("tf/bundles/sharded/model.ckpt-1");
  const std::string prefix = kTestdata + "/tf/bundles/sharded/model.ckpt-1";
  EXPECT_THAT(checkpoint->manifest().files,
              ::testing::ElementsAre(prefix + ".index", prefix + ".data-00000-of-00002",
                                     prefix + ".data-00001-of-00002", prefix + ".meta"));
  const auto file_of = [&](const std::string& name) {
    return checkpoint->manifest()
        .tensors[FindTensor(checkpoint->manifest(), name)->index]
        .data_file;
  };
  EXPECT_EQ(file_of("tower_a/bn/gamma"), prefix + ".data-00000-of-00002");
  EXPECT_EQ(file_of("tower_b/bn/gamma"), prefix + ".data-00001-of-00002");
}

}  // namespace
}  // namespace ckpt::formats::golden_test
