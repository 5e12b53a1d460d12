// Where the elements of a tensor stand in its message.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "formats/onnx/wire.h"
#include "tests/onnx/model_builder.h"

namespace ckpt::testing::tensor_data_test {
namespace {

using formats::onnx::AppendLengthField;
using formats::onnx::AppendVarint;
using ::testing::ElementsAre;
using ::testing::HasSubstr;

// A model with one initializer "t" of these fields of TensorProto.
std::string ModelWith(const std::string& fields) {
  std::string tensor = fields, graph, model;
  AppendLengthField(8, "t", tensor);
  AppendLengthField(5, tensor, graph);
  formats::onnx::AppendVarintField(1, 8, model);
  AppendLengthField(7, graph, model);
  return model;
}

std::string Header(std::int64_t elements, std::uint64_t type) {
  std::string fields;
  formats::onnx::AppendVarintField(1, static_cast<std::uint64_t>(elements), fields);
  formats::onnx::AppendVarintField(2, type, fields);
  return fields;
}

std::string Varints(std::initializer_list<std::int64_t> values) {
  std::string bytes;
  for (const std::int64_t value : values) AppendVarint(static_cast<std::uint64_t>(value), bytes);
  return bytes;
}

std::string Field(std::uint64_t number, const std::string& body) {
  std::string field;
  AppendLengthField(number, body, field);
  return field;
}

std::vector<double> Read(const std::string& fields) {
  const auto opened = OpenBytes(ModelWith(fields));
  if (!opened) {
    ADD_FAILURE() << ToString(opened.error());
    return {};
  }
  return ElementsOf(**opened, "t");
}

std::string ReadError(const std::string& fields) {
  const auto opened = OpenBytes(ModelWith(fields));
  if (!opened) return ToString(opened.error());
  const auto read = ReadBytes(**opened, TensorId{0}, 1 << 20);
  return read ? "" : ToString(read.error());
}

TEST(OnnxTensorData, IntegersAreOneToAnEntryWhateverTheirWidth) {
  EXPECT_THAT(Read(Header(3, 3) + Field(5, Varints({-128, 0, 127}))), ElementsAre(-128, 0, 127));
  EXPECT_THAT(Read(Header(2, 2) + Field(5, Varints({255, 1}))), ElementsAre(255, 1));
  EXPECT_THAT(Read(Header(2, 5) + Field(5, Varints({-32768, 32767}))), ElementsAre(-32768, 32767));
  EXPECT_THAT(Read(Header(2, 6) + Field(5, Varints({-2147483648, 2147483647}))),
              ElementsAre(-2147483648, 2147483647));
  EXPECT_THAT(Read(Header(2, 7) + Field(7, Varints({-5, 1LL << 40}))),
              ElementsAre(-5, 1099511627776.0));
  EXPECT_THAT(Read(Header(1, 12) + Field(11, Varints({4294967295}))), ElementsAre(4294967295.0));
}

TEST(OnnxTensorData, HalfFloatsAreBitPatterns) {
  EXPECT_THAT(Read(Header(2, 10) + Field(5, Varints({0x3C00, 0xC000}))), ElementsAre(1, -2));
  EXPECT_THAT(Read(Header(2, 16) + Field(5, Varints({0x3F80, 0xC000}))), ElementsAre(1, -2));
}

TEST(OnnxTensorData, PackedAndUnpackedElementsMayAlternate) {
  const float values[] = {1.5F, -2, 4};
  std::string floats(sizeof values, '\0');
  std::memcpy(floats.data(), values, sizeof values);
  const std::string unpacked = '\x25' + floats.substr(0, 4) + '\x25' + floats.substr(4, 4);
  EXPECT_THAT(Read(Header(3, 1) + Field(4, floats)), ElementsAre(1.5, -2, 4));
  EXPECT_THAT(Read(Header(3, 1) + unpacked + Field(4, floats.substr(8))), ElementsAre(1.5, -2, 4));
  const std::string ints = std::string("\x28\x07\x28\x08", 4);
  EXPECT_THAT(Read(Header(3, 6) + ints + Field(5, Varints({300}))), ElementsAre(7, 8, 300));
}

TEST(OnnxTensorData, AnElementThatDoesNotFitItsTypeIsCorrupt) {
  EXPECT_THAT(ReadError(Header(1, 3) + Field(5, Varints({256}))),
              HasSubstr("does not fit its type"));
  EXPECT_THAT(ReadError(Header(1, 10) + Field(5, Varints({65536}))),
              HasSubstr("does not fit its type"));
  EXPECT_THAT(ReadError(Header(1, 6) + Field(5, Varints({1LL << 40}))),
              HasSubstr("does not fit its type"));
}

TEST(OnnxTensorData, CountsThatDisagreeWithTheShapeAreCorrupt) {
  EXPECT_THAT(ReadError(Header(3, 1) + Field(9, std::string(8, 'x'))), HasSubstr("asks for 12"));
  EXPECT_THAT(ReadError(Header(3, 1) + Field(4, std::string(8, 'x'))), HasSubstr("asks for 12"));
  EXPECT_THAT(ReadError(Header(3, 1) + Field(4, std::string(7, 'x'))), HasSubstr("whole number"));
  EXPECT_THAT(ReadError(Header(2, 6) + Field(5, Varints({1, 2, 3}))), HasSubstr("more elements"));
  EXPECT_THAT(ReadError(Header(4, 6) + Field(5, Varints({1000, 2, 3}))),
              HasSubstr("fewer elements"));
  EXPECT_THAT(ReadError(Header(3, 1)), HasSubstr("no data"));
}

TEST(OnnxTensorData, DataInTwoFieldsOrTheWrongOneIsCorrupt) {
  EXPECT_THAT(ReadError(Header(1, 1) + Field(9, "abcd") + Field(4, "abcd")), HasSubstr("twice"));
  EXPECT_THAT(ReadError(Header(1, 1) + Field(9, "abcd") + Field(9, "abcd")), HasSubstr("twice"));
  EXPECT_THAT(ReadError(Header(1, 1) + Field(5, Varints({1000}))), HasSubstr("not for float32"));
}

TEST(OnnxTensorData, FourBitElementsAreTwoToAByte) {
  const auto opened = OpenBytes(ModelWith(Header(3, 22) + Field(9, "\x21\x03")));
  ASSERT_TRUE(opened) << ToString(opened.error());
  EXPECT_EQ((*opened)->manifest().tensors[0].byte_size, 2U);
  EXPECT_THAT(ReadError(Header(3, 22) + Field(9, "\x21\x03\x04")), HasSubstr("asks for 2"));
}

}  // namespace
}  // namespace ckpt::testing::tensor_data_test
