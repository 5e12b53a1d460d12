// Small extents of kernels are ints here.
#pragma GCC diagnostic ignored "-Wsign-conversion"

// Names and kernel layouts of one framework written as another's.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>

#include "ckpt/layer_computation.h"
#include "tests/convert/planned.h"

namespace ckpt::testing::conventions_test {
namespace {

using ::testing::Contains;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::Not;

std::vector<double> Counting(std::size_t count) {
  std::vector<double> values(count);
  for (std::size_t i = 0; i < count; ++i) values[i] = static_cast<double>(i + 1);
  return values;
}

void AddKerasBatchNorm(MemoryCheckpoint& checkpoint, const std::string& scope, int channels) {
  const auto count = static_cast<std::size_t>(channels);
  checkpoint.Add(scope + "/gamma", {channels}, std::vector<double>(count, 2));
  checkpoint.Add(scope + "/beta", {channels}, std::vector<double>(count, 3));
  checkpoint.Add(scope + "/moving_mean", {channels}, std::vector<double>(count, 4));
  checkpoint.Add(scope + "/moving_variance", {channels}, std::vector<double>(count, 5));
}

void AddTorchBatchNorm(MemoryCheckpoint& checkpoint, const std::string& scope, int channels) {
  const auto count = static_cast<std::size_t>(channels);
  checkpoint.Add(scope + ".weight", {channels}, std::vector<double>(count, 2));
  checkpoint.Add(scope + ".bias", {channels}, std::vector<double>(count, 3));
  checkpoint.Add(scope + ".running_mean", {channels}, std::vector<double>(count, 4));
  checkpoint.Add(scope + ".running_var", {channels}, std::vector<double>(count, 5));
  checkpoint.Add(scope + ".num_batches_tracked", {}, {100}, Dtype::kI64);
}

const FoldedTensor* FindPlanned(const ConversionPlan& plan, const std::string& name) {
  for (const FoldedTensor& tensor : plan.tensors) {
    if (tensor.info.name == name) return &tensor;
  }
  ADD_FAILURE() << name << " is not written";
  return nullptr;
}

std::vector<std::int64_t> DimsOf(const ConversionPlan& plan, const std::string& name) {
  const FoldedTensor* tensor = FindPlanned(plan, name);
  if (tensor == nullptr) return {};
  return {tensor->info.shape.dims().begin(), tensor->info.shape.dims().end()};
}

Result<ConversionPlan> ToTorch(MemoryCheckpoint& checkpoint, ConvertOptions options = {}) {
  checkpoint.Seal();
  options.names = Framework::kPyTorch;
  return PlanOf(checkpoint, options);
}
Result<ConversionPlan> ToKeras(MemoryCheckpoint& checkpoint, ConvertOptions options = {}) {
  checkpoint.Seal();
  options.names = Framework::kKeras;
  return PlanOf(checkpoint, options);
}

TEST(Conventions, KerasToTorch) {
  MemoryCheckpoint keras;
  keras.Add("stem/conv/kernel", {1, 2, 3, 4}, Counting(24));
  keras.Add("stem/conv/bias", {4}, {1, 2, 3, 4});
  AddKerasBatchNorm(keras, "stem/bn", 4);
  const auto plan = ToTorch(keras);
  ASSERT_TRUE(plan) << plan.error().message;
  EXPECT_THAT(NamesOf(*plan), ElementsAre("stem.bn.bias", "stem.bn.num_batches_tracked",
                                          "stem.bn.running_mean", "stem.bn.running_var",
                                          "stem.bn.weight", "stem.conv.bias", "stem.conv.weight"));
  EXPECT_EQ(DimsOf(*plan, "stem.conv.weight"), (std::vector<std::int64_t>{4, 3, 1, 2}));
  const auto kernel = ValuesOf(keras, *plan, "stem.conv.weight");
  std::size_t at = 0;
  for (int o = 0; o < 4; ++o)
    for (int i = 0; i < 3; ++i)
      for (int w = 0; w < 2; ++w, ++at) EXPECT_EQ(kernel[at], (w * 3 + i) * 4 + o + 1);
  EXPECT_EQ(ValuesOf(keras, *plan, "stem.bn.running_var"), std::vector<double>(4, 5));
  EXPECT_EQ(ValuesOf(keras, *plan, "stem.bn.num_batches_tracked"), std::vector<double>{0});
  EXPECT_EQ(FindPlanned(*plan, "stem.bn.num_batches_tracked")->info.dtype, Dtype::kI64);
  ASSERT_EQ(plan->batch_norms.size(), 1u);
  EXPECT_EQ(plan->batch_norms[0].scope, "stem.bn");
  EXPECT_EQ(plan->batch_norms[0].epsilon->evidence.source, EvidenceSource::kUser);
  EXPECT_EQ(plan->renamed.at("stem/bn/gamma"), "stem.bn.weight");
}

TEST(Conventions, TorchToKerasAndBackIsTheInput) {
  MemoryCheckpoint torch;
  torch.Add("a.conv.weight", {4, 3, 2, 2}, Counting(48));
  torch.Add("fc.weight", {5, 4}, Counting(20));
  torch.Add("fc.bias", {5}, Counting(5));
  AddTorchBatchNorm(torch, "a.bn", 4);
  const auto plan = ToKeras(torch);
  ASSERT_TRUE(plan) << plan.error().message;
  EXPECT_THAT(NamesOf(*plan),
              ElementsAre("a/bn/beta", "a/bn/gamma", "a/bn/moving_mean", "a/bn/moving_variance",
                          "a/conv/kernel", "fc/bias", "fc/kernel"));
  EXPECT_EQ(DimsOf(*plan, "a/conv/kernel"), (std::vector<std::int64_t>{2, 2, 3, 4}));
  EXPECT_EQ(DimsOf(*plan, "fc/kernel"), (std::vector<std::int64_t>{4, 5}));
  EXPECT_THAT(Reasons(*plan)["a.bn.num_batches_tracked"], HasSubstr("count of batches"));

  MemoryCheckpoint keras;
  for (const FoldedTensor& tensor : plan->tensors) {
    const std::string& name = tensor.info.name;
    keras.Add(name, DimsOf(*plan, name), ValuesOf(torch, *plan, name));
  }
  const auto back = ToTorch(keras);
  ASSERT_TRUE(back) << back.error().message;
  EXPECT_EQ(ValuesOf(keras, *back, "a.conv.weight"), Counting(48));
  EXPECT_EQ(ValuesOf(keras, *back, "fc.weight"), Counting(20));
  EXPECT_EQ(DimsOf(*back, "a.conv.weight"), (std::vector<std::int64_t>{4, 3, 2, 2}));
}

TEST(Conventions, ALoneScaleOrOffsetGetsTheOther) {
  MemoryCheckpoint keras;
  keras.Add("bn/beta", {2}, {7, 8});
  keras.Add("bn/moving_mean", {2}, {1, 2});
  keras.Add("bn/moving_variance", {2}, {1, 2});
  keras.Add("other_bn/moving_mean", {2}, {1, 2});
  keras.Add("other_bn/moving_variance", {2}, {1, 2});
  const auto plan = ToTorch(keras);
  ASSERT_TRUE(plan);
  EXPECT_EQ(ValuesOf(keras, *plan, "bn.weight"), (std::vector<double>{1, 1}));
  EXPECT_EQ(ValuesOf(keras, *plan, "bn.bias"), (std::vector<double>{7, 8}));
  EXPECT_THAT(plan->notes, Contains(HasSubstr("\"bn.weight\" is ones")));
  EXPECT_THAT(NamesOf(*plan), Not(Contains("other_bn.weight")));
}

TEST(Conventions, FoldedLayersAreConvertedToo) {
  MemoryCheckpoint keras;
  keras.Add("conv2/kernel", {1, 1, 2, 3}, Counting(6));
  AddKerasBatchNorm(keras, "bn2", 3);
  ConvertOptions options;
  options.fold.fold = options.fold.pair_by_name = true;
  const auto plan = ToTorch(keras, options);
  ASSERT_TRUE(plan) << plan.error().message;
  EXPECT_THAT(NamesOf(*plan), ElementsAre("conv2.bias", "conv2.weight"));
  const double scale = 2 / std::sqrt(5.0);
  const auto kernel = ValuesOf(keras, *plan, "conv2.weight");
  for (int o = 0, at = 0; o < 3; ++o)
    for (int i = 0; i < 2; ++i, ++at) EXPECT_NEAR(kernel[at], (i * 3 + o + 1) * scale, 1e-6);
  for (const double value : ValuesOf(keras, *plan, "conv2.bias")) {
    EXPECT_NEAR(value, 3 - 4 * scale, 1e-6);
  }
}

TEST(Conventions, DepthwiseAndSeparable) {
  MemoryCheckpoint keras;
  AddKerasBatchNorm(keras, "bn", 4);
  keras.Add("dw/depthwise_kernel", {1, 2, 2, 3}, Counting(12));
  keras.Add("sep/depthwise_kernel", {1, 1, 4, 1}, Counting(4));
  keras.Add("sep/pointwise_kernel", {1, 1, 4, 3}, Counting(12));
  keras.Add("sep/bias", {3}, Counting(3));
  const auto plan = ToTorch(keras);
  ASSERT_TRUE(plan) << plan.error().message;
  EXPECT_EQ(DimsOf(*plan, "dw.weight"), (std::vector<std::int64_t>{6, 1, 1, 2}));
  EXPECT_EQ(ValuesOf(keras, *plan, "dw.weight"),
            (std::vector<double>{1, 7, 2, 8, 3, 9, 4, 10, 5, 11, 6, 12}));
  EXPECT_EQ(DimsOf(*plan, "sep.depthwise.weight"), (std::vector<std::int64_t>{4, 1, 1, 1}));
  EXPECT_EQ(DimsOf(*plan, "sep.pointwise.weight"), (std::vector<std::int64_t>{3, 4, 1, 1}));
  EXPECT_THAT(NamesOf(*plan), Contains("sep.pointwise.bias"));
}

// What the layout of a kernel depends on and nothing settles.
struct Unsettled {
  const char* name;
  std::vector<std::int64_t> dims;
  bool torch;
  const char* why;
};
void Refused(const Unsettled& test) {
  MemoryCheckpoint checkpoint;
  if (test.torch) {
    AddTorchBatchNorm(checkpoint, "bn", 4);
    checkpoint.Add("other.weight", {4, 3, 3, 3}, Counting(108));
  } else {
    AddKerasBatchNorm(checkpoint, "bn", 4);
    checkpoint.Add("other/kernel", {3, 3, 3, 4}, Counting(108));
  }
  std::size_t count = 1;
  for (const auto dim : test.dims) count *= static_cast<std::size_t>(dim);
  checkpoint.Add(test.name, test.dims, Counting(count));
  const auto plan = test.torch ? ToKeras(checkpoint) : ToTorch(checkpoint);
  ASSERT_FALSE(plan) << test.name;
  EXPECT_EQ(plan.error().code, ErrorCode::kUnfit);
  EXPECT_EQ(plan.error().tensor, test.name);
  EXPECT_THAT(plan.error().message, HasSubstr(test.why));
}
TEST(Conventions, RefuseWhatIsNotSettled) {
  Refused({"c/kernel", {3, 3, 8, 1}, false, "depthwise"});
  Refused({"c.weight", {8, 1, 3, 3}, true, "depthwise"});
  Refused({"fc/kernel", {36, 10}, false, "flatten"});
  Refused({"fc.weight", {10, 36}, true, "flatten"});
  Refused({"lstm/recurrent_kernel", {4, 16}, false, "recurrent"});
  Refused({"mystery/table", {4, 16}, false, "not known"});
}

TEST(Conventions, HintsSettle) {
  MemoryCheckpoint keras;
  AddKerasBatchNorm(keras, "bn", 4);
  keras.Add("c/kernel", {1, 1, 4, 1}, Counting(4));
  keras.Add("conv/kernel", {1, 1, 3, 4}, Counting(12));
  keras.Add("fc/kernel", {12, 2}, Counting(24));
  ConvertOptions options;
  options.hints["c/kernel"] = {.layout = KernelLayout::kSpatialInMultiplier};
  options.hints["fc/kernel"] = {.layout = KernelLayout::kSpatialInOut, .flattened_channels = 4};
  options.rename["c/kernel"] = "depth.w";
  const auto plan = ToTorch(keras, options);
  ASSERT_TRUE(plan) << plan.error().message;
  EXPECT_EQ(DimsOf(*plan, "depth.w"), (std::vector<std::int64_t>{4, 1, 1, 1}));
  const auto dense = ValuesOf(keras, *plan, "fc.weight");
  for (int o = 0, at = 0; o < 2; ++o)
    for (int c = 0; c < 4; ++c)
      for (int s = 0; s < 3; ++s, ++at) EXPECT_EQ(dense[at], (s * 4 + c) * 2 + o + 1);
}

TEST(Conventions, TheBiasTellsATransposedConvolution) {
  MemoryCheckpoint torch;
  AddTorchBatchNorm(torch, "bn", 4);
  torch.Add("up.weight", {3, 5, 1, 2}, Counting(30));
  torch.Add("up.bias", {5}, Counting(5));
  const auto plan = ToKeras(torch);
  ASSERT_TRUE(plan) << plan.error().message;
  EXPECT_EQ(DimsOf(*plan, "up/kernel"), (std::vector<std::int64_t>{1, 2, 5, 3}));
  EXPECT_THAT(plan->reordered.at("up/kernel"), HasSubstr("IOHW -> HWOI"));
}

TEST(Conventions, AnUnknownFrameworkIsRefusedUnlessSaid) {
  MemoryCheckpoint plain;
  plain.Add("fc.weight", {2, 3}, Counting(6));
  const auto refused = ToKeras(plain);
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().code, ErrorCode::kUnfit);
  ConvertOptions options;
  options.names = Framework::kKeras;
  options.input_names = Framework::kPyTorch;
  const auto plan = PlanOf(plain, options);
  ASSERT_TRUE(plan);
  EXPECT_EQ(ValuesOf(plain, *plan, "fc/kernel"), (std::vector<double>{1, 4, 2, 5, 3, 6}));
}

// conv [.., 4] -> max pooling -> flatten -> `between` -> dense, as a graph.
MemoryCheckpoint BehindAFlatten(const std::optional<Layer>& between) {
  MemoryCheckpoint keras;
  keras.Add("conv/kernel", {1, 1, 3, 4}, Counting(12));
  keras.Add("fc/kernel", {12, 2}, Counting(24));
  for (const char* leaf : {"beta", "gamma", "moving_mean", "moving_variance"}) {
    if (between) keras.Add("mid/" + std::string(leaf), {12}, Counting(12));
  }
  keras.Seal();
  keras.mutable_manifest().framework = Framework::kKeras;
  ModelGraph graph;
  graph.origin = GraphOrigin::kKerasConfig;
  graph.source = "Keras config";
  const auto add = [&](Layer made) {
    made.axis = -1;
    if (IsFlatten(made)) made.axis.reset();
    const auto at = static_cast<ValueId>(graph.layers.size());
    graph.nodes.push_back({at, {at}, at + 1});
    graph.layers.push_back(std::move(made));
  };
  const auto layer = [&](const char* name, network::Computation computation,
                         std::optional<TensorId> kernel) {
    Layer made{.name = name, .op_type = name, .computation = std::move(computation)};
    made.has_kernel = kernel.has_value();
    if (kernel) made.tensors["kernel"] = *kernel;
    add(std::move(made));
  };
  layer("conv", network::Convolution{}, TensorId{0});
  layer("pool", network::Pool{.size = {2, 2}}, {});
  layer("flatten", network::MergeAxes{1, -1}, {});
  if (between) {
    Layer made = *between;
    std::uint32_t tensor = 2;
    for (const char* leaf : {"beta", "gamma", "moving_mean", "moving_variance"}) {
      made.tensors[leaf] = TensorId{tensor++};
    }
    add(std::move(made));
  }
  layer("fc", network::MatrixProduct{}, TensorId{1});
  graph.values.resize(graph.nodes.size() + 1);
  for (NodeId node = 0; node < graph.nodes.size(); ++node) {
    graph.values[node].consumers = {node};
    graph.values[node + 1].producer = node;
  }
  keras.mutable_manifest().graph = graph;
  return keras;
}

TEST(Conventions, TheGraphSaysWhatIsFlattened) {
  const MemoryCheckpoint keras = BehindAFlatten({});
  ConvertOptions options;
  options.names = Framework::kPyTorch;
  const auto plan = PlanOf(keras, options);
  ASSERT_TRUE(plan) << plan.error().message;
  const auto dense = ValuesOf(keras, *plan, "fc.weight");
  for (int o = 0, at = 0; o < 2; ++o)
    for (int c = 0; c < 4; ++c)
      for (int s = 0; s < 3; ++s, ++at) EXPECT_EQ(dense[at], (s * 4 + c) * 2 + o + 1);
}

TEST(Conventions, ABatchNormBehindAFlattenIsPermutedWithIt) {
  Layer norm{
      .name = "mid", .op_type = "BatchNormalization", .computation = network::BatchNormalization{}};
  norm.epsilon = 1e-3;
  const MemoryCheckpoint keras = BehindAFlatten(norm);
  ConvertOptions options;
  options.names = Framework::kPyTorch;
  const auto plan = PlanOf(keras, options);
  ASSERT_TRUE(plan) << plan.error().message;
  for (const char* name : {"mid.weight", "mid.bias", "mid.running_mean", "mid.running_var"}) {
    const auto vector = ValuesOf(keras, *plan, name);
    for (int c = 0, at = 0; c < 4; ++c)
      for (int s = 0; s < 3; ++s, ++at) EXPECT_EQ(vector[at], s * 4 + c + 1) << name;
  }
  EXPECT_EQ(ValuesOf(keras, *plan, "fc.weight")[1], 4 * 2 + 1);
}

TEST(Conventions, AnotherLayerBehindAFlattenIsRefused) {
  const Layer norm{.name = "mid", .op_type = "LayerNormalization"};
  const MemoryCheckpoint keras = BehindAFlatten(norm);
  ConvertOptions options;
  options.names = Framework::kPyTorch;
  const auto plan = PlanOf(keras, options);
  ASSERT_FALSE(plan);
  EXPECT_THAT(plan.error().message, HasSubstr("flatten"));
}

// Dense -> reshape -> convolution: the dense layer's outputs are (h, w, c) here and (c, h, w)
// there.
TEST(Conventions, ADenseLayerThatMakesAnImageIsRefusedUnlessItsLayoutIsGiven) {
  MemoryCheckpoint keras;
  keras.Add("conv/kernel", {1, 1, 4, 2}, Counting(8));
  keras.Add("fc/kernel", {2, 16}, Counting(32));
  keras.Seal();
  keras.mutable_manifest().framework = Framework::kKeras;
  ModelGraph graph;
  graph.origin = GraphOrigin::kKerasConfig;
  graph.source = "Keras config";
  Layer dense{.name = "fc",
              .op_type = "Dense",
              .computation = network::MatrixProduct{},
              .has_kernel = true};
  dense.tensors["kernel"] = TensorId{1};
  Layer conv{.name = "conv",
             .op_type = "Conv2D",
             .computation = network::Convolution{},
             .has_kernel = true};
  conv.tensors["kernel"] = TensorId{0};
  ValueId value = graph.AddCall({.name = "in", .op_type = "Input", .is_input = true}, {});
  value = graph.AddCall(dense, {value});
  value = graph.AddCall({.name = "image", .op_type = "Reshape", .computation = network::Reshape{}},
                        {value});
  graph.AddCall(conv, {value});
  keras.mutable_manifest().graph = graph;
  ConvertOptions options;
  options.names = Framework::kPyTorch;
  const auto refused = PlanOf(keras, options);
  ASSERT_FALSE(refused);
  EXPECT_THAT(refused.error().message, HasSubstr("reshaped into the image that \"conv\""));
  options.hints["fc/kernel"] = {.layout = KernelLayout::kSpatialInOut};
  const auto plan = PlanOf(keras, options);
  ASSERT_TRUE(plan) << plan.error().message;
  EXPECT_THAT(DimsOf(*plan, "fc.weight"), ElementsAre(16, 2));
}

// So many outputs no convolution has: the batch norm stands behind the flatten, too.
TEST(Conventions, ABatchNormAloneIsNoSourceOfADenseLayer) {
  MemoryCheckpoint keras;
  keras.Add("conv/kernel", {3, 3, 3, 4}, Counting(108));
  keras.Add("fc/kernel", {36, 2}, Counting(72));
  AddKerasBatchNorm(keras, "bn", 36);
  const auto plan = ToTorch(keras);
  ASSERT_FALSE(plan);
  EXPECT_THAT(plan.error().message, HasSubstr("behind a flatten"));
}

TEST(Conventions, OfTheInputItselfChangeNothing) {
  MemoryCheckpoint keras;
  AddKerasBatchNorm(keras, "bn", 4);
  keras.Seal();
  ConvertOptions options;
  options.names = Framework::kTensorFlow;
  const auto plan = PlanOf(keras, options);
  ASSERT_TRUE(plan);
  EXPECT_TRUE(plan->renamed.empty());
  EXPECT_FALSE(plan->names);
}

}  // namespace
}  // namespace ckpt::testing::conventions_test
