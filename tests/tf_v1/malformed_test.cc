// V1 checkpoints that contradict themselves.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <functional>

#include "formats/tf_v1/tf_v1.h"
#include "tests/tf_v1/saved_file_builder.h"

namespace ckpt::formats::malformed_test {
namespace {

using ::testing::HasSubstr;

constexpr std::int32_t kFloat = 1, kUint8 = 4, kInt8 = 6, kString = 7, kHalf = 19;
constexpr std::uint64_t kFloatField = 5, kIntField = 7, kStringField = 8, kHalfField = 13;

Result<std::unique_ptr<Checkpoint>> OpenBytes(const std::string& bytes, MemoryFiles& files) {
  files.Add("m", bytes);
  return OpenTfV1(files, "m", {});
}

Error OpenError(const SavedFileBuilder& builder) {
  MemoryFiles files;
  const auto opened = OpenBytes(builder.Build(), files);
  EXPECT_FALSE(opened.has_value());
  return opened ? Error{} : opened.error();
}

// The error of reading the only tensor, or the message "read".
std::string ReadError(std::int32_t type, const std::vector<std::int64_t>& dims,
                      const std::string& proto) {
  SavedFileBuilder builder;
  builder.Add("w", type, dims, proto);
  MemoryFiles files;
  const auto opened = OpenBytes(builder.Build(), files);
  if (!opened) return opened.error().message;
  const auto bytes = ReadBytes(**opened, TensorId{0}, 1 << 20);
  if (bytes) return "read";
  EXPECT_EQ(bytes.error().code, ErrorCode::kCorrupt);
  EXPECT_EQ(bytes.error().file, "m");
  EXPECT_EQ(bytes.error().tensor, "w");
  return bytes.error().message;
}

TEST(V1Elements, MustBeAsManyAsTheShapeHas) {
  EXPECT_EQ(ReadError(kFloat, {2}, Field(kFloatField, Floats({1, 2}))), "read");
  EXPECT_THAT(ReadError(kFloat, {3}, Field(kFloatField, Floats({1, 2}))), HasSubstr("before"));
  EXPECT_THAT(ReadError(kFloat, {1}, Field(kFloatField, Floats({1, 2}))), HasSubstr("more"));
  EXPECT_THAT(ReadError(kFloat, {1}, ""), HasSubstr("before"));
  EXPECT_THAT(ReadError(kFloat, {0}, Field(kFloatField, Floats({1}))), HasSubstr("more"));
}

TEST(V1Elements, MayComeInPiecesAndUnpacked) {
  const std::string unpacked = Varint(kFloatField << 3 | 5) + Floats({3});
  EXPECT_EQ(ReadError(kFloat, {3}, Field(kFloatField, Floats({1, 2})) + unpacked), "read");
  EXPECT_EQ(ReadError(kUint8, {2},
                      Varint(kIntField << 3) + Varint(200) + Varint(kIntField << 3) + Varint(1)),
            "read");
  EXPECT_EQ(ReadError(kFloat, {1}, Field(kIntField, "\1") + Field(kFloatField, Floats({1}))),
            "read")
      << "other fields are passed over";
}

TEST(V1Elements, MustFitTheirType) {
  EXPECT_EQ(ReadError(kUint8, {1}, Field(kIntField, Varint(255))), "read");
  EXPECT_THAT(ReadError(kUint8, {1}, Field(kIntField, Varint(256))), HasSubstr("256"));
  const auto minus = [](std::int64_t n) { return Varint(static_cast<std::uint64_t>(-n)); };
  EXPECT_EQ(ReadError(kInt8, {1}, Field(kIntField, minus(128))), "read");
  EXPECT_THAT(ReadError(kInt8, {1}, Field(kIntField, minus(129))), HasSubstr("-129"));
  EXPECT_THAT(ReadError(kHalf, {1}, Field(kHalfField, Varint(70000))), HasSubstr("70000"));
}

TEST(V1Elements, AreRefusedInAnotherEncoding) {
  EXPECT_THAT(ReadError(kFloat, {1}, Varint(kFloatField << 3) + Varint(1)), HasSubstr("encoding"));
  EXPECT_THAT(ReadError(kFloat, {1}, Field(kFloatField, "abc")), HasSubstr("3 bytes"));
  EXPECT_NE(ReadError(kUint8, {1}, Field(kIntField, "\x80")), "read");
  EXPECT_NE(ReadError(kUint8, {1}, Field(kIntField, std::string(11, '\xff'))), "read");
  EXPECT_NE(ReadError(kFloat, {1}, Varint(kFloatField << 3 | 3)), "read") << "a group";
}

TEST(V1Strings, AreCountedWhenTheFileIsOpened) {
  EXPECT_EQ(ReadError(kString, {2}, Field(kStringField, "a") + Field(kStringField, "")), "read");
  EXPECT_THAT(ReadError(kString, {3}, Field(kStringField, "a")), HasSubstr("1 strings"));
  EXPECT_THAT(ReadError(kString, {1}, "\x42\x7f"), HasSubstr(""));
}

struct Lie {
  const char* name;
  std::function<void(SavedFileBuilder&)> make;
  const char* message;
};

class V1Head : public ::testing::TestWithParam<Lie> {};

TEST_P(V1Head, IsNotBelieved) {
  SavedFileBuilder builder;
  GetParam().make(builder);
  const Error error = OpenError(builder);
  EXPECT_THAT(error.message, HasSubstr(GetParam().message));
  EXPECT_EQ(error.file, "m");
}

void AddSound(SavedFileBuilder& b) { b.Add("w", kFloat, {1}, Field(kFloatField, Floats({1}))); }

INSTANTIATE_TEST_SUITE_P(
    , V1Head,
    ::testing::Values(
        Lie{"NoHead", [](auto&) {}, "not the head"},
        Lie{"NoType", [](auto& b) { b.Add("w", 0, {1}, ""); }, "number 0"},
        Lie{"Reference", [](auto& b) { b.Add("w", 101, {1}, ""); }, "a reference"},
        Lie{"FloatEight", [](auto& b) { b.Add("w", 24, {1}, ""); }, "cannot hold"},
        Lie{"NoName", [](auto& b) { b.Add("", kFloat, {1}, ""); }, "name of 0 bytes"},
        Lie{"NegativeDimension", [](auto& b) { b.Add("w", kFloat, {-1}, ""); }, "negative"},
        Lie{"Overflow", [](auto& b) { b.Add("w", kFloat, {std::int64_t{1} << 62}, ""); },
            "more bytes than"},
        Lie{"UnknownRank",
            [](auto& b) {
              AddSound(b);
              b.head.mutable_meta()->mutable_tensor(0)->mutable_shape()->set_unknown_rank(true);
            },
            "unknown rank"},
        Lie{"NoSlices", [](auto& b) { b.AddTensor("w", kFloat, {1}); }, "no slices"},
        Lie{"SliceOfAnotherRank",
            [](auto& b) {
              b.AddSlice(b.AddTensor("w", kFloat, {1}), {{0, 1}, {0, 1}}, "");
            },
            "slice of rank 2"},
        Lie{"SliceOutside",
            [](auto& b) {
              b.AddSlice(b.AddTensor("w", kFloat, {4}), {{3, 2}}, "");
            },
            "outside"},
        Lie{"NegativeStart",
            [](auto& b) {
              b.AddSlice(b.AddTensor("w", kFloat, {4}), {{-1, 2}}, "");
            },
            "outside"},
        Lie{"SameSliceTwice",
            [](auto& b) {
              auto* tensor = b.AddTensor("w", kFloat, {4});
              b.AddSlice(tensor, {{0, 4}}, "");
              tensor->add_slice()->CopyFrom(tensor->slice(0));
            },
            "twice"},
        Lie{"DataAbsent",
            [](auto& b) {
              AddSound(b);
              b.data.clear();
            },
            "not in the file"},
        Lie{"DataNotListed",
            [](auto& b) {
              AddSound(b);
              b.AddData(EncodeSliceKey("x", {{}}), "x", "");
            },
            "does not list"},
        Lie{"DataOfAnother",
            [](auto& b) {
              AddSound(b);
              b.data[0].second = Field(2, Field(1, "v") + Field(3, ""));
            },
            "not the data"},
        Lie{"DataIsNoMessage",
            [](auto& b) {
              AddSound(b);
              b.data[0].second = "\x12\x7f";
            },
            "not the data"},
        Lie{"NewerVersion",
            [](auto& b) {
              AddSound(b);
              b.head.mutable_meta()->mutable_versions()->set_min_consumer(2);
            },
            "version"}),
    [](const auto& instance) { return std::string(instance.param.name); });

TEST(V1Slices, ThatDoNotCoverTheirTensorAreAProblem) {
  SavedFileBuilder builder;
  AddSound(builder);
  auto* tensor = builder.AddTensor("x", kFloat, {4});
  builder.AddSlice(tensor, {{0, 2}}, Field(kFloatField, Floats({1, 2})));
  MemoryFiles files;
  const auto opened = OpenBytes(builder.Build(), files);
  ASSERT_TRUE(opened.has_value()) << ToString(opened.error());
  const Manifest& manifest = (*opened)->manifest();
  ASSERT_EQ(manifest.problems.size(), 1U);
  EXPECT_EQ(manifest.problems[0].error.code, ErrorCode::kCorrupt);
  EXPECT_TRUE(manifest.tensors[0].data_present);
  EXPECT_FALSE(manifest.tensors[1].data_present);
  EXPECT_FALSE((*opened)->Open(TensorId{1}).has_value());
}

TEST(V1Sets, AnAbsentFileIsAProblem) {
  SavedFileBuilder first;
  AddSound(first);
  first.AddSlice(first.AddTensor("x", kFloat, {4}), {{0, 2}}, Field(kFloatField, Floats({1, 2})));
  MemoryFiles files;
  files.Add("d/e-00000-of-00003", first.Build());
  const auto opened = OpenTfV1(files, "d/e-00000-of-00003", {});
  ASSERT_TRUE(opened.has_value()) << ToString(opened.error());
  const Manifest& manifest = (*opened)->manifest();
  ASSERT_EQ(manifest.problems.size(), 1U);
  EXPECT_EQ(manifest.problems[0].error.code, ErrorCode::kNotFound);
  EXPECT_EQ(manifest.problems[0].error.file, "d/e-00001-of-00003");
  ASSERT_EQ(manifest.problems[0].tensors.size(), 1U);
  EXPECT_EQ(manifest.tensors[manifest.problems[0].tensors[0].index].name, "x");
}

TEST(V1Sets, FilesMustAgreeOnATensor) {
  SavedFileBuilder first, second;
  first.AddSlice(first.AddTensor("x", kFloat, {4}), {{0, 2}}, Field(kFloatField, Floats({1, 2})));
  second.AddSlice(second.AddTensor("x", kFloat, {5}), {{2, 2}}, Field(kFloatField, Floats({1, 2})));
  MemoryFiles files;
  files.Add("d/e-00000-of-00002", first.Build());
  files.Add("d/e-00001-of-00002", second.Build());
  const auto opened = OpenTfV1(files, "d/e-00001-of-00002", {});
  ASSERT_FALSE(opened.has_value());
  EXPECT_EQ(opened.error().file, "d/e-00001-of-00002");
  EXPECT_EQ(opened.error().tensor, "x");
}

TEST(V1Probe, TellsTheTwoTablesApart) {
  const auto probe = [](const std::string& bytes, const std::string& name) {
    return ProbeTfV1({name, Bytes(bytes).first(std::min<std::size_t>(bytes.size(), 512)),
                      Bytes(bytes), bytes.size()});
  };
  SavedFileBuilder builder;
  AddSound(builder);
  EXPECT_EQ(probe(builder.Build(), "model.ckpt-3"), Match::kCertain);
  EXPECT_EQ(probe(builder.Build(), "odd.index"), Match::kCertain);
  EXPECT_EQ(probe(BundleBuilder().Index(), "model.ckpt.index"), Match::kNo);
  EXPECT_EQ(probe("", "model.ckpt-3"), Match::kNo);
}

}  // namespace
}  // namespace ckpt::formats::malformed_test
