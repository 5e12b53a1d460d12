// Public models; skipped where the corpus is not there. What to expect of each is said in its
// README.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <filesystem>

#include "ckpt/diff.h"
#include "ckpt/layer_computation.h"
#include "tests/onnx/folded.h"
#include "tests/support/paths.h"

namespace ckpt::testing::corpus_test {
namespace {

using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::SizeIs;

class OnnxCorpus : public ::testing::Test {
 protected:
  void SetUp() override {
    if (!std::filesystem::exists(ckpt::testing::Corpus())) GTEST_SKIP() << "no corpus";
  }
  static std::string Path(const std::string& path) { return ckpt::testing::Corpus() + "/" + path; }
  static std::string Transform(const std::string& of, const std::string& name) {
    return Path(of + "/onnxruntime/test/testdata/transform/fusion/" + name + ".onnx");
  }
};

TEST_F(OnnxCorpus, H1FoldsToWhatTheSimplifierMadeOfIt) {
  const Folded folded(Path("H1/models/onnx/version-RFB-320.onnx"));
  ASSERT_EQ(folded.refusal(), "");
  EXPECT_THAT(folded.plan().folded, SizeIs(35));
  EXPECT_THAT(folded.plan().kept, IsEmpty());
  EXPECT_THAT(folded.written().manifest().tensors, SizeIs(104 + 31));  // kernels, biases, constants
  const auto simplified =
      formats::OpenCheckpoint(Path("H1/models/onnx/version-RFB-320_simplified.onnx"));
  ASSERT_TRUE(simplified) << ToString(simplified.error());
  // The simplifier kept the order of the convolutions and gave them names of its own.
  const auto convolutions = [](const Checkpoint& checkpoint) {
    std::vector<Layer> layers;
    for (const Layer& layer : checkpoint.manifest().graph->layers) {
      if (IsConvolution(layer)) layers.push_back(layer);
    }
    return layers;
  };
  const auto a = convolutions(folded.written()), b = convolutions(**simplified);
  ASSERT_EQ(a.size(), 52U);
  ASSERT_EQ(b.size(), 52U);
  for (std::size_t i = 0; i < a.size(); ++i) {
    for (const char* part : {"kernel", "bias"}) {
      const auto ours = *ReadDoubles(folded.written(), a[i].tensors.at(part), 1 << 24);
      const auto theirs = *ReadDoubles(**simplified, b[i].tensors.at(part), 1 << 24);
      ASSERT_EQ(ours.size(), theirs.size()) << i;
      double largest = 0, difference = 0;
      for (std::size_t e = 0; e < ours.size(); ++e) {
        largest = std::max(largest, std::fabs(theirs[e]));
        difference = std::max(difference, std::fabs(ours[e] - theirs[e]));
      }
      EXPECT_LE(difference, 2e-7 * largest) << i << " " << part;
    }
  }
}

TEST_F(OnnxCorpus, H15FoldsBehindTransposedConvolutions) {
  for (const char* name : {"gtcrn", "gtcrn_simple"}) {
    const Folded folded(Path("H15/stream/onnx_models/" + std::string(name) + ".onnx"));
    ASSERT_EQ(folded.refusal(), "") << name;
    EXPECT_EQ(folded.plan().folded.size() + folded.plan().kept.size(), 11U);
    EXPECT_THAT(folded.plan().kept, IsEmpty()) << folded.plan().kept.front().reason;
  }
}

TEST_F(OnnxCorpus, K1AndK3Fold) {
  const Folded conv(Transform("K1", "fuse-conv-bn-no-bias"));
  EXPECT_THAT(conv.Operators(), ::testing::ElementsAre("Conv", "Flatten"));
  const Folded half(Transform("K3", "fuse-conv-bn-add-mul-float16"));
  EXPECT_THAT(half.Operators(), ::testing::ElementsAre("Conv", "Add", "Mul"));
}

TEST_F(OnnxCorpus, K4FoldsWhereTheAxisIsThatOfTheProduct) {
  const Folded direct(Transform("K4", "fuse-matmul-bn-directly"));
  EXPECT_THAT(direct.Operators(), ::testing::ElementsAre("MatMul", "Add"));
  // The axis comes back to the last one of the product's: onnxruntime gives the same within 1e-6.
  const Folded there(Transform("K4", "fuse-matmul-bn-with-reshape"));
  EXPECT_THAT(there.Operators(),
              ::testing::ElementsAre("MatMul", "Add", "Reshape", "Transpose", "Identity"));
  const std::pair<const char*, const char*> kept[] = {{"only-reshape", "different ones"},
                                                      {"only-transpose", "different ones"}};
  for (const auto& [name, reason] : kept) {
    const Folded folded(Transform("K4", "fuse-matmul-bn-" + std::string(name)));
    ASSERT_EQ(folded.refusal(), "");
    ASSERT_THAT(folded.plan().kept, SizeIs(1)) << name;
    EXPECT_THAT(folded.plan().kept[0].reason, HasSubstr(reason)) << name;
  }
}

TEST_F(OnnxCorpus, K5DontFuseIsRefused) {
  const Folded folded(Transform("K5", "fuse-matmul-bn-directly-dont-fuse"));
  ASSERT_EQ(folded.refusal(), "");
  EXPECT_THAT(folded.plan().kept, SizeIs(1));
}

TEST_F(OnnxCorpus, K8AndK9AreAffine) {
  for (const char* name :
       {"K8/onnx/backend/test/data/pytorch-converted/test_BatchNorm1d_3d_input_eval",
        "K9/onnx/backend/test/data/pytorch-converted/test_BatchNorm2d_eval"}) {
    const auto opened = formats::OpenCheckpoint(Path(std::string(name) + "/model.onnx"));
    ASSERT_TRUE(opened) << ToString(opened.error());
    const Analysis analysis = Analyse((*opened)->manifest());
    ASSERT_THAT(analysis.batch_norms, SizeIs(1));
    for (const Finding& finding : Audit(**opened, analysis).findings) {
      EXPECT_NE(finding.severity, Severity::kError) << finding.message;
    }
  }
}

TEST_F(OnnxCorpus, K13TakesItsStatisticsAsInputsAndK15TrainsToo) {
  const std::string data = "/onnx/backend/test/data/node/";
  const auto rules_of = [&](const std::string& path) {
    std::vector<std::string> rules;
    const auto opened = formats::OpenCheckpoint(Path(path));
    EXPECT_TRUE(opened) << ToString(opened.error());
    if (!opened) return rules;
    for (const Finding& finding : Audit(**opened, Analyse((*opened)->manifest())).findings) {
      rules.emplace_back(finding.rule->id);
    }
    return rules;
  };
  EXPECT_THAT(rules_of("K13" + data + "test_batchnorm_epsilon/model.onnx"),
              ::testing::ElementsAre("BN061"));
  const std::string training = "K15" + data + "test_batchnorm_epsilon_training_mode/model.onnx";
  EXPECT_THAT(rules_of(training), ::testing::ElementsAre("BN060", "BN061"));
  const Folded folded(Path(training));
  EXPECT_THAT(folded.refusal(), HasSubstr("training mode"));
}

TEST_F(OnnxCorpus, C1IsReadWithoutBatchNorms) {
  const auto opened =
      formats::OpenCheckpoint(Path("C1/basic_pitch/saved_models/icassp_2022/nmp.onnx"));
  ASSERT_TRUE(opened) << ToString(opened.error());
  EXPECT_THAT(Analyse((*opened)->manifest()).batch_norms, IsEmpty());
  EXPECT_THAT((*opened)->manifest().tensors, SizeIs(102));
}

}  // namespace
}  // namespace ckpt::testing::corpus_test
