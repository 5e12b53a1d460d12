// Which updates run with the training step.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "ckpt/op_training.h"
#include "tests/support/op_graph_builder.h"

namespace ckpt::testing::update_reach_test {
namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;
using ::testing::SizeIs;

// Two batch norms in training mode, their updates, and an optimizer's step "train".
struct TrainingGraph : GraphBuilder {
  TrainingGraph() {
    top.Add("x", "Placeholder");
    for (const std::string scope : {"a", "b"}) {
      BatchNormVariables(scope);
      Fused(scope, scope == "a" ? "x" : "a/FusedBatchNormV3", true);
      MovingAverage(scope + "/u", scope + "/moving_mean", scope + "/FusedBatchNormV3:1");
      MovingAverage(scope + "/v", scope + "/moving_variance", scope + "/FusedBatchNormV3:2");
    }
    top.Add("apply", "ApplyMomentum", {"a/gamma", "b/FusedBatchNormV3"});
    top.Add("train", "NoOp", {"^apply"});
  }
  UpdateReach Reach() const {
    const OpBodies bodies(graph);
    return TraceUpdates(bodies, FindBatchNorms(bodies));
  }
};

TEST(Updates, UnderControlDependenciesAllRun) {
  TrainingGraph graph;
  for (const char* update : {"^a/u", "^a/v", "^b/u", "^b/v"}) graph.top.Link(update, "apply");
  const UpdateReach reach = graph.Reach();
  EXPECT_EQ(reach.verdict, UpdateVerdict::kAllRun);
  EXPECT_THAT(reach.roots, ElementsAre("train"));
  EXPECT_FALSE(reach.roots_recorded);
  EXPECT_THAT(reach.variables, SizeIs(4));
}

TEST(Updates, ThatNothingDependsOnDoNotRun) {
  TrainingGraph graph;
  graph.graph.collections["train_op"] = {"train"};
  const UpdateReach reach = graph.Reach();
  EXPECT_EQ(reach.verdict, UpdateVerdict::kNoneRuns);
  EXPECT_TRUE(reach.roots_recorded);
  EXPECT_EQ(reach.variables[0].example, "a/u");
}

TEST(Updates, GroupedAfterTheTrainOperationRunIfTheGroupIsFetched) {
  TrainingGraph graph;
  graph.graph.collections["train_op"] = {"train:0"};
  graph.top.Add("group", "NoOp", {"^train", "^a/u", "^a/v", "^b/u", "^b/v"});
  const UpdateReach reach = graph.Reach();
  EXPECT_EQ(reach.verdict, UpdateVerdict::kOnlyIfFetched);
  EXPECT_EQ(reach.fetch, "group");
}

TEST(Updates, OfSomeLayersOnlyAreNamed) {
  TrainingGraph graph;
  graph.top.Link("^a/u", "apply");
  graph.top.Link("^a/v", "apply");
  const UpdateReach reach = graph.Reach();
  EXPECT_EQ(reach.verdict, UpdateVerdict::kPartlyRun);
  EXPECT_TRUE(reach.variables[0].runs);
  EXPECT_EQ(reach.variables[2].variable, "b/moving_mean");
  EXPECT_FALSE(reach.variables[2].runs);
}

TEST(Updates, OfATowerLeaveTheVariableUpdated) {
  TrainingGraph graph;
  for (const char* update : {"^a/u", "^a/v", "^b/u", "^b/v"}) graph.top.Link(update, "apply");
  graph.MovingAverage("tower_0/u", "a/moving_mean", "a/FusedBatchNormV3:1");
  const UpdateReach reach = graph.Reach();
  EXPECT_EQ(reach.verdict, UpdateVerdict::kSomeCallsRun);
  EXPECT_EQ(reach.variables[0].updates, 2u);
  EXPECT_EQ(reach.variables[0].updates_run, 1u);
  EXPECT_EQ(reach.variables[0].example, "tower_0/u");
  EXPECT_EQ(reach.variables[0].runs_example, "a/u");
  EXPECT_FALSE(reach.variables[1].RunsPartly());
}

TEST(Updates, OfTwoOptimizersAreCountedForEach) {
  TrainingGraph graph;
  graph.top.Link("^a/u", "apply");
  graph.top.Link("^a/v", "apply");
  graph.top.Add("apply_1", "ApplyAdam", {"b/gamma", "b/FusedBatchNormV3", "^b/u", "^b/v"});
  graph.top.Add("train_1", "NoOp", {"^apply_1"});
  graph.graph.collections["train_op"] = {"train", "train_1"};
  const UpdateReach reach = graph.Reach();
  EXPECT_EQ(reach.verdict, UpdateVerdict::kAllRun);
  EXPECT_THAT(reach.run_with_root, ElementsAre(2, 2));
}

TEST(Updates, InABranchOfAnIfRunWithIt) {
  TrainingGraph graph;
  BodyBuilder branch = graph.Function("branch", 2);
  branch.Floats("decay", {}, {0.1});
  branch.Add("mul", "Mul", {"arg1", "decay"});
  branch.Add("assign", "AssignSubVariableOp", {"arg0", "mul"});
  graph.Function("other", 2);
  for (const char* variable : {"a/moving_mean", "a/moving_variance"}) {
    const std::string name = std::string("if/") + variable;
    const bool mean = name.ends_with("mean");
    Op& op = graph.top.Add(
        name, "If", {"x", variable, std::string("a/FusedBatchNormV3:") + (mean ? "1" : "2")});
    op.attrs["then_branch"] = OpFunctionName{"branch"};
    op.attrs["else_branch"] = OpFunctionName{"other"};
    graph.top.Link("^" + name, "apply");
  }
  const UpdateReach reach = graph.Reach();
  ASSERT_FALSE(reach.variables.empty());
  const auto in_branch = [](const UpdatedVariable& variable) { return variable.runs; };
  EXPECT_TRUE(std::any_of(reach.variables.begin(), reach.variables.end(), in_branch));
}

TEST(Updates, ThatDoNotExistAreSaidToBeMissing) {
  GraphBuilder graph;
  graph.top.Add("x", "Placeholder");
  graph.BatchNormVariables("a");
  graph.Fused("a", "x", true);
  graph.top.Add("apply", "ApplyMomentum", {"a/gamma", "a/FusedBatchNormV3"});
  const OpBodies bodies(graph.graph);
  const UpdateReach reach = TraceUpdates(bodies, FindBatchNorms(bodies));
  EXPECT_EQ(reach.verdict, UpdateVerdict::kNoUpdateOp);
  EXPECT_THAT(reach.without_update, ElementsAre(0));
}

TEST(Updates, OfAnInferenceGraphCannotBeAssessed) {
  GraphBuilder graph;
  graph.top.Add("x", "Placeholder");
  graph.BatchNormVariables("a");
  graph.Fused("a", "x", false);
  const OpBodies bodies(graph.graph);
  EXPECT_EQ(TraceUpdates(bodies, FindBatchNorms(bodies)).verdict, UpdateVerdict::kNotAssessable);
}

TEST(Updates, OfAFrozenLayerAreNotMissed) {
  GraphBuilder graph;
  graph.top.Add("x", "Placeholder");
  graph.BatchNormVariables("a");
  graph.Fused("a", "x", false);
  graph.top.Add("apply", "ApplyMomentum", {"a/gamma", "a/FusedBatchNormV3"});
  const OpBodies bodies(graph.graph);
  const UpdateReach reach = TraceUpdates(bodies, FindBatchNorms(bodies));
  EXPECT_EQ(reach.verdict, UpdateVerdict::kNoBatchNorm);
  EXPECT_THAT(reach.without_update, IsEmpty());
}

}  // namespace
}  // namespace ckpt::testing::update_reach_test
