// Loops and conditionals stay with the functions that they call.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/serving/trained_graph.h"

namespace ckpt::testing::kept_functions_test {
namespace {

using ::testing::Contains;
using ::testing::HasSubstr;
using ::testing::Key;

constexpr OpDtype kFloat{kFloatNumber}, kInt32{kInt32Number}, kResource{20};

// while i < 3: v = v * w, with the variable w handed on to the body; `writes` to it or not.
TrainedGraph Loop(const char* reader) {
  TrainedGraph g;
  g.Placeholder("x", kFloatNumber, {4});
  g.top.Ints("zero", {}, {0});
  g.top.Add("w", "VarHandleOp").attrs["dtype"] = kFloat;
  g.checkpoint.Add("w", {4}, {1, 2, 3, 4});
  BodyBuilder condition = g.Function("condition", 3);
  condition.At("arg0").attrs["T"] = kInt32;
  condition.At("arg2").attrs["T"] = kResource;
  condition.Ints("three", {}, {3});
  condition.Add("less", "Less", {"arg0", "three"}).attrs["T"] = kInt32;
  g.Return("condition", {"less"});
  BodyBuilder body = g.Function("body", 3);
  body.At("arg0").attrs["T"] = kInt32;
  body.At("arg2").attrs["T"] = kResource;
  body.Ints("one", {}, {1});
  body.Add("next", "AddV2", {"arg0", "one"}).attrs["T"] = kInt32;
  body.Add("read", reader, {"arg2", "arg1"}).attrs["dtype"] = kFloat;
  if (std::string_view(reader) == "ReadVariableOp") body.At("read").inputs.pop_back();
  body.Add("product", "Mul", {"arg1", "read"}).attrs["T"] = kFloat;
  body.Add("handle", "Identity", {"arg2"}).attrs["T"] = kResource;
  g.Return("body", {"next", "product", "handle"});
  Op& loop = g.top.Add("loop", "While", {"zero", "x", "w"});
  loop.attrs["cond"] = OpFunctionName{"condition"};
  loop.attrs["body"] = OpFunctionName{"body"};
  loop.attrs["T"] = std::vector<OpDtype>{kInt32, kFloat, kResource};
  g.top.Add("y", "Identity", {"loop:1"}).attrs["T"] = kFloat;
  return g;
}

TEST(KeptFunctions, ALoopTakesTheValueOfItsVariable) {
  TrainedGraph g = Loop("ReadVariableOp");
  const auto model = g.Serve({.outputs = {"y"}});
  ASSERT_TRUE(model) << ToString(model.error());
  const OpGraph& graph = *(*model)->manifest().ops;
  const Op& loop = graph.top.ops[*graph.top.Find("loop")];
  EXPECT_EQ(*FindAttr<std::vector<OpDtype>>(loop, "T"),
            (std::vector<OpDtype>{kInt32, kFloat, kFloat}));
  EXPECT_EQ(graph.top.ops[loop.inputs[2].op].name, "w");
  EXPECT_EQ(graph.top.ops[loop.inputs[2].op].type, "Const");
  const std::string name = FindAttr<OpFunctionName>(loop, "body")->name;
  ASSERT_THAT(graph.functions, Contains(Key(name)));
  const OpBody& body = graph.functions.at(name).body;
  EXPECT_EQ(*FindAttr<OpDtype>(body.ops[2], "T"), kFloat);
  EXPECT_EQ(body.ops[*body.Find("read")].type, "Identity");
  EXPECT_EQ(*FindAttr<OpDtype>(body.ops[*body.Find("handle")], "T"), kFloat);
  ASSERT_THAT(graph.functions, Contains(Key(FindAttr<OpFunctionName>(loop, "cond")->name)));
  EXPECT_THAT(graph.functions, ::testing::SizeIs(2));
}

TEST(KeptFunctions, ALoopThatWritesAVariableIsRefused) {
  TrainedGraph g = Loop("AssignVariableOp");
  const auto model = g.Serve({.outputs = {"y"}});
  ASSERT_FALSE(model);
  EXPECT_EQ(model.error().code, ErrorCode::kUnfit);
  EXPECT_THAT(model.error().message, HasSubstr("\"read\" (AssignVariableOp)"));
}

TEST(KeptFunctions, AnUnknownUseOfAVariableIsRefusedByName) {
  TrainedGraph g = Loop("VariableShape");
  const auto model = g.Serve({.outputs = {"y"}});
  ASSERT_FALSE(model);
  EXPECT_EQ(model.error().code, ErrorCode::kUnsupported);
  EXPECT_THAT(model.error().message, HasSubstr("VariableShape"));
}

TEST(KeptFunctions, ABatchNormThatTrainsInALoopIsRefused) {
  TrainedGraph g = Loop("ReadVariableOp");
  OpBody& body = g.graph.functions.at("body").body;
  Op& product = body.ops[*body.Find("product")];
  product.type = "FusedBatchNormV3";
  const OpEdge data = product.inputs[0], vector = product.inputs[1];
  product.inputs = {data, vector, vector, vector, vector};
  product.attrs["is_training"] = true;
  const auto model = g.Serve({.outputs = {"y"}, .close_training_mode = true});
  ASSERT_FALSE(model);
  EXPECT_EQ(model.error().code, ErrorCode::kUnfit);
  EXPECT_THAT(model.error().message, HasSubstr("batch norm in training mode"));
}

}  // namespace
}  // namespace ckpt::testing::kept_functions_test
