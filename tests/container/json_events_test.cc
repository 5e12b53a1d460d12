#include "formats/encoding/json_events.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <vector>

namespace ckpt::formats::json_events_test {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

// "depth@offset what": one line for each event.
std::vector<std::string> Events(std::string_view text, std::uint64_t base_offset = 0) {
  std::vector<std::string> events;
  const Status parsed =
      ParseJson({text, base_offset, "f"}, 10, [&](const JsonEvent& event) -> Status {
        std::string line = std::to_string(event.depth) + "@" + std::to_string(event.offset) + " ";
        line += event.kind == JsonKind::kKey ? "key " : std::string(Describe(event)) + " ";
        if (event.kind == JsonKind::kUnsigned) line += std::to_string(event.number);
        if (event.kind == JsonKind::kKey || event.kind == JsonKind::kString) line += event.text;
        while (line.back() == ' ') line.pop_back();
        events.push_back(line);
        return {};
      });
  if (!parsed) events.push_back("error " + ToString(parsed.error()));
  return events;
}

TEST(JsonEvents, SayWhatIsWhere) {
  EXPECT_THAT(Events(R"({"a": [1, "x"], "b\"\\": {"c" : null}})"),
              ElementsAre("0@0 an object", "1@1 key a", "1@6 an array", "2@7 a number 1",
                          "2@10 a string x", "1@13 an array", R"(1@16 key b"\)", "1@25 an object",
                          "2@26 key c", "2@32 null", "1@36 an object", "0@37 an object"));
}

TEST(JsonEvents, CountOffsetsFromTheBase) {
  EXPECT_THAT(Events(" 7", 100), ElementsAre("0@101 a number 7"));
}

TEST(JsonEvents, TellNumbersApart) {
  EXPECT_THAT(Events("[0,18446744073709551615,18446744073709551616,-1,-0,1.0,1e2,true,false]"),
              ElementsAre("0@0 an array", "1@1 a number 0", "1@3 a number 18446744073709551615",
                          "1@24 a number that is no 64-bit integer", "1@45 a negative number",
                          "1@48 a negative number", "1@51 a number that is no 64-bit integer",
                          "1@55 a number that is no 64-bit integer", "1@59 a boolean",
                          "1@64 a boolean", "0@69 an array"));
}

TEST(JsonEvents, FindTheStartOfStringsThatEndInBackslashes) {
  EXPECT_THAT(Events(R"(["\\", "\"", "\\\"", ""])"),
              ElementsAre("0@0 an array", R"(1@1 a string \)", R"(1@7 a string ")",
                          R"(1@13 a string \")", "1@21 a string", "0@23 an array"));
}

TEST(JsonEvents, StopAtTheFirstRefusalOfTheCaller) {
  int events = 0;
  const Status parsed = ParseJson({"[1,2,3]"}, 10, [&](const JsonEvent&) -> Status {
    if (++events == 2) return Fail(ErrorCode::kUnfit, "enough");
    return {};
  });
  ASSERT_FALSE(parsed.has_value());
  EXPECT_EQ(parsed.error().code, ErrorCode::kUnfit);
  EXPECT_EQ(events, 2);
}

TEST(JsonEvents, HoldTheDepth) {
  const auto parse = [](unsigned depth) {
    const std::string text = std::string(depth, '[') + std::string(depth, ']');
    return ParseJson({text, 0, "f"}, 3, [](const JsonEvent&) -> Status { return {}; });
  };
  EXPECT_TRUE(parse(3).has_value());
  const Status deep = parse(4);
  ASSERT_FALSE(deep.has_value());
  EXPECT_EQ(deep.error().code, ErrorCode::kLimitExceeded);
  EXPECT_EQ(deep.error().offset, 3U);
}

TEST(JsonEvents, RefuseWhatIsNotJson) {
  struct Bad {
    std::string text;
    std::uint64_t offset;
  };
  const std::vector<Bad> cases = {
      {"", 0},
      {" ", 1},
      {"{", 1},
      {"[1,]", 3},
      {"[1 2]", 3},
      {"{1:2}", 1},
      {"nul", 3},
      {"01", 1},
      {"+1", 0},
      {"NaN", 0},
      {"\"a", 2},
      {"\"\\x\"", 2},
      {"\"\t\"", 1},
      {"\"\xC3\x28\"", 2},
      {"\"\xED\xA0\x80\"", 2},
      {"\"\\udc00\"", 6},
      {std::string("1\0", 2), 1},
      {std::string("\"\0\"", 3), 1},
      {"\xEF\xBB\xBF"
       "1",
       0},
      {"1 2", 2},
      {"// 1", 0},
  };
  for (const Bad& bad : cases) {
    SCOPED_TRACE(bad.text);
    const Status parsed =
        ParseJson({bad.text, 1000, "f"}, 10, [](const JsonEvent&) -> Status { return {}; });
    ASSERT_FALSE(parsed.has_value());
    EXPECT_EQ(parsed.error().code, ErrorCode::kCorrupt);
    EXPECT_EQ(parsed.error().file, "f");
    EXPECT_EQ(parsed.error().offset, 1000 + bad.offset) << ToString(parsed.error());
    EXPECT_THAT(parsed.error().message, HasSubstr("not JSON"));
  }
}

TEST(JsonQuotes, EscapeWhatJsonRequiresAndNothingElse) {
  EXPECT_EQ(*QuoteJson("a/\"\\\b\f\n\r\t\x01\x1f\x7f\u00e9\U0001F600"),
            "\"a/\\\"\\\\\\b\\f\\n\\r\\t\\u0001\\u001f\x7f\u00e9\U0001F600\"");
  EXPECT_EQ(QuoteJson("\xFF").error().code, ErrorCode::kUnsupported);
}

}  // namespace
}  // namespace ckpt::formats::json_events_test
