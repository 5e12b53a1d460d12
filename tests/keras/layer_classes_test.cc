// What single layers of each generation's config are understood as.
#include <gtest/gtest.h>

#include "ckpt/layer_computation.h"
#include "formats/keras/model/model_config.h"
#include "formats/keras/model/network.h"

namespace ckpt::formats::keras::layer_classes_test {
namespace {

// The only layer of a Sequential in the list form, which every version reads.
struct Understood {
  std::unique_ptr<ModelConfig> config;
  const Layer& layer() const { return config->graph.layers[0]; }
  const LayerFacts& facts() const { return config->layers[0].facts; }
  std::optional<std::int64_t> rank() const { return config->graph.values.back().rank; }
};

Understood Understand(const std::string& class_name, const std::string& config,
                      const std::string& version = "2.15.0", const std::string& extra = "") {
  const std::string text = R"({"class_name":"Sequential","config":[{"class_name":")" + class_name +
                           R"(",)" + extra + R"("config":{"name":"layer",)" + config + "}}]}";
  auto parsed = ParseModelConfig(text, version);
  if (!parsed) {
    ADD_FAILURE() << parsed.error().message << "\n" << text;
    return {std::make_unique<ModelConfig>()};
  }
  Manifest manifest;
  manifest.graph = std::move((*parsed)->graph);
  SayComputations(**parsed, version, manifest);
  (*parsed)->graph = *std::move(manifest.graph);
  return {*std::move(parsed)};
}

std::vector<std::string> WeightsOf(const Understood& understood) {
  std::vector<std::string> names;
  for (const auto& weight : understood.facts().weights.value_or(std::vector<ExpectedWeight>{})) {
    names.push_back(weight.name);
  }
  return names;
}

TEST(LayerClassesTest, ConvolutionOfKeras1InTheanoOrder) {
  const auto understood = Understand(
      "Convolution2D",
      R"("batch_input_shape":[null,3,8,8],"nb_filter":6,"nb_row":3,"nb_col":3,"border_mode":"same",
         "subsample":[2,2],"dim_ordering":"th","bias":false,"activation":"linear")",
      "1.2.2");
  const Layer& layer = understood.layer();
  EXPECT_TRUE(IsConvolution(layer));
  EXPECT_EQ(layer.layout, KernelLayout::kOutInSpatial);
  EXPECT_EQ(layer.axis, 1);
  const auto& window = std::get<network::Convolution>(layer.computation);
  EXPECT_EQ(window.padding.rule, network::PaddingRule::kSameUpper);
  EXPECT_EQ(window.stride, (network::Sizes{2, 2}));
  EXPECT_TRUE(layer.can_gain_bias);
  EXPECT_EQ(WeightsOf(understood), std::vector<std::string>{"kernel"});
}

TEST(LayerClassesTest, TransposedConvolutionsOfKeras1StoreInBeforeOut) {
  const std::string config = R"("nb_filter":6,"dim_ordering":"tf","border_mode":"valid")";
  EXPECT_EQ(Understand("Deconvolution2D", config, "1.2.2").layer().layout,
            KernelLayout::kSpatialInOut);
  EXPECT_EQ(Understand("Conv2DTranspose", R"("data_format":"channels_last")").layer().layout,
            KernelLayout::kSpatialOutIn);
}

