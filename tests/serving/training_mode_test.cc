// What serves in training mode is closed only when that is asked for; what switches is closed.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/serving/trained_graph.h"

namespace ckpt::testing::training_mode_test {
namespace {

using ::testing::Contains;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::Key;
using ::testing::Not;

// A SavedModel that serves a batch norm in training mode, with the updates of its statistics.
TrainedGraph AlwaysTraining() {
  TrainedGraph g;
  g.graph.kind = OpGraphKind::kSavedModel;
  g.graph.tags = {"serve"};
  g.Placeholder("x", kFloatNumber, {-1, 4});
  g.SavedBatchNorm("bn");
  g.Fused("bn", "x", true).attrs["T"] = OpDtype{kFloatNumber};
  g.MovingAverage("a", "bn/moving_mean", "bn/FusedBatchNormV3:1");
  g.MovingAverage("b", "bn/moving_variance", "bn/FusedBatchNormV3:2");
  g.graph.signatures = {{"serving_default",
                         "tensorflow/serving/predict",
                         {{"x", "x:0"}},
                         {{"y", "bn/FusedBatchNormV3:0"}}}};
  return g;
}

TEST(TrainingMode, OfAServedGraphIsClosedOnlyWhenAsked) {
  TrainedGraph g = AlwaysTraining();
  const auto refused = g.Serve();
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().code, ErrorCode::kUnfit);
  EXPECT_THAT(refused.error().message, HasSubstr("\"bn/FusedBatchNormV3\""));
  EXPECT_EQ(refused.error().remedy, Remedy::kCloseTrainingMode);

