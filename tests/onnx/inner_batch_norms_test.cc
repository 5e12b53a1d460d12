// Batch norms in graphs inside of nodes and in functions: judged like those of the main graph, and
// kept with a reason where nothing is there to fold into.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>
#include <vector>

#include "tests/onnx/folded.h"

namespace ckpt::testing::inner_batch_norms_test {
namespace {

using onnx_proto::GraphProto;
using onnx_proto::ModelProto;
using onnx_proto::NodeProto;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::Not;
using ::testing::SizeIs;

void AddVector(GraphProto& graph, const std::string& name, const std::vector<float>& values) {
  auto& tensor = *graph.add_initializer();
  tensor.set_name(name);
  tensor.set_data_type(1);
  tensor.add_dims(static_cast<std::int64_t>(values.size()));
  tensor.set_raw_data(
      std::string(reinterpret_cast<const char*>(values.data()), values.size() * sizeof(float)));
}

// With the vectors NAME.weight, .bias, .running_mean and .running_var.
void SetBatchNorm(NodeProto& node, const std::string& input, const std::string& name,
                  const std::string& output) {
  node.set_op_type("BatchNormalization");
  node.set_name(output);
  node.add_input(input);
  for (const char* part : {".weight", ".bias", ".running_mean", ".running_var"}) {
    node.add_input(name + part);
  }
  node.add_output(output);
}

void AddVectors(GraphProto& graph, const std::string& name, std::vector<float> variance) {
  AddVector(graph, name + ".weight", {1.5F, 0.5F});
  AddVector(graph, name + ".bias", {0.25F, -1});
  AddVector(graph, name + ".running_mean", {0.5F, 2});
  AddVector(graph, name + ".running_var", variance);
}

GraphProto& AddBody(NodeProto& node, const std::string& name) {
  auto& attribute = *node.add_attribute();
  attribute.set_name(name);
  attribute.set_type(5);
  attribute.mutable_g()->set_name(name);
  return *attribute.mutable_g();
}

// x -> If: the batch norm of one branch has vectors of its own, that of the other the main graph's.
ModelProto WithBranches(const std::vector<float>& variance_within) {
  auto model = EmptyModel();
  GraphProto& graph = *model.mutable_graph();
  graph.add_input()->set_name("x");
  graph.add_input()->set_name("condition");
  AddVectors(graph, "outer", {1, 3});
  auto& node = AddNode(model, "If", {"condition"}, "y");
  node.set_name("choose");
  GraphProto& one = AddBody(node, "then_branch");
  AddVectors(one, "bn", variance_within);
  SetBatchNorm(*one.add_node(), "x", "bn", "normal");
  one.add_output()->set_name("normal");
  GraphProto& other = AddBody(node, "else_branch");
  SetBatchNorm(*other.add_node(), "x", "outer", "normal2");
  other.add_output()->set_name("normal2");
  graph.add_output()->set_name("y");
  return model;
}

std::vector<std::string> RulesOf(const Checkpoint& checkpoint, const Analysis& analysis) {
  std::vector<std::string> rules;
  for (const Finding& finding : Audit(checkpoint, analysis).findings) {
    if (finding.severity == Severity::kError) rules.emplace_back(finding.rule->id);
  }
  return rules;
}

TEST(OnnxInnerBatchNorms, OfBranchesHaveTheirStatistics) {
  const auto opened = OpenModel(WithBranches({1, 2}));
  ASSERT_TRUE(opened) << ToString(opened.error());
  const Manifest& manifest = (*opened)->manifest();
  EXPECT_EQ(manifest.note, "");
  const Analysis analysis = Analyse(manifest);
  ASSERT_THAT(analysis.batch_norms, SizeIs(2));
  EXPECT_EQ(analysis.batch_norms[0].scope, "choose/then_branch/bn");
  EXPECT_EQ(analysis.batch_norms[1].scope, "outer");
  const auto values = ReadValues(**opened, analysis.batch_norms[0]);
  ASSERT_TRUE(values);
  EXPECT_THAT(values->variance, ElementsAre(1, 2));
  EXPECT_THAT(values->mean, ElementsAre(0.5, 2));
  EXPECT_THAT(RulesOf(**opened, analysis), IsEmpty());
}

TEST(OnnxInnerBatchNorms, AreAuditedAsOthersAre) {
  const auto opened = OpenModel(WithBranches({1, -2}));
  ASSERT_TRUE(opened) << ToString(opened.error());
  EXPECT_THAT(RulesOf(**opened, Analyse((*opened)->manifest())), Not(IsEmpty()));
}

TEST(OnnxInnerBatchNorms, StayWithAReasonWhereNothingIsThereToFoldInto) {
  const auto opened = OpenModel(WithBranches({1, 2}));
  ASSERT_TRUE(opened) << ToString(opened.error());
  const Folded folded(**opened);
  ASSERT_EQ(folded.refusal(), "");
  EXPECT_THAT(folded.plan().folded, IsEmpty());
  ASSERT_THAT(folded.plan().kept, SizeIs(2));
  const std::string reason = "\"x\" (value from around the graph)";
  EXPECT_THAT(folded.ReasonOf("choose/then_branch/bn"), HasSubstr(reason));
  EXPECT_THAT(folded.ReasonOf("outer"), HasSubstr(reason));
  const auto& node = folded.model().graph().node(0);
  EXPECT_EQ(node.attribute(0).g().node(0).op_type(), "BatchNormalization");
  EXPECT_EQ(node.attribute(0).g().initializer_size(), 4);
}

TEST(OnnxInnerBatchNorms, InTrainingModeStopAConversionThatDoesNotCloseIt) {
  auto model = WithBranches({1, 2});
  auto& node = *model.mutable_graph()->mutable_node(0)->mutable_attribute(0)->mutable_g();
  auto& mode = *node.mutable_node(0)->add_attribute();
  mode.set_name("training_mode");
  mode.set_type(2);
  mode.set_i(1);
  const auto opened = OpenModel(model);
  ASSERT_TRUE(opened) << ToString(opened.error());
  EXPECT_THAT(RulesOf(**opened, Analyse((*opened)->manifest())), ElementsAre("BN060"));
  EXPECT_NE(Folded(**opened).refusal(), "");
  ConvertOptions options;
  options.fold.fold = options.close_training_mode = true;
  const Folded closed(**opened, options);
  ASSERT_EQ(closed.refusal(), "");
  const auto& written = closed.model().graph().node(0).attribute(0).g().node(0);
  EXPECT_EQ(written.op_type(), "BatchNormalization");
  for (const auto& attribute : written.attribute()) EXPECT_NE(attribute.name(), "training_mode");
}

// A function with the batch norm of what a call gives it: two calls, other vectors.
TEST(OnnxInnerBatchNorms, OfFunctionsReadWhatEachCallGives) {
  auto model = EmptyModel();
  GraphProto& graph = *model.mutable_graph();
  graph.add_input()->set_name("x");
  AddVectors(graph, "one", {1, 3});
  AddVectors(graph, "two", {4, 5});
  auto& function = *model.add_functions();
  function.set_name("Block");
  function.set_domain("local");
  function.add_opset_import()->set_version(17);
  for (const char* input : {"a", "p.weight", "p.bias", "p.running_mean", "p.running_var"}) {
    function.add_input(input);
  }
  SetBatchNorm(*function.add_node(), "a", "p", "b");
  function.add_output("b");
  for (const auto& [x, name, y] : {std::tuple("x", "one", "z"), {"z", "two", "y"}}) {
    NodeProto& call = *graph.add_node();
    SetBatchNorm(call, x, name, y);
    call.set_op_type("Block");
    call.set_domain("local");
  }
  graph.add_output()->set_name("y");
  const auto opened = OpenModel(model);
  ASSERT_TRUE(opened) << ToString(opened.error());
  const Analysis analysis = Analyse((*opened)->manifest());
  ASSERT_THAT(analysis.batch_norms, SizeIs(2));
  EXPECT_EQ(analysis.batch_norms[0].scope, "one");
  EXPECT_EQ(analysis.batch_norms[1].scope, "two");
  // The second becomes a part of the first, as without functions; that has nothing to go into.
  const Folded folded(**opened);
  EXPECT_THAT(folded.plan().folded, SizeIs(1));
  EXPECT_THAT(folded.ReasonOf("one"), HasSubstr("the batch norm \"y/b\", which stays"));
  // What is no constant is told, and its absence is no finding of severity error.
  model.mutable_graph()->mutable_node(1)->set_input(3, "x");
  const auto fed = OpenModel(model);
  ASSERT_TRUE(fed) << ToString(fed.error());
  EXPECT_THAT(RulesOf(**fed, Analyse((*fed)->manifest())), IsEmpty());
  EXPECT_THAT((*fed)->manifest().graph->layers[1].fed_tensors.at("moving_mean"),
              HasSubstr("an input of the model"));
  // A function that calls itself, and one that nothing calls.
  model.mutable_functions(0)->mutable_node(0)->set_op_type("Block");
  model.mutable_functions(0)->mutable_node(0)->set_domain("local");
  auto& idle = *model.add_functions();
  idle.set_name("Idle");
  idle.set_domain("local");
  SetBatchNorm(*idle.add_node(), "a", "p", "b");
  const auto odd = OpenModel(model);
  ASSERT_TRUE(odd) << ToString(odd.error());
  EXPECT_EQ(
      (*odd)->manifest().note,
      "1 batch norm in functions that nothing calls, or called too often to list: not judged");
}

}  // namespace
}  // namespace ckpt::testing::inner_batch_norms_test
