// Every signature that can serve stays; what only trains or saves is named; nothing is guessed.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>

#include "ckpt/audit.h"
#include "ckpt/serving_shapes.h"
#include "tests/serving/trained_graph.h"

namespace ckpt::testing::signatures_test {
namespace {

using ::testing::Contains;
using ::testing::ElementsAre;
using ::testing::Field;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::Key;
using ::testing::Not;
using ::testing::Pair;
using ::testing::SizeIs;

constexpr const char* kPredict = "tensorflow/serving/predict";

std::vector<std::string> Names(const OpGraph& graph) {
  std::vector<std::string> names;
  for (const OpSignature& signature : graph.signatures) names.push_back(signature.name);
  return names;
}

const OpSignature& SignatureOf(const OpGraph& graph, const std::string& name) {
  for (const OpSignature& signature : graph.signatures) {
    if (signature.name == name) return signature;
  }
  ADD_FAILURE() << name;
  return graph.signatures.front();
}

// x -> dense -> relu, served as "serving_default"; the dense layer's output as "raw".
TrainedGraph TwoSignatures() {
  TrainedGraph g;
  g.Placeholder("x", kFloatNumber, {-1, 2});
  g.Dense("dense", "x");
  g.top.Add("relu", "Relu", {"dense/MatMul"}).attrs["T"] = OpDtype{kFloatNumber};
  g.graph.signatures = {{"raw", kPredict, {{"in", "x:0"}}, {{"out", "dense/MatMul:0"}}},
                        {"serving_default", kPredict, {{"in", "x:0"}}, {{"out", "relu:0"}}}};
  g.graph.signatures[1].output_types["out"] = {OpDtype{kFloatNumber}, OpShape({-1, 4})};
  return g;
}

TEST(Signatures, CallTensorsWhatTheUserCallsThem) {
  TrainedGraph g = TwoSignatures();
  const auto model = g.Serve({.outputs = {"logits=relu:0", "dense/MatMul"}});
  ASSERT_TRUE(model) << ToString(model.error());
  EXPECT_THAT(SignatureOf(*(*model)->manifest().ops, "serving_default").outputs,
              ElementsAre(Pair("dense/MatMul", "dense/MatMul:0"), Pair("logits", "relu:0")));
  for (const char* wrong : {"=relu:0", "logits=", "logits=nope:0", "logits=relu:x"}) {
    const auto refused = g.Serve({.outputs = {wrong}});
    ASSERT_FALSE(refused) << wrong;
    EXPECT_EQ(refused.error().code, ErrorCode::kInvalidArgument) << wrong;
  }
  EXPECT_FALSE(g.Serve({.outputs = {"y=relu:0", "y=dense/MatMul:0"}}));
}

TEST(Signatures, HaveTheShapesOfOutputsThatFollowFromTheInputs) {
  TrainedGraph g = TwoSignatures();
  const auto model = g.Serve();
  ASSERT_TRUE(model) << ToString(model.error());
  OpGraph graph = *(*model)->manifest().ops;
  EXPECT_FALSE(SignatureOf(graph, "raw").output_types.contains("out") &&
               SignatureOf(graph, "raw").output_types.at("out").shape);
  AddKnownShapes(**model, graph);
  EXPECT_EQ(SignatureOf(graph, "raw").output_types.at("out").shape, OpShape({-1, 4}));
}

TEST(Signatures, AllThatCanServeStayTheDefaultFirst) {
  TrainedGraph g = TwoSignatures();
  const auto model = g.Serve();
  ASSERT_TRUE(model) << ToString(model.error());
  const OpGraph& graph = *(*model)->manifest().ops;
  EXPECT_THAT(Names(graph), ElementsAre("serving_default", "raw"));
  EXPECT_THAT(SignatureOf(graph, "raw").outputs, ElementsAre(Pair("out", "dense/MatMul:0")));
  EXPECT_THAT((*model)->dropped_signatures(), IsEmpty());
}

TEST(Signatures, KnownShapesStayKnown) {
  TrainedGraph g = TwoSignatures();
  const auto model = g.Serve();
  ASSERT_TRUE(model) << ToString(model.error());
  const OpSignature& served = SignatureOf(*(*model)->manifest().ops, "serving_default");
  EXPECT_EQ(served.output_types.at("out").shape, OpShape({-1, 4}));
  EXPECT_EQ(served.input_types.at("in").shape, OpShape({-1, 2}));
}

// As TF Serving's own example: one signature is given what another computes from its request.
TEST(Signatures, WhatOneIsGivenAnotherMayCompute) {
  TrainedGraph g = TwoSignatures();
  g.graph.signatures.push_back(
      {"behind", kPredict, {{"features", "dense/MatMul:0"}}, {{"out", "relu:0"}}});
  const auto model = g.Serve();
  ASSERT_TRUE(model) << ToString(model.error());
  const OpGraph& graph = *(*model)->manifest().ops;
  EXPECT_THAT(Names(graph), ElementsAre("serving_default", "behind", "raw"));
  const OpSignature& behind = SignatureOf(graph, "behind");
  EXPECT_THAT(behind.inputs, ElementsAre(Pair("features", "dense/MatMul:0")));
  EXPECT_THAT(SignatureOf(graph, "serving_default").inputs, ElementsAre(Pair("in", "x:0")));
  const Op& given = graph.top.ops[*graph.top.Find("dense/MatMul")];
  EXPECT_EQ(given.type, "PlaceholderWithDefault");
  EXPECT_EQ(graph.top.ops[given.inputs.at(0).op].type, "MatMul");
}

// The functions of two signatures share their variables: so do they after the fold.
TEST(Signatures, ALayerOfTwoSignaturesIsFoldedIntoOneKernel) {
  TrainedGraph g;
  g.SavedBatchNorm("bn");
  g.Saved("dense/kernel", std::vector<double>(8, 0.5), {2, 4});
  for (const std::string name : {"a", "b"}) {
    g.Placeholder(name + "/x", kFloatNumber, {-1, 2});
    g.top.Add(name + "/MatMul", "MatMul", {name + "/x", "dense/kernel/read"}).attrs["T"] =
        OpDtype{kFloatNumber};
    Op& norm = g.top.Add(name + "/bn", "FusedBatchNormV3",
                         {name + "/MatMul", "bn/gamma/read", "bn/beta/read", "bn/moving_mean/read",
                          "bn/moving_variance/read"});
    norm.attrs["T"] = norm.attrs["U"] = OpDtype{kFloatNumber};
    norm.attrs["epsilon"] = static_cast<double>(0.001f);
    norm.attrs["is_training"] = false;
    g.graph.signatures.push_back({name, kPredict, {{"x", name + "/x:0"}}, {{"y", name + "/bn:0"}}});
  }
  const auto model = g.Serve();
  ASSERT_TRUE(model) << ToString(model.error());
  ConvertOptions options;
  options.fold.fold = options.keep_training_state = true;
  auto plan = PlanConversion(**model, Analyse((*model)->manifest()), {}, options);
  ASSERT_TRUE(plan) << ToString(plan.error());
  const auto graph = (*model)->Apply(*plan);
  ASSERT_TRUE(graph) << ToString(graph.error());
  EXPECT_THAT(plan->folded, SizeIs(1));
  EXPECT_THAT(plan->folded[0].into, ElementsAre("dense/kernel"));
  ASSERT_THAT(plan->tensors, SizeIs(2));
  EXPECT_EQ(plan->tensors[0].info.name, "dense/bias");
  EXPECT_EQ(plan->tensors[1].info.name, "dense/kernel");
  const std::vector<std::string> types = Types(*graph);
  EXPECT_EQ(std::count(types.begin(), types.end(), "Const"), 2);
  EXPECT_EQ(std::count(types.begin(), types.end(), "BiasAdd"), 2);
}

TEST(Signatures, WhatTrainsIsDroppedByName) {
  TrainedGraph g = TwoSignatures();
  g.top.Add("apply", "ApplyGradientDescent", {"dense/kernel", "relu"});
  g.top.Add("loss", "Identity", {"relu", "^apply"}).attrs["T"] = OpDtype{kFloatNumber};
  g.graph.signatures.push_back({"train", kPredict, {{"in", "x:0"}}, {{"loss", "loss:0"}}});
  const auto model = g.Serve();
  ASSERT_TRUE(model) << ToString(model.error());
  EXPECT_THAT(Names(*(*model)->manifest().ops), ElementsAre("serving_default", "raw"));
  ASSERT_THAT((*model)->dropped_signatures(), SizeIs(1));
  EXPECT_EQ((*model)->dropped_signatures()[0].name, "train");
  EXPECT_THAT((*model)->dropped_signatures()[0].reason, HasSubstr("it trains: \"apply\""));
}

// The effect is in a function that is called for nothing else, as Keras' optimizers write it.
TEST(Signatures, WhatACalledFunctionWritesCounts) {
  TrainedGraph g = TwoSignatures();
  BodyBuilder step = g.Function("step", 2);
  step.Add("update", "AssignSub", {"arg0", "arg1"});
  step.Add("y", "Identity", {"arg1", "^update"}).attrs["T"] = OpDtype{kFloatNumber};
  g.Return("step", {"y"});
  g.graph.functions.at("step").control_results = {
      *g.graph.functions.at("step").body.Find("update")};
  g.top.Add("call", "StatefulPartitionedCall", {"dense/kernel", "relu"}).attrs["f"] =
      OpFunctionName{"step"};
  g.graph.signatures.push_back({"fit", kPredict, {{"in", "x:0"}}, {{"y", "call:0"}}});
  const auto model = g.Serve();
  ASSERT_TRUE(model) << ToString(model.error());
  ASSERT_THAT((*model)->dropped_signatures(), SizeIs(1));
  EXPECT_THAT((*model)->dropped_signatures()[0].reason, HasSubstr("\"dense/kernel\""));
}

// A batch norm in training mode: what it updates beside the answer is no reason to leave it out.
TEST(Signatures, MovingStatisticsMayBeUpdated) {
  TrainedGraph g;
  g.Placeholder("x", kFloatNumber, {-1, 4});
  g.SavedBatchNorm("bn");
  g.Fused("bn", "x", true).attrs["T"] = OpDtype{kFloatNumber};
  g.MovingAverage("a", "bn/moving_mean", "bn/FusedBatchNormV3:1");
  g.MovingAverage("b", "bn/moving_variance", "bn/FusedBatchNormV3:2");
  g.top.Add("y", "Identity", {"bn/FusedBatchNormV3", "^a", "^b"}).attrs["T"] =
      OpDtype{kFloatNumber};
  // What closes such a batch norm reads the statistics.
  g.top.Add("z", "AddV2", {"x", "bn/moving_mean/read"}).attrs["T"] = OpDtype{kFloatNumber};
  g.graph.signatures = {{"serving_default", kPredict, {{"x", "x:0"}}, {{"y", "y:0"}}},
                        {"z", kPredict, {{"x", "x:0"}}, {{"z", "z:0"}}}};
  const auto model = g.Serve();
  ASSERT_TRUE(model) << ToString(model.error());
  EXPECT_THAT((*model)->dropped_signatures(), IsEmpty());
}

TEST(Signatures, ACounterThatNoOutputReadsIsLeftOutWithAWord) {
  TrainedGraph g = TwoSignatures();
  g.Saved("calls", {0, 0, 0, 0});
  g.top.Floats("one", {4}, {1, 1, 1, 1});
  g.top.Add("count", "AssignAdd", {"calls", "one"});
  g.top.Add("counted", "Identity", {"relu", "^count"}).attrs["T"] = OpDtype{kFloatNumber};
  g.graph.signatures.push_back({"counted", kPredict, {{"in", "x:0"}}, {{"y", "counted:0"}}});
  const auto model = g.Serve();
  ASSERT_TRUE(model) << ToString(model.error());
  EXPECT_THAT((*model)->dropped_signatures(), IsEmpty());
  EXPECT_THAT((*model)->notes(), Contains(HasSubstr("no longer writes the variable \"calls\"")));
}

TEST(Signatures, WhereNoneCanServeTheReasonsAreGiven) {
  TrainedGraph g = TwoSignatures();
  g.top.Strings("file", {"checkpoint"});
  g.top.Add("write", "SaveV2", {"file", "file", "file", "dense/kernel"});
  g.top.Add("saved", "Identity", {"file", "^write"}).attrs["T"] = OpDtype{7};
  g.graph.signatures = {{"save", kPredict, {}, {{"file", "saved:0"}}}};
  const auto model = g.Serve();
  ASSERT_FALSE(model);
  EXPECT_EQ(model.error().code, ErrorCode::kUnfit);
  EXPECT_THAT(model.error().message, HasSubstr("\"save\": it saves: \"write\" (SaveV2)"));
}

TEST(Signatures, OutputsThatTheUserNamesAreTheOnlyOnes) {
  TrainedGraph g = TwoSignatures();
  const auto model = g.Serve({.outputs = {"relu"}});
  ASSERT_TRUE(model) << ToString(model.error());
  EXPECT_THAT(Names(*(*model)->manifest().ops), ElementsAre("serving_default"));
  EXPECT_THAT((*model)->dropped_signatures(),
              Contains(Field(&Dropped::reason, HasSubstr("named outputs"))));
}

// A table that the initializer fills from a file, whose path a loader gives.
TrainedGraph WithTable() {
  TrainedGraph g;
  g.Placeholder("words", 7, {-1});
  g.top.Add("table", "HashTableV2");
  Op& vocabulary = g.top.Strings("vocabulary", {"/tmp/vocabulary.txt"});
  vocabulary.attrs["dtype"] = OpDtype{7};
  g.top.Add("fill", "InitializeTableFromTextFileV2", {"table", "vocabulary"});
  g.top.Add("init", "NoOp", {"^fill"});
  g.top.Ints("none", {}, {-1});
  g.top.Add("ids", "LookupTableFindV2", {"table", "words", "none"}).attrs["Tout"] =
      OpDtype{kInt32Number};
  g.graph.signatures = {{"serving_default", kPredict, {{"words", "words:0"}}, {{"ids", "ids:0"}}}};
  g.graph.assets = {{"vocabulary:0", "vocabulary.txt"}};
  return g;
}

TEST(Signatures, TablesAreFilledByTheInitializerThatIsKept) {
  TrainedGraph g = WithTable();
  g.graph.initializer = "init";
  const auto model = g.Serve();
  ASSERT_TRUE(model) << ToString(model.error());
  const OpGraph& graph = *(*model)->manifest().ops;
  const auto initializer = graph.top.Find(graph.initializer);
  ASSERT_TRUE(initializer);
  const Op& all = graph.top.ops[*initializer];
  ASSERT_THAT(all.control_inputs, SizeIs(1));
  EXPECT_EQ(graph.top.ops[all.control_inputs[0]].type, "InitializeTableFromTextFileV2");
  ASSERT_THAT(graph.assets, SizeIs(1));
  EXPECT_TRUE(graph.top.Find("vocabulary"));
  EXPECT_THAT(graph.signatures[0].inputs, ElementsAre(Key("words")));
}

TEST(Signatures, TablesThatNothingFillsAreRefused) {
  TrainedGraph g = WithTable();
  const auto model = g.Serve();
  ASSERT_FALSE(model);
  EXPECT_THAT(model.error().message, HasSubstr("\"table\" (HashTableV2)"));
}

// A training program whose examples an iterator yields, with labels.
TrainedGraph WithIterator() {
  TrainedGraph g;
  g.top.Add("data", "IteratorV2");
  Op& next = g.top.Add("next", "IteratorGetNext", {"data"});
  next.attrs["output_types"] = std::vector<OpDtype>{{kFloatNumber}, {kFloatNumber}};
  next.attrs["output_shapes"] = std::vector<OpShape>{OpShape({-1, 2}), OpShape({-1, 4})};
  g.Dense("dense", "next");
  g.top.Add("probabilities", "Softmax", {"dense/MatMul"}).attrs["T"] = OpDtype{kFloatNumber};
  g.top.Add("loss", "SquaredDifference", {"dense/MatMul", "next:1"}).attrs["T"] =
      OpDtype{kFloatNumber};
  g.top.Add("gradients/loss", "Mul", {"loss", "loss"});
  g.top.Add("train", "ApplyGradientDescent", {"dense/kernel", "gradients/loss"});
  return g;
}

TEST(Signatures, ExamplesOfAnIteratorAreNoInputUntilTheUserSaysSo) {
  TrainedGraph g = WithIterator();
  const auto refused = g.Serve();
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().code, ErrorCode::kUnfit);
  // The likeliest first: what holds the labels comes last.
  EXPECT_THAT(refused.error().message,
              HasSubstr("for inputs, the likeliest first: next:0 (float32 [?, 2]), next:1"));
  EXPECT_THAT(refused.error().message, HasSubstr("for outputs: probabilities:0"));
  EXPECT_EQ(refused.error().remedy, Remedy::kNameEnds);
  const auto model =
      MakeServingModel(g.checkpoint, {.inputs = {"next"}, .outputs = {"probabilities"}});
  ASSERT_TRUE(model) << ToString(model.error());
  const OpSignature& served = (*model)->manifest().ops->signatures[0];
  EXPECT_THAT(served.inputs, ElementsAre(Pair("next", "next:0")));
  EXPECT_EQ(served.input_types.at("next").shape, OpShape({-1, 2}));
}

TEST(Signatures, OutputsBehindAnInputThatIsNamedAreDerived) {
  TrainedGraph g = WithIterator();
  const auto model = g.Serve({.inputs = {"next"}});
  ASSERT_TRUE(model) << ToString(model.error());
  EXPECT_THAT((*model)->manifest().ops->signatures[0].outputs,
              ElementsAre(Key("dense/MatMul"), Key("probabilities")));
}

TEST(Signatures, OutputsThatStillReadAnIteratorAreRefused) {
  TrainedGraph g = WithIterator();
  const auto model = g.Serve({.outputs = {"probabilities"}});
  ASSERT_FALSE(model);
  EXPECT_THAT(model.error().message, HasSubstr("read \"next\" (IteratorGetNext)"));
}

TEST(Signatures, QueuesAreSourcesOfExamplesToo) {
  TrainedGraph g = WithIterator();
  g.top.At("next").type = "QueueDequeueManyV2";
  g.top.At("next").attrs["component_types"] = std::vector<OpDtype>{{kFloatNumber}, {kFloatNumber}};
  const auto model = g.Serve();
  ASSERT_FALSE(model);
  EXPECT_THAT(model.error().message, HasSubstr("\"next\" (QueueDequeueManyV2)"));
}

// Nothing but constants, states that a loop begins with and what a loop leaves behind.
TEST(Signatures, ConstantsAndLoopExitsAreNotServed) {
  TrainedGraph g;
  g.Placeholder("x", kFloatNumber, {-1, 2});
  g.Dense("dense", "x");
  g.top.Add("state", "ZerosLike", {"dense/MatMul"}).attrs["T"] = OpDtype{kFloatNumber};
  g.top.Add("enter", "Enter", {"dense/MatMul"}).attrs["T"] = OpDtype{kFloatNumber};
  g.top.Add("left", "Exit", {"enter"}).attrs["T"] = OpDtype{kFloatNumber};
  g.Saved("anchors", {1, 2, 3, 4});
  const auto refused = g.Serve();
  ASSERT_FALSE(refused);
  EXPECT_THAT(refused.error().message, HasSubstr("outputs cannot be told"));
  EXPECT_THAT(refused.error().message, Not(HasSubstr("left")));
  g.top.Add("y", "Relu", {"dense/MatMul"}).attrs["T"] = OpDtype{kFloatNumber};
  const auto model = g.Serve();
  ASSERT_TRUE(model) << ToString(model.error());
  EXPECT_THAT((*model)->manifest().ops->signatures[0].outputs, ElementsAre(Key("y")));
}

// A state that begins with zeros and meets the examples inside the loop, as dynamic_rnn writes it.
TEST(Signatures, WhatALoopCarriesRoundDependsOnItsInputs) {
  TrainedGraph g;
  g.Placeholder("x", kFloatNumber, {4, 2});
  g.Dense("dense", "x");
  g.top.Floats("zeros", {4, 4}, std::vector<double>(16, 0));
  const auto loop = [&](const std::string& name, const std::string& type,
                        const std::vector<std::string>& inputs) {
    g.top.Add(name, type, inputs).attrs["T"] = OpDtype{kFloatNumber};
  };
  loop("enter", "Enter", {"zeros"});
  loop("merge", "Merge", {"enter"});
  g.top.Add("condition", "LoopCond", {"merge"});
  loop("switch", "Switch", {"merge", "condition"});
  loop("body", "Identity", {"switch:1"});
  loop("given", "Enter", {"dense/MatMul"});
  loop("sum", "AddV2", {"body", "given"});
  loop("next", "NextIteration", {"sum"});
  g.top.Link("next", "merge");
  loop("exit", "Exit", {"switch"});
  loop("y", "Relu", {"exit"});
  const auto model = g.Serve();
  ASSERT_TRUE(model) << ToString(model.error());
  EXPECT_THAT((*model)->manifest().ops->signatures[0].outputs, ElementsAre(Key("y")));
}

TEST(Signatures, AGraphWithoutAnyInputIsServedOnlyWhereItsOutputsAreNamed) {
  TrainedGraph g;
  g.Saved("noise", {1, 2, 3, 4});
  g.top.Add("y", "Relu", {"noise/read"}).attrs["T"] = OpDtype{kFloatNumber};
  EXPECT_FALSE(g.Serve());
  // The user may want just that.
  const auto model = MakeServingModel(g.checkpoint, {.outputs = {"y"}});
  ASSERT_TRUE(model) << ToString(model.error());
  EXPECT_THAT((*model)->notes(), Contains(HasSubstr("takes no input")));
}

}  // namespace
}  // namespace ckpt::testing::signatures_test
