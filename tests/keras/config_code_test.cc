// What a config has its framework call, wherever it stands and however it is written.
#include "formats/keras/model/config_code.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace ckpt::formats::keras::config_code_test {
namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;

std::vector<std::string> Found(const std::string& text) {
  const auto found = CodeInConfig(text);
  EXPECT_TRUE(found) << (found ? "" : found.error().message);
  return found ? *found : std::vector<std::string>{"not parsed"};
}

TEST(ConfigCode, WhatKerasWritesOfItsOwnHasNone) {
  EXPECT_THAT(Found(R"({"module":"keras.src.models.functional","class_name":"Functional",
    "registered_name":"Functional","config":{"layers":[
      {"module":"keras.layers","class_name":"Dense","registered_name":null,"config":{
        "activation":{"module":"builtins","class_name":"function","config":"relu",
                      "registered_name":"function"},
        "dtype":{"module":"keras","class_name":"DTypePolicy","config":{"name":"float32"},
                 "registered_name":null}},
       "inbound_nodes":[{"args":[{"class_name":"__keras_tensor__","config":{}}]}]},
      {"module":"keras.src.ops.numpy","class_name":"Add","registered_name":"Add"},
      {"class_name":"TFOpLambda","config":{"function":"math.reduce_mean"}},
      {"class_name":"SlicingOpLambda","config":{"function":"__operators__.getitem"}}]}})"),
              IsEmpty());
}

TEST(ConfigCode, ClassesThatHoldCodeAreFoundAtAnyDepth) {
  EXPECT_THAT(Found(R"([[{"a":{"class_name":"Lambda"}}]])"), ElementsAre("the class Lambda"));
  EXPECT_THAT(Found(R"({"class_name":"TimeDistributed","config":{"layer":{
    "class_name":"\u004cambda"}}})"),
              ElementsAre("the class Lambda"));
  EXPECT_THAT(Found(R"({"\u0063lass_name":"__lambda__"})"), ElementsAre("the class __lambda__"));
  EXPECT_THAT(Found(R"({"compile_config":{"loss":{"class_name":"TFSMLayer"}}})"),
              ElementsAre("the class TFSMLayer"));
}

TEST(ConfigCode, ANameThatIsNoPlainOneIsCustom) {
  EXPECT_THAT(Found(R"({"module":"keras","class_name":"layers.Lambda"})"),
              ElementsAre("the custom class \"layers.Lambda\"", "the module \"keras\""));
  EXPECT_THAT(Found(R"({"class_name":"Custom>Twice"})"),
              ElementsAre("the custom class \"Custom>Twice\""));
  EXPECT_THAT(Found(R"({"class_name":"Twice","registered_name":"Zoo>Twice"})"),
              ElementsAre("the custom object \"Zoo>Twice\""));
}

TEST(ConfigCode, ModulesOfOthersAndFunctionsThatAreNoArithmeticAreFound) {
  EXPECT_THAT(Found(R"({"module":"os","class_name":"system"})"), ElementsAre("the module \"os\""));
  EXPECT_THAT(Found(R"({"module":"keras_evil","class_name":"Dense"})"),
              ElementsAre("the module \"keras_evil\""));
  EXPECT_THAT(Found(R"({"module":"keras.utils","class_name":"get_file"})"),
              ElementsAre("the module \"keras.utils\""));
  EXPECT_THAT(Found(R"({"module":"keras.utils","class_name":"function","config":"get_file"})"),
              ElementsAre("the function keras.utils.get_file"));
  EXPECT_THAT(Found(R"({"module":["os"],"class_name":"Dense"})"), ElementsAre("the module \"\""));
  EXPECT_THAT(Found(R"({"class_name":"TFOpLambda","config":{"function":"io.write_file"}})"),
              ElementsAre("the class TFOpLambda with the function io.write_file"));
  EXPECT_THAT(Found(R"({"class_name":"StringLookup","config":{"vocabulary":"/etc/passwd"}})"),
              ElementsAre("the file \"/etc/passwd\" that \"vocabulary\" names"));
}

TEST(ConfigCode, ATextThatReadersTakeInTwoWaysIsRefused) {
  EXPECT_FALSE(CodeInConfig(R"({"class_name":"Lambda","class_name":"Dense"})"));
  EXPECT_FALSE(CodeInConfig("{"));
}

}  // namespace
}  // namespace ckpt::formats::keras::config_code_test
