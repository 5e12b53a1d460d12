// Public V1 checkpoints: what their README says to expect.
#include <gtest/gtest.h>

#include <filesystem>
#include <string>

#include "ckpt/formats/format.h"
#include "formats/container/file.h"
#include "tests/support/paths.h"

namespace ckpt::formats::corpus_test {
namespace {

constexpr const char* kHalfPlusTwo = "/tensorflow_serving/session_bundle/testdata/half_plus_two/";
constexpr const char* kBothFormats = "/tensorflow/contrib/session_bundle/testdata/half_plus_two";

class V1Corpus : public ::testing::Test {
 protected:
  void SetUp() override {
    if (!std::filesystem::exists(ckpt::testing::Corpus())) GTEST_SKIP() << "no corpus here";
  }

  static void ExpectHalfPlusTwo(const std::string& path, std::string_view format) {
    SCOPED_TRACE(path);
    const auto opened = OpenCheckpoint(ckpt::testing::Corpus() + path);
    ASSERT_TRUE(opened.has_value()) << ToString(opened.error());
    EXPECT_EQ((*opened)->format(), format);
    const Manifest& manifest = (*opened)->manifest();
    ASSERT_EQ(manifest.tensors.size(), 2U);
    EXPECT_EQ(manifest.tensors[0].name, "a");
    EXPECT_EQ(manifest.tensors[1].name, "b");
    for (const TensorInfo& info : manifest.tensors) {
      EXPECT_EQ(info.dtype, Dtype::kF32);
      EXPECT_EQ(info.shape, Shape());
    }
    EXPECT_EQ(ReadDoubles(**opened, TensorId{0}, 1).value(), std::vector<double>{0.5});
    EXPECT_EQ(ReadDoubles(**opened, TensorId{1}, 1).value(), std::vector<double>{2.0});
  }
};

TEST_F(V1Corpus, D1IsReadByEachOfItsNames) {
  for (const char* name :
       {"00000123/export-00000-of-00001", "00000123/export", "00000123", "00000123/export.meta"}) {
    ExpectHalfPlusTwo(std::string("/D1") + kHalfPlusTwo + name, "tf-v1");
  }
}

TEST_F(V1Corpus, D5HoldsTheSameInBothFormats) {
  ExpectHalfPlusTwo(std::string("/D5") + kBothFormats + "/00000123", "tf-v1");
  ExpectHalfPlusTwo(std::string("/D5") + kBothFormats + "_ckpt_v2/00000123", "tf-bundle");
}

}  // namespace
}  // namespace ckpt::formats::corpus_test