TEST(LayerClassesTest, ConvolutionsOfKeras2) {
  const std::string config =
      R"("filters":6,"strides":[1,1],"padding":"valid","data_format":"channels_first",
         "dilation_rate":[2,1],"groups":2,"activation":"relu","use_bias":true)";
  const auto understood = Understand("Conv2D", config);
  EXPECT_EQ(understood.layer().axis, 1);
  EXPECT_EQ(understood.layer().groups, 2);
  const auto& window = std::get<network::Convolution>(understood.layer().computation);
  EXPECT_EQ(window.stride, (network::Sizes{1, 1}));
  EXPECT_EQ(window.dilation, (network::Sizes{2, 1}));
  EXPECT_EQ(window.padding, network::Padding{});
  EXPECT_EQ(understood.layer().activation, "relu");
  EXPECT_EQ(WeightsOf(understood), (std::vector<std::string>{"kernel", "bias"}));

  const auto separable = Understand("SeparableConv1D", R"("padding":"causal","use_bias":true)");
  EXPECT_TRUE(IsSeparable(separable.layer()));
  EXPECT_NE(separable.layer().depthwise_first->padding, network::Padding{});
  EXPECT_EQ(WeightsOf(separable), (std::vector<std::string>{"depthwise_kernel", "kernel", "bias"}));

  const auto depthwise = Understand("DepthwiseConv2D", R"("use_bias":false)");
  EXPECT_TRUE(IsDepthwise(depthwise.layer()));
  EXPECT_EQ(depthwise.layer().layout, KernelLayout::kSpatialInMultiplier);
}

TEST(LayerClassesTest, NonsenseInAConvolutionIsNotFoldedThrough) {
  for (const char* config : {R"("groups":0)", R"("groups":"two")", R"("groups":-3)",
                             R"("data_format":"sideways")", R"("data_format":7)"}) {
    EXPECT_TRUE(IsUnknown(Understand("Conv2D", config).facts().layer)) << config;
  }
}

TEST(LayerClassesTest, ActivationThatIsAnObjectIsNotLinear) {
  EXPECT_EQ(Understand("Dense", R"("activation":null)").layer().activation, "linear");
  EXPECT_EQ(Understand("Dense", R"("activation":{"class_name":"LeakyReLU","config":{}})")
                .layer()
                .activation,
            "LeakyReLU");
  EXPECT_EQ(Understand("Dense", R"("activation":[1])").layer().activation, "unknown");
}

TEST(LayerClassesTest, AdaptedDenseIsNotFoldedInto) {
  EXPECT_TRUE(
      IsUnknown(Understand("Dense", R"("dtype":"float32","lora_rank":4)", "3.15.1").facts().layer));
  EXPECT_TRUE(
      IsUnknown(Understand("Dense", R"("dtype":{"class_name":"QuantizedDTypePolicy"})", "3.15.1")
                    .facts()
                    .layer));
  EXPECT_TRUE(
      IsDense(Understand("Dense", R"("dtype":"float32","lora_rank":null)", "3.15.1").layer()));
}

TEST(LayerClassesTest, BatchNormByEveryNameThatItHad) {
  for (const char* name : {"BatchNormalization", "BatchNormalizationV1", "BatchNormalizationV2",
                           "BatchNormV1", "SyncBatchNormalization", "FusedBatchNorm",
                           "Keras>BatchNormalization", "TensorFlow>BatchNormalization"}) {
    const auto understood = Understand(name, R"("axis":[3],"epsilon":0.01,"momentum":0.9)");
    EXPECT_TRUE(IsBatchNorm(understood.layer())) << name;
    EXPECT_EQ(understood.layer().not_affine, "") << name;
    EXPECT_EQ(understood.layer().axis, 3);
    EXPECT_EQ(understood.layer().epsilon, 0.01);
    EXPECT_EQ(understood.layer().momentum, 0.9);
  }
}

TEST(LayerClassesTest, BatchNormOfAnotherPackageIsKnownButNotTrusted) {
  const auto custom = Understand("Custom>BatchNormalization", R"("axis":-1,"epsilon":0.01)");
  EXPECT_TRUE(IsBatchNorm(custom.layer()));
  EXPECT_NE(custom.layer().unproved_class, "");
  const auto module =
      Understand("BatchNormalization", R"("trainable":true,"axis":-1,"epsilon":0.01)", "3.15.1",
                 R"("module":"my_project.layers",)");
  EXPECT_NE(module.layer().unproved_class, "");
  const auto own = Understand("BatchNormalization", R"("trainable":true,"axis":-1,"epsilon":0.01)",
                              "3.15.1", R"("module":"keras.layers",)");
  EXPECT_EQ(own.layer().unproved_class, "");
  EXPECT_TRUE(IsUnknown(Understand("Custom>Dense", R"("units":3)").facts().layer));
}

