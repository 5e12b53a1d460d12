// What the layers of a serving graph compute, and what is known of their values.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "ckpt/layer_computation.h"
#include "tests/serving/trained_graph.h"

namespace ckpt::testing::layers_test {
namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;
using ::testing::SizeIs;

class ServingLayersTest : public ::testing::Test {
 protected:
  // What was added last is the output.
  void Serve() {
    ServingOptions options;
    options.outputs = {g_.graph.top.ops.back().name};
    auto model = g_.Serve(options);
    ASSERT_TRUE(model) << ToString(model.error());
    model_ = *std::move(model);
  }
  const Layer& LayerOf(std::string_view name) {
    return model_->manifest().graph->layers[*model_->manifest().graph->FindLayer(name)];
  }
  const Node& CallOf(std::string_view name) {
    const ModelGraph& graph = *model_->manifest().graph;
    return graph.nodes[graph.CallsOf(*graph.FindLayer(name)).front()];
  }
  const Value& ValueOf(std::string_view name) {
    return model_->manifest().graph->values[CallOf(name).output];
  }

  // Over [2, 2] of four channels, to two.
  Op& Conv(const std::string& name, const std::string& x, const std::string& padding) {
    g_.Saved(name + "/kernel", std::vector<double>(32, 0.5), {2, 2, 4, 2});
    Op& op = g_.top.Add(name + "/Conv2D", "Conv2D", {x, name + "/kernel/read"});
    op.attrs["padding"] = padding;
    return op;
  }
  // Parts of two by two, padded and cropped as is said: along each axis before, after.
  void Dilated(const std::string& pads, const std::string& crops) {
    g_.top.Add("apart", "SpaceToBatchND", {"x", "block", pads});
    Conv("c", "apart", "VALID");
    g_.top.Add("c/together", "BatchToSpaceND", {"c/Conv2D", "block", crops});
  }

