#include "formats/npz/npy_header.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/npz/npy_builder.h"

namespace ckpt::formats::npy_header_test {
namespace {

using ::testing::HasSubstr;

TEST(NpyHeader, TakesEveryWayThatPythonMayWriteTheDict) {
  const std::vector<std::string> literals = {
      "{'descr': '<f4', 'fortran_order': False, 'shape': (2, 3), }",
      "{'descr': '<f4', 'fortran_order': False, 'shape': (2, 3)}",
      "{\"descr\":\"<f4\",\"fortran_order\":False,\"shape\":(2,3,)}",
      "{'shape': (2L, 3L), 'fortran_order': False, 'descr': '<f4'}",
      "{'fortran_order': False, 'descr': '<f4', 'shape': ( 2 ,3 )} \n",
      " {\n'descr' : '<f4' ,\t'fortran_order' : False , 'shape' : (2, 3) , }   ",
  };
  for (const std::string& literal : literals) {
    for (const unsigned major : {1U, 2U, 3U}) {
      SCOPED_TRACE(literal);
      const auto header = ParseNpyHeader(Npy(literal, {}, major));
      ASSERT_TRUE(header.has_value()) << ToString(header.error());
      EXPECT_EQ(header->kind, NpyKind::kPlain);
      EXPECT_EQ(header->dtype, Dtype::kF32);
      EXPECT_EQ(ToString(header->shape), "[2, 3]");
      EXPECT_FALSE(header->fortran_order);
      EXPECT_EQ(header->data_offset, (major == 1 ? 10U : 12U) + literal.size());
      EXPECT_EQ(header->data_bytes, 24U);
    }
  }
}

TEST(NpyHeader, ReadsShapesAsTuples) {
  const auto shape = [](const std::string& text) {
    const auto header = ParseNpyHeader(Npy(Literal("|u1", text)));
    return header ? ToString(header->shape) : ToString(header.error());
  };
  EXPECT_EQ(shape("()"), "[]");
  EXPECT_EQ(shape("( )"), "[]");
  EXPECT_EQ(shape("(3,)"), "[3]");
  EXPECT_EQ(shape("(3L,)"), "[3]");
  EXPECT_EQ(shape("(0, 9223372036854775807)"), "[0, 9223372036854775807]");
}

TEST(NpyHeader, KnowsNumPysTypes) {
  struct Row {
    std::string descr;
    NpyKind kind;
    Dtype dtype;
    std::uint64_t item_bytes;
    bool big_endian;
  };
  const std::vector<Row> rows = {
      {"|b1", NpyKind::kPlain, Dtype::kBool, 1, false},
      {"|i1", NpyKind::kPlain, Dtype::kI8, 1, false},
      {"|u1", NpyKind::kPlain, Dtype::kU8, 1, false},
      {"<i2", NpyKind::kPlain, Dtype::kI16, 2, false},
      {">u2", NpyKind::kPlain, Dtype::kU16, 2, true},
      {">i4", NpyKind::kPlain, Dtype::kI32, 4, true},
      {"<u4", NpyKind::kPlain, Dtype::kU32, 4, false},
      {"<i8", NpyKind::kPlain, Dtype::kI64, 8, false},
      {"<u8", NpyKind::kPlain, Dtype::kU64, 8, false},
      {"<f2", NpyKind::kPlain, Dtype::kF16, 2, false},
      {"=f4", NpyKind::kPlain, Dtype::kF32, 4, false},
      {">f8", NpyKind::kPlain, Dtype::kF64, 8, true},
      {"<c8", NpyKind::kPlain, Dtype::kC64, 8, false},
      {">c16", NpyKind::kPlain, Dtype::kC128, 16, true},
      {">i1", NpyKind::kPlain, Dtype::kI8, 1, false},
      {"|S5", NpyKind::kBytes, Dtype::kString, 5, false},
      {"<U4", NpyKind::kText, Dtype::kString, 16, false},
      {">U1", NpyKind::kText, Dtype::kString, 4, true},
      {"<V2", NpyKind::kPlain, Dtype::kVoid, 2, false},
      {"|V1", NpyKind::kPlain, Dtype::kVoid, 1, false},
      {"|O", NpyKind::kObject, Dtype::kVoid, 0, false},
      {"<M8[ns]", NpyKind::kUnsupported, Dtype::kVoid, 0, false},
      {"<m8[s]", NpyKind::kUnsupported, Dtype::kVoid, 0, false},
      {"<f16", NpyKind::kUnsupported, Dtype::kVoid, 0, false},
      {"<c32", NpyKind::kUnsupported, Dtype::kVoid, 0, false},
  };
  for (const Row& row : rows) {
    SCOPED_TRACE(row.descr);
    const auto header = ParseNpyHeader(Npy(Literal(row.descr, "(7,)")));
    ASSERT_TRUE(header.has_value()) << ToString(header.error());
    EXPECT_EQ(header->kind, row.kind);
    EXPECT_EQ(header->dtype, row.dtype);
    EXPECT_EQ(header->item_bytes, row.item_bytes);
    EXPECT_EQ(header->data_bytes, 7 * row.item_bytes);
    EXPECT_EQ(header->big_endian, row.big_endian);
    EXPECT_EQ(header->descr, row.descr);
  }
}

TEST(NpyHeader, KeepsTheShapeOfRecordsWithoutReadingTheirFields) {
  const std::string literal =
      "{'descr': [('id', '<i4'), ('x]', '<f8'), ('pair', '<f4', (2,)), (('t', 'n'), [('a', "
      "'|u1')])],"
      " 'fortran_order': False, 'shape': (2,), }";
  const auto header = ParseNpyHeader(Npy(literal));
  ASSERT_TRUE(header.has_value()) << ToString(header.error());
  EXPECT_EQ(header->kind, NpyKind::kUnsupported);
  EXPECT_EQ(ToString(header->shape), "[2]");
  EXPECT_THAT(header->descr, HasSubstr("('id', '<i4')"));
}

struct Attack {
  std::string name;
  std::string bytes;
  std::optional<std::uint64_t> offset;
  ErrorCode code = ErrorCode::kCorrupt;
};

// The offset of `part` in an array of version 1.
std::uint64_t At(const std::string& literal, const std::string& part) {
  EXPECT_NE(literal.find(part), std::string::npos);
  return 10 + literal.find(part);
}

std::vector<Attack> Attacks() {
  std::vector<Attack> attacks;
  const auto literal = [&](std::string name, const std::string& text, const std::string& at) {
    attacks.push_back({std::move(name), Npy(text), At(text, at)});
  };
  attacks.push_back({"nothing", "", 0});
  attacks.push_back({"other magic", "\x93NUMPX\x01" + std::string(100, '\0'), 0});
  attacks.push_back({"magic alone", "\x93NUMPY", 6});
  attacks.push_back({"cut inside the size", std::string("\x93NUMPY\x01\x00\x76", 9), 8});
  attacks.push_back({"version 0", Npy("{}", {}, 0), 6, ErrorCode::kUnsupported});
  attacks.push_back({"version 4", Npy("{}", {}, 4), 6, ErrorCode::kUnsupported});
  attacks.push_back({"a header of 4 GB", std::string("\x93NUMPY\x02\x00\xFF\xFF\xFF\xFF{}", 14), 8,
                     ErrorCode::kLimitExceeded});
  attacks.push_back({"cut inside the header", Npy(Literal("<f4", "(2,)")).substr(0, 40), 40});
  attacks.push_back({"empty header", Npy(""), 10});
  literal("no dict", "[1]", "[");
  literal("an expression", "__import__('os').system('true')", "__import__");
  literal("a call as value", "{'descr': eval('1'), 'fortran_order': False, 'shape': ()}", "eval");
  literal("text behind the dict", "{'descr': '<f4', 'fortran_order': False, 'shape': ()} + x",
          "+ x");
  literal("two dicts", "{'descr': '<f4', 'fortran_order': False, 'shape': ()}{}", "{}");
  literal("a dict that does not end", "{'descr': '<f4', 'fortran_order': False, 'shape': ()", "{");
  attacks.back().offset = attacks.back().bytes.size();
  literal("no comma", "{'descr': '<f4' 'fortran_order': False, 'shape': ()}", "'fortran_order'");
  literal("no shape", "{'descr': '<f4', 'fortran_order': False}", "{");
  literal("no descr", "{'fortran_order': False, 'shape': ()}", "{");
  literal("no order", "{'descr': '<f4', 'shape': ()}", "{");
  literal("unknown key", "{'descr': '<f4', 'fortran_order': False, 'shape': (), 'x': 1}", "1}");
  literal("a key twice", "{'descr': '<f4', 'descr': '<f8', 'fortran_order': False, 'shape': ()}",
          "'<f8'");
  literal("a number as key", "{1: 2}", "1");
  literal("an escape in a string", "{'descr': '\\x3cf4', 'fortran_order': False, 'shape': ()}",
          "\\x3c");
  literal("a string that does not end", "{'descr': '<f4", "{");
  attacks.back().offset = attacks.back().bytes.size();
  literal("order as a number", "{'descr': '<f4', 'fortran_order': 0, 'shape': ()}", "0,");
  literal("order as null", "{'descr': '<f4', 'fortran_order': None, 'shape': ()}", "None");
  literal("a number as shape", "{'descr': '<f4', 'fortran_order': False, 'shape': 3}", "3}");
  literal("a list as shape", "{'descr': '<f4', 'fortran_order': False, 'shape': [3]}", "[3]");
  literal("no tuple", "{'descr': '<f4', 'fortran_order': False, 'shape': (3)}", "}");
  literal("a negative dimension", "{'descr': '<f4', 'fortran_order': False, 'shape': (-3,)}", "-3");
  literal("a fraction", "{'descr': '<f4', 'fortran_order': False, 'shape': (3.0,)}", ".0");
  literal("a leading zero", "{'descr': '<f4', 'fortran_order': False, 'shape': (03,)}", "03");
  literal("a dimension above 2^63",
          "{'descr': '<f4', 'fortran_order': False, 'shape': (9223372036854775808,)}", "9223");
  literal("a nested shape", "{'descr': '<f4', 'fortran_order': False, 'shape': ((3,),)}", "(3,)");
  literal("a shape that does not end", "{'descr': '<f4', 'fortran_order': False, 'shape': (3,",
          "{");
  attacks.back().offset = attacks.back().bytes.size();
  literal("a product above 2^63",
          "{'descr': '<f4', 'fortran_order': False, 'shape': (4294967296, 4294967296)}", "{");
  literal("bytes above 2^64",
          "{'descr': '<c16', 'fortran_order': False, 'shape': (4611686018427387904,)}", "{");
  literal("no byte order", "{'descr': 'f4', 'fortran_order': False, 'shape': ()}", "'f4'");
  literal("an empty type", "{'descr': '', 'fortran_order': False, 'shape': ()}", "'',");
  literal("a string type without a size", "{'descr': '|S', 'fortran_order': False, 'shape': ()}",
          "'|S'");
  literal("a string type of 2^63 bytes",
          "{'descr': '|S9223372036854775807', 'fortran_order': False, 'shape': ()}", "'|S");
  literal("fields that do not end", "{'descr': [('a', '<f4'), 'fortran_order': False, 'shape': ()}",
          "{");
  attacks.back().offset = attacks.back().bytes.size();
  literal("brackets a million deep would recurse", "{'descr': " + std::string(60'000, '['), "{");
  attacks.back().offset = attacks.back().bytes.size();
  return attacks;
}

TEST(NpyHeader, RefusesEverythingElse) {
  for (const Attack& attack : Attacks()) {
    SCOPED_TRACE(attack.name);
    const auto header = ParseNpyHeader(attack.bytes);
    ASSERT_FALSE(header.has_value());
    EXPECT_EQ(ErrorCodeName(header.error().code), ErrorCodeName(attack.code));
    EXPECT_EQ(header.error().offset, attack.offset) << ToString(header.error());
  }
}

// As numpy.lib.format.write_array of NumPy 2.4.6 wrote them.
TEST(NpyHeader, IsBuiltAsNumPyBuildsIt) {
  const auto built = [](std::string_view descr, std::initializer_list<std::int64_t> dims) {
    return BuildNpyHeader(descr, *Shape::FromDims(dims));
  };
  const auto numpy = [](const std::string& literal) {
    return std::string("\x93NUMPY\x01\x00\x76\x00", 10) + literal +
           std::string(117 - literal.size(), ' ') + "\n";
  };
  EXPECT_EQ(built("<f4", {}), numpy("{'descr': '<f4', 'fortran_order': False, 'shape': (), }"));
  EXPECT_EQ(built("|i1", {3}), numpy("{'descr': '|i1', 'fortran_order': False, 'shape': (3,), }"));
  EXPECT_EQ(built("<c16", {2, 3}),
            numpy("{'descr': '<c16', 'fortran_order': False, 'shape': (2, 3), }"));
  EXPECT_EQ(built("<f2", {123456789012, 0}),
            numpy("{'descr': '<f2', 'fortran_order': False, 'shape': (123456789012, 0), }"));
  EXPECT_EQ(built("|b1", {0, 2}),
            numpy("{'descr': '|b1', 'fortran_order': False, 'shape': (0, 2), }"));
}

}  // namespace
}  // namespace ckpt::formats::npy_header_test
