// What a hostile or broken file may hold: each refused in words, or read because it is legitimate.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <limits>

#include "ckpt/layer_computation.h"
#include "formats/onnx/model_scan.h"
#include "formats/onnx/wire.h"
#include "tests/onnx/model_builder.h"

namespace ckpt::testing::hostile_test {
namespace {

using formats::onnx::AppendLengthField;
using formats::onnx::AppendVarintField;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::SizeIs;

onnx_proto::ModelProto ModelWithTensor() {
  auto model = EmptyModel();
  AddTensor(model, "w", {2, 2}, {1, 2, 3, 4});
  return model;
}

// O08
TEST(OnnxHostile, ShapesThatLieAreCorrupt) {
  auto model = ModelWithTensor();
  auto& tensor = *model.mutable_graph()->mutable_initializer(0);
  tensor.set_dims(0, -2);
  EXPECT_NE(RefusalOf(model), "");
  tensor.set_dims(0, std::numeric_limits<std::int64_t>::max());
  EXPECT_NE(RefusalOf(model), "");
  tensor.set_dims(0, std::numeric_limits<std::int64_t>::max() / 2);
  EXPECT_NE(RefusalOf(model), "");
  tensor.set_dims(0, 3);
  EXPECT_THAT(RefusalOf(model), HasSubstr("asks for 24"));
}

// O09, O10
TEST(OnnxHostile, SegmentsAndUnknownTypesAreRefused) {
  auto model = ModelWithTensor();
  auto& tensor = *model.mutable_graph()->mutable_initializer(0);
  tensor.mutable_segment()->set_begin(0);
  EXPECT_THAT(RefusalOf(model), HasSubstr("segment"));
  tensor.clear_segment();
  for (const int type : {0, 99, -1}) {
    tensor.set_data_type(type);
    EXPECT_THAT(RefusalOf(model), HasSubstr("data type " + std::to_string(type)));
  }
  tensor.set_data_type(8);
  EXPECT_THAT(RefusalOf(model), HasSubstr("strings"));
  tensor.clear_raw_data();
  for (int i = 0; i < 4; ++i) tensor.add_string_data("s");
  EXPECT_EQ(RefusalOf(model), "");
  tensor.add_string_data("one too many");
  EXPECT_THAT(RefusalOf(model), HasSubstr("5 strings"));
}

// O11
TEST(OnnxHostile, SparseTensorsAreListedInTwoParts) {
  auto model = EmptyModel();
  auto& sparse = *model.mutable_graph()->add_sparse_initializer();
  sparse.add_dims(1000000);
  auto donor = EmptyModel();
  *sparse.mutable_values() = AddTensor(donor, "s", {400}, std::vector<float>(400, 1));
  auto opened = OpenModel(model);
  ASSERT_TRUE(opened) << ToString(opened.error());
  ASSERT_THAT((*opened)->manifest().tensors, SizeIs(1));
  EXPECT_EQ((*opened)->manifest().tensors[0].name, "s/values");
  sparse.mutable_values()->set_dims(0, 401);
  EXPECT_THAT(RefusalOf(model), HasSubstr("asks for 1604"));
}

// O12
TEST(OnnxHostile, TwoInitializersOfOneNameAreCorrupt) {
  auto model = ModelWithTensor();
  AddTensor(model, "w", {1}, {1});
  EXPECT_THAT(RefusalOf(model), HasSubstr("two tensors have this name"));
}

std::string NestedGraphs(int depth) {
  std::string graph;
  for (int i = 0; i < depth; ++i) {
    std::string attribute, node, outer;
    AppendLengthField(6, graph, attribute);
    AppendLengthField(5, attribute, node);
    AppendLengthField(1, node, outer);
    graph = outer;
  }
  std::string model;
  AppendVarintField(1, 8, model);
  AppendLengthField(7, graph, model);
  return model;
}

// O13
TEST(OnnxHostile, GraphsNestedTooDeepAreALimit) {
  EXPECT_TRUE(OpenBytes(NestedGraphs(formats::onnx::kMaxGraphDepth - 1)));
  for (const int depth : {formats::onnx::kMaxGraphDepth, 1000, 10000}) {
    const auto opened = OpenBytes(NestedGraphs(depth));
    ASSERT_FALSE(opened);
    EXPECT_EQ(opened.error().code, ErrorCode::kLimitExceeded);
  }
}

// Functions without a batch norm are data here; nothing is expanded.
TEST(OnnxHostile, AFunctionThatCallsItselfIsRead) {
  auto model = ModelWithTensor();
  auto& function = *model.add_functions();
  function.set_name("f");
  function.set_domain("local");
  auto& inner = *function.add_node();
  inner.set_op_type("f");
  inner.set_domain("local");
  auto& node = AddNode(model, "f", {"w"}, "y");
  node.set_domain("local");
  const auto opened = OpenModel(model);
  ASSERT_TRUE(opened) << ToString(opened.error());
  EXPECT_TRUE(IsUnknown((*opened)->manifest().graph->layers[0]));
}

TEST(OnnxHostile, AFunctionMayStandInThePlaceOfAnOperator) {
  auto model = EmptyModel();
  model.add_functions()->set_name("Conv");
  AddTensor(model, "w", {1, 1, 1}, {1});
  AddNode(model, "Conv", {"x", "w"}, "y");
  const auto opened = OpenModel(model);
  ASSERT_TRUE(opened) << ToString(opened.error());
  EXPECT_TRUE(IsUnknown((*opened)->manifest().graph->layers[0]));
}

// O18
TEST(OnnxHostile, AbsurdVersions) {
  auto model = ModelWithTensor();
  for (const std::int64_t version : {std::int64_t{0}, std::int64_t{-3}, std::int64_t{1} << 40}) {
    model.set_ir_version(version);
    EXPECT_THAT(RefusalOf(model), HasSubstr("IR version"));
  }
  model.set_ir_version(8);
  AddNode(model, "Relu", {"x"}, "y");
  for (const std::int64_t opset : {std::int64_t{-1}, std::int64_t{1} << 40}) {
    model.mutable_opset_import(0)->set_version(opset);
    const auto opened = OpenModel(model);
    ASSERT_TRUE(opened) << ToString(opened.error());
    EXPECT_TRUE(IsUnknown((*opened)->manifest().graph->layers[0]));
  }
}

// O19
TEST(OnnxHostile, ABatchNormOfNonsense) {
  auto model = EmptyModel();
  auto& node = AddNode(model, "BatchNormalization", {"x", "s"}, "y");
  AddTensor(model, "s", {2, 3}, {1, 2, 3, 4, 5, 6});
  auto& epsilon = *node.add_attribute();
  epsilon.set_name("epsilon");
  for (const float value : {std::numeric_limits<float>::quiet_NaN(), -1.0F}) {
    epsilon.set_f(value);
    const auto opened = OpenModel(model);
    ASSERT_TRUE(opened) << ToString(opened.error());
    const Analysis analysis = Analyse((*opened)->manifest());
    ASSERT_THAT(analysis.batch_norms, SizeIs(1));
    EXPECT_FALSE(analysis.batch_norms[0].moving_mean);
    EXPECT_THAT((*opened)->manifest().graph->layers[0].missing_tensors, SizeIs(3));
  }
}

TEST(OnnxHostile, ANodeWithoutInputOrOutputIsNoLayer) {
  for (const bool has_input : {false, true}) {
    auto model = EmptyModel();
    for (const char* tensor : {"s", "b", "m", "v"}) AddTensor(model, tensor, {2}, {1, 2});
    auto& node = AddNode(model, "BatchNormalization", {"x", "s", "b", "m", "v"}, "y");
    if (has_input) {
      node.clear_output();
    } else {
      node.clear_input();
    }
    const auto opened = OpenModel(model);
    ASSERT_TRUE(opened) << ToString(opened.error());
    EXPECT_TRUE(IsUnknown((*opened)->manifest().graph->layers[0]));
    EXPECT_THAT(Analyse((*opened)->manifest()).batch_norms, IsEmpty());
  }
}

TEST(OnnxHostile, AFieldThatMarksDataInOurOwnWayIsRefused) {
  std::string tensor, graph, model;
  AppendVarintField(formats::onnx::kDataPlaceField, 7, tensor);
  AppendLengthField(5, tensor, graph);
  AppendVarintField(1, 8, model);
  AppendLengthField(7, graph, model);
  const auto opened = OpenBytes(model);
  ASSERT_FALSE(opened);
  EXPECT_EQ(opened.error().code, ErrorCode::kCorrupt);
}

TEST(OnnxHostile, AGraphThatIsThereTwiceIsCorrupt) {
  const std::string bytes = ModelWithTensor().SerializeAsString();
  EXPECT_FALSE(OpenBytes(bytes + bytes));
}

// O15: the data of a file beyond 2 GiB is stepped over; a graph beyond the limit is not held.
TEST(OnnxHostile, ALargeGraphIsALimit) {
  auto model = ModelWithTensor();
  model.mutable_graph()->add_node()->set_name(std::string(5000, 'n'));
  formats::Limits limits;
  limits.metadata_bytes = 4000;
  const auto opened = OpenBytes(model.SerializeAsString(), limits);
  ASSERT_FALSE(opened);
  EXPECT_EQ(opened.error().code, ErrorCode::kLimitExceeded);
}

TEST(OnnxHostile, NodesThatReadThemselvesAreRead) {
  auto model = EmptyModel();
  AddNode(model, "Relu", {"y"}, "y");
  AddNode(model, "Identity", {"b"}, "a");
  AddNode(model, "Identity", {"a"}, "b");
  EXPECT_EQ(RefusalOf(model), "");
}

}  // namespace
}  // namespace ckpt::testing::hostile_test
