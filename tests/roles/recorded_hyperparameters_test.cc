// Epsilon and momentum in the metadata of a converted file.
#include "roles/recorded_hyperparameters.h"

#include <gtest/gtest.h>

#include "tests/support/memory_checkpoint.h"

namespace ckpt::testing::recorded_hyperparameters_test {
namespace {

Analysis Analysed(const std::map<std::string, std::string>& metadata,
                  const AnalysisOptions& options = {}) {
  MemoryCheckpoint checkpoint;
  for (const char* leaf : {"weight", "bias", "running_mean", "running_var"}) {
    checkpoint.Add(std::string("bn.") + leaf, {2}, {1, 2});
  }
  checkpoint.Add("bn.num_batches_tracked", {}, {3}, Dtype::kI64);
  checkpoint.Seal();
  checkpoint.mutable_manifest().metadata = metadata;
  return Analyse(checkpoint.manifest(), options);
}

TEST(RecordedHyperparameters, AreReadAgain) {
  const auto record = HyperparameterRecord(
      "bn", SourcedNumber{0.002, {EvidenceSource::kFrameworkRecord, "Keras config"}},
      SourcedNumber{0.95, {EvidenceSource::kUser, "what was given"}});
  EXPECT_EQ(record.at("ckpt.epsilon.bn"), "0.002 config");
  EXPECT_EQ(record.at("ckpt.momentum.bn"), "0.95 user");
  const BatchNorm norm = Analysed(record, {.epsilon = 0.5}).batch_norms.at(0);
  EXPECT_EQ(norm.epsilon->value, 0.002);
  EXPECT_EQ(norm.epsilon->evidence.source, EvidenceSource::kFrameworkRecord);
  EXPECT_EQ(norm.momentum->value, 0.95);
}

TEST(RecordedHyperparameters, AssumptionsStayAssumptions) {
  const auto record =
      HyperparameterRecord("bn", SourcedNumber{0.001, {EvidenceSource::kDefault, ""}}, {});
  EXPECT_EQ(Analysed(record).batch_norms.at(0).epsilon->value, 0.001);
  EXPECT_EQ(Analysed(record).batch_norms.at(0).epsilon->evidence.source, EvidenceSource::kDefault);
  EXPECT_EQ(Analysed(record, {.epsilon = 0.5}).batch_norms.at(0).epsilon->value, 0.5);
}

TEST(RecordedHyperparameters, WhatIsNoNumberOfItsKindIsNothing) {
  for (const char* text : {"", "x", "-1 config", "nan config", "inf config", "1e999 config"}) {
    const BatchNorm norm =
        Analysed({{"ckpt.epsilon.bn", text}, {"ckpt.momentum.bn", "1.5 config"}}).batch_norms.at(0);
    EXPECT_EQ(norm.epsilon->value, 1e-5) << text;  // PyTorch's default
    EXPECT_EQ(norm.momentum->value, 0.9) << text;
  }
}

}  // namespace
}  // namespace ckpt::testing::recorded_hyperparameters_test
