#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "formats/encoding/byte_reader.h"
#include "tests/safetensors/file_builder.h"
#include "tests/support/committed.h"
#include "tests/support/expected_tensors.h"
#include "tests/support/raw_tensors.h"
#include "tests/support/temporary_folder.h"

namespace ckpt::formats::writer_test {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using testing::RawTensors;
using testing::TemporaryFolder;

std::string Bytes(std::size_t size, char value) { return std::string(size, value); }

// Every dtype that the reference package can write, a name that needs escapes, an empty tensor
// and a scalar.
RawTensors AllDtypes() {
  RawTensors tensors;
  tensors.Add("t/bool", Dtype::kBool, {4}, Bytes(4, 1));
  tensors.Add("t/uint8", Dtype::kU8, {4}, Bytes(4, 2));
  tensors.Add("t/int8", Dtype::kI8, {4}, Bytes(4, 3));
  tensors.Add("t/uint16", Dtype::kU16, {4}, Bytes(8, 4));
  tensors.Add("t/int16", Dtype::kI16, {4}, Bytes(8, 5));
  tensors.Add("t/float16", Dtype::kF16, {4}, Bytes(8, 6));
  tensors.Add("t/bfloat16", Dtype::kBF16, {4}, Bytes(8, 7));
  tensors.Add("t/int32", Dtype::kI32, {4}, Bytes(16, 8));
  tensors.Add("t/uint32", Dtype::kU32, {4}, Bytes(16, 9));
  tensors.Add("t/float32", Dtype::kF32, {4}, Bytes(16, 10));
  tensors.Add("t/float64", Dtype::kF64, {4}, Bytes(32, 11));
  tensors.Add("t/int64", Dtype::kI64, {4}, Bytes(32, 12));
  tensors.Add("t/uint64", Dtype::kU64, {4}, Bytes(32, 13));
  tensors.Add("t/complex64", Dtype::kC64, {4}, Bytes(32, 14));
  tensors.Add("t/float8_e5m2", Dtype::kF8E5M2, {4}, Bytes(4, 15));
  tensors.Add("t/float8_e4m3fn", Dtype::kF8E4M3FN, {4}, Bytes(4, 16));
  tensors.Add("t/float8_e8m0fnu", Dtype::kF8E8M0, {4}, Bytes(4, 17));
  tensors.Add("t/float8_e4m3fnuz", Dtype::kF8E4M3FNUZ, {4}, Bytes(4, 18));
  tensors.Add("t/float8_e5m2fnuz", Dtype::kF8E5M2FNUZ, {4}, Bytes(4, 19));
  tensors.Add("t/float4_e2m1fn_x2", Dtype::kF4E2M1, {8}, Bytes(4, 20));
  tensors.Add("a\"\\\n\t\x01\x7f\u00e9\U0001F600", Dtype::kU8, {}, "A");
  tensors.Add("empty", Dtype::kI32, {2, 0, 3}, "");
  tensors.Add("B", Dtype::kF32, {1}, "AAAA");
  return tensors;
}

// What safetensors 0.8.0 wrote for the same tensors (serialize(), metadata {"format": "pt"}).
std::string ReferenceFile() {
  return FileOf(
      R"({"__metadata__":{"format":"pt"},)"
      R"("t/uint64":{"dtype":"U64","shape":[4],"data_offsets":[0,32]},)"
      R"("t/int64":{"dtype":"I64","shape":[4],"data_offsets":[32,64]},)"
      R"("t/float64":{"dtype":"F64","shape":[4],"data_offsets":[64,96]},)"
      R"("t/complex64":{"dtype":"C64","shape":[4],"data_offsets":[96,128]},)"
      R"("B":{"dtype":"F32","shape":[1],"data_offsets":[128,132]},)"
      R"("t/float32":{"dtype":"F32","shape":[4],"data_offsets":[132,148]},)"
      R"("t/uint32":{"dtype":"U32","shape":[4],"data_offsets":[148,164]},)"
      R"("empty":{"dtype":"I32","shape":[2,0,3],"data_offsets":[164,164]},)"
      R"("t/int32":{"dtype":"I32","shape":[4],"data_offsets":[164,180]},)"
      R"("t/bfloat16":{"dtype":"BF16","shape":[4],"data_offsets":[180,188]},)"
      R"("t/float16":{"dtype":"F16","shape":[4],"data_offsets":[188,196]},)"
      R"("t/uint16":{"dtype":"U16","shape":[4],"data_offsets":[196,204]},)"
      R"("t/int16":{"dtype":"I16","shape":[4],"data_offsets":[204,212]},)"
      R"("t/float8_e5m2fnuz":{"dtype":"F8_E5M2FNUZ","shape":[4],"data_offsets":[212,216]},)"
      R"("t/float8_e4m3fnuz":{"dtype":"F8_E4M3FNUZ","shape":[4],"data_offsets":[216,220]},)"
      R"("t/float8_e8m0fnu":{"dtype":"F8_E8M0","shape":[4],"data_offsets":[220,224]},)"
      R"("t/float8_e4m3fn":{"dtype":"F8_E4M3","shape":[4],"data_offsets":[224,228]},)"
      R"("t/float8_e5m2":{"dtype":"F8_E5M2","shape":[4],"data_offsets":[228,232]},)"
      R"("t/int8":{"dtype":"I8","shape":[4],"data_offsets":[232,236]},)"
      "\"a\\\"\\\\\\n\\t\\u0001\x7f\u00e9\U0001F600\":"
      R"({"dtype":"U8","shape":[],"data_offsets":[236,237]},)"
      R"("t/uint8":{"dtype":"U8","shape":[4],"data_offsets":[237,241]},)"
      R"("t/float4_e2m1fn_x2":{"dtype":"F4","shape":[8],"data_offsets":[241,245]},)"
      R"("t/bool":{"dtype":"BOOL","shape":[4],"data_offsets":[245,249]}}       )",
      Bytes(32, 13) + Bytes(32, 12) + Bytes(32, 11) + Bytes(32, 14) + "AAAA" + Bytes(16, 10) +
          Bytes(16, 9) + Bytes(16, 8) + Bytes(8, 7) + Bytes(8, 6) + Bytes(8, 4) + Bytes(8, 5) +
          Bytes(4, 19) + Bytes(4, 18) + Bytes(4, 17) + Bytes(4, 16) + Bytes(4, 15) + Bytes(4, 3) +
          "A" + Bytes(4, 2) + Bytes(4, 20) + Bytes(4, 1));
}

TEST(SafetensorsWriter, WritesTheBytesThatTheReferenceWrites) {
  const TemporaryFolder folder;
  RawTensors tensors = AllDtypes();
  OutputModel model = tensors.Model();
  model.metadata = {{"format", "pt"}};
  const auto summary =
      ckpt::testing::Committed(WriteSafetensors, folder / "m.safetensors", model, {});
  ASSERT_TRUE(summary.has_value()) << ToString(summary.error());
  EXPECT_EQ(folder.Read("m.safetensors"), ReferenceFile());
  EXPECT_THAT(summary->files, ElementsAre((folder / "m.safetensors").string()));
  EXPECT_EQ(summary->bytes, ReferenceFile().size());
  EXPECT_THAT(folder.Names(), ElementsAre("m.safetensors"));
}

TEST(SafetensorsWriter, IsReadBackWithEveryDtypeAndShape) {
  const TemporaryFolder folder;
  RawTensors tensors = AllDtypes();
  tensors.Add("six", Dtype::kF6E2M3, {4}, "abc").Add("other six", Dtype::kF6E3M2, {2, 2}, "def");
  tensors.Add("deep", Dtype::kU8, {1, 2, 1, 3, 1}, "uvwxyz");
  tensors.Add("large", Dtype::kF64, {1000, 137}, Bytes(1000 * 137 * 8, 'L'));
  const OutputModel model = tensors.Model();
  ASSERT_TRUE(
      ckpt::testing::Committed(WriteSafetensors, folder / "m.safetensors", model, {}).has_value());
  const auto opened = OpenSafetensors(SystemFiles(), folder / "m.safetensors", {});
  ASSERT_TRUE(opened.has_value()) << ToString(opened.error());
  const auto& read = (*opened)->manifest().tensors;
  ASSERT_EQ(read.size(), model.tensors.size());
  for (std::uint32_t i = 0; i < read.size(); ++i) {
    EXPECT_EQ(read[i].name, model.tensors[i].name);
    EXPECT_EQ(read[i].dtype, model.tensors[i].dtype);
    EXPECT_EQ(read[i].shape, model.tensors[i].shape);
    const auto bytes = testing::AllBytes(**opened, TensorId{i});
    EXPECT_EQ(std::string(reinterpret_cast<const char*>(bytes.data()), bytes.size()),
              tensors.BytesOf(read[i].name));
  }
  EXPECT_THAT((*opened)->manifest().metadata, IsEmpty());
}

TEST(SafetensorsWriter, WritesAnEmptyModel) {
  const TemporaryFolder folder;
  RawTensors none;
  ASSERT_TRUE(ckpt::testing::Committed(WriteSafetensors, folder / "m.safetensors", none.Model(), {})
                  .has_value());
  EXPECT_EQ(folder.Read("m.safetensors"), FileOf("{}      "));
}

TEST(SafetensorsWriter, SortsAndEscapesMetadata) {
  const TemporaryFolder folder;
  RawTensors none;
  OutputModel model = none.Model();
  model.metadata = {{"z", "\u00e9\n"}, {"a\"", ""}};
  ASSERT_TRUE(
      ckpt::testing::Committed(WriteSafetensors, folder / "m.safetensors", model, {}).has_value());
  const std::string header = "{\"__metadata__\":{\"a\\\"\":\"\",\"z\":\"\u00e9\\n\"}}";
  EXPECT_EQ(folder.Read("m.safetensors").substr(8, header.size()), header);
  model.metadata = {{"a", "\xFF"}};
  const auto refused =
      ckpt::testing::Committed(WriteSafetensors, folder / "n.safetensors", model, {});
  ASSERT_FALSE(refused.has_value());
  EXPECT_EQ(refused.error().code, ErrorCode::kUnsupported);
}

TEST(SafetensorsWriter, RefusesWhatTheFormatCannotHoldAndWritesNothing) {
  struct Case {
    std::string name;
    Dtype dtype;
    std::vector<std::int64_t> dims;
    std::size_t bytes;
    std::string message;
  };
  const std::vector<Case> cases = {
      {"c", Dtype::kC128, {1}, 16, "complex128"},
      {"s", Dtype::kString, {1}, 9, "string"},
      {"q", Dtype::kQI8, {1}, 1, "qint8"},
      {"v", Dtype::kVoid, {1}, 2, "void"},
      {"i4", Dtype::kI4, {2}, 1, "int4"},
      {"r", Dtype::kResource, {}, 0, "resource"},
      {"odd", Dtype::kF4E2M1, {3}, 2, "whole bytes"},
      {"size", Dtype::kF32, {3}, 8, "8 bytes"},
      {"__metadata__", Dtype::kF32, {1}, 4, "reserves"},
      {"\xFF", Dtype::kF32, {1}, 4, "UTF-8"},
  };
  const TemporaryFolder folder;
  for (const Case& unfit : cases) {
    SCOPED_TRACE(unfit.name);
    RawTensors tensors;
    tensors.Add("fits", Dtype::kF32, {1}, "abcd");
    tensors.Add(unfit.name, unfit.dtype, unfit.dims, Bytes(unfit.bytes, 'x'));
    const OutputModel model = tensors.Model();
    const auto written =
        ckpt::testing::Committed(WriteSafetensors, folder / "m.safetensors", model, {});
    ASSERT_FALSE(written.has_value());
    EXPECT_EQ(written.error().code, ErrorCode::kUnsupported);
    EXPECT_EQ(written.error().tensor, unfit.name);
    EXPECT_THAT(written.error().message, HasSubstr(unfit.message));
    EXPECT_THAT(folder.Names(), IsEmpty());
  }
}

TEST(SafetensorsWriter, NoticesASourceOfAnotherSize) {
  const TemporaryFolder folder;
  for (const std::string yielded : {"abc", "abcde"}) {
    RawTensors tensors;
    tensors.Add("w", Dtype::kU8, {static_cast<std::int64_t>(yielded.size())}, yielded);
    OutputModel model = tensors.Model();
    model.tensors[0].shape = *Shape::FromDims({4});
    model.tensors[0].byte_size = 4;
    const auto written =
        ckpt::testing::Committed(WriteSafetensors, folder / "m.safetensors", model, {});
    ASSERT_FALSE(written.has_value());
    EXPECT_EQ(written.error().code, ErrorCode::kInternal);
    EXPECT_EQ(written.error().tensor, "w");
    EXPECT_THAT(folder.Names(), IsEmpty());
  }
}

TEST(SafetensorsWriter, LeavesAnExistingFileAloneUnlessToldToReplaceIt) {
  const TemporaryFolder folder;
  folder.Write("m.safetensors", "precious");
  RawTensors tensors;
  tensors.Add("w", Dtype::kU8, {1}, "x");
  const OutputModel model = tensors.Model();
  const auto refused =
      ckpt::testing::Committed(WriteSafetensors, folder / "m.safetensors", model, {});
  ASSERT_FALSE(refused.has_value());
  EXPECT_EQ(refused.error().code, ErrorCode::kAlreadyExists);
  EXPECT_EQ(folder.Read("m.safetensors"), "precious");
  ASSERT_TRUE(
      ckpt::testing::Committed(WriteSafetensors, folder / "m.safetensors", model, {.replace = true})
          .has_value());
  EXPECT_TRUE(OpenSafetensors(SystemFiles(), folder / "m.safetensors", {}).has_value());
  EXPECT_THAT(folder.Names(), ElementsAre("m.safetensors"));
}

}  // namespace
}  // namespace ckpt::formats::writer_test
