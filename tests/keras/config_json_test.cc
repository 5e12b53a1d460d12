#include "formats/keras/model/config_json.h"

#include <gtest/gtest.h>

namespace ckpt::formats::keras::config_json_test {
namespace {

TEST(ConfigJsonTest, KeepsOrderNumbersAndPythonsLiterals) {
  const std::string text =
      R"({"z":1,"a":[0.001,1e-05,-3,18446744073709551615],"n":NaN,"i":[Infinity,-Infinity],)"
      R"("s":"NaN \" Infinity","u":"\u00e9"})";
  const auto json = ParseConfigJson(text);
  ASSERT_TRUE(json.has_value()) << json.error().message;
  EXPECT_EQ(DumpConfigJson(*json), text);
}

TEST(ConfigJsonTest, LiteralsOfPythonAreNoNumbers) {
  const auto json = ParseConfigJson(R"({"epsilon": NaN})");
  ASSERT_TRUE(json.has_value());
  EXPECT_FALSE(Find(*json, "epsilon")->is_number());
}

TEST(ConfigJsonTest, RefusesDuplicateKeysInAnyObject) {
  for (const char* text : {R"({"a":1,"a":2})", R"([{"b":{"c":1,"d":2,"c":3}}])"}) {
    const auto json = ParseConfigJson(text);
    ASSERT_FALSE(json.has_value()) << text;
    EXPECT_EQ(json.error().code, ErrorCode::kCorrupt);
  }
  EXPECT_TRUE(ParseConfigJson(R"([{"a":1},{"a":2}])").has_value());
}

TEST(ConfigJsonTest, RefusesMalformedTextWithItsOffset) {
  const auto json = ParseConfigJson(R"({"a": [1, 2)");
  ASSERT_FALSE(json.has_value());
  EXPECT_EQ(json.error().code, ErrorCode::kCorrupt);
  EXPECT_EQ(json.error().offset, 12);  // just behind the end
  for (const char* text : {"", "{", "[1] x", "{\"a\":}", "[\"\xff\"]", "nan", "[1e999]"}) {
    EXPECT_FALSE(ParseConfigJson(text).has_value()) << text;
  }
}

TEST(ConfigJsonTest, StopsAtADepthBomb) {
  const auto nested = [](std::size_t depth) {
    return std::string(depth, '[') + std::string(depth, ']');
  };
  EXPECT_TRUE(ParseConfigJson(nested(kMaxConfigDepth)).has_value());
  const auto json = ParseConfigJson(nested(100'000));
  ASSERT_FALSE(json.has_value());
  EXPECT_EQ(json.error().code, ErrorCode::kLimitExceeded);
}

TEST(ConfigJsonTest, StopsAtTextBeyondItsLimit) {
  const auto json = ParseConfigJson(std::string(kMaxConfigBytes + 1, ' '));
  ASSERT_FALSE(json.has_value());
  EXPECT_EQ(json.error().code, ErrorCode::kLimitExceeded);
}

}  // namespace
}  // namespace ckpt::formats::keras::config_json_test
