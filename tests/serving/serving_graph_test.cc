// What a graph computes at inference is what is left of it.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/serving/trained_graph.h"

namespace ckpt::testing::serving_graph_test {
namespace {

using ::testing::Contains;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::Key;
using ::testing::Not;
using ::testing::Pair;
using ::testing::SizeIs;
using ::testing::StartsWith;

// dense, batch norm by a placeholder, ReLU; a loss against labels and what trains.
TrainedGraph SwitchedByPlaceholder() {
  TrainedGraph g;
  g.Placeholder("x", kFloatNumber, {-1, 2});
  g.Placeholder("labels", kFloatNumber, {-1, 4});
  g.Placeholder("phase", kBoolNumber, {});
  g.Dense("dense", "x");
  g.SavedBatchNorm("bn");
  for (const char* name : {"x", "gamma", "beta", "mean", "variance"}) {
    const std::string read = std::string(name) == "x"      ? "dense/MatMul"
                             : std::string(name) == "mean" ? "bn/moving_mean/read"
                             : std::string(name) == "variance"
                                 ? "bn/moving_variance/read"
                                 : "bn/" + std::string(name) + "/read";
    g.top.Add(std::string("s/") + name, "Switch", {read, "phase"});
  }
  g.top
      .Add("bn/training", "FusedBatchNormV3",
           {"s/x:1", "s/gamma:1", "s/beta:1", "s/mean:1", "s/variance:1"})
      .attrs["is_training"] = true;
  g.top
      .Add("bn/inference", "FusedBatchNormV3", {"s/x", "s/gamma", "s/beta", "s/mean", "s/variance"})
      .attrs["is_training"] = false;
  for (const char* op : {"bn/training", "bn/inference"})
    g.top.At(op).attrs["T"] = OpDtype{kFloatNumber};
  g.top.Add("bn/merge", "Merge", {"bn/inference", "bn/training"});
  g.top.Add("bn/mean", "Merge", {"bn/inference:1", "bn/training:1"});
  g.MovingAverage("bn/update", "bn/moving_mean", "bn/mean");
  g.top.Add("relu", "Relu", {"bn/merge"}).attrs["T"] = OpDtype{kFloatNumber};
  g.top.Add("loss", "SquaredDifference", {"relu", "labels"});
  g.top.Add("gradients/loss", "Mul", {"loss", "loss"});
  g.top.Add("train", "ApplyGradientDescent", {"dense/kernel", "gradients/loss"});
  return g;
}

TEST(ServingGraph, TakesTheBranchThatServes) {
  TrainedGraph g = SwitchedByPlaceholder();
  const auto model = g.Serve();
  ASSERT_TRUE(model) << ToString(model.error());
  const OpGraph& graph = *(*model)->manifest().ops;
  EXPECT_THAT(Types(graph), ElementsAre("Placeholder", "Const", "MatMul", "Const", "Const", "Const",
                                        "Const", "FusedBatchNormV3", "Relu"));
  ASSERT_THAT(graph.signatures, SizeIs(1));
  EXPECT_THAT(graph.signatures[0].inputs, ElementsAre(Pair("x", "x:0")));
  EXPECT_THAT(graph.signatures[0].outputs, ElementsAre(Pair("relu", "relu:0")));
  EXPECT_THAT((*model)->notes(), Contains(HasSubstr("\"phase\" is false at serving")));
}

TEST(ServingGraph, VariablesHoldWhatTheCheckpointSaved) {
  TrainedGraph g = SwitchedByPlaceholder();
  const auto model = g.Serve();
  ASSERT_TRUE(model);
  const auto id = FindTensor((*model)->manifest(), "bn/moving_variance");
  ASSERT_TRUE(id);
  const auto values = ReadDoubles(**model, *id, 16);
  ASSERT_TRUE(values);
  EXPECT_THAT(*values, ElementsAre(0.25, 1, 4, 9));
}

// A variable "gain" of four elements in two parts, joined on axis 0; the checkpoint holds it whole.
TrainedGraph PartitionedGain() {
  TrainedGraph g;
  g.Placeholder("x", kFloatNumber, {-1, 4});
  for (const std::int64_t offset : {0, 2}) {
    const std::string name = "gain/part_" + std::to_string(offset / 2);
    g.Variable(name);
    g.top.At(name).attrs["dtype"] = OpDtype{kFloatNumber + 100};
    OpVariable& part = g.graph.variables.back();
    part.full_name = "gain";
    part.full_shape = {4};
    part.offset = {offset};
    part.extent = {2};
  }
  g.checkpoint.Add("gain", {4}, std::vector<double>{1, 2, 3, 4});
  g.top.Ints("axis", {}, {0});
  return g;
}

TEST(ServingGraph, PartsThatAreJoinedAgainAreTheirVariable) {
  TrainedGraph g = PartitionedGain();
  g.top.Add("gain", "ConcatV2", {"gain/part_0/read", "gain/part_1/read", "axis"});
  g.top.Add("y", "Mul", {"x", "gain"}).attrs["T"] = OpDtype{kFloatNumber};
  const auto model = g.Serve({.outputs = {"y"}});
  ASSERT_TRUE(model) << ToString(model.error());
  EXPECT_THAT(Types(*(*model)->manifest().ops), ElementsAre("Placeholder", "Const", "Mul"));
  const auto values = ReadDoubles(**model, TensorId{0}, 16);
  ASSERT_TRUE(values);
  EXPECT_THAT(*values, ElementsAre(1, 2, 3, 4));
}

TEST(ServingGraph, PartsInAnotherOrderAreSlices) {
  TrainedGraph g = PartitionedGain();
  g.top.Add("joined", "ConcatV2", {"gain/part_1/read", "gain/part_0/read", "axis"});
  g.top.Add("y", "Mul", {"x", "joined"}).attrs["T"] = OpDtype{kFloatNumber};
  const auto model = g.Serve({.outputs = {"y"}});
  ASSERT_TRUE(model) << ToString(model.error());
  const std::vector<std::string> types = Types(*(*model)->manifest().ops);
  EXPECT_EQ(std::count(types.begin(), types.end(), "Slice"), 2);
  EXPECT_EQ(std::count(types.begin(), types.end(), "ConcatV2"), 1);
}

TEST(ServingGraph, PartsThatDoNotFitTheSavedVariableAreMissing) {
  TrainedGraph g = PartitionedGain();
  g.graph.variables.back().offset = {3};  // 3 + 2 > 4
  g.top.Add("joined", "ConcatV2", {"gain/part_0/read", "gain/part_1/read", "axis"});
  g.top.Add("y", "Mul", {"x", "joined"}).attrs["T"] = OpDtype{kFloatNumber};
  const auto model = g.Serve({.outputs = {"y"}});
  ASSERT_FALSE(model);
  EXPECT_EQ(model.error().code, ErrorCode::kUnfit);
  EXPECT_THAT(model.error().message, HasSubstr("gain (part_1)"));
}

TEST(ServingGraph, NamesTheLayersWhoseVariablesWereNotSaved) {
  TrainedGraph g;
  g.unsaved = {"bn/moving_mean", "bn/moving_variance"};
  g.Placeholder("x", kFloatNumber, {-1, 4});
  g.SavedBatchNorm("bn");
  g.Fused("bn", "x", false);
  const auto model = g.Serve();
  ASSERT_FALSE(model);
  EXPECT_EQ(model.error().code, ErrorCode::kUnfit);
  EXPECT_THAT(model.error().message, HasSubstr("bn (moving_mean, moving_variance)"));
}

TEST(ServingGraph, UsesTheStatisticsThatTrainingUpdates) {
  TrainedGraph g;
  g.Placeholder("x", kFloatNumber, {-1, 4});
  g.SavedBatchNorm("bn");
  Op& op = g.Fused("bn", "x", true);
  op.attrs["T"] = OpDtype{kFloatNumber};
  g.MovingAverage("a", "bn/moving_mean", "bn/FusedBatchNormV3:1");
  g.MovingAverage("b", "bn/moving_variance", "bn/FusedBatchNormV3:2");
  const auto model = g.Serve({.outputs = {"bn/FusedBatchNormV3"}});
  ASSERT_TRUE(model) << ToString(model.error());
  const OpBody& body = (*model)->manifest().ops->top;
  const Op& norm = body.ops[*body.Find("bn/FusedBatchNormV3")];
  EXPECT_FALSE(*FindAttr<bool>(norm, "is_training"));
  EXPECT_EQ(body.ops[norm.inputs[3].op].name, "bn/moving_mean");
  EXPECT_EQ(body.ops[norm.inputs[4].op].name, "bn/moving_variance");
}

TEST(ServingGraph, RefusesTrainingModeWithoutUpdates) {
  TrainedGraph g;
  g.Placeholder("x", kFloatNumber, {-1, 4});
  g.SavedBatchNorm("layer/bn");
  g.Fused("layer/bn", "x", true);
  const auto model = g.Serve();
  ASSERT_FALSE(model);
  EXPECT_EQ(model.error().code, ErrorCode::kUnfit);
  EXPECT_THAT(model.error().message, HasSubstr("\"layer/bn\""));
}

// Keras 2 normalises layers with a fused batch norm over [1, examples, C, 1].
TEST(ServingGraph, LayerNormsMayStayInTrainingMode) {
  for (const double first : {1.0, 2.0}) {
    TrainedGraph g;
    g.Placeholder("x", kFloatNumber, {-1, 4});
    g.top.Ints("first", {}, {first});
    g.top.Ints("shape/1", {}, {-1});
    g.top.Ints("shape/2", {}, {4});
    g.top.Add("shape", "Pack", {"first", "shape/1", "shape/2", "first"});
    g.top.Add("wide", "Reshape", {"x", "shape"});
    g.top.Floats("ones", {3}, {1, 1, 1});
    g.top.Floats("zeros", {3}, {0, 0, 0});
    g.top.Floats("none", {0}, {});
    Op& op = g.top.Add("y", "FusedBatchNormV3", {"wide", "ones", "zeros", "none", "none"});
    op.attrs["T"] = OpDtype{kFloatNumber};
    op.attrs["data_format"] = std::string("NCHW");
    const auto served = g.Serve({.outputs = {"y"}});
    EXPECT_EQ(served.has_value(), first == 1) << (served ? "" : ToString(served.error()));
    g.top.At("y").attrs["data_format"] = std::string("NHWC");
    EXPECT_FALSE(g.Serve({.outputs = {"y"}}));
  }
}

// while i < 3: i += 1, as TensorFlow 1 writes it. Control edges place the constants into the loop.
TEST(ServingGraph, ConstantsStayInTheirLoop) {
  TrainedGraph g;
  g.Placeholder("x", kFloatNumber, {});
  g.top.Add("enter", "Enter", {"x"}).attrs["T"] = OpDtype{kFloatNumber};
  g.top.Add("merge", "Merge", {"enter"}).attrs["T"] = OpDtype{kFloatNumber};
  g.top.Floats("three", {}, {3}, {"^merge"});
  g.top.Add("less", "Less", {"merge", "three"});
  g.top.Add("condition", "LoopCond", {"less"});
  g.top.Add("switch", "Switch", {"merge", "condition"});
  g.top.Add("body", "Identity", {"switch:1"});
  g.top.Floats("one", {}, {1}, {"^body"});
  g.top.Add("sum", "AddV2", {"body", "one"});
  g.top.Add("next", "NextIteration", {"sum"});
  g.top.Link("next", "merge");
  g.top.Add("exit", "Exit", {"switch"}).attrs["T"] = OpDtype{kFloatNumber};
  const auto model = g.Serve({.outputs = {"exit"}});
  ASSERT_TRUE(model) << ToString(model.error());
  const OpBody& body = (*model)->manifest().ops->top;
  for (const auto& [constant, before] : {std::pair{"three", "merge"}, std::pair{"one", "body"}}) {
    const Op& op = body.ops[body.Find(constant).value()];
    ASSERT_THAT(op.control_inputs, SizeIs(1)) << constant;
    EXPECT_EQ(body.ops[op.control_inputs[0]].name, before);
  }
}

TEST(ServingGraph, AsksWhereNothingTellsTheBranches) {
  TrainedGraph g;
  g.Placeholder("x", kFloatNumber, {-1, 2});
  g.Placeholder("flag", kBoolNumber, {});
  g.Dense("dense", "x");
  g.top.Add("s", "Switch", {"dense/MatMul", "flag"});
  g.top.Add("a", "Relu", {"s"});
  g.top.Add("b", "Tanh", {"s:1"});
  g.top.Add("y", "Merge", {"a", "b"});
  for (const char* op : {"a", "b", "y"}) g.top.At(op).attrs["T"] = OpDtype{kFloatNumber};
  const auto refused = g.Serve();
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().remedy, Remedy::kFeedBoolean);
  EXPECT_EQ(refused.error().remedy_for, "flag");
  const auto fed = MakeServingModel(g.checkpoint, {.feed = {{"flag", "true"}}});
  ASSERT_TRUE(fed) << ToString(fed.error());
  EXPECT_THAT(Types(*(*fed)->manifest().ops), Contains("Tanh"));
  EXPECT_THAT(Types(*(*fed)->manifest().ops), Not(Contains("Relu")));
}

TEST(ServingGraph, AsksForThePhaseThatIsANumber) {
  TrainedGraph g = SwitchedByPlaceholder();
  g.Placeholder("step_kind", kInt32Number, {});
  g.top.Ints("training_kind", {}, {1});
  g.top.Add("is_training", "Equal", {"step_kind", "training_kind"});
  for (Op& op : g.graph.top.ops) {
    if (op.type == "Switch") op.inputs[1] = {*g.graph.top.Find("is_training"), 0, {}};
  }
  const auto refused = g.Serve();
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().remedy, Remedy::kFeedValue);
  EXPECT_EQ(refused.error().remedy_for, "step_kind");
  const auto fed = MakeServingModel(g.checkpoint, {.feed = {{"step_kind", "0"}}});
  ASSERT_TRUE(fed) << ToString(fed.error());
  EXPECT_THAT(Types(*(*fed)->manifest().ops), Not(Contains("Merge")));
}

