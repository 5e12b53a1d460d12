// What runs when a graph serves, and what its savers hold.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <chrono>

#include "ckpt/op_saving.h"
#include "ckpt/op_serving.h"
#include "tests/support/op_graph_builder.h"

namespace ckpt::testing::serving_path_test {
namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;
using ::testing::SizeIs;

constexpr OpDtype kBool{10};

ServingPath Served(const GraphBuilder& builder) {
  const OpBodies bodies(builder.graph);
  return TraceServing(bodies, FindBatchNorms(bodies));
}

void Sign(GraphBuilder& builder, const std::string& output,
          std::map<std::string, std::string> inputs = {{"x", "x:0"}}) {
  builder.graph.kind = OpGraphKind::kSavedModel;
  builder.graph.tags = {"serve"};
  builder.graph.signatures = {
      {"serving_default", "tensorflow/serving/predict", std::move(inputs), {{"y", output}}}};
}

// Both branches of a batch norm behind `predicate`, joined in "merge".
void Conditional(GraphBuilder& builder, const std::string& predicate) {
  builder.BatchNormVariables("bn");
  const std::vector<std::string> inputs = {"x", "bn/gamma/read", "bn/beta/read",
                                           "bn/moving_mean/read", "bn/moving_variance/read"};
  std::vector<std::string> on_false, on_true;
  for (std::size_t i = 0; i < inputs.size(); ++i) {
    const std::string name = "switch" + std::to_string(i);
    builder.top.Add(name, "Switch", {inputs[i], predicate});
    on_false.push_back(name);
    on_true.push_back(name + ":1");
  }
  builder.top.Add("train", "FusedBatchNormV3", on_true).attrs["is_training"] = true;
  builder.top.Add("infer", "FusedBatchNormV3", on_false).attrs["is_training"] = false;
  builder.top.Add("merge", "Merge", {"infer", "train"});
}

TEST(ServingPath, TrainingModeElsewhereInTheFileDoesNotCount) {
  GraphBuilder builder;
  builder.top.Add("x", "Placeholder");
  builder.BatchNormVariables("bn");
  builder.BatchNormVariables("other");
  builder.Fused("bn", "x", false);
  builder.Fused("other", "x", true);
  Sign(builder, "bn/FusedBatchNormV3:0");
  const ServingPath path = Served(builder);
  EXPECT_TRUE(path.from_signature);
  EXPECT_EQ(path.norms, 1u);
  EXPECT_THAT(path.training_norms, IsEmpty());
  EXPECT_THAT(path.variables,
              ElementsAre("bn/beta", "bn/gamma", "bn/moving_mean", "bn/moving_variance"));
}

TEST(ServingPath, TrainingModeOnItIsFound) {
  GraphBuilder builder;
  builder.top.Add("x", "Placeholder");
  builder.BatchNormVariables("bn");
  builder.Fused("bn", "x", true).attrs.erase("is_training");  // absent is true
  Sign(builder, "bn/FusedBatchNormV3:0");
  EXPECT_THAT(Served(builder).training_norms, SizeIs(1));
}

TEST(ServingPath, AnOpenPhaseIsNotTrainingMode) {
  GraphBuilder builder;
  builder.top.Add("x", "Placeholder");
  builder.top.Add("phase", "Placeholder").attrs["dtype"] = kBool;
  Conditional(builder, "phase");
  Sign(builder, "merge:0");
  const ServingPath path = Served(builder);
  EXPECT_THAT(path.training_norms, IsEmpty());
  EXPECT_EQ(path.switched_norms, 1u);
  ASSERT_THAT(path.phases, SizeIs(1));
  EXPECT_EQ(path.phases[0].name, "phase");
  EXPECT_FALSE(path.phases[0].default_value);
}

TEST(ServingPath, APhaseThatTheSignatureFeedsIsNotOpen) {
  GraphBuilder builder;
  builder.top.Add("x", "Placeholder");
  builder.top.Add("phase", "Placeholder").attrs["dtype"] = kBool;
  Conditional(builder, "phase");
  Sign(builder, "merge:0", {{"x", "x:0"}, {"phase", "phase:0"}});
  EXPECT_THAT(Served(builder).phases, IsEmpty());
}

TEST(ServingPath, ADefaultDecidesTheBranch) {
  for (const bool value : {false, true}) {
    GraphBuilder builder;
    builder.top.Add("x", "Placeholder");
    builder.top.Constant("default", {}, {value ? 1.0 : 0.0}, Dtype::kBool, {});
    builder.top.Add("phase", "PlaceholderWithDefault", {"default"}).attrs["dtype"] = kBool;
    builder.top.Add("pred_id", "Identity", {"phase"});
    Conditional(builder, "pred_id");
    Sign(builder, "merge:0");
    const ServingPath path = Served(builder);
    ASSERT_THAT(path.phases, SizeIs(1));
    EXPECT_EQ(path.phases[0].default_value, value);
    EXPECT_THAT(path.training_norms, SizeIs(value ? 1u : 0u));
  }
}

TEST(ServingPath, OnlyTheTakenBranchOfAnIfCounts) {
  for (const bool value : {false, true}) {
    GraphBuilder builder;
    builder.top.Add("x", "Placeholder");
    for (const char* name : {"g", "b", "m", "v"}) builder.top.Add(name, "VarHandleOp");
    builder.top.Constant("phase", {}, {value ? 1.0 : 0.0}, Dtype::kBool, {});
    for (const bool training : {true, false}) {
      const std::string name = training ? "then" : "else";
      BodyBuilder body = builder.Function(name, 5);
      body.Add("y", "FusedBatchNormV3", {"arg0", "arg1", "arg2", "arg3", "arg4"})
          .attrs["is_training"] = training;
      builder.Return(name, {"y"});
    }
    Op& op = builder.top.Add("if", "StatelessIf", {"phase", "x", "g", "b", "m", "v"});
    op.attrs["then_branch"] = OpFunctionName{"then"};
    op.attrs["else_branch"] = OpFunctionName{"else"};
    Sign(builder, "if:0");
    const ServingPath path = Served(builder);
    EXPECT_EQ(path.norms, 1u);
    EXPECT_THAT(path.training_norms, SizeIs(value ? 1u : 0u));
  }
}

// y = tf.nn.batch_normalization(x, tf.where(phase, batch, moving), ...).
TEST(ServingPath, AWhereOnAPhaseIsAPhase) {
  GraphBuilder builder;
  builder.top.Add("x", "Placeholder");
  builder.top.Add("phase", "Placeholder").attrs["dtype"] = kBool;
  builder.BatchNormVariables("bn");
  builder.top.Ints("axes", {3}, {0, 1, 2});
  builder.top.Add("batch_mean", "Mean", {"x", "axes"});
  builder.top.Add("squares", "SquaredDifference", {"x", "batch_mean"});
  builder.top.Add("batch_variance", "Mean", {"squares", "axes"});
  builder.top.Add("mean", "SelectV2", {"phase", "batch_mean", "bn/moving_mean/read"});
  builder.top.Add("variance", "Select", {"phase", "batch_variance", "bn/moving_variance/read"});
  builder.top.Floats("epsilon", {}, {0.001});
  builder.top.Add("sum", "AddV2", {"variance", "epsilon"});
  builder.top.Add("rsqrt", "Rsqrt", {"sum"});
  builder.top.Add("scale", "Mul", {"rsqrt", "bn/gamma/read"});
  builder.top.Add("scaled", "Mul", {"x", "scale"});
  builder.top.Add("offset", "Mul", {"mean", "scale"});
  builder.top.Add("shift", "Sub", {"bn/beta/read", "offset"});
  builder.top.Add("y", "AddV2", {"scaled", "shift"});
  Sign(builder, "y:0");
  const ServingPath path = Served(builder);
  EXPECT_EQ(path.norms, 1u);
  EXPECT_EQ(path.switched_norms, 1u);
  EXPECT_THAT(path.training_norms, IsEmpty());
}

// Both norms are computed, and one result is thrown away.
TEST(ServingPath, OnlyTheChosenSideOfAWhereCounts) {
  for (const bool trains : {false, true}) {
    GraphBuilder builder;
    builder.top.Add("x", "Placeholder");
    if (trains) {
      builder.top.Constant("phase", {}, {1.0}, Dtype::kBool, {});
    } else {
      builder.top.Add("phase", "Placeholder").attrs["dtype"] = kBool;
    }
    builder.BatchNormVariables("bn");
    builder.Fused("bn", "x", true);
    builder.top
        .Add("infer", "FusedBatchNormV3",
             {"x", "bn/gamma/read", "bn/beta/read", "bn/moving_mean/read",
              "bn/moving_variance/read"})
        .attrs["is_training"] = false;
    builder.top.Add("y", "SelectV2", {"phase", "bn/FusedBatchNormV3", "infer"});
    Sign(builder, "y:0");
    EXPECT_THAT(Served(builder).training_norms, SizeIs(trains ? 1u : 0u));
  }
}

TEST(Savers, SayWhichVariablesTheyTake) {
  GraphBuilder builder;
  builder.BatchNormVariables("bn");
  builder.top.Add("prefix", "Placeholder");
  builder.top.Strings("save/names", {"bn/gamma", "renamed"});
  builder.top.Strings("save/slices", {"", ""});
  builder.top.Add("save/SaveV2", "SaveV2",
                  {"prefix", "save/names", "save/slices", "bn/gamma", "bn/beta/read"});
  builder.top.Strings("save_1/names", {"bn/moving_mean"});
  builder.top.Add("save_1/save", "SaveSlices",
                  {"prefix", "save_1/names", "save/slices", "bn/moving_mean"});
  const std::vector<OpSaverContents> savers = FindSavers(OpBodies(builder.graph));
  ASSERT_THAT(savers, SizeIs(2));
  EXPECT_EQ(savers[0].scope, "save");
  EXPECT_TRUE(savers[0].SavesVariable("bn/beta"));
  EXPECT_TRUE(savers[0].SavesKey("renamed"));
  EXPECT_FALSE(savers[0].SavesVariable("bn/moving_mean"));
  EXPECT_TRUE(savers[1].SavesVariable("bn/moving_mean"));
}

// A walk that is not linear takes minutes here.
TEST(LargeGraphs, TakeLinearTime) {
  OpGraph graph;
  const auto add = [&](std::string name, const char* type, std::vector<OpEdge> inputs) {
    graph.top.ops.push_back({std::move(name), type, std::move(inputs)});
    return static_cast<OpId>(graph.top.ops.size() - 1);
  };
  OpId x = add("x", "Placeholder", {});
  while (graph.top.ops.size() < 60000) {
    const std::string scope = "l" + std::to_string(graph.top.ops.size());
    std::vector<OpEdge> inputs = {{x}};
    for (const char* name : {"/gamma", "/beta", "/mean", "/variance"}) {
      const OpId variable = add(scope + name, "VariableV2", {});
      inputs.push_back({add(scope + name + "/read", "Identity", {{variable}})});
    }
    x = add(scope + "/y", "FusedBatchNorm", inputs);
    const OpId mul = add(scope + "/mul", "Mul", {{x, 1}, {inputs[3].op}});
    add(scope + "/u", "AssignSub", {{inputs[3].op}, {mul}});
  }
  add("apply", "ApplyAdam", {{x}});
  graph.top.Index();
  const auto start = std::chrono::steady_clock::now();
  const OpBodies bodies(graph);
  const OpBatchNorms found = FindBatchNorms(bodies);
  EXPECT_GT(found.norms.size(), 4000u);
  EXPECT_EQ(TraceUpdates(bodies, found).verdict, UpdateVerdict::kNoneRuns);
  TraceServing(bodies, found);
  const std::chrono::duration<double> seconds = std::chrono::steady_clock::now() - start;
  EXPECT_LT(seconds.count(), 60.0);
}

}  // namespace
}  // namespace ckpt::testing::serving_path_test
