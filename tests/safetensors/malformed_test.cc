// Every malformed file that the reference implementation refuses, and the ones that only we do.
// Offsets are counted from the literal: 8 bytes of size, then the header.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <optional>
#include <string>

#include "tests/safetensors/file_builder.h"

namespace ckpt::formats::malformed_test {
namespace {

using ::testing::HasSubstr;

struct Malformed {
  std::string name;
  std::string bytes;
  std::optional<std::uint64_t> offset;
  std::string tensor;
  std::string message;  // a part of it
  ErrorCode code = ErrorCode::kCorrupt;
};

void PrintTo(const Malformed& malformed, std::ostream* out) { *out << malformed.name; }

const std::string kTwoBytes = R"({"w":{"dtype":"I8","shape":[2],"data_offsets":[0,2]}})";

std::string Entry(const std::string& fields) { return R"({"w":{)" + fields + "}}"; }

std::vector<Malformed> MalformedFiles() {
  std::vector<Malformed> files;
  // A header with one entry "w" whose name is at byte 9.
  const auto entry = [&](std::string name, const std::string& fields, std::string message,
                         std::string_view data = "ab") {
    files.push_back({std::move(name), FileOf(Entry(fields), data), 9, "w", std::move(message)});
  };
  const auto header = [&](std::string name, std::string_view text, std::uint64_t offset,
                          std::string message, std::string tensor = {}) {
    files.push_back({std::move(name), FileOf(text), offset, std::move(tensor), std::move(message)});
  };

  files.push_back({"ST01_Empty", "", 0, "", "0 bytes"});
  files.push_back({"ST01_SevenBytes", std::string(7, '\0'), 0, "", "7 bytes"});
  files.push_back({"ST02_HeaderAboveTheFormatsBound",
                   SizePrefix(100'000'001) + std::string(100, ' '), 0, "", "100000001"});
  files.push_back(
      {"ST03_SizeThatWraps", SizePrefix(~std::uint64_t{0}) + "{}", 0, "", "18446744073709551615"});
  files.push_back(
      {"ST03_SizeThatWrapsByTheEight", SizePrefix(~std::uint64_t{0} - 7) + "{}", 0, "", "header"});
  files.push_back({"ST04_HeaderBeyondTheFile", SizePrefix(3) + "{}", 0, "", "header of 3 bytes"});

  header("ST05_NotUtf8", "{\"a\xFF\":1}", 8 + 3, "UTF-8");
  header("ST05_OverlongUtf8", "{\"\xC0\xAF\":1}", 8 + 2, "UTF-8");
  header("ST05_LoneSurrogate", R"({"\ud800":1})", 8 + 8, "surrogate");
  header("ST06_NoHeaderAtAll", "", 8, "unexpected end");
  header("ST06_TruncatedObject", "{", 9, "unexpected end");
  header("ST06_TrailingText", "{} x", 8 + 3, "not JSON");
  header("ST06_TrailingNul", std::string_view("{}\0", 3), 8 + 2, "NUL");
  header("ST06_TextBehindANul", std::string_view("{}\0{}", 5), 8 + 2, "NUL");
  header("ST06_ByteOrderMark", "\xEF\xBB\xBF{}", 8, "byte order mark");
  header("ST06_Comment", "{/**/}", 8 + 1, "not JSON");
  header("ST06_TrailingComma", R"({"__metadata__":{},})", 8 + 19, "not JSON");
  header("ST06_VerticalTab", "{}\v", 8 + 2, "not JSON");
  header("ST06_ControlCharacterInAName", "{\"a\nb\":1}", 8 + 3, "control character");
  header("ST06_SingleQuotes", "{'a':1}", 8 + 1, "not JSON");
  header("ST07_TopLevelArray", "[]", 8, "an array, not an object");
  header("ST07_TopLevelNull", "null", 8, "null, not an object");
  header("ST07_EntryIsANumber", R"({"w":5})", 9, "a number, not an object", "w");
  header("ST07_EntryIsNull", R"({"w":null})", 9, "null, not an object", "w");
  header("ST07_EntryIsAnArray", R"({"w":["I8",[0],[0,0]]})", 9, "an array, not an object", "w");
  entry("ST08_NoDtype", R"("shape":[2],"data_offsets":[0,2])", "no dtype");
  entry("ST08_NoShape", R"("dtype":"I8","data_offsets":[0,2])", "no shape");
  entry("ST08_NoOffsets", R"("dtype":"I8","shape":[2])", "no data_offsets");
  entry("ST08_NoField", "", "no dtype");
  entry("ST09_NegativeDimension", R"("dtype":"I8","shape":[-2],"data_offsets":[0,2])",
        "a negative number");
  entry("ST09_NegativeZero", R"("dtype":"I8","shape":[2],"data_offsets":[-0,2])",
        "a negative number");
  entry("ST09_Fraction", R"("dtype":"I8","shape":[2.5],"data_offsets":[0,2])", "no 64-bit integer");
  entry("ST09_WholeFraction", R"("dtype":"I8","shape":[2.0],"data_offsets":[0,2])",
        "no 64-bit integer");
  entry("ST09_Exponent", R"("dtype":"I8","shape":[2e0],"data_offsets":[0,2])", "no 64-bit integer");
  entry("ST09_Above64Bits", R"("dtype":"I8","shape":[18446744073709551616],"data_offsets":[0,2])",
        "no 64-bit integer");
  entry("ST09_Above63Bits", R"("dtype":"I8","shape":[18446744073709551615],"data_offsets":[0,2])",
        "above 2^63 - 1");
  entry("ST09_StringDimension", R"("dtype":"I8","shape":["2"],"data_offsets":[0,2])", "a string");
  entry("ST09_NestedShape", R"("dtype":"I8","shape":[[2]],"data_offsets":[0,2])", "an array");
  entry("ST09_ShapeIsANumber", R"("dtype":"I8","shape":2,"data_offsets":[0,2])", "is a number");
  entry("ST09_ShapeIsNull", R"("dtype":"I8","shape":null,"data_offsets":[0,2])", "is null");
  entry("ST10_OneOffset", R"("dtype":"I8","shape":[2],"data_offsets":[2])", "1 numbers");
  entry("ST10_ThreeOffsets", R"("dtype":"I8","shape":[2],"data_offsets":[0,2,2])", "3 numbers");
  entry("ST11_UnknownDtype", R"("dtype":"C128","shape":[2],"data_offsets":[0,2])", "\"C128\"");
  entry("ST11_DtypeInLowerCase", R"("dtype":"i8","shape":[2],"data_offsets":[0,2])", "\"i8\"");
  entry("ST11_OurOwnSpelling", R"("dtype":"int8","shape":[2],"data_offsets":[0,2])", "\"int8\"");
  entry("ST11_DtypeIsANumber", R"("dtype":8,"shape":[2],"data_offsets":[0,2])", "a number");
  header("ST12_MetadataIsAList", R"({"__metadata__":[]})", 8 + 16, "an array, not an object");
  header("ST12_MetadataHoldsANumber", R"({"__metadata__":{"a":1}})", 8 + 21, "a number");
  header("ST12_MetadataHoldsAnObject", R"({"__metadata__":{"a":{}}})", 8 + 21, "an object");
  files.push_back(
      {"ST13_NestingBomb",
       FileOf(R"({"w":{"x":)" + std::string(100'000, '[') + std::string(100'000, ']') + "}}"),
       8 + 10 + 125, "", "deeper", ErrorCode::kLimitExceeded});

  // Layout. The data begin right behind the header.
  const auto layout = [&](std::string name, const std::string& text, std::string_view data,
                          std::uint64_t data_offset, std::string tensor, std::string message) {
    files.push_back({std::move(name), FileOf(text, data), 8 + text.size() + data_offset,
                     std::move(tensor), std::move(message)});
  };
  layout("ST14_DataDoNotStartAtZero", R"({"w":{"dtype":"I8","shape":[2],"data_offsets":[1,3]}})",
         "abc", 0, "w", "1 bytes before its data");
  layout("ST15_Hole",
         R"({"v":{"dtype":"I8","shape":[1],"data_offsets":[0,1]},)"
         R"("w":{"dtype":"I8","shape":[1],"data_offsets":[2,3]}})",
         "abc", 1, "w", "1 bytes before its data");
  layout("ST16_Overlap",
         R"({"v":{"dtype":"I8","shape":[2],"data_offsets":[0,2]},)"
         R"("w":{"dtype":"I8","shape":[2],"data_offsets":[1,3]}})",
         "abc", 1, "w", "overlap");
  layout("ST16_TwoOnOneRange",
         R"({"v":{"dtype":"I8","shape":[2],"data_offsets":[0,2]},)"
         R"("w":{"dtype":"I8","shape":[2],"data_offsets":[0,2]}})",
         "ab", 0, "w", "overlap");
  layout("ST16_EmptyTensorInsideAnother",
         R"({"v":{"dtype":"I8","shape":[0],"data_offsets":[1,1]},)"
         R"("w":{"dtype":"I8","shape":[2],"data_offsets":[0,2]}})",
         "ab", 1, "v", "overlap");
  entry("ST17_EndBeforeBegin", R"("dtype":"I8","shape":[2],"data_offsets":[2,0])", "before");
  entry("ST18_ElementCountOverflows",
        R"("dtype":"I32","shape":[2,18446744073709551614],"data_offsets":[0,2])", "2^63");
  entry("ST18_CountWrapsToFour",
        R"("dtype":"I8","shape":[4194305,4194305,211106198978564],"data_offsets":[0,4])", "2^63",
        "abcd");
  entry("ST19_ByteCountOverflows",
        R"("dtype":"I32","shape":[2,4611686018427387903],"data_offsets":[0,2])", "overflows");
  entry("ST20_OddNumberOfNibbles", R"("dtype":"F4","shape":[3],"data_offsets":[0,2])",
        "whole number of bytes");
  entry("ST20_SixBitsThatEndInAByte", R"("dtype":"F6_E2M3","shape":[2],"data_offsets":[0,2])",
        "whole number of bytes");
  entry("ST21_SpanShorterThanShape", R"("dtype":"I32","shape":[2,2],"data_offsets":[0,4])",
        "4 bytes where [2, 2] of I32 has 16", "abcd");
  entry("ST21_SpanLongerThanShape", R"("dtype":"I8","shape":[1],"data_offsets":[0,2])", "has 1");
  layout("ST22_BytesAfterTheLastTensor", kTwoBytes, "abc", 2, "", "1 bytes after");
  layout("ST22_BytesWithoutAnyTensor", "{}", "abc", 0, "", "3 bytes after");
  layout("ST23_DataTooShort", kTwoBytes, "a", 0, "w", "ends 1 bytes before");
  layout("ST23_NoData", kTwoBytes, "", 0, "w", "ends 2 bytes before");
  layout("ST23_AnExbyteOfData",
         R"({"v":{"dtype":"I8","shape":[1152921504606846976],)"
         R"("data_offsets":[0,1152921504606846976]}})",
         "ab", 0, "v", "bytes before the end");
  layout("ST15_BeginNearTheEndOf64Bits",
         R"({"v":{"dtype":"I8","shape":[1],)"
         R"("data_offsets":[18446744073709551614,18446744073709551615]}})",
         "ab", 0, "v", "before its data");

  // Not refused by every implementation: one of two entries would be dropped in silence.
  const std::string twice = R"({"w":{"dtype":"I8","shape":[0],"data_offsets":[0,0]},)"
                            R"("w":{"dtype":"I8","shape":[0],"data_offsets":[0,0]}})";
  header("NameTwice", twice, 8 + twice.rfind(R"("w")"), "twice", "w");
  entry("FieldTwice", R"("dtype":"I8","dtype":"I8","shape":[2],"data_offsets":[0,2])",
        "dtype twice");
  header("MetadataTwice", R"({"__metadata__":{},"__metadata__":{}})", 8 + 19, "twice");
  header("MetadataKeyTwice", R"({"__metadata__":{"a":"1","a":"2"}})", 8 + 25, "same key twice");
  return files;
}

class MalformedSafetensors : public ::testing::TestWithParam<Malformed> {};

TEST_P(MalformedSafetensors, IsRefusedWithItsPlace) {
  const Malformed& malformed = GetParam();
  const auto opened = OpenBytes(malformed.bytes);
  ASSERT_FALSE(opened.has_value());
  const Error& error = opened.error();
  EXPECT_EQ(ErrorCodeName(error.code), ErrorCodeName(malformed.code)) << ToString(error);
  EXPECT_EQ(error.file, "m.safetensors");
  EXPECT_EQ(error.offset, malformed.offset) << ToString(error);
  EXPECT_EQ(error.tensor, malformed.tensor);
  EXPECT_THAT(error.message, HasSubstr(malformed.message));
}

INSTANTIATE_TEST_SUITE_P(Cases, MalformedSafetensors, ::testing::ValuesIn(MalformedFiles()),
                         [](const auto& test) { return test.param.name; });

TEST(SafetensorsSweep, RefusesEveryTruncation) {
  const std::string whole = FileOf(
      R"({"__metadata__":{"format":"pt"},"w":{"dtype":"I8","shape":[2],"data_offsets":[0,2]},)"
      R"("v":{"dtype":"F32","shape":[3],"data_offsets":[2,14]}})",
      "abcdefghijklmn");
  ASSERT_TRUE(OpenBytes(whole).has_value());
  for (std::size_t size = 0; size < whole.size(); ++size) {
    const auto opened = OpenBytes(std::string_view(whole).substr(0, size));
    ASSERT_FALSE(opened.has_value()) << size;
    EXPECT_EQ(opened.error().code, ErrorCode::kCorrupt) << size;
    ASSERT_TRUE(opened.error().offset.has_value()) << size;
    EXPECT_LE(*opened.error().offset, size);
  }
}

// A flipped bit is either refused or leaves a table whose every byte can be read.
TEST(SafetensorsSweep, SurvivesEveryFlippedBit) {
  const std::string header =
      R"({"__metadata__":{"format":"pt"},"w":{"dtype":"I8","shape":[2],"data_offsets":[0,2]},)"
      R"("v":{"dtype":"F32","shape":[3],"data_offsets":[2,14]}})";
  const std::string whole = FileOf(header, "abcdefghijklmn");
  std::size_t refused = 0;
  for (std::size_t bit = 0; bit < (8 + header.size()) * 8; ++bit) {
    std::string flipped = whole;
    flipped[bit / 8] = static_cast<char>(flipped[bit / 8] ^ (1 << (bit % 8)));
    const auto opened = OpenBytes(flipped);
    if (!opened) {
      ++refused;
      continue;
    }
    for (std::uint32_t i = 0; i < (*opened)->manifest().tensors.size(); ++i) {
      const auto bytes = ReadBytes(**opened, TensorId{i}, 1000);
      ASSERT_TRUE(bytes.has_value());
      EXPECT_EQ(bytes->size(), (*opened)->manifest().tensors[i].byte_size);
    }
  }
  EXPECT_GT(refused, header.size());
}

TEST(SafetensorsLimits, HoldForTensorsNamesAndHeader) {
  const std::string file = FileOf(kTwoBytes, "ab");
  Limits limits;
  limits.tensors = 0;
  EXPECT_EQ(OpenBytes(file, limits).error().code, ErrorCode::kLimitExceeded);
  limits = {};
  limits.index_bytes = 10;
  EXPECT_EQ(OpenBytes(file, limits).error().code, ErrorCode::kLimitExceeded);
  limits = {};
  limits.name_bytes = 0;
  EXPECT_EQ(OpenBytes(file, limits).error().code, ErrorCode::kLimitExceeded);
}

}  // namespace
}  // namespace ckpt::formats::malformed_test