TEST(LayerClassesTest, BatchNormThatIsNotAffineAtServing) {
  EXPECT_EQ(Understand("BatchNormalization", R"("mode":0,"axis":1)", "1.2.2").layer().not_affine,
            "");
  for (const char* config :
       {R"("mode":1,"axis":1)", R"("axis":[1,2])", R"("axis":[])", R"("axis":"last")"}) {
    EXPECT_NE(Understand("BatchNormalization", config, "1.2.2").layer().not_affine, "") << config;
  }
  const auto batch = Understand("BatchNormalization", R"("mode":2,"axis":1)", "1.2.2");
  EXPECT_EQ(batch.layer().training_mode, "its mode is 2");
}

TEST(LayerClassesTest, WeightsOfBatchNormFollowScaleCenterAndRenorm) {
  EXPECT_EQ(WeightsOf(Understand("BatchNormalization", R"("scale":false,"center":true)")),
            (std::vector<std::string>{"beta", "moving_mean", "moving_variance"}));
  EXPECT_EQ(WeightsOf(Understand("BatchNormalization", R"("scale":true,"center":false)")),
            (std::vector<std::string>{"gamma", "moving_mean", "moving_variance"}));
  EXPECT_EQ(WeightsOf(Understand("BatchNormalization", R"("renorm":true)")),
            (std::vector<std::string>{"gamma", "beta", "moving_mean", "moving_variance",
                                      "moving_stddev", "renorm_mean", "renorm_stddev"}));
}

TEST(LayerClassesTest, ActivationLayers) {
  struct Case {
    const char *class_name, *config, *activation;
  };
  for (const Case& c : {Case{"Activation", R"("activation":"tanh")", "tanh"},
                        Case{"ReLU", R"("max_value":null,"negative_slope":0.0)", "relu"},
                        Case{"ReLU", R"("max_value":6.0)", "relu6"},
                        Case{"ReLU", R"("negative_slope":0.1)", "leaky_relu"},
                        Case{"ReLU", R"("threshold":1.0)", "unknown"},
                        Case{"ReLU", R"("max_value":1.0)", "unknown"},
                        Case{"LeakyReLU", R"("alpha":0.3)", "leaky_relu"},
                        Case{"PReLU", R"("shared_axes":[1,2])", "prelu"}}) {
    const auto understood = Understand(c.class_name, c.config);
    EXPECT_TRUE(IsActivation(understood.layer())) << c.class_name << c.config;
    EXPECT_EQ(understood.layer().activation, c.activation) << c.class_name << c.config;
  }
  EXPECT_TRUE(IsIdentity(Understand("Activation", R"("activation":"linear")").layer()));
}

TEST(LayerClassesTest, PoolingPaddingAndShapes) {
  const std::string input = R"("batch_input_shape":[null,8,8,4],)";
  const auto average = Understand("AveragePooling2D", input + R"("padding":"same")");
  EXPECT_TRUE(Computes<network::Pool>(average.layer()));
  EXPECT_FALSE(std::get<network::Pool>(average.layer().computation).count_padding);
  EXPECT_EQ(average.rank(), 4);
  const auto global = Understand("GlobalMaxPooling2D", input + R"("data_format":"channels_first")");
  EXPECT_TRUE(PoolsWholly(global.layer()));
  EXPECT_EQ(global.layer().axis, 1);
  EXPECT_EQ(global.rank(), 2);
  EXPECT_EQ(Understand("GlobalAveragePooling2D", input + R"("keepdims":true)").rank(), 4);
  EXPECT_TRUE(Computes<network::Resize>(
      Understand("UpSampling2D", R"("interpolation":"bilinear")").layer()));
  EXPECT_TRUE(IsUnknown(Understand("UpSampling2D", R"("interpolation":"bicubic")").facts().layer));
  EXPECT_TRUE(IsFlatten(Understand("Flatten", R"("data_format":"channels_last")").layer()));
  const auto moved = Understand("Flatten", R"("data_format":"channels_first")");
  EXPECT_TRUE(IsFlatten(moved.layer()));
  EXPECT_EQ(moved.layer().axis, 1);  // which goes to the end first
  EXPECT_EQ(Understand("Reshape", R"("target_shape":[2,3,4])").rank(), 4);
}

