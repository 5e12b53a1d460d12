// What is written: read back here; tests/interop has PyTorch read it.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "formats/container/zip_archive.h"
#include "formats/torch/pickle_writer.h"
#include "tests/support/committed.h"
#include "tests/support/expected_tensors.h"
#include "tests/support/raw_tensors.h"
#include "tests/support/temporary_folder.h"
#include "tests/torch/torch_files.h"

namespace ckpt::formats::writer_test {
namespace {

using ckpt::testing::OpenFixture;
using ckpt::testing::RawTensors;
using ckpt::testing::TemporaryFolder;
using ::testing::HasSubstr;

RawTensors TwoTensors() {
  RawTensors tensors;
  tensors.Add("conv.weight", Dtype::kF32, {2, 3}, std::string(24, '\x3f'));
  tensors.Add("ünïcode", Dtype::kBF16, {}, std::string(2, '\x40'));
  return tensors;
}

TEST(TorchWriter, StoredRecordsAtMultiplesOf64) {
  const TemporaryFolder folder;
  RawTensors tensors = TwoTensors();
  ASSERT_TRUE(ckpt::testing::Committed(WriteTorch, folder / "model.pt", tensors.Model(), {}));
  auto file = SystemFiles().Open(folder / "model.pt");
  ASSERT_TRUE(file);
  const auto archive = ZipArchive::Open(*std::move(file), {});
  ASSERT_TRUE(archive) << ToString(archive.error());
  std::vector<std::string> names;
  for (const ZipMember& member : archive->members()) {
    names.push_back(member.name);
    EXPECT_EQ(member.method, ZipMethod::kStored);
    EXPECT_EQ(member.data_offset % 64, 0U) << member.name;
  }
  EXPECT_EQ(names,
            (std::vector<std::string>{"archive/data.pkl", "archive/byteorder", "archive/data/0",
                                      "archive/data/1", "archive/version"}));
  EXPECT_EQ(*archive->Read(1, 100), "little");
  EXPECT_EQ(*archive->Read(4, 100), "3\n");
}

// Tied weights: one record, and one storage for PyTorch; but only where the bytes are the same.
TEST(TorchWriter, AnAliasSharesTheRecordIfItHoldsTheSame) {
  for (const bool same : {true, false}) {
    const TemporaryFolder folder;
    RawTensors tensors;
    tensors.Add("decoder.weight", Dtype::kF32, {2, 3}, std::string(24, same ? '\x3f' : '\x40'));
    tensors.Add("embed.weight", Dtype::kF32, {2, 3}, std::string(24, '\x3f'));
    OutputModel model = tensors.Model();
    model.tensors[0].alias_of = TensorId{1};
    ASSERT_TRUE(ckpt::testing::Committed(WriteTorch, folder / "model.pt", model, {}));
    const auto back = OpenTorch(SystemFiles(), folder / "model.pt", {});
    ASSERT_TRUE(back) << ToString(back.error());
    const auto& infos = (*back)->manifest().tensors;
    EXPECT_EQ(infos[0].alias_of || infos[1].alias_of, same);
    const auto bytes = ReadBytes(**back, TensorId{0}, 100);
    ASSERT_TRUE(bytes);
    EXPECT_EQ(std::to_integer<int>(bytes->front()), same ? 0x3f : 0x40);
  }
}

TEST(TorchWriter, EveryFixtureOfPlainTensorsComesBack) {
  for (const char* name : {"dtypes.pt", "shapes.pt", "views.pt", "state_dict_legacy.pth"}) {
    SCOPED_TRACE(name);
    const TemporaryFolder folder;
    const auto source = OpenFixture(name);
    ASSERT_TRUE(source) << ToString(source.error());
    OutputModel model;
    model.tensors = (*source)->manifest().tensors;
    model.open = [&](std::size_t i) {
      return (*source)->Open(TensorId{static_cast<std::uint32_t>(i)});
    };
    model.metadata = (*source)->manifest().metadata;
    const auto written = ckpt::testing::Committed(WriteTorch, folder / "model.pt", model, {});
    ASSERT_TRUE(written) << ToString(written.error());
    const auto back = OpenTorch(SystemFiles(), folder / "model.pt", {});
    ASSERT_TRUE(back) << ToString(back.error());
    ckpt::testing::ExpectTensors(
        **back, ckpt::testing::ReadExpected(ckpt::testing::TorchFile(name) + ".expected.json"));
    EXPECT_EQ((*back)->manifest().metadata, (*source)->manifest().metadata);
  }
}

TEST(TorchWriter, RefusesWhatPyTorchHasNoTypeFor) {
  TensorInfo info;
  info.name = "text";
  info.dtype = Dtype::kString;
  const Status text = CanHoldTorch(info);
  ASSERT_FALSE(text);
  EXPECT_EQ(text.error().code, ErrorCode::kUnsupported);
  EXPECT_EQ(text.error().tensor, "text");
  info.dtype = Dtype::kF32;
  info.byte_size = 4;
  EXPECT_TRUE(CanHoldTorch(info));
  info.name = "\xff";
  EXPECT_FALSE(CanHoldTorch(info));
  info.name = "w";
  info.byte_size = 5;
  EXPECT_FALSE(CanHoldTorch(info));
}

TEST(TorchWriter, NumbersAboveTwoToThe31AreLongs) {
  TensorInfo info;
  info.name = "w";
  info.shape = *Shape::FromDims({3, std::int64_t{1} << 31});
  info.byte_size = info.shape.element_count() * 4;
  const std::string pickle =
      PickleStateDict(std::vector<TensorInfo>{info}, std::vector<std::size_t>{0}, "");
  // 3 * 2^31 elements; the dimension 2^31: LONG1 of five bytes, whose highest bit is clear.
  EXPECT_THAT(pickle, HasSubstr(std::string("\x8a\x05\x00\x00\x00\x80\x01", 7)));
  EXPECT_THAT(pickle, HasSubstr(std::string("\x8a\x05\x00\x00\x00\x80\x00", 7)));
}

}  // namespace
}  // namespace ckpt::formats::writer_test
