// Weights that are computed from others: no batch norm is folded into their parts.
#include "fold/computed_weight.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "ckpt/fold.h"
#include "tests/support/memory_checkpoint.h"

namespace ckpt::computed_weight_test {
namespace {

using ::testing::HasSubstr;
using testing::MemoryCheckpoint;

MemoryCheckpoint WithBatchNorm(const std::vector<std::string>& kernels) {
  MemoryCheckpoint checkpoint;
  checkpoint.mutable_manifest().framework = Framework::kPyTorch;
  for (const std::string& name : kernels) {
    checkpoint.Add(name, {2, 3, 1, 1}, std::vector<double>(6, 1.5));
  }
  for (const char* leaf : {"weight", "bias", "running_mean", "running_var"}) {
    checkpoint.Add(std::string("bn.") + leaf, {2}, {2, 3});
  }
  std::vector<std::string> names;
  for (const TensorInfo& info : checkpoint.manifest().tensors) names.push_back(info.name);
  checkpoint.Seal();
  Manifest& manifest = checkpoint.mutable_manifest();
  for (const auto& name : names) manifest.stored_order.push_back(*FindTensor(manifest, name));
  return checkpoint;
}

std::string WhyKept(const MemoryCheckpoint& checkpoint, FoldOptions options) {
  options.fold = true;
  const auto plan =
      PlanFold(checkpoint, Analyse(checkpoint.manifest(), {.epsilon = 1e-5}), options);
  EXPECT_TRUE(plan) << ToString(plan.error());
  if (!plan || plan->kept.size() != 1) {
    ADD_FAILURE() << "was folded";
    return {};
  }
  return plan->kept[0].reason;
}

struct Case {
  std::vector<std::string> kernels;
  std::string reason;
};

class ComputedWeights : public ::testing::TestWithParam<Case> {};

TEST_P(ComputedWeights, AreNotFoldedIntoByOrder) {
  const MemoryCheckpoint checkpoint = WithBatchNorm(GetParam().kernels);
  EXPECT_THAT(WhyKept(checkpoint, {.pair_by_order = true}), HasSubstr(GetParam().reason));
}

TEST_P(ComputedWeights, AreNotFoldedIntoThoughTheUserSaysSo) {
  const MemoryCheckpoint checkpoint = WithBatchNorm(GetParam().kernels);
  FoldOptions options;
  UserPair pair;
  pair.batch_norm = "bn";
  pair.into = GetParam().kernels.front();
  options.pairs.push_back(pair);
  EXPECT_THAT(WhyKept(checkpoint, options), HasSubstr(GetParam().reason));
}

INSTANTIATE_TEST_SUITE_P(
    All, ComputedWeights,
    ::testing::Values(
        Case{{"conv.weight_orig", "conv.weight_u"}, "spectral norm"},
        Case{{"conv.weight_v", "conv.weight_g"}, "weight norm"},
        Case{{"conv.weight_orig", "conv.weight_mask"}, "pruning"},
        Case{{"conv.parametrizations.weight.original1", "conv.parametrizations.weight.original0"},
             "weight norm"},
        Case{{"conv.parametrizations.weight.original", "conv.parametrizations.weight.0._u"},
             "spectral norm"},
        Case{{"conv.parametrizations.weight.original"}, "parametrisation"}));

TEST(ComputedWeight, IsNotSeenInOtherNames) {
  const MemoryCheckpoint checkpoint =
      WithBatchNorm({"a.weight", "a.weight_v", "attention.w_g", "attention.w_v", "b_orig"});
  for (std::uint32_t i = 0; i < checkpoint.manifest().tensors.size(); ++i) {
    EXPECT_FALSE(ComputedWeight(checkpoint.manifest(), TensorId{i}));
  }
}

}  // namespace
}  // namespace ckpt::computed_weight_test
