// Configs that no Keras writes: refused with the reason, in little time and memory.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "formats/keras/model/model_config.h"

namespace ckpt::formats::keras::hostile_config_test {
namespace {

using testing::HasSubstr;

void ExpectRefused(const std::string& text, ErrorCode code, const std::string& message) {
  const auto config = ParseModelConfig(text, "2.15.0");
  ASSERT_FALSE(config.has_value()) << text;
  EXPECT_EQ(config.error().code, code);
  EXPECT_THAT(config.error().message, HasSubstr(message));
}

// A functional model of an input "x" and these layers, with "y" as its output.
std::string Functional(const std::string& layers, const std::string& outputs = R"([["y",0,0]])") {
  return R"({"class_name":"Functional","config":{"name":"m","layers":[
    {"class_name":"InputLayer","name":"x","config":{"name":"x"},"inbound_nodes":[]},)" +
         layers + R"(],"input_layers":[["x",0,0]],"output_layers":)" + outputs + "}}";
}

std::string DenseCalled(const std::string& name, const std::string& inbound_nodes) {
  return R"({"class_name":"Dense","name":")" + name + R"(","config":{"name":")" + name +
         R"("},"inbound_nodes":)" + inbound_nodes + "}";
}

TEST(HostileConfigTest, TheBenignOneIsAccepted) {
  const auto config =
      ParseModelConfig(Functional(DenseCalled("y", R"([[["x",0,0,{}]]])")), "2.15.0");
  EXPECT_TRUE(config.has_value());
}

TEST(HostileConfigTest, CyclesAreRefused) {
  ExpectRefused(Functional(DenseCalled("y", R"([[["y",0,0,{}]]])")), ErrorCode::kCorrupt, "cycle");
  ExpectRefused(Functional(DenseCalled("a", R"([[["b",0,0,{}]]])") + "," +
                           DenseCalled("b", R"([[["a",0,0,{}]]])") + "," +
                           DenseCalled("y", R"([[["x",0,0,{}]]])")),
                ErrorCode::kCorrupt, "cycle");
}

TEST(HostileConfigTest, DanglingReferencesAreRefused) {
  const std::string y = DenseCalled("y", R"([[["x",0,0,{}]]])");
  ExpectRefused(Functional(DenseCalled("y", R"([[["nobody",0,0,{}]]])")), ErrorCode::kCorrupt,
                "\"nobody\"");
  for (const char* node : {"1", "-1", "9223372036854775807", "-9223372036854775808"}) {
    ExpectRefused(Functional(DenseCalled("y", R"([[["x",)" + std::string(node) + ",0,{}]]]")),
                  ErrorCode::kCorrupt, "node " + std::string(node));
    ExpectRefused(Functional(y, R"([["y",)" + std::string(node) + ",0]]"), ErrorCode::kCorrupt,
                  "node " + std::string(node));
  }
  for (const char* tensor : {"-1", "9223372036854775807"}) {
    ExpectRefused(Functional(DenseCalled("y", R"([[["x",0,)" + std::string(tensor) + ",{}]]]")),
                  ErrorCode::kCorrupt, "output " + std::string(tensor));
  }
  ExpectRefused(Functional(DenseCalled("y", R"([[["x",0,0.5,{}]]])")), ErrorCode::kCorrupt,
                "inbound_nodes of \"y\"");
}

TEST(HostileConfigTest, LayersWithoutWhatALayerNeedsAreRefused) {
  for (const char* layer :
       {R"({"class_name":"Dense","config":{"name":"y"}})", R"({"class_name":"Dense","name":"y"})",
        R"({"config":{},"name":"y","inbound_nodes":[]})", "7", "null", "[]",
        R"({"class_name":7,"config":{},"name":"y","inbound_nodes":[]})",
        R"({"class_name":"Dense","config":{},"inbound_nodes":[]})",
        R"({"class_name":"Dense","config":[],"name":7,"inbound_nodes":[]})",
        R"({"class_name":"Dense","config":{},"name":"y","inbound_nodes":{}})"}) {
    const auto config = ParseModelConfig(Functional(layer), "2.15.0");
    ASSERT_FALSE(config.has_value()) << layer;
    EXPECT_EQ(config.error().code, ErrorCode::kCorrupt) << layer;
  }
}

