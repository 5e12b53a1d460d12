// Batch norms that stay, as one scale and one offset per channel.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/fold/test_net.h"

namespace ckpt::leftover_test {
namespace {

using ::testing::ElementsAre;
using testing::ExpectSameFunction;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using testing::MemoryCheckpoint;
using ::testing::SizeIs;
using testing::TestNet;

const FoldOptions kAffine = {.fold = true, .leftover_affine = true};

TEST(LeftoverTest, InAGraphItStaysABatchNormWithTrivialStatistics) {
  for (const bool parts : {true, false}) {
    TestNet net;
    const auto x = net.Activation("act", net.Input({2, 3, 4, 5}), "relu");
    net.Output(
        net.Activation("end", net.BatchNorm("bn", x, {.scale = parts, .center = parts}), "relu"));
    const FoldPlan plan = ExpectSameFunction(net, kAffine);
    ASSERT_THAT(plan.kept, SizeIs(1));
    EXPECT_TRUE(plan.kept[0].affine);
    EXPECT_THAT(plan.edits.to_affine, ElementsAre(net.layer("bn")));
    EXPECT_THAT(plan.edits.removed, IsEmpty());
    ASSERT_THAT(plan.tensors, SizeIs(4));
    EXPECT_EQ(plan.tensors[0].info.name, "bn/beta");
    EXPECT_EQ(plan.tensors[1].info.name, "bn/gamma");
    const auto written = net.Written(plan);
    EXPECT_THAT(written.at("bn/moving_mean"), ::testing::Each(0.0));
    EXPECT_THAT(written.at("bn/moving_variance"), ::testing::Each(1 - 1e-3));
  }
}

TEST(LeftoverTest, WhatFoldsStillFolds) {
  TestNet net;
  auto x = net.Conv("conv", net.Input({2, 3, 4, 5}), {.out = 4});
  x = net.BatchNorm("folds", x);
  x = net.BatchNorm("stays", net.Activation("act", x, "relu"));
  net.Output(net.Activation("end", x, "relu"));
  const FoldPlan plan = ExpectSameFunction(net, kAffine);
  EXPECT_THAT(testing::FoldedScopes(plan), ElementsAre("folds"));
  EXPECT_THAT(plan.edits.to_affine, ElementsAre(net.layer("stays")));
}

TEST(LeftoverTest, AMergedOneIsReducedWithWhatItTook) {
  TestNet net;
  auto x = net.BatchNorm("bn1", net.Input({2, 3, 4, 5}));
  net.Output(net.Activation("act", net.BatchNorm("bn2", x), "relu"));
  const FoldPlan plan = ExpectSameFunction(net, kAffine);
  EXPECT_THAT(testing::FoldedScopes(plan), ElementsAre("bn2"));
  EXPECT_THAT(plan.edits.to_affine, ElementsAre(net.layer("bn1")));
}

TEST(LeftoverTest, WhatCannotBeTrustedStaysAsItIs) {
  TestNet net;
  net.Output(net.Activation("act", net.BatchNorm("bn", net.Input({2, 3, 4, 5})), "relu"));
  net.weights("bn/moving_variance")[0] = -1;
  const auto plan = PlanFoldOf(net, kAffine);
  ASSERT_TRUE(plan);
  ASSERT_THAT(plan->kept, SizeIs(1));
  EXPECT_FALSE(plan->kept[0].affine);
  EXPECT_THAT(plan->tensors, IsEmpty());
}

// bn: y = 2 * (x - 1) / sqrt(4) + 3.
MemoryCheckpoint NamesOnly(const std::string& separator) {
  MemoryCheckpoint checkpoint;
  const std::string bn = "net" + separator + "bn" + separator;
  checkpoint.Add(bn + (separator == "." ? "weight" : "gamma"), {2}, {2, 2});
  checkpoint.Add(bn + (separator == "." ? "bias" : "beta"), {2}, {3, 3});
  checkpoint.Add(bn + (separator == "." ? "running_mean" : "moving_mean"), {2}, {1, 1});
  checkpoint.Add(bn + (separator == "." ? "running_var" : "moving_variance"), {2}, {4, 4});
  if (separator == ".") checkpoint.Add(bn + "num_batches_tracked", {}, {7}, Dtype::kI64);
  checkpoint.Seal();
  return checkpoint;
}

TEST(LeftoverTest, WithoutAGraphTwoTensorsReplaceTheFour) {
  for (const std::string separator : {"/", "."}) {
    const MemoryCheckpoint checkpoint = NamesOnly(separator);
    const auto plan =
        PlanFold(checkpoint, Analyse(checkpoint.manifest(), {.epsilon = 0.0}), kAffine);
    ASSERT_TRUE(plan);
    ASSERT_THAT(plan->kept, SizeIs(1));
    EXPECT_TRUE(plan->kept[0].affine) << plan->kept[0].reason;
    EXPECT_EQ(plan->consumed.size(), checkpoint.manifest().tensors.size());
    ASSERT_THAT(plan->tensors, SizeIs(2));
    EXPECT_EQ(plan->tensors[0].info.name, "net" + separator + "bn" + separator + "offset");
    EXPECT_EQ(plan->tensors[1].info.name, "net" + separator + "bn" + separator + "scale");
    EXPECT_THAT(std::get<Constant>(plan->tensors[0].content).values, ElementsAre(2, 2));
    EXPECT_THAT(std::get<Constant>(plan->tensors[1].content).values, ElementsAre(1, 1));
    EXPECT_THAT(plan->edits.to_affine, IsEmpty());
  }
}

// Nothing in the graph would read the two.
TEST(LeftoverTest, OneThatIsNoLayerOfTheGraphKeepsTheFour) {
  MemoryCheckpoint checkpoint = NamesOnly("/");
  checkpoint.mutable_manifest().graph.emplace();
  const auto plan = PlanFold(checkpoint, Analyse(checkpoint.manifest(), {.epsilon = 0.0}), kAffine);
  ASSERT_TRUE(plan);
  ASSERT_THAT(plan->kept, SizeIs(1));
  EXPECT_FALSE(plan->kept[0].affine);
  EXPECT_THAT(plan->kept[0].reason, HasSubstr("no layer of the graph"));
  EXPECT_THAT(plan->tensors, IsEmpty());
  EXPECT_THAT(plan->consumed, IsEmpty());
}

TEST(LeftoverTest, ANameThatIsTakenKeepsTheFour) {
  MemoryCheckpoint checkpoint = NamesOnly("/");
  checkpoint.Add("net/bn/scale", {2}, {5, 5});
  checkpoint.Seal();
  Analysis analysis = Analyse(checkpoint.manifest(), {.epsilon = 0.0});
  ASSERT_THAT(analysis.batch_norms, SizeIs(1));
  analysis.batch_norms[0].gamma = FindTensor(checkpoint.manifest(), "net/bn/gamma");
  const auto plan = PlanFold(checkpoint, analysis, kAffine);
  ASSERT_TRUE(plan);
  ASSERT_THAT(plan->kept, SizeIs(1));
  EXPECT_FALSE(plan->kept[0].affine);
  EXPECT_THAT(plan->kept[0].reason, HasSubstr("another tensor is called \"net/bn/scale\""));
}

}  // namespace
}  // namespace ckpt::leftover_test
