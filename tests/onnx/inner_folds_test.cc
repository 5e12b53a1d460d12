// Batch norms in functions and in graphs inside of nodes: folded where that is exact; functions
// that cannot be written out stay, and say why. What the fixtures compute is tests/interop's.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <chrono>
#include <functional>
#include <set>
#include <string>
#include <vector>

#include "tests/onnx/folded.h"

namespace ckpt::testing::inner_folds_test {
namespace {

using onnx_proto::FunctionProto;
using onnx_proto::GraphProto;
using onnx_proto::ModelProto;
using onnx_proto::NodeProto;
using ::testing::Contains;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::Not;
using ::testing::SizeIs;
using Nodes = google::protobuf::RepeatedPtrField<NodeProto>;

std::string Fixture(const std::string& name) {
  return TestData() + "/onnx_scopes/" + name + ".onnx";
}

NodeProto& Add(Nodes& nodes, const std::string& type, const std::vector<std::string>& inputs,
               const std::string& output, const std::string& domain = "") {
  NodeProto& node = *nodes.Add();
  node.set_op_type(type);
  node.set_domain(domain);
  for (const auto& input : inputs) node.add_input(input);
  node.add_output(output);
  return node;
}

void AddNorm(Nodes& nodes, const std::string& input, const std::string& output) {
  Add(nodes, "BatchNormalization", {input, "w.gamma", "w.beta", "w.mean", "w.variance"}, output)
      .set_name(output + "_norm");
}

// Local function NAME(x, w, w.gamma, ...) -> y of a convolution and a batch norm.
FunctionProto& AddBlock(ModelProto& model, const std::string& name) {
  FunctionProto& function = *model.add_functions();
  function.set_name(name);
  function.set_domain("local");
  function.add_opset_import()->set_version(17);
  for (const char* input : {"x", "w", "w.gamma", "w.beta", "w.mean", "w.variance"}) {
    function.add_input(input);
  }
  Add(*function.mutable_node(), "Conv", {"x", "w"}, "c").set_name("conv");
  AddNorm(*function.mutable_node(), "c", "y");
  function.add_output("y");
  return function;
}

const std::vector<std::string> kGiven = {"x", "w", "w.gamma", "w.beta", "w.mean", "w.variance"};

ModelProto WithTensors() {
  ModelProto model = EmptyModel();
  model.mutable_graph()->add_input()->set_name("x");
  AddTensor(model, "w", {2, 1, 1}, {1, 2});
  AddTensor(model, "w.gamma", {2}, {2, -3});
  AddTensor(model, "w.beta", {2}, {1, 1});
  AddTensor(model, "w.mean", {2}, {0, 0});
  AddTensor(model, "w.variance", {2}, {1, 1});
  model.mutable_graph()->add_output()->set_name("out");
  return model;
}

// x -> Block -> out, `change` made to it.
ModelProto Calling(const std::function<void(ModelProto&, FunctionProto&, NodeProto&)>& change) {
  ModelProto model = WithTensors();
  FunctionProto& block = AddBlock(model, "Block");
  NodeProto& call = Add(*model.mutable_graph()->mutable_node(), "Block", kGiven, "out", "local");
  call.set_name("call");
  change(model, block, call);
  return model;
}

// Why the only batch norm stays, "(folded)" if it does not.
std::string ReasonIn(const ModelProto& model) {
  const auto opened = OpenModel(model);
  if (!opened) return ToString(opened.error());
  const Folded folded(**opened);
  if (!folded.refusal().empty()) return folded.refusal();
  if (folded.plan().kept.empty()) return "(folded)";
  EXPECT_THAT(folded.plan().kept, SizeIs(1));
  return folded.plan().kept[0].reason;
}

TEST(OnnxInnerFolds, EachCallOfAFunctionFoldsByItself) {
  const Folded folded(Fixture("function_given_weights"));
  ASSERT_EQ(folded.refusal(), "");
  EXPECT_THAT(folded.plan().kept, IsEmpty());
  EXPECT_THAT(folded.plan().folded, SizeIs(3));
  EXPECT_THAT(folded.Operators(), ElementsAre("Conv", "Relu", "Conv", "Relu", "Conv", "Relu"));
  EXPECT_EQ(folded.model().functions_size(), 0);
  EXPECT_EQ(folded.model().graph().node(0).name(), "stage/block/conv");
}

TEST(OnnxInnerFolds, TensorsOfAFunctionThatIsCalledTwiceAreDoubled) {
  const Folded folded(Fixture("function_with_weights"));
  ASSERT_EQ(folded.refusal(), "");
  EXPECT_THAT(folded.plan().kept, IsEmpty());
  EXPECT_THAT(folded.Operators(), Not(Contains("BatchNormalization")));
  EXPECT_EQ(folded.model().functions_size(), 0);
  // "raw" is the offset of the function's batch norm, which stays a tensor.
  EXPECT_THAT(folded.written().manifest().tensors, SizeIs(5));
}

TEST(OnnxInnerFolds, WhatALaterCallLeavesOutHasItsDefault) {
  const auto opened = formats::OpenCheckpoint(Fixture("function_with_weights"));
  ASSERT_TRUE(opened) << ToString(opened.error());
  std::vector<double> epsilons;
  for (const Layer& layer : (*opened)->manifest().graph->layers) {
    if (layer.epsilon) epsilons.push_back(*layer.epsilon);
  }
  EXPECT_THAT(epsilons, ElementsAre(0.25, static_cast<double>(1e-5F)));
}

TEST(OnnxInnerFolds, AFoldPassesTheBorderOfAFunction) {
  const Folded folded(Fixture("function_across_its_border"));
  ASSERT_EQ(folded.refusal(), "");
  EXPECT_THAT(folded.plan().folded, SizeIs(2));
  EXPECT_THAT(folded.Operators(), ElementsAre("Conv", "Relu", "Conv"));
}

TEST(OnnxInnerFolds, BranchesFoldWithinAndAWeightThatIsReadOutsideStays) {
  const Folded folded(Fixture("branches"));
  ASSERT_EQ(folded.refusal(), "");
  EXPECT_THAT(folded.plan().kept, IsEmpty());
  const auto& nodes = folded.model().graph().node();
  for (const auto& attribute : nodes[nodes.size() - 2].attribute()) {
    EXPECT_EQ(attribute.g().node(0).op_type(), "Conv");
    EXPECT_EQ(attribute.g().initializer_size(), 0);
  }
  EXPECT_EQ(nodes[nodes.size() - 1].input(1), "conv.weight");
  const auto source = formats::OpenCheckpoint(Fixture("branches"));
  ASSERT_TRUE(source);
  EXPECT_EQ(ElementsOf(folded.written(), "conv.weight"), ElementsOf(**source, "conv.weight"));
}

TEST(OnnxInnerFolds, ABatchNormBehindAConvolutionOutsideOfItsBranchStays) {
  const Folded folded(Fixture("branch_of_outer_convolution"));
  ASSERT_EQ(folded.refusal(), "");
  ASSERT_THAT(folded.plan().kept, SizeIs(1));
  EXPECT_THAT(folded.plan().kept[0].reason, HasSubstr("\"c\" (value from around the graph)"));
}

TEST(OnnxInnerFolds, BodiesOfLoopsAndFunctionsInBranchesFold) {
  for (const char* name : {"loop", "function_in_branches"}) {
    const Folded folded(Fixture(name));
    ASSERT_EQ(folded.refusal(), "") << name;
    EXPECT_THAT(folded.plan().kept, IsEmpty()) << name;
    EXPECT_EQ(folded.model().functions_size(), 0);
    EXPECT_EQ(folded.model().SerializeAsString().find("BatchNormalization"), std::string::npos);
  }
}

TEST(OnnxInnerFolds, ACopyKeepsFunctionsAsTheyAre) {
  ConvertOptions copy;
  copy.output_holds_network = true;
  const Folded copied(Fixture("function_with_weights"), copy);
  ASSERT_EQ(copied.refusal(), "");
  EXPECT_EQ(copied.model().functions_size(), 1);
  EXPECT_EQ(copied.model().graph().node_size(), 2);
}

TEST(OnnxInnerFolds, ALeftoverInAFunctionBecomesAMultiplicationAndAnAddition) {
  const ModelProto model = Calling([](ModelProto&, FunctionProto& block, NodeProto&) {
    block.mutable_node(0)->set_op_type("Softmax");
    block.mutable_node(0)->mutable_input()->RemoveLast();
  });
  const auto opened = OpenModel(model);
  ASSERT_TRUE(opened) << ToString(opened.error());
  const Folded folded(**opened, true);
  ASSERT_EQ(folded.refusal(), "");
  EXPECT_THAT(folded.plan().kept, SizeIs(1));
  EXPECT_EQ(folded.model().functions_size(), 0);
}

TEST(OnnxInnerFolds, AFunctionThatCannotBeWrittenOutStaysAndSaysWhy) {
  EXPECT_EQ(ReasonIn(Calling([](auto&, auto&, auto&) {})), "(folded)");
  EXPECT_THAT(ReasonIn(Calling([](auto&, FunctionProto& block, auto&) {
                block.mutable_opset_import(0)->set_version(13);
              })),
              HasSubstr("\"Block\", which stays as it is: its operator set is 13, and that of the "
                        "model 17"));
  EXPECT_THAT(ReasonIn(Calling([](auto&, FunctionProto& block, auto&) {
                Add(*block.mutable_node(), "Relu", {"nowhere"}, "z");
              })),
              HasSubstr("it reads \"nowhere\", which nothing in it yields"));
  EXPECT_THAT(ReasonIn(Calling([](auto&, FunctionProto& block, auto&) {
                Add(*block.mutable_node(), "Relu", {"x"}, "c");
              })),
              HasSubstr("two of its values are called \"c\""));
  EXPECT_THAT(ReasonIn(Calling([](auto&, auto&, NodeProto& call) { call.add_input("x"); })),
              HasSubstr("a call gives it more than it takes"));
  EXPECT_THAT(ReasonIn(Calling([](auto&, auto&, NodeProto& call) {
                auto& attribute = *call.add_attribute();
                attribute.set_name("t");
                attribute.mutable_t()->set_data_type(1);
                attribute.mutable_t()->set_raw_data("0123");
              })),
              HasSubstr("a tensor or a graph as an attribute"));
}

TEST(OnnxInnerFolds, AnOperatorSetThatTheModelLacksIsImported) {
  const ModelProto model = Calling([](auto&, FunctionProto& block, auto&) {
    auto& opset = *block.add_opset_import();
    opset.set_domain("elsewhere");
    opset.set_version(3);
    Add(*block.mutable_node(), "Custom", {"x"}, "custom", "elsewhere");
  });
  const auto opened = OpenModel(model);
  ASSERT_TRUE(opened) << ToString(opened.error());
  const Folded folded(**opened);
  ASSERT_EQ(folded.model().opset_import_size(), 2);
  EXPECT_EQ(folded.model().opset_import(1).domain(), "elsewhere");
  EXPECT_EQ(folded.model().opset_import(1).version(), 3);
  // A function without any has the model's.
  EXPECT_EQ(
      ReasonIn(Calling([](auto&, FunctionProto& block, auto&) { block.clear_opset_import(); })),
      "(folded)");
}

TEST(OnnxInnerFolds, NewNamesKeepAwayFromThoseThatAreThere) {
  const ModelProto model = Calling([](ModelProto& whole, FunctionProto&, NodeProto& call) {
    call.set_input(0, "call/c");
    call.set_output(0, "call/y");
    NodeProto& relu = Add(*whole.mutable_graph()->mutable_node(), "Relu", {"x"}, "call/c");
    relu.set_name("call/conv");
    whole.mutable_graph()->mutable_node()->SwapElements(0, 1);
    Add(*whole.mutable_graph()->mutable_node(), "Relu", {"call/y"}, "out");
  });
  const auto opened = OpenModel(model);
  ASSERT_TRUE(opened) << ToString(opened.error());
  const Folded folded(**opened);
  ASSERT_EQ(folded.refusal(), "");
  EXPECT_THAT(folded.Operators(), ElementsAre("Relu", "Conv", "Relu"));
  std::set<std::string> names, values;
  for (const NodeProto& node : folded.model().graph().node()) {
    EXPECT_TRUE(names.insert(node.name()).second) << node.name();
    EXPECT_TRUE(values.insert(node.output(0)).second) << node.output(0);
  }
  EXPECT_EQ(folded.model().graph().node(1).input(0), "call/c");
}

TEST(OnnxInnerFolds, AGraphThatHidesAnOuterNameReadsItsOwn) {
  // The body yields "w" itself: the convolution in it does not read the tensor of that name.
  ModelProto model = WithTensors();
  NodeProto& choose = Add(*model.mutable_graph()->mutable_node(), "If", {"yes"}, "out");
  model.mutable_graph()->add_input()->set_name("yes");
  auto& branch = *choose.add_attribute();
  branch.set_name("then_branch");
  branch.set_type(5);
  GraphProto& body = *branch.mutable_g();
  Add(*body.mutable_node(), "Relu", {"x"}, "w");
  Add(*body.mutable_node(), "Conv", {"x", "w"}, "c");
  AddNorm(*body.mutable_node(), "c", "y");
  body.add_output()->set_name("y");
  EXPECT_NE(ReasonIn(model), "(folded)");
  body.mutable_node(0)->set_output(0, "unread");
  EXPECT_EQ(ReasonIn(model), "(folded)");
}

// O14, as the next one.
TEST(OnnxInnerFolds, FunctionsThatCallThemselvesStay) {
  const ModelProto model = Calling([](ModelProto& whole, FunctionProto& block, auto&) {
    Add(*block.mutable_node(), "Other", kGiven, "again", "local");
    FunctionProto& other = AddBlock(whole, "Other");
    other.mutable_node()->RemoveLast();
    Add(*other.mutable_node(), "Block", kGiven, "y", "local");
  });
  EXPECT_THAT(ReasonIn(model), HasSubstr("it calls itself, or a function that does"));
}

// A function that calls the one before it twice, 30 times over: a thousand million batch norms.
TEST(OnnxInnerFolds, FunctionsThatWouldMakeAModelBeyondAllSizeStay) {
  const auto before = std::chrono::steady_clock::now();
  const ModelProto model = Calling([](ModelProto& whole, FunctionProto&, NodeProto& call) {
    for (int i = 0; i < 30; ++i) {
      const std::string below = i == 0 ? "Block" : "Block" + std::to_string(i - 1);
      FunctionProto& twice = AddBlock(whole, "Block" + std::to_string(i));
      twice.clear_node();
      for (const char* y : {"a", "y"}) {
        Add(*twice.mutable_node(), below, kGiven, y, "local").set_name(y);
      }
    }
    call.set_op_type("Block29");
  });
  const auto opened = OpenModel(model);
  ASSERT_TRUE(opened) << ToString(opened.error());
  const auto took = std::chrono::steady_clock::now() - before;
  EXPECT_LT(std::chrono::duration<double>(took).count(), 60);
  const Folded folded(**opened);
  ASSERT_EQ(folded.refusal(), "");
  ASSERT_THAT(folded.plan().kept, Not(IsEmpty()));
  EXPECT_THAT(folded.plan().kept[0].reason, HasSubstr("too large"));
}

TEST(OnnxInnerFolds, FunctionsBeyondSixtyFourDeepStay) {
  const auto chained = [](int count) {
    return Calling([count](ModelProto& whole, FunctionProto&, NodeProto& call) {
      for (int i = 0; i < count; ++i) {
        const std::string below = i == 0 ? "Block" : "Block" + std::to_string(i - 1);
        FunctionProto& next = AddBlock(whole, "Block" + std::to_string(i));
        next.clear_node();
        Add(*next.mutable_node(), below, kGiven, "y", "local");
        call.set_op_type(next.name());
      }
    });
  };
  EXPECT_EQ(ReasonIn(chained(63)), "(folded)");
  const auto opened = OpenModel(chained(20000));
  ASSERT_TRUE(opened) << ToString(opened.error());
}

TEST(OnnxInnerFolds, AFunctionThatAnotherOneNeedsStays) {
  const ModelProto model = Calling([](ModelProto& whole, FunctionProto&, auto&) {
    FunctionProto& idle = AddBlock(whole, "Idle");
    idle.clear_node();
    Add(*idle.mutable_node(), "Block", kGiven, "y", "local");
  });
  EXPECT_THAT(ReasonIn(model), HasSubstr("the function \"Idle\", which stays, calls it"));
}

}  // namespace
}  // namespace ckpt::testing::inner_folds_test
