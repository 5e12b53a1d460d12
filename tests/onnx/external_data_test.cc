// Data in files beside the model (TensorProto::external_data).
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/stat.h>
#include <unistd.h>

#include <limits>

#include "tests/onnx/model_builder.h"
#include "tests/support/committed.h"
#include "tests/support/temporary_folder.h"

namespace ckpt::testing::external_data_test {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::SizeIs;

void SetExternal(onnx_proto::TensorProto& tensor,
                 const std::vector<std::pair<std::string, std::string>>& entries) {
  tensor.clear_raw_data();
  tensor.set_data_location(1);
  tensor.clear_external_data();
  for (const auto& [key, value] : entries) {
    auto& entry = *tensor.add_external_data();
    entry.set_key(key);
    entry.set_value(value);
  }
}

class OnnxExternalData : public ::testing::Test {
 protected:
  OnnxExternalData() : tensor_(AddTensor(model_, "w", {2}, {1, 2})) {
    folder_.Write("data.bin", std::string("\0\0\0\0\0\0\x80\x3F\0\0\0\x40", 12));  // 0, 1, 2
  }

  Result<std::unique_ptr<Checkpoint>> Open(
      const std::vector<std::pair<std::string, std::string>>& entries) {
    SetExternal(tensor_, entries);
    folder_.Write("m.onnx", model_.SerializeAsString());
    return formats::OpenOnnx(formats::SystemFiles(), folder_ / "m.onnx", {});
  }
  std::string Refusal(const std::vector<std::pair<std::string, std::string>>& entries) {
    const auto opened = Open(entries);
    return opened ? "" : ToString(opened.error());
  }

