// The arguments of a call in a config, with the tensors in their places.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "formats/keras/model/config_calls.h"

namespace ckpt::formats::keras::call_arguments_test {
namespace {

std::vector<CallArgument> ArgumentsIn(const Json& call) {
  return ArgumentsOfCall(call, [](std::string_view name) { return name == "x" || name == "y"; });
}

TEST(CallArguments, OfKeras2AreOneListOfTensorsAndTheKeywordsOfTheFirst) {
  const Json call = Json::parse(
      R"([["x", 0, 0, {"value": ["y", 0, 1], "axis": 2}], ["x", 0, 0, {"value": ["y", 0, 1]}]])");
  const auto arguments = ArgumentsIn(call);
  ASSERT_EQ(arguments.size(), 3u);
  EXPECT_EQ(arguments[0].tensors, 2u);
  EXPECT_FALSE(arguments[0].is_tensor);
  EXPECT_EQ(arguments[1].keyword, "axis");
  EXPECT_EQ(*arguments[1].value, 2);
  EXPECT_EQ(arguments[2].keyword, "value");
  EXPECT_TRUE(arguments[2].is_tensor);
}

TEST(CallArguments, OfAFunctionOfAConstantHaveItsValue) {
  const Json call = Json::parse(R"(["_CONSTANT_VALUE", -1, 1.5, {"y": ["x", 0, 0]}])");
  const auto arguments = ArgumentsIn(call);
  ASSERT_EQ(arguments.size(), 2u);
  EXPECT_EQ(*arguments[0].value, 1.5);
  EXPECT_EQ(arguments[0].tensors, 0u);
  EXPECT_TRUE(arguments[1].is_tensor);
}

TEST(CallArguments, ThatNameNoTensorAreNone) {
  const Json call = Json::parse(
      R"({"args": [{"class_name": "__keras_tensor__", "config": {"keras_history": []}}, 3],
          "kwargs": {"mask": null}})");
  const auto arguments = ArgumentsIn(call);
  ASSERT_EQ(arguments.size(), 3u);
  EXPECT_FALSE(arguments[0].is_tensor);
  EXPECT_EQ(arguments[0].tensors, 0u);
  EXPECT_EQ(*arguments[1].value, 3);
  EXPECT_EQ(arguments[2].keyword, "mask");
}

}  // namespace
}  // namespace ckpt::formats::keras::call_arguments_test
