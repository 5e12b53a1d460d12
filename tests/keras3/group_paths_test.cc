// How Keras 3 spells classes in paths, and what it counts.
#include "formats/keras/variables/group_paths.h"

#include <gtest/gtest.h>

#include <string>

#include "formats/keras/model/variable_names.h"
#include "formats/keras/variables/variable_layout.h"

namespace ckpt::formats::keras::group_paths_test {
namespace {

// Expected values: to_snake_case() of Keras 3.15.1.
TEST(SnakeCaseTest, IsThatOfKeras) {
  EXPECT_EQ(SnakeCase("Conv2D"), "conv2d");
  EXPECT_EQ(SnakeCase("Conv2DTranspose"), "conv2d_transpose");
  EXPECT_EQ(SnakeCase("SeparableConv2D"), "separable_conv2d");
  EXPECT_EQ(SnakeCase("DepthwiseConv2D"), "depthwise_conv2d");
  EXPECT_EQ(SnakeCase("BatchNormalization"), "batch_normalization");
  EXPECT_EQ(SnakeCase("ReLU"), "re_lu");
  EXPECT_EQ(SnakeCase("PReLU"), "p_re_lu");
  EXPECT_EQ(SnakeCase("LSTM"), "lstm");
  EXPECT_EQ(SnakeCase("InputLayer"), "input_layer");
  EXPECT_EQ(SnakeCase("MyBNLayer"), "my_bn_layer");
  EXPECT_EQ(SnakeCase("ABcDe"), "a_bc_de");
  EXPECT_EQ(SnakeCase("X2Yz"), "x2_yz");
  EXPECT_EQ(SnakeCase("a-b C"), "ab_c");
}

Shape Of(std::initializer_list<std::int64_t> dims) { return *Shape::FromDims(dims); }

using Names = std::vector<std::string>;

TEST(VariableNamesTest, FollowFromClassAndShapes) {
  const Shape four = Of({4});
  EXPECT_EQ(VariableNamesOfClass("batch_normalization", std::vector<Shape>(4, four)),
            (Names{"gamma", "beta", "moving_mean", "moving_variance"}));
  EXPECT_EQ(VariableNamesOfClass("batch_normalization", std::vector<Shape>(3, four)),
            (Names{"", "moving_mean", "moving_variance"}));
  EXPECT_EQ(VariableNamesOfClass("batch_normalization", {{four, four, four, Of({5})}}), Names{});
  EXPECT_EQ(VariableNamesOfClass("conv2d", {{Of({3, 3, 2, 4}), four}}), (Names{"kernel", "bias"}));
  EXPECT_EQ(VariableNamesOfClass("dense", {{Of({3, 3}), four, four}}), Names{});
  EXPECT_EQ(VariableNamesOfClass("anything", {{four}}), Names{});
}

TEST(VariableNamesTest, BatchNormIsAWordOfItsOwn) {
  EXPECT_TRUE(NamesBatchNorm("bn"));
  EXPECT_TRUE(NamesBatchNorm("conv1_bn"));
  EXPECT_TRUE(NamesBatchNorm("BN2_a"));
  EXPECT_FALSE(NamesBatchNorm("subnet"));
  EXPECT_FALSE(NamesBatchNorm("layer_norm"));
}

TEST(VariableLayoutTest, SurvivesAsText) {
  VariableLayout layout;
  layout.groups = {{"", "net", {}},
                   {"layers/conv2d", std::nullopt, {{"0", "a\tb/kernel"}, {"1", "a\\nb\n/bias"}}}};
  layout.others = {{"extra", "extra"}};
  const auto again = ParseVariableLayout(VariableLayoutText(layout));
  ASSERT_TRUE(again.has_value());
  EXPECT_EQ(again->groups, layout.groups);
  EXPECT_EQ(again->others, layout.others);
  EXPECT_FALSE(ParseVariableLayout("variable\t0\tx\n").has_value());
  EXPECT_FALSE(ParseVariableLayout("group\n").has_value());
}

// Two layers of one object: Keras 3 counts it again, Keras 2 does not.
TEST(GroupPathsTest, ObjectsThatWereMetAreCountedSinceKeras3) {
  const std::string text = R"({"class_name": "Sequential", "config": {"name": "m", "layers": [
      {"class_name": "Dense", "config": {"name": "a", "trainable": true}, "shared_object_id": 7},
      {"class_name": "Dense", "config": {"name": "b", "trainable": true}, "shared_object_id": 7},
      {"class_name": "Zoo>Dense", "config": {"name": "c", "trainable": true}}]}})";
  const auto config = ParseModelConfig(text, "3.0.0");
  ASSERT_TRUE(config.has_value()) << config.error().message;
  const GroupPaths three = FindGroupPaths(**config, 3);
  EXPECT_EQ(three.OfLayer("a"), "layers/dense");
  EXPECT_EQ(three.OfLayer("b"), "layers/dense");
  EXPECT_EQ(three.OfLayer("c"), "layers/dense_2");
  EXPECT_EQ(FindGroupPaths(**config, 2).OfLayer("c"), "layers/dense_1");
  EXPECT_EQ(three.OfLayer("absent"), "");
}

}  // namespace
}  // namespace ckpt::formats::keras::group_paths_test