  TrainedGraph g_;
  std::unique_ptr<ServingModel> model_;
};

TEST_F(ServingLayersTest, EachSaysWhatItsOperationComputes) {
  g_.Placeholder("x", kFloatNumber, {-1, 8, 8, 4});
  Conv("c", "x", "SAME").attrs["strides"] = std::vector<std::int64_t>{1, 2, 2, 1};
  Op& relu = g_.top.Add("r", "LeakyRelu", {"c/Conv2D"});
  relu.attrs["alpha"] = 0.25;
  Op& pool = g_.top.Add("p", "MaxPool", {"r"});
  pool.attrs["ksize"] = pool.attrs["strides"] = std::vector<std::int64_t>{1, 2, 2, 1};
  pool.attrs["padding"] = std::string("VALID");
  g_.top.Ints("axes", {2}, {1, 2});
  g_.top.Add("m", "Mean", {"p", "axes"});
  ASSERT_NO_FATAL_FAILURE(Serve());
  const auto& convolution = std::get<network::Convolution>(LayerOf("c").computation);
  EXPECT_THAT(convolution.stride, ElementsAre(2, 2));
  EXPECT_EQ(convolution.padding.rule, network::PaddingRule::kSameUpper);
  EXPECT_EQ(std::get<network::Unary>(LayerOf("r").computation).a, 0.25);
  EXPECT_TRUE(IsActivation(LayerOf("r")));
  EXPECT_THAT(std::get<network::Pool>(LayerOf("p").computation).size, ElementsAre(2, 2));
  EXPECT_THAT(std::get<network::Reduction>(LayerOf("m").computation).axes.listed,
              ElementsAre(1, 2));
  EXPECT_TRUE(PoolsWholly(LayerOf("m")));
  EXPECT_THAT(*ValueOf("p").shape, ElementsAre(-1, 2, 2, 2));
  EXPECT_THAT(*ValueOf("m").shape, ElementsAre(-1, 2));
}

TEST_F(ServingLayersTest, WhatAConvolutionYieldsHasARankWhateverCameBefore) {
  g_.Placeholder("x", kFloatNumber, {-1, 8});
  g_.top.Add("anything", "PyFunc", {"x"}).attrs["Tout"] = std::vector<OpDtype>{{kFloatNumber}};
  Conv("c", "anything", "SAME");
  g_.top.Add("r", "Relu", {"c/Conv2D"});
  ASSERT_NO_FATAL_FAILURE(Serve());
  EXPECT_TRUE(std::holds_alternative<network::Unknown>(LayerOf("anything").computation));
  EXPECT_EQ(ValueOf("c").rank, 4);
  EXPECT_EQ(ValueOf("r").rank, 4);
}

TEST_F(ServingLayersTest, PaddingOfPartsThatIsCroppedIsNone) {
  g_.Placeholder("x", kFloatNumber, {-1, 7, 7, 4});
  g_.top.Ints("block", {2}, {2, 2});
  g_.top.Ints("fill", {2, 2}, {0, 1, 0, 1});
  Dilated("fill", "fill");
  ASSERT_NO_FATAL_FAILURE(Serve());
  const auto& convolution = std::get<network::Convolution>(LayerOf("c").computation);
  EXPECT_THAT(convolution.dilation, ElementsAre(2, 2));
  EXPECT_THAT(*ValueOf("c").shape, ElementsAre(-1, 5, 5, 2));
}

TEST_F(ServingLayersTest, WhatIsLeftOfThePaddingOfPartsPads) {
  g_.Placeholder("x", kFloatNumber, {-1, 7, 7, 4});
  g_.top.Ints("block", {2}, {2, 2});
  g_.top.Ints("pads", {2, 2}, {1, 2, 0, 1});
  g_.top.Ints("crops", {2, 2}, {0, 1, 0, 1});
  Dilated("pads", "crops");
  ASSERT_NO_FATAL_FAILURE(Serve());
  const auto& convolution = std::get<network::Convolution>(LayerOf("c").computation);
  EXPECT_THAT(convolution.padding.before, ElementsAre(1, 0));
  EXPECT_THAT(convolution.padding.after, ElementsAre(1, 0));
}

TEST_F(ServingLayersTest, PaddingOfPartsThatTheDataDecidePads) {
  g_.Placeholder("x", kFloatNumber, {-1, 7, 7, 4});
  g_.Placeholder("pads", kInt32Number, {2, 2});
  g_.top.Ints("block", {2}, {2, 2});
  Dilated("pads", "pads");
  ASSERT_NO_FATAL_FAILURE(Serve());
}

TEST_F(ServingLayersTest, AnAxisOfOneElementAroundAConvolutionIsNoneOfIt) {
  g_.Placeholder("x", kFloatNumber, {-1, 8, 4});
  g_.top.Ints("axis", {}, {1});
  g_.top.Add("insert", "ExpandDims", {"x", "axis"});
  g_.Saved("c/kernel", std::vector<double>(24, 0.5), {1, 3, 4, 2});
  Op& conv = g_.top.Add("c/Conv2D", "Conv2D", {"insert", "c/kernel/read"});
  conv.attrs["padding"] = std::string("VALID");
  conv.attrs["strides"] = std::vector<std::int64_t>{1, 1, 2, 1};
  g_.top.Add("c/drop", "Squeeze", {"c/Conv2D"}).attrs["squeeze_dims"] =
      std::vector<std::int64_t>{1};
  ASSERT_NO_FATAL_FAILURE(Serve());
  EXPECT_THAT(std::get<network::Convolution>(LayerOf("c").computation).stride, ElementsAre(2));
  EXPECT_THAT(*ValueOf("c").shape, ElementsAre(-1, 3, 2));
}

TEST_F(ServingLayersTest, AShapeThatIsComputedIsKnownAsFarAsItIs) {
  g_.Placeholder("x", kFloatNumber, {-1, 3, 5});
  g_.top.Add("shape", "Shape", {"x"});
  g_.top.Ints("zero", {1}, {0});
  g_.top.Ints("one", {1}, {1});
  g_.top.Add("count", "StridedSlice", {"shape", "zero", "one", "one"}).attrs["shrink_axis_mask"] =
      std::int64_t{1};
  g_.top.Ints("rest", {}, {15});
  g_.top.Add("to", "Pack", {"count", "rest"});
  g_.top.Add("y", "Reshape", {"x", "to"});
  ASSERT_NO_FATAL_FAILURE(Serve());
  EXPECT_THAT(std::get<network::Reshape>(LayerOf("y").computation).shape, ElementsAre(-1, 15));
  EXPECT_THAT(CallOf("y").inputs, SizeIs(1));
  // Who asks for its shape reads no element of it.
  EXPECT_THAT(CallOf("shape").inputs, IsEmpty());
}

TEST_F(ServingLayersTest, ADefaultThatMayBeFedDecidesNothing) {
  g_.Placeholder("x", kFloatNumber, {-1, 8, 8, 4});
  g_.top.Ints("none", {4, 2}, {0, 0, 0, 0, 0, 0, 0, 0});
  g_.top.Add("pads", "PlaceholderWithDefault", {"none"});
  g_.top.Add("fixed", "Pad", {"x", "none"});
  g_.top.Add("fed", "Pad", {"fixed", "pads"});
  ASSERT_NO_FATAL_FAILURE(Serve());
  EXPECT_TRUE(ComputesIdentity(LayerOf("fixed")));  // no element is added
  EXPECT_TRUE(std::holds_alternative<network::Unknown>(LayerOf("fed").computation));
  EXPECT_TRUE(IsUnknown(LayerOf("fed")));
}

}  // namespace
}  // namespace ckpt::testing::layers_test