TEST(HostileConfigTest, ModelsWithoutWhatAModelNeedsAreRefused) {
  for (const char* text :
       {"[]", "{}", "7", R"({"class_name":"Functional"})",
        R"({"class_name":"Functional","config":7})", R"({"class_name":"MyModel","config":{}})",
        R"({"class_name":"MyModel","config":{"layers":[]}})",
        R"({"class_name":"Functional","config":[]})",
        R"({"class_name":"Functional","config":{"layers":{}}})"}) {
    ExpectRefused(text, ErrorCode::kUnsupported, "does not record its layers");
  }
  ExpectRefused(R"({"class_name":"Functional","config":{"layers":[],"output_layers":[]}})",
                ErrorCode::kCorrupt, "input_layers");
  ExpectRefused(Functional(DenseCalled("y", R"([[["x",0,0,{}]]])"), R"(["y",0,"zero"])"),
                ErrorCode::kCorrupt, "output_layers");
}

TEST(HostileConfigTest, TwoLayersOfOneNameAreRefused) {
  ExpectRefused(Functional(DenseCalled("x", R"([[["x",0,0,{}]]])")), ErrorCode::kCorrupt,
                "two layers are called \"x\"");
}

TEST(HostileConfigTest, AnInputThatIsNoInputLayerIsRefused) {
  ExpectRefused(R"({"class_name":"Functional","config":{"layers":[)" + DenseCalled("y", R"([[]])") +
                    R"(],"input_layers":[["y",0,0]],"output_layers":[["y",0,0]]}})",
                ErrorCode::kCorrupt, "is no InputLayer");
}

TEST(HostileConfigTest, DepthIsBounded) {
  std::string text = R"({"class_name":"Sequential","config":[)";
  for (int i = 0; i < 100'000; ++i) text += R"({"class_name":"Sequential","config":[)";
  ExpectRefused(text, ErrorCode::kLimitExceeded, "deeper");
}

// Each level calls the level below twice: 2^60 calls of the innermost layer.
TEST(HostileConfigTest, CallsMultipliedByNestingAreBounded) {
  std::string inner = R"({"class_name":"Dense","name":"d","config":{"name":"d"},"inbound_nodes":
                         [[["x",0,0,{}]],[["d",0,0,{}]]]})";
  std::string last = "d";
  for (int level = 0; level < 40; ++level) {
    const std::string name = "m" + std::to_string(level);
    inner = R"({"class_name":"Functional","name":")" + name +
            R"(","config":{"name":"n","layers":[{"class_name":"InputLayer","name":"x",
               "config":{"name":"x"},"inbound_nodes":[]},)" +
            inner + R"(],"input_layers":[["x",0,0]],"output_layers":[[")" + last +
            R"(",1,0]]},"inbound_nodes":[[["x",0,0,{}]],[[")" + name + R"(",0,0,{}]]]})";
    last = name;
  }
  ExpectRefused(Functional(inner, R"([["m39",1,0]])"), ErrorCode::kLimitExceeded, "calls");
}

TEST(HostileConfigTest, ASequentialNeedsModelsOfOneInputAndOneOutput) {
  const std::string empty = R"({"class_name":"Sequential","config":{"name":"e","layers":[]}})";
  ExpectRefused(R"({"class_name":"Sequential","config":[)" + empty + "]}", ErrorCode::kCorrupt,
                "one input and one output");
}

TEST(HostileConfigTest, AnEmptySequentialIsHarmless) {
  const auto config = ParseModelConfig(
      R"({"class_name":"Sequential","config":{"name":"e","layers":[]}})", "2.15.0");
  ASSERT_TRUE(config.has_value());
  EXPECT_TRUE((*config)->graph.layers.empty());
}

TEST(HostileConfigTest, ALongChainIsQuick) {
  std::string layers = DenseCalled("d0", R"([[["x",0,0,{}]]])");
  for (int i = 1; i < 20'000; ++i) {
    layers += "," + DenseCalled("d" + std::to_string(i),
                                R"([[["d)" + std::to_string(i - 1) + R"(",0,0,{}]]])");
  }
  const auto config = ParseModelConfig(Functional(layers, R"([["d19999",0,0]])"), "2.15.0");
  ASSERT_TRUE(config.has_value());
  EXPECT_EQ((*config)->graph.nodes.size(), 20'001);
}

}  // namespace
}  // namespace ckpt::formats::keras::hostile_config_test
