// A public Caffe model: what its README says to expect.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <filesystem>

#include "ckpt/batch_norm.h"
#include "ckpt/formats/format.h"
#include "tests/support/paths.h"

namespace ckpt::formats::corpus_test {
namespace {

TEST(OtherFrameworksCorpus, H1IsAFoldedCaffeModel) {
  if (!std::filesystem::exists(ckpt::testing::Corpus())) GTEST_SKIP() << "no corpus here";
  const auto opened =
      OpenCheckpoint(ckpt::testing::Corpus() + "/H1/caffe/model/RFB-320/RFB-320.caffemodel");
  ASSERT_TRUE(opened.has_value()) << ToString(opened.error());
  EXPECT_EQ((*opened)->format(), "caffe");
  const Manifest& manifest = (*opened)->manifest();
  EXPECT_TRUE(manifest.problems.empty());
  EXPECT_GT(manifest.tensors.size(), 80U);
  EXPECT_TRUE(Analyse(manifest).batch_norms.empty()) << "they were folded";
  for (std::uint32_t i = 0; i < manifest.tensors.size(); ++i) {
    const auto bytes = ReadBytes(**opened, TensorId{i}, 1 << 24);
    ASSERT_TRUE(bytes.has_value()) << manifest.tensors[i].name;
    EXPECT_EQ(bytes->size(), manifest.tensors[i].byte_size);
  }
}

}  // namespace
}  // namespace ckpt::formats::corpus_test
