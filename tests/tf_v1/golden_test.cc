// V1 checkpoints that TensorFlow wrote, against the values that it was given.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cctype>
#include <string>

#include "formats/tf_v1/tf_v1.h"
#include "tests/support/expected_tensors.h"
#include "tests/support/paths.h"

namespace ckpt::formats::golden_test {
namespace {

const std::string kTestdata = ckpt::testing::TestData();

struct Fixture {
  const char* file;
  const char* expected;
};

class V1Golden : public ::testing::TestWithParam<Fixture> {};

TEST_P(V1Golden, ReadsWhatTensorFlowSaved) {
  const auto opened = OpenTfV1(SystemFiles(), kTestdata + "/tf/" + GetParam().file, {});
  ASSERT_TRUE(opened.has_value()) << ToString(opened.error());
  testing::ExpectTensors(
      **opened, testing::ReadExpected(kTestdata + "/tf/" + GetParam().expected + ".expected.json"));
  const Manifest& manifest = (*opened)->manifest();
  EXPECT_EQ((*opened)->format(), "tf-v1");
  EXPECT_EQ(manifest.framework, Framework::kTensorFlow);
  EXPECT_TRUE(manifest.problems.empty());
  EXPECT_TRUE(std::is_sorted(manifest.tensors.begin(), manifest.tensors.end(),
                             [](const auto& a, const auto& b) { return a.name < b.name; }));
}

INSTANTIATE_TEST_SUITE_P(
    , V1Golden,
    ::testing::Values(
        Fixture{"bundles/v1_format/model.ckpt-3", "bundles/v1_format/model.ckpt-3"},
        Fixture{"v1/resnet/model.ckpt-200", "v1/resnet/model.ckpt-200"},
        Fixture{"v1/snappy/model.ckpt-200", "v1/snappy/model.ckpt-200"},
        Fixture{"v1/statistics_missing/model.ckpt-200", "v1/statistics_missing/model.ckpt-200"},
        Fixture{"v1/dtypes/model.ckpt", "v1/dtypes/model.ckpt"},
        Fixture{"v1/sharded/export-00000-of-00003", "v1/sharded/export"},
        Fixture{"v1/sharded/export-00002-of-00003", "v1/sharded/export"},
        Fixture{"v1/saver_sharded/model.ckpt-2-00001-of-00002", "v1/saver_sharded/model.ckpt-2"}),
    [](const auto& instance) {
      std::string name = instance.param.file;
      for (char& c : name) c = std::isalnum(static_cast<unsigned char>(c)) != 0 ? c : '_';
      return name;
    });

TEST(V1SetGolden, ListsEveryFileOfASet) {
  const auto opened =
      OpenTfV1(SystemFiles(), kTestdata + "/tf/v1/sharded/export-00001-of-00003", {});
  ASSERT_TRUE(opened.has_value()) << ToString(opened.error());
  const Manifest& manifest = (*opened)->manifest();
  EXPECT_EQ(manifest.files.size(), 3U);
  EXPECT_TRUE(manifest.resolved.ends_with("export-00000-of-00003")) << manifest.resolved;
}

}  // namespace
}  // namespace ckpt::formats::golden_test