TEST(ServingGraph, WritesFunctionsOut) {
  TrainedGraph g;
  g.Placeholder("x", kFloatNumber, {-1, 2});
  BodyBuilder inner = g.Function("inner", 1);
  inner.Add("relu", "Relu", {"arg0"}).attrs["T"] = OpDtype{kFloatNumber};
  g.Return("inner", {"relu"});
  BodyBuilder outer = g.Function("outer", 2);
  outer.Add("read", "ReadVariableOp", {"arg1"});
  outer.Add("product", "MatMul", {"arg0", "read"});
  outer.Add("call", "PartitionedCall", {"product"}).attrs["f"] = OpFunctionName{"inner"};
  g.Return("outer", {"call"});
  g.top.Add("kernel", "VarHandleOp").attrs["dtype"] = OpDtype{kFloatNumber};
  g.checkpoint.Add("kernel", {2, 4}, std::vector<double>(8, 0.5));
  g.top.Add("result", "StatefulPartitionedCall", {"x", "kernel"}).attrs["f"] =
      OpFunctionName{"outer"};
  g.graph.signatures.push_back(
      {"serving_default", "tensorflow/serving/predict", {{"in", "x:0"}}, {{"out", "result:0"}}});
  const auto model = g.Serve();
  ASSERT_TRUE(model) << ToString(model.error());
  const OpGraph& graph = *(*model)->manifest().ops;
  EXPECT_THAT(Types(graph), ElementsAre("Placeholder", "Const", "MatMul", "Relu", "Identity"));
  EXPECT_THAT(graph.signatures[0].outputs, ElementsAre(Pair("out", "out:0")));
  EXPECT_THAT(graph.signatures[0].inputs, ElementsAre(Pair("in", "x:0")));
}