  TemporaryFolder folder_;
  onnx_proto::ModelProto model_ = EmptyModel();
  onnx_proto::TensorProto& tensor_;
};

TEST_F(OnnxExternalData, IsReadFromItsOffset) {
  const auto opened = Open({{"location", "data.bin"}, {"offset", "4"}, {"length", "8"}});
  ASSERT_TRUE(opened) << ToString(opened.error());
  EXPECT_THAT(ElementsOf(**opened, "w"), ElementsAre(1, 2));
  EXPECT_THAT((*opened)->manifest().files, SizeIs(2));
  // O06: what is not known is left alone.
  EXPECT_EQ(Refusal({{"location", "./data.bin"}, {"checksum", "?"}, {"prepacked_0", "1"}}), "");
}

// O01
TEST_F(OnnxExternalData, PlacesOutsideOfTheFolderAreRefused) {
  for (const std::string place :
       {"../data.bin", "/etc/passwd", "a/../../data.bin", "C:\\data.bin", "..", "a\\b"}) {
    const auto opened = Open({{"location", place}});
    ASSERT_FALSE(opened) << place;
    EXPECT_EQ(opened.error().code, ErrorCode::kUnsafe) << place;
  }
  EXPECT_THAT(Refusal({{"location", std::string("data.bin\0x", 10)}}), HasSubstr("plain relative"));
  EXPECT_THAT(Refusal({{"location", ""}}), HasSubstr("no location"));
  EXPECT_THAT(Refusal({}), HasSubstr("no location"));
}

// O02
TEST_F(OnnxExternalData, LinksAreRefused) {
  ASSERT_EQ(::symlink("data.bin", (folder_ / "link.bin").c_str()), 0);
  ASSERT_EQ(::symlink(".", (folder_ / "here").c_str()), 0);
  EXPECT_THAT(Refusal({{"location", "link.bin"}}), HasSubstr("is a link"));
  EXPECT_THAT(Refusal({{"location", "here/data.bin"}}), HasSubstr("is a link"));
}

// O03: a hard link is a file like any other.
TEST_F(OnnxExternalData, HardLinksAreRead) {
  ASSERT_EQ(::link((folder_ / "data.bin").c_str(), (folder_ / "hard.bin").c_str()), 0);
  EXPECT_EQ(Refusal({{"location", "hard.bin"}}), "");
}

// O04
TEST_F(OnnxExternalData, WhatIsNoRegularFileIsRefused) {
  std::filesystem::create_directory(folder_ / "folder");
  ASSERT_EQ(::mkfifo((folder_ / "fifo").c_str(), 0600), 0);
  EXPECT_THAT(Refusal({{"location", "folder"}}), HasSubstr("folder"));
  EXPECT_THAT(Refusal({{"location", "fifo"}}), HasSubstr("not a regular file"));
}

// O05
TEST_F(OnnxExternalData, NumbersThatAreNoneAreCorrupt) {
  for (const std::string bad : {"-4", "four", "", "4x", "9223372036854775808", "1e3", " 4"}) {
    EXPECT_THAT(Refusal({{"location", "data.bin"}, {"offset", bad}}), HasSubstr("no number"))
        << bad;
    EXPECT_THAT(Refusal({{"location", "data.bin"}, {"length", bad}}), HasSubstr("no number"))
        << bad;
  }
  EXPECT_THAT(Refusal({{"location", "data.bin"}, {"length", "4"}}), HasSubstr("asks for 8"));
}

TEST_F(OnnxExternalData, AnAbsentOrShortFileIsAProblem) {
  for (const auto& entries : {std::vector<std::pair<std::string, std::string>>{{"location", "no"}},
                              {{"location", "data.bin"}, {"offset", "5"}},
                              {{"location", "data.bin"}, {"offset", "9223372036854775807"}}}) {
    const auto opened = Open(entries);
    ASSERT_TRUE(opened) << ToString(opened.error());
    const Manifest& manifest = (*opened)->manifest();
    ASSERT_THAT(manifest.problems, SizeIs(1));
    EXPECT_THAT(manifest.problems[0].tensors, ElementsAre(TensorId{0}));
    EXPECT_FALSE(manifest.tensors[0].data_present);
    EXPECT_FALSE((*opened)->Open(TensorId{0}));
  }
}

// O07
TEST_F(OnnxExternalData, DataHereAndThereIsCorrupt) {
  SetExternal(tensor_, {{"location", "data.bin"}});
  tensor_.set_raw_data("12345678");
  folder_.Write("m.onnx", model_.SerializeAsString());
  const auto opened = formats::OpenOnnx(formats::SystemFiles(), folder_ / "m.onnx", {});
  ASSERT_FALSE(opened);
  EXPECT_THAT(opened.error().message, HasSubstr("twice"));
}

// O16
TEST_F(OnnxExternalData, RangesMayOverlap) {
  auto& other = AddTensor(model_, "v", {2}, {0, 0});
  SetExternal(other, {{"location", "data.bin"}, {"offset", "0"}});
  SetExternal(*model_.mutable_graph()->mutable_initializer(0),
              {{"location", "data.bin"}, {"offset", "4"}});
  folder_.Write("m.onnx", model_.SerializeAsString());
  const auto opened = formats::OpenOnnx(formats::SystemFiles(), folder_ / "m.onnx", {});
  ASSERT_TRUE(opened) << ToString(opened.error());
  EXPECT_THAT(ElementsOf(**opened, "v"), ElementsAre(0, 1));
  EXPECT_THAT(ElementsOf(**opened, "w"), ElementsAre(1, 2));
}

// O17
TEST_F(OnnxExternalData, AFileThatShrinksIsAnError) {
  const auto opened = Open({{"location", "data.bin"}});
  ASSERT_TRUE(opened) << ToString(opened.error());
  std::filesystem::resize_file(folder_ / "data.bin", 3);
  EXPECT_FALSE(ReadBytes(**opened, TensorId{0}, 100));
}

// Writes a model of its own over m.onnx.
Status ReplaceModel(const TemporaryFolder& folder) {
  onnx_proto::ModelProto model = EmptyModel();
  AddTensor(model, "w", {2}, {5, 6});
  CKPT_ASSIGN_OR_RETURN(const auto source, OpenModel(model));
  formats::OutputModel output;
  output.tensors = source->manifest().tensors;
  output.documents = source->manifest().documents;
  output.open = [&](std::size_t) { return source->Open(TensorId{0}); };
  const auto written =
      Committed(formats::WriteOnnx, folder / "m.onnx", output, CommittedOptions{.replace = true});
  return written ? Status() : Fail(written.error());
}

TEST_F(OnnxExternalData, DataOfAnOlderOutputGoesWithIt) {
  folder_.Write("m.onnx.data", folder_.Read("data.bin"));
  ASSERT_TRUE(Open({{"location", "m.onnx.data"}, {"offset", "4"}, {"length", "8"}}));
  const Status replaced = ReplaceModel(folder_);
  ASSERT_TRUE(replaced) << ToString(replaced.error());
  EXPECT_THAT(folder_.Names(), ElementsAre("data.bin", "m.onnx"));
}

TEST_F(OnnxExternalData, AFileOfThatNameThatTheOlderOutputDoesNotReadStays) {
  folder_.Write("m.onnx.data", "of somebody else");
  ASSERT_TRUE(Open({{"location", "data.bin"}, {"offset", "4"}, {"length", "8"}}));
  const Status replaced = ReplaceModel(folder_);
  ASSERT_TRUE(replaced) << ToString(replaced.error());
  EXPECT_THAT(folder_.Names(), ElementsAre("data.bin", "m.onnx", "m.onnx.data"));
  EXPECT_EQ(folder_.Read("m.onnx.data"), "of somebody else");
}

TEST_F(OnnxExternalData, WhatTheOnnxPackageWroteIsRead) {
  const auto opened = formats::OpenOnnx(formats::SystemFiles(), FixturePath("external"), {});
  ASSERT_TRUE(opened) << ToString(opened.error());
  EXPECT_THAT((*opened)->manifest().files, SizeIs(2));
  EXPECT_THAT(ElementsOf(**opened, "conv.weight"), SizeIs(24 * 16 * 9));
}

}  // namespace
}  // namespace ckpt::testing::external_data_test
