// Layers are found over operations: small networks, each in the form that some exporter writes.
#include "ckpt/find_layers.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>
#include <vector>

#include "ckpt/layer_computation.h"

namespace ckpt::find_layers_test {
namespace {

using network::BinaryFunction;
using network::NetworkBuilder;
using network::Sizes;
using network::UnaryFunction;
using ::testing::ElementsAre;
using ::testing::IsEmpty;
using ::testing::Pair;

class FindLayersTest : public ::testing::Test {
 protected:
  network::ValueId Stored(Sizes shape) {
    return builder_.AddStored("", {{tensors_++}}, std::move(shape));
  }
  // One layer for each operation.
  network::ValueId Add(network::Computation computation, std::vector<network::ValueId> operands) {
    builder_.StartLayer("layer" + std::to_string(layers_++), "op");
    return builder_.Add(std::move(computation), std::move(operands));
  }
  network::ValueId Add(BinaryFunction function, network::ValueId a, network::ValueId b) {
    return Add(network::Binary{function}, {a, b});
  }
  network::ValueId Conv(network::ValueId x, Sizes kernel) {
    network::Convolution convolution;
    convolution.layout = KernelLayout::kOutInSpatial;
    convolution.channel_axis = 1;
    return Add(convolution, {x, Stored(std::move(kernel))});
  }
  // (x - mean) / sqrt(variance + 0.001) * gamma + beta
  network::ValueId Norm(network::ValueId x, const Sizes& shape) {
    network::ValueId variance = Stored(shape);  // tensor 1 behind a convolution
    const auto sum = Add(BinaryFunction::kAdd, variance, builder_.AddScalar(0.001));
    const auto root = Add(network::Unary{UnaryFunction::kSqrt}, {sum});
    x = Add(BinaryFunction::kSubtract, x, Stored(shape));
    x = Add(BinaryFunction::kDivide, x, root);
    x = Add(BinaryFunction::kMultiply, Stored(shape), x);
    return Add(BinaryFunction::kAdd, x, Stored(shape));
  }

  // `rebinds`: the record names what each operation reads, as ONNX does.
  ModelGraph Find(network::ValueId output, bool rebinds = true) {
    builder_.AddOutput("y", output);
    auto network = std::move(builder_).Finish();
    EXPECT_TRUE(network) << ToString(network.error());
    LayerFacts facts;
    facts.can_rebind = rebinds;
    facts.can_gain_bias = true;
    return FindLayers(*network, facts).graph;
  }