TEST(LayerClassesTest, WhatIsNotKnownIsOther) {
  for (const char* name : {"Lambda", "TFOpLambda", "LSTM", "LayerNormalization", "MyLayer",
                           "Conv4D", "DenseTranspose", "DepthwiseConv2DTranspose"}) {
    EXPECT_TRUE(IsUnknown(Understand(name, R"("function":["code",null,null])").facts().layer))
        << name;
  }
}

TEST(LayerClassesTest, OperationsOfKeras3AreNotTheLayersOfThatName) {
  const auto operation = Understand("Reshape", R"("newshape":[-1,4,6])", "3.15.1");
  EXPECT_TRUE(IsUnknown(operation.facts().layer));
  EXPECT_EQ(operation.rank(), 3);  // of the operation: the batch is in its shape
  EXPECT_TRUE(IsAddition(Understand("Add", R"("trainable":true)", "3.15.1").layer()));
}

TEST(LayerClassesTest, TimeDistributedShiftsThePositiveAxis) {
  const auto understood =
      Understand("TimeDistributed", R"("layer":{"class_name":"BatchNormalization",
                            "config":{"name":"inner","axis":[3],"epsilon":0.01}})");
  EXPECT_TRUE(IsBatchNorm(understood.layer()));
  EXPECT_EQ(understood.layer().axis, 4);
  EXPECT_TRUE(IsUnknown(
      Understand("TimeDistributed", R"("layer":{"class_name":"Flatten","config":{"name":"inner"}})")
          .facts()
          .layer));
}

TEST(LayerClassesTest, MergeOfKeras1) {
  const auto parsed = ParseModelConfig(
      R"({"class_name":"Model","config":{"name":"m","layers":[
        {"class_name":"InputLayer","name":"a","config":{"name":"a","batch_input_shape":[null,4]},
         "inbound_nodes":[]},
        {"class_name":"Merge","name":"s","config":{"name":"s","mode":"sum","concat_axis":-1},
         "inbound_nodes":[[["a",0,0],["a",0,0]]]},
        {"class_name":"Merge","name":"c","config":{"name":"c","mode":"concat","concat_axis":1},
         "inbound_nodes":[[["s",0,0],["a",0,0]]]},
        {"class_name":"Merge","name":"d","config":{"name":"d","mode":"dot","concat_axis":1},
         "inbound_nodes":[[["c",0,0],["a",0,0]]]}],
       "input_layers":[["a",0,0]],"output_layers":[["d",0,0]]}})",
      "1.2.2");
  ASSERT_TRUE(parsed.has_value()) << parsed.error().message;
  const ModelGraph& graph = (*parsed)->graph;
  EXPECT_TRUE(IsAddition(graph.layers[*graph.FindLayer("s")]));
  EXPECT_TRUE(Computes<network::Concatenate>(graph.layers[*graph.FindLayer("c")]));
  EXPECT_EQ(graph.layers[*graph.FindLayer("c")].axis, 1);
  EXPECT_TRUE(IsUnknown(graph.layers[*graph.FindLayer("d")]));
  // The input is read twice by the sum, then by the two others.
  EXPECT_EQ(graph.values[0].consumers.size(), 4);
}

}  // namespace
}  // namespace ckpt::formats::keras::layer_classes_test