  const auto model = g.Serve({.close_training_mode = true});
  ASSERT_TRUE(model) << ToString(model.error());
  std::vector<std::string> closed;
  for (const Changed& one : (*model)->closed()) closed.push_back(one.batch_norm);
  EXPECT_THAT(closed, ElementsAre("bn/moving_mean", "bn/moving_variance"));
  const OpBody& body = (*model)->manifest().ops->top;
  for (const Op& op : body.ops) {
    if (op.type != "FusedBatchNormV3") continue;
    EXPECT_FALSE(*FindAttr<bool>(op, "is_training"));
  }
}

TEST(TrainingMode, OfATrainingGraphIsClosedWithoutAWord) {
  TrainedGraph g = AlwaysTraining();
  g.graph.kind = OpGraphKind::kMetaGraph;
  const auto model = g.Serve();
  ASSERT_TRUE(model) << ToString(model.error());
  EXPECT_THAT((*model)->closed(), IsEmpty());
  EXPECT_THAT((*model)->notes(), Contains(HasSubstr("moving statistics")));
}

// Beside a signature that serves the same layer, one that updates its statistics is there to train.
TEST(TrainingMode, ASignatureThatTrainsBesideOneThatServesIsLeftOut) {
  TrainedGraph g = AlwaysTraining();
  Op& still = g.top.Add(
      "inference", "FusedBatchNormV3",
      {"x", "bn/gamma/read", "bn/beta/read", "bn/moving_mean/read", "bn/moving_variance/read"});
  still.attrs["is_training"] = false;
  still.attrs["T"] = OpDtype{kFloatNumber};
  g.graph.signatures.front().name = "fit";
  g.graph.signatures.push_back(
      {"serving_default", "tensorflow/serving/predict", {{"x", "x:0"}}, {{"y", "inference:0"}}});
  const auto model = g.Serve();
  ASSERT_TRUE(model) << ToString(model.error());
  ASSERT_EQ((*model)->manifest().ops->signatures.size(), 1U);
  EXPECT_EQ((*model)->manifest().ops->signatures[0].name, "serving_default");
  ASSERT_EQ((*model)->dropped_signatures().size(), 1U);
  EXPECT_EQ((*model)->dropped_signatures()[0].name, "fit");
  EXPECT_THAT((*model)->dropped_signatures()[0].reason, HasSubstr("it trains"));
  // The first one is never left out for another.
  std::swap(g.graph.signatures[0].name, g.graph.signatures[1].name);
  EXPECT_FALSE(g.Serve());
}

// With an averaging factor below 1 the operation takes the moving statistics and yields the new
// ones; nothing has to update them for it to read them.
TEST(TrainingMode, TheStatisticsThatTheNormReadsAreItsMovingStatistics) {
  TrainedGraph g;
  g.graph.kind = OpGraphKind::kSavedModel;
  g.graph.tags = {"serve"};
  g.Placeholder("x", kFloatNumber, {-1, 4});
  g.SavedBatchNorm("bn");
  Op& op = g.Fused("bn", "x", false);
  op.attrs["is_training"] = true;
  op.attrs["exponential_avg_factor"] = 0.1;
  op.attrs["T"] = OpDtype{kFloatNumber};
  EXPECT_FALSE(g.Serve({.outputs = {"bn/FusedBatchNormV3"}}));
  const auto model = g.Serve({.outputs = {"bn/FusedBatchNormV3"}, .close_training_mode = true});
  ASSERT_TRUE(model) << ToString(model.error());
  const OpBody& body = (*model)->manifest().ops->top;
  const Op& norm = body.ops[*body.Find("bn/FusedBatchNormV3")];
  EXPECT_EQ(body.ops[norm.inputs[3].op].name, "bn/moving_mean");
  EXPECT_EQ(norm.attrs.count("exponential_avg_factor"), 0U);
}

// A signature with a boolean input that an If in a function decides on.
TrainedGraph WithFlag(bool trains) {
  TrainedGraph g;
  g.graph.kind = OpGraphKind::kSavedModel;
  g.graph.tags = {"serve"};
  g.Placeholder("serving_x", kFloatNumber, {-1, 4});
  g.Placeholder("serving_flag", kBoolNumber, {});
  for (const char* name : {"bn/gamma", "bn/beta", "bn/moving_mean", "bn/moving_variance"}) {
    g.top.Add(name, "VarHandleOp").attrs["dtype"] = OpDtype{kFloatNumber};
    g.checkpoint.Add(name, {4}, {1, 2, 3, 4});
  }
  for (const bool taken : {true, false}) {
    const std::string name = taken ? "then" : "else";
    BodyBuilder body = g.Function(name, 5);
    for (int i = 1; i < 5; ++i) body.At("arg" + std::to_string(i)).attrs["T"] = OpDtype{20};
    std::vector<std::string> inputs = {"arg0"};
    for (int i = 1; i < 5; ++i) {
      const std::string read = "read" + std::to_string(i);
      body.Add(read, "ReadVariableOp", {"arg" + std::to_string(i)}).attrs["dtype"] =
          OpDtype{kFloatNumber};
      inputs.push_back(read);
    }
    if (!trains && taken) {
      body.Add("y", "Relu", {"arg0"}).attrs["T"] = OpDtype{kFloatNumber};
    } else {
      Op& norm = body.Add("y", "FusedBatchNormV3", inputs);
      norm.attrs["is_training"] = taken;
      norm.attrs["T"] = OpDtype{kFloatNumber};
    }
    g.Return(name, {"y"});
  }
  BodyBuilder outer = g.Function("outer", 6);
  for (int i = 2; i < 6; ++i) outer.At("arg" + std::to_string(i)).attrs["T"] = OpDtype{20};
  Op& decides = outer.Add("cond", "StatelessIf", {"arg1", "arg0", "arg2", "arg3", "arg4", "arg5"});
  decides.attrs["then_branch"] = OpFunctionName{"then"};
  decides.attrs["else_branch"] = OpFunctionName{"else"};
  decides.attrs["Tin"] = std::vector<OpDtype>{{1}, {20}, {20}, {20}, {20}};
  decides.attrs["Tout"] = std::vector<OpDtype>{{1}};
  g.Return("outer", {"cond"});
  Op& call = g.top.Add(
      "call", "StatefulPartitionedCall",
      {"serving_x", "serving_flag", "bn/gamma", "bn/beta", "bn/moving_mean", "bn/moving_variance"});
  call.attrs["f"] = OpFunctionName{"outer"};
  call.attrs["Tout"] = std::vector<OpDtype>{{1}};
  g.graph.signatures = {{"serving_default",
                         "tensorflow/serving/predict",
                         {{"x", "serving_x:0"}, {"flag", "serving_flag:0"}},
                         {{"y", "call:0"}}}};
  return g;
}

TEST(TrainingMode, ABooleanInputThatSwitchesTrainingLeavesTheSignature) {
  for (const bool fed : {false, true}) {
    TrainedGraph g = WithFlag(true);
    ServingOptions options;
    if (fed) options.feed["flag"] = "false";  // by the signature's name, not the graph's
    const auto model = g.Serve(options);
    ASSERT_TRUE(model) << ToString(model.error());
    const OpGraph& graph = *(*model)->manifest().ops;
    EXPECT_THAT(graph.signatures[0].inputs, ElementsAre(Key("x")));
    EXPECT_THAT(Types(graph), Contains("FusedBatchNormV3"));
    EXPECT_THAT(Types(graph), Not(Contains("StatelessIf")));
    EXPECT_THAT(graph.functions, IsEmpty());
  }
}

TEST(TrainingMode, ABooleanInputThatIsNoPhaseKeepsItsConditional) {
  TrainedGraph g = WithFlag(false);
  const auto model = g.Serve();
  ASSERT_TRUE(model) << ToString(model.error());
  const OpGraph& graph = *(*model)->manifest().ops;
  EXPECT_THAT(graph.signatures[0].inputs, ElementsAre(Key("flag"), Key("x")));
  EXPECT_THAT(Types(graph), Contains("StatelessIf"));
  const auto kept = graph.functions.find("else_of_values");
  ASSERT_NE(kept, graph.functions.end());
  const OpBody& body = kept->second.body;
  EXPECT_EQ(*FindAttr<OpDtype>(body.ops[1], "T"), OpDtype{kFloatNumber});
  EXPECT_EQ(body.ops[*body.Find("read1")].type, "Identity");
}

// Where the user says that the training value serves, it is his word against the graph's.
TEST(TrainingMode, AFedTrainingPhaseIsTrainingMode) {
  TrainedGraph g = WithFlag(true);
  ServingOptions options;
  options.feed["flag"] = "true";
  EXPECT_FALSE(g.Serve(options));
}

// tflearn's way: a variable of booleans that the program assigns.
TEST(TrainingMode, ABooleanVariableIsAPhase) {
  TrainedGraph g;
  g.Placeholder("x", kFloatNumber, {-1, 4});
  g.SavedBatchNorm("bn");
  g.top.Add("is_training", "VariableV2").attrs["dtype"] = OpDtype{kBoolNumber + 100};
  g.top.Add("is_training/read", "Identity", {"is_training"}).attrs["T"] = OpDtype{kBoolNumber};
  g.Fused("bn", "x", true).attrs["T"] = OpDtype{kFloatNumber};
  Op& still = g.top.Add(
      "bn/inference", "FusedBatchNormV3",
      {"x", "bn/gamma/read", "bn/beta/read", "bn/moving_mean/read", "bn/moving_variance/read"});
  still.attrs["is_training"] = false;
  still.attrs["T"] = OpDtype{kFloatNumber};
  g.top.Add("y", "Select", {"is_training/read", "bn/FusedBatchNormV3", "bn/inference"}).attrs["T"] =
      OpDtype{kFloatNumber};
  const auto model = g.Serve({.outputs = {"y"}});
  ASSERT_TRUE(model) << ToString(model.error());
  EXPECT_THAT((*model)->notes(), Contains(HasSubstr("the variable \"is_training\" is false")));
  EXPECT_THAT(Types(*(*model)->manifest().ops), Not(Contains("Select")));
}

TEST(TrainingMode, ADropoutThatStaysActiveIsSaid) {
  TrainedGraph g;
  g.Placeholder("x", kFloatNumber, {-1, 2});
  g.Dense("dense", "x");
  g.top.Ints("shape", {2}, {1, 4});
  g.top.Add("drop/uniform", "RandomUniform", {"shape"}).attrs["dtype"] = OpDtype{kFloatNumber};
  g.top.Floats("drop/rate", {}, {0.5});
  g.top.Add("drop/mask", "GreaterEqual", {"drop/uniform", "drop/rate"}).attrs["T"] =
      OpDtype{kFloatNumber};
  g.top.Add("drop/cast", "Cast", {"drop/mask"}).attrs["DstT"] = OpDtype{kFloatNumber};
  g.top.Add("y", "Mul", {"dense/MatMul", "drop/cast"}).attrs["T"] = OpDtype{kFloatNumber};
  const auto model = g.Serve({.outputs = {"y"}});
  ASSERT_TRUE(model) << ToString(model.error());
  EXPECT_THAT((*model)->notes(), Contains(HasSubstr("a dropout stays active")));
  EXPECT_THAT((*model)->notes(), Contains(HasSubstr("\"drop/uniform\"")));
}

}  // namespace
}  // namespace ckpt::testing::training_mode_test
