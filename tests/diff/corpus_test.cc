// One public network in four files: PyTorch's, two ONNX exports, TensorFlow's. Its README says that
// they hold the same values, kernels transposed, or those folded. Skipped where the corpus is not
// there.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <filesystem>

#include "ckpt/diff.h"
#include "ckpt/formats/format.h"
#include "tests/support/paths.h"

namespace ckpt::testing::corpus_test {
namespace {

using ::testing::HasSubstr;

constexpr char kTorch[] = "H1/models/pretrained/version-RFB-320.pth";
constexpr char kOnnx[] = "H1/models/onnx/version-RFB-320.onnx";
constexpr char kFolded[] = "H1/models/onnx/version-RFB-320_simplified.onnx";
constexpr char kCaffe[] = "H1/caffe/model/RFB-320/RFB-320.caffemodel";
constexpr char kTensorFlow[] = "C8/tf/export_models/RFB/variables/variables";

class AcrossCorpus : public ::testing::Test {
 protected:
  void SetUp() override {
    if (!std::filesystem::exists(ckpt::testing::Corpus())) GTEST_SKIP() << "no corpus";
  }
  static CheckpointDiff Compare(const std::string& a, const std::string& b) {
    const auto in_a = formats::OpenCheckpoint(ckpt::testing::Corpus() + "/" + a);
    const auto in_b = formats::OpenCheckpoint(ckpt::testing::Corpus() + "/" + b);
    EXPECT_TRUE(in_a && in_b);
    if (!in_a || !in_b) return {};
    AnalysisOptions options;
    options.epsilon = 1e-5;  // of the program that trained it
    const auto diff = Diff(**in_a, Analyse((*in_a)->manifest(), options), **in_b,
                           Analyse((*in_b)->manifest(), options), {});
    EXPECT_TRUE(diff) << (diff ? "" : ToString(diff.error()));
    return diff ? *diff : CheckpointDiff{};
  }
};

// 244 tensors of the state dict, 35 of them counters of batches.
constexpr std::uint64_t kShared = 244 - 35;

TEST_F(AcrossCorpus, TensorFlowHoldsWhatPyTorchHolds) {
  for (const auto& [a, b] : {std::pair(kTensorFlow, kTorch), std::pair(kTorch, kTensorFlow)}) {
    const CheckpointDiff diff = Compare(a, b);
    EXPECT_TRUE(diff.within_tolerance);
    EXPECT_EQ(diff.equal, kShared);
    EXPECT_EQ(diff.changed, 0u);
    EXPECT_EQ(diff.batch_norms.size(), 35u);
  }
}

// Counters of batches and the 31 constants of the ONNX graph are in one file only, and no
// difference.
TEST_F(AcrossCorpus, TensorFlowHoldsWhatOnnxHolds) {
  for (const auto& [a, b] : {std::pair(kTensorFlow, kOnnx), std::pair(kOnnx, kTensorFlow)}) {
    const CheckpointDiff diff = Compare(a, b);
    EXPECT_TRUE(diff.within_tolerance);
    EXPECT_EQ(diff.changed, 0u);
    EXPECT_EQ(diff.equal, kShared);
  }
}

TEST_F(AcrossCorpus, OnnxHoldsWhatPyTorchHolds) {
  for (const auto& [a, b] : {std::pair(kTorch, kOnnx), std::pair(kOnnx, kTorch)}) {
    const CheckpointDiff diff = Compare(a, b);
    EXPECT_TRUE(diff.within_tolerance);
    EXPECT_EQ(diff.changed, 0u);
    EXPECT_EQ(diff.equal, 244u);
    EXPECT_EQ(diff.added + diff.removed, 31u);
    for (const TensorDiff& tensor : diff.tensors) {
      EXPECT_EQ(tensor.counts, tensor.status == TensorStatus::kEqual) << tensor.name_a;
    }
  }
}

TEST_F(AcrossCorpus, TheFoldedFilesOfTwoFrameworksHoldTheSame) {
  const CheckpointDiff diff = Compare(kFolded, kCaffe);
  EXPECT_TRUE(diff.within_tolerance);
  EXPECT_EQ(diff.equal, 104u);
}

TEST_F(AcrossCorpus, EveryFoldedLayerIsFoundInTheKernelThatTookIt) {
  for (const char* source : {kTorch, kTensorFlow, kOnnx}) {
    for (const char* folded : {kFolded, kCaffe}) {
      const CheckpointDiff diff = Compare(source, folded);
      ASSERT_EQ(diff.batch_norms.size(), 35u);
      for (const BatchNormDiff& layer : diff.batch_norms) {
        EXPECT_THAT(layer.note, HasSubstr("folded into")) << source << " " << layer.scope_a;
        EXPECT_TRUE(layer.equal_as_function) << source << " " << layer.scope_a << " " << layer.note;
      }
    }
  }
}

}  // namespace
}  // namespace ckpt::testing::corpus_test