TEST(ServingGraph, RefusesFunctionsThatCallThemselves) {
  TrainedGraph g;
  g.Placeholder("x", kFloatNumber, {-1, 2});
  BodyBuilder body = g.Function("f", 1);
  body.Add("call", "PartitionedCall", {"arg0"}).attrs["f"] = OpFunctionName{"f"};
  g.Return("f", {"call"});
  g.top.Add("y", "PartitionedCall", {"x"}).attrs["f"] = OpFunctionName{"f"};
  const auto model = g.Serve({.outputs = {"y"}});
  ASSERT_FALSE(model);
  EXPECT_EQ(model.error().code, ErrorCode::kUnsupported);
}

TEST(ServingGraph, RefusesOutputsThatWriteVariables) {
  TrainedGraph g;
  g.Placeholder("x", kFloatNumber, {-1, 4});
  g.Saved("v", {1, 2, 3, 4});
  g.top.Add("y", "AssignAdd", {"v", "x"});
  const auto model = g.Serve({.outputs = {"y"}});
  ASSERT_FALSE(model);
  EXPECT_THAT(model.error().message, HasSubstr("\"y\" (AssignAdd)"));
}

TEST(ServingGraph, NamesThatTheGraphHasNotAreUsageErrors) {
  TrainedGraph g = SwitchedByPlaceholder();
  const auto model = g.Serve({.outputs = {"nothing"}});
  ASSERT_FALSE(model);
  EXPECT_EQ(model.error().code, ErrorCode::kInvalidArgument);
}

TEST(ServingGraph, CutsWhereInputsAreNamed) {
  TrainedGraph g = SwitchedByPlaceholder();
  const auto model = g.Serve({.inputs = {"dense/MatMul"}, .outputs = {"relu"}});
  ASSERT_TRUE(model) << ToString(model.error());
  EXPECT_THAT(Types(*(*model)->manifest().ops), Not(Contains("MatMul")));
  EXPECT_THAT((*model)->manifest().ops->signatures[0].inputs, ElementsAre(Key("dense/MatMul")));
}

}  // namespace
}  // namespace ckpt::testing::serving_graph_test