  NetworkBuilder builder_{network::Origin::kOnnxGraph};
  network::ValueId x_ = builder_.AddInput("x", Sizes{2, 3, 8, 8});
  std::uint32_t tensors_ = 0;
  int layers_ = 0;
};

std::vector<std::string> CallsOf(const ModelGraph& graph) {
  std::vector<std::string> names;
  for (const Node& node : graph.nodes) names.push_back(graph.layers[node.layer].name);
  return names;
}

TEST_F(FindLayersTest, AVectorThatIsAddedAlongTheChannelsIsTheBias) {
  auto y = Conv(x_, {6, 3, 3, 3});
  y = Add(BinaryFunction::kAdd, y, Stored({6, 1, 1}));
  const ModelGraph graph = Find(y);
  EXPECT_TRUE(IsConvolution(graph.layers[0]));
  EXPECT_THAT(graph.layers[0].tensors,
              ElementsAre(Pair("bias", TensorId{1}), Pair("kernel", TensorId{0})));
  EXPECT_THAT(graph.layers[0].read_by, ElementsAre(Pair("bias", 1U)));
  EXPECT_FALSE(graph.layers[0].can_gain_bias);
  EXPECT_THAT(CallsOf(graph), ElementsAre("x", "layer0"));
}

TEST_F(FindLayersTest, AVectorAlongAnotherAxisIsNoBias) {
  auto y = Conv(x_, {6, 3, 3, 3});
  y = Add(BinaryFunction::kAdd, y, Stored({6}));  // the width is 6, too
  const ModelGraph graph = Find(y);
  EXPECT_FALSE(graph.layers[0].tensors.contains("bias"));
  EXPECT_TRUE(IsUnknown(graph.layers[1]));
}

TEST_F(FindLayersTest, AKernelThatIsReadTransposedLiesTheOtherWay) {
  const auto flat = Add(network::MergeAxes{1, -1}, {x_});
  const auto kernel = Add(network::Transpose{{1, 0}}, {Stored({5, 192})});
  const ModelGraph graph = Find(Add(network::MatrixProduct{}, {flat, kernel}));
  const Layer& dense = graph.layers[2];
  EXPECT_TRUE(IsFlatten(graph.layers[0]));
  EXPECT_TRUE(IsDense(dense));
  EXPECT_EQ(dense.layout, KernelLayout::kOutInSpatial);
  EXPECT_THAT(dense.read_by, ElementsAre(Pair("kernel", 1U)));
  EXPECT_THAT(CallsOf(graph), ElementsAre("x", "layer0", "layer2"));
}

TEST_F(FindLayersTest, ATransposeThatTwoReadIsNotTakenForAKernel) {
  const auto flat = Add(network::MergeAxes{1, -1}, {x_});
  const auto kernel = Add(network::Transpose{{1, 0}}, {Stored({5, 192})});
  const auto y = Add(network::MatrixProduct{}, {flat, kernel});
  const auto z = Add(network::MatrixProduct{}, {flat, kernel});
  const ModelGraph graph = Find(Add(BinaryFunction::kAdd, y, z));
  EXPECT_FALSE(IsLinear(graph.layers[2]));
  EXPECT_FALSE(IsLinear(graph.layers[3]));
}

// What Caffe has: the batch norm has mean and variance, and the layer behind it gamma and beta.
TEST_F(FindLayersTest, AScaleBehindABatchNormIsItsGammaAndBeta) {
  const auto conv = Conv(x_, {6, 3, 3, 3});  // tensor 0
  auto y = Add(network::BatchNormalization{1, 0.001},
               {conv, network::kNoValue, network::kNoValue, Stored({6}), Stored({6})});
  builder_.StartLayer("scale", "Scale");
  y = builder_.Add(network::Binary{BinaryFunction::kMultiply}, {y, Stored({6, 1, 1})});
  y = builder_.Add(network::Binary{BinaryFunction::kAdd}, {y, Stored({6, 1, 1})});
  const ModelGraph graph = Find(y, false);
  const Layer& norm = graph.layers[1];
  EXPECT_TRUE(IsBatchNorm(norm));
  EXPECT_EQ(norm.epsilon, 0.001);
  EXPECT_EQ(norm.axis, 1);
  EXPECT_THAT(norm.tensors,
              ElementsAre(Pair("beta", TensorId{4}), Pair("gamma", TensorId{3}),
                          Pair("moving_mean", TensorId{1}), Pair("moving_variance", TensorId{2})));
  EXPECT_THAT(CallsOf(graph), ElementsAre("x", "layer0", "layer1"));
}

TEST_F(FindLayersTest, AScaleAlongAnotherAxisStaysItself) {
  const auto conv = Conv(x_, {6, 3, 3, 3});
  const auto normal = Add(network::BatchNormalization{1, 0.001},
                          {conv, network::kNoValue, network::kNoValue, Stored({6}), Stored({6})});
  const auto along_width = Add(BinaryFunction::kMultiply, normal, Stored({6}));
  const ModelGraph graph = Find(Add(BinaryFunction::kAdd, along_width, conv), false);
  EXPECT_FALSE(graph.layers[1].has_scale);
  EXPECT_THAT(CallsOf(graph), ElementsAre("x", "layer0", "layer1", "layer2", "layer3"));
}

TEST_F(FindLayersTest, ABatchNormWhoseMeanIsComputedSaysByWhat) {
  const auto conv = Conv(x_, {6, 3, 3, 3});
  const auto mean = Add(network::Reduction{}, {conv});
  const auto y = Add(network::BatchNormalization{1, 0.001},
                     {conv, Stored({6}), Stored({6}), mean, Stored({6})});
  const ModelGraph graph = Find(y, false);
  EXPECT_TRUE(IsBatchNorm(graph.layers[2]));
  EXPECT_THAT(graph.layers[2].fed_tensors,
              ElementsAre(Pair("moving_mean", "computed by \"layer1\" (op)")));
}

// The slopes get their axes in an operation of the same layer.
TEST_F(FindLayersTest, WhatShapesAParameterIsNoPartOfWhatALayerDoes) {
  builder_.StartLayer("prelu", "PReLU");
  const auto slopes = builder_.Add(network::InsertAxes{{-1, -2}}, {Stored({3})});
  const auto y = builder_.Add(network::Binary{BinaryFunction::kLeakyRelu}, {x_, slopes});
  EXPECT_TRUE(IsActivation(Find(y).layers[0]));
}

TEST_F(FindLayersTest, ABatchNormInSimpleOperations) {
  const ModelGraph graph = Find(Norm(Conv(x_, {6, 3, 3, 3}), {1, 6, 1, 1}));
  const Layer& norm = graph.layers[6];
  ASSERT_TRUE(IsBatchNorm(norm));
  EXPECT_THAT(norm.tensors,
              ElementsAre(Pair("beta", TensorId{4}), Pair("gamma", TensorId{3}),
                          Pair("moving_mean", TensorId{2}), Pair("moving_variance", TensorId{1})));
  EXPECT_EQ(norm.epsilon, 0.001);
  EXPECT_EQ(norm.axis, 1);
  EXPECT_EQ(norm.axes_behind_channels, 2U);
  EXPECT_THAT(norm.path, ElementsAre(3U, 4U, 5U, 6U));
  EXPECT_THAT(norm.beside, ElementsAre(1U, 2U));
  EXPECT_THAT(norm.read_by, ElementsAre(Pair("beta", 6U), Pair("gamma", 5U),
                                        Pair("moving_mean", 3U), Pair("moving_variance", 1U)));
  EXPECT_THAT(CallsOf(graph), ElementsAre("x", "layer0", "layer6"));
}

TEST_F(FindLayersTest, TheChannelsOfAWrittenBatchNormAreThoseThatItsVectorsMeet) {
  const ModelGraph graph = Find(Norm(Conv(x_, {6, 3, 3, 3}), {6}));
  EXPECT_TRUE(IsBatchNorm(graph.layers[6]));
  EXPECT_EQ(graph.layers[6].axis, 3);
}

TEST_F(FindLayersTest, NoBatchNormWhereAnInnerValueIsReadElsewhere) {
  const Sizes shape = {1, 6, 1, 1};
  auto y = Conv(x_, {6, 3, 3, 3});
  const auto centred = Add(BinaryFunction::kSubtract, y, Stored(shape));
  y = Add(BinaryFunction::kDivide, centred, Stored(shape));
  y = Add(BinaryFunction::kAdd, Add(BinaryFunction::kMultiply, y, Stored(shape)), Stored(shape));
  const ModelGraph graph = Find(Add(BinaryFunction::kAdd, y, centred));
  for (const Layer& layer : graph.layers) EXPECT_FALSE(IsBatchNorm(layer)) << layer.name;
}

TEST_F(FindLayersTest, ACallYieldsAllThatIsReadOfIt) {
  builder_.StartLayer("split", "Split");
  const auto parts = builder_.AddMany(network::Split{1}, {x_}, 3);
  const auto y = Add(BinaryFunction::kAdd, Add(network::Softmax{}, {parts[0]}),
                     Add(network::Softmax{}, {parts[2]}));
  const ModelGraph graph = Find(y);
  const auto node = graph.values[parts[0].index].producer;
  ASSERT_TRUE(node);
  EXPECT_EQ(graph.nodes[*node].output, parts[0].index);
  EXPECT_THAT(graph.nodes[*node].others, ElementsAre(parts[2].index));
}

// What a convolution over one axis becomes where the framework has only those over two.
TEST_F(FindLayersTest, AnAxisOfOneElementAroundAConvolutionIsNoneOfIt) {
  const auto row = builder_.AddInput("row", Sizes{2, 3, 8});
  const auto image = Add(network::InsertAxes{{2}}, {row});
  network::Convolution convolution;
  convolution.layout = KernelLayout::kOutInSpatial;
  convolution.channel_axis = 1;
  convolution.stride = {1, 2};
  convolution.dilation = {1, 1};
  convolution.padding = {network::PaddingRule::kExplicit, {0, 1}, {0, 0}};
  // The stored kernel has the axis no more than the data have it.
  const auto kernel = Add(network::InsertAxes{{2}}, {Stored({6, 3, 3})});
  auto y = Add(convolution, {image, kernel});
  y = Add(network::DropAxes{{2}}, {y});
  y = Add(BinaryFunction::kAdd, y, Stored({6, 1}));
  const ModelGraph graph = Find(y);
  EXPECT_THAT(CallsOf(graph), ElementsAre("x", "row", "layer2"));
  const Layer& layer = graph.layers[2];
  EXPECT_TRUE(IsConvolution(layer));
  EXPECT_THAT(layer.tensors, ElementsAre(Pair("bias", TensorId{1}), Pair("kernel", TensorId{0})));
  const auto& computed = std::get<network::Convolution>(layer.computation);
  EXPECT_THAT(computed.stride, ElementsAre(2));
  EXPECT_THAT(computed.padding.before, ElementsAre(1));
  EXPECT_THAT(layer.read_by, ElementsAre(Pair("bias", 4U), Pair("kernel", 1U)));
  EXPECT_EQ(graph.nodes.back().inputs, std::vector<ValueId>{row.index});
}

TEST_F(FindLayersTest, ZerosAlongAnAxisThatIsNoneStillPad) {
  const auto row = builder_.AddInput("row", Sizes{2, 3, 8});
  const auto image = Add(network::InsertAxes{{2}}, {row});
  network::Convolution convolution;
  convolution.layout = KernelLayout::kOutInSpatial;
  convolution.channel_axis = 1;
  convolution.padding = {network::PaddingRule::kExplicit, {1, 0}, {1, 0}};
  const auto y = Add(convolution, {image, Stored({6, 3, 3, 3})});
  const ModelGraph graph = Find(Add(network::DropAxes{{2}}, {y}));
  ASSERT_THAT(CallsOf(graph), ElementsAre("x", "row", "layer1"));
  const auto& computed = std::get<network::Convolution>(graph.layers[1].computation);
  EXPECT_NE(computed.padding, network::Padding{});
}

// All of its elements lie along one axis, and it is a kernel all the same.
TEST_F(FindLayersTest, AKernelOfOneChannelIsReadWithAnotherAxis) {
  const auto row = builder_.AddInput("row", Sizes{2, 8, 1});
  const auto image = Add(network::InsertAxes{{1}}, {row});
  network::Convolution convolution;
  convolution.layout = KernelLayout::kSpatialInOut;
  convolution.channel_axis = -1;
  const auto kernel = Add(network::InsertAxes{{0}}, {Stored({1, 1, 8})});
  const auto y = Add(convolution, {image, kernel});
  const ModelGraph graph = Find(Add(network::DropAxes{{1}}, {y}));
  EXPECT_THAT(CallsOf(graph), ElementsAre("x", "row", "layer2"));
  EXPECT_THAT(graph.layers[2].tensors, ElementsAre(Pair("kernel", TensorId{0})));
}

TEST_F(FindLayersTest, AnotherAxisThatIsDroppedIsNotTheOneInserted) {
  const auto row = builder_.AddInput("row", Sizes{2, 3, 8});
  const auto image = Add(network::InsertAxes{{2}}, {row});
  network::Convolution convolution;
  convolution.layout = KernelLayout::kOutInSpatial;
  convolution.channel_axis = 1;
  convolution.stride = convolution.dilation = {1, 1};
  const auto y = Add(convolution, {image, Stored({6, 3, 1, 8})});
  const ModelGraph graph = Find(Add(network::DropAxes{{3}}, {y}));
  EXPECT_THAT(CallsOf(graph), ElementsAre("x", "row", "layer0", "layer1", "layer2"));
}

// A product over the last axis where the framework has only those of matrices.
TEST_F(FindLayersTest, RowsThatAreGivenTheirAxesAgainAreOneLayerWithTheirProduct) {
  auto y = Add(network::Reshape{{-1, 8}}, {x_});
  y = Add(network::MatrixProduct{}, {y, Stored({8, 5})});
  y = Add(network::Reshape{{2, 3, 8, 5}}, {y});
  y = Add(BinaryFunction::kAdd, y, Stored({5}));
  const ModelGraph graph = Find(y);
  EXPECT_THAT(CallsOf(graph), ElementsAre("x", "layer0", "layer1"));
  EXPECT_TRUE(graph.layers[1].tensors.contains("bias"));
}

TEST_F(FindLayersTest, UnitsThatAreGivenOtherAxesAreNoRows) {
  auto y = Add(network::Reshape{{-1, 8}}, {x_});
  y = Add(network::MatrixProduct{}, {y, Stored({8, 6})});
  y = Add(network::Reshape{{48, 2, 3}}, {y});
  const ModelGraph graph = Find(Add(BinaryFunction::kAdd, y, Stored({3})));
  EXPECT_THAT(CallsOf(graph), ElementsAre("x", "layer0", "layer1", "layer2", "layer3"));
  EXPECT_FALSE(graph.layers[1].tensors.contains("bias"));
}

TEST_F(FindLayersTest, WhatNormalisesAnInputIsNoBatchNorm) {
  const Sizes shape = {1, 3, 1, 1};
  const auto y = Add(BinaryFunction::kSubtract, x_, Stored(shape));
  const ModelGraph graph = Find(Add(BinaryFunction::kDivide, y, Stored(shape)));
  EXPECT_TRUE(IsUnknown(graph.layers[1]));
}

TEST_F(FindLayersTest, AnAxisIsTheChannelsWhereItIsKeptApart) {
  network::Reduction mean;
  mean.axes.listed = {-1, -2};
  const auto y = Add(mean, {x_});
  mean.axes.listed = {1, 2};
  const auto z = Add(mean, {y});
  network::Pad pad;
  pad.before = pad.after = {0, 0, 1, 1};
  const ModelGraph graph = Find(Add(pad, {z}));
  EXPECT_TRUE(PoolsWholly(graph.layers[0]));
  EXPECT_EQ(graph.layers[0].axis, 1);
  EXPECT_EQ(graph.layers[1].axis, -1);
  EXPECT_TRUE(Computes<network::Pad>(graph.layers[2]));
  EXPECT_EQ(graph.layers[2].axis, 1);
}

TEST_F(FindLayersTest, OneRowForEachExampleIsAFlatten) {
  const auto reshaped_to = [](Sizes shape) {
    NetworkBuilder builder(network::Origin::kOnnxGraph);
    auto x = builder.AddInput("x", Sizes{network::kUnknownSize, 3, 4, 4});
    builder.StartLayer("reshape", "op");
    builder.AddOutput("y", builder.Add(network::Reshape{std::move(shape)}, {x}));
    const auto network = std::move(builder).Finish();
    EXPECT_TRUE(network);
    const auto none = [](network::ValueId) { return std::optional<std::vector<double>>(); };
    return FindLayers(*network, {none}).graph.layers[0];
  };
  EXPECT_TRUE(IsFlatten(reshaped_to({-1, 48})));
  EXPECT_TRUE(Computes<network::Reshape>(reshaped_to({-1, 24})));
  EXPECT_TRUE(Computes<network::Reshape>(reshaped_to({-1, 3, 16})));
}

}  // namespace
}  // namespace ckpt::find_layers_test
