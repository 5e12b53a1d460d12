#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "formats/npz/npz.h"
#include "tests/support/committed.h"
#include "tests/support/expected_tensors.h"
#include "tests/support/paths.h"
#include "tests/support/raw_tensors.h"
#include "tests/support/temporary_folder.h"

namespace ckpt::formats::npz_writer_test {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using testing::RawTensors;
using testing::TemporaryFolder;

std::string Bytes(const Checkpoint& checkpoint, const std::string& name) {
  const auto bytes = testing::AllBytes(checkpoint, *FindTensor(checkpoint.manifest(), name));
  return {reinterpret_cast<const char*>(bytes.data()), bytes.size()};
}

TEST(NpzWriter, IsReadBackWithEveryDtypeAndShape) {
  const TemporaryFolder folder;
  RawTensors tensors;
  const std::vector<Dtype> dtypes = {
      Dtype::kBool, Dtype::kU8,  Dtype::kI8,  Dtype::kU16, Dtype::kI16, Dtype::kU32, Dtype::kI32,
      Dtype::kU64,  Dtype::kI64, Dtype::kF16, Dtype::kF32, Dtype::kF64, Dtype::kC64, Dtype::kC128};
  for (const Dtype dtype : dtypes) {
    const std::size_t size = BitSize(dtype) / 8;
    tensors.Add("t/" + std::string(Name(dtype)), dtype, {2, 3},
                std::string(6 * size, static_cast<char>(dtype)));
  }
  tensors.Add("scalar", Dtype::kF32, {}, "abcd").Add("empty", Dtype::kF64, {3, 0, 2}, "");
  tensors.Add("deep", Dtype::kU8, {1, 2, 1, 3, 1}, "uvwxyz").Add("\u00e9", Dtype::kU8, {1}, "x");
  tensors.Add("opaque", Dtype::kVoid, {3}, "abcdef");
  const OutputModel model = tensors.Model();
  const auto summary = ckpt::testing::Committed(WriteNpz, folder / "a.npz", model, {});
  ASSERT_TRUE(summary.has_value()) << ToString(summary.error());
  EXPECT_EQ(summary->bytes, folder.Read("a.npz").size());
  EXPECT_THAT(folder.Names(), ElementsAre("a.npz"));

  const auto opened = OpenNpz(SystemFiles(), folder / "a.npz", {});
  ASSERT_TRUE(opened.has_value()) << ToString(opened.error());
  EXPECT_THAT((*opened)->manifest().problems, IsEmpty());
  const auto& read = (*opened)->manifest().tensors;
  ASSERT_EQ(read.size(), model.tensors.size());
  for (std::size_t i = 0; i < read.size(); ++i) {
    EXPECT_EQ(read[i].name, model.tensors[i].name);
    EXPECT_EQ(read[i].dtype, model.tensors[i].dtype);
    EXPECT_EQ(read[i].shape, model.tensors[i].shape);
    EXPECT_EQ(Bytes(**opened, read[i].name), tensors.BytesOf(read[i].name));
  }
}

// NumPy's own files come out as they went in, where their keys are sorted.
TEST(NpzWriter, WritesTheBytesThatNumPyWrites) {
  for (const std::string name : {"positional.npz", "empty.npz"}) {
    SCOPED_TRACE(name);
    const TemporaryFolder folder;
    const std::filesystem::path source =
        std::filesystem::path(ckpt::testing::TestData() + "/npz") / name;
    const auto opened = OpenNpz(SystemFiles(), source, {});
    ASSERT_TRUE(opened.has_value());
    OutputModel model;
    model.tensors = (*opened)->manifest().tensors;
    model.open = [&](std::size_t i) {
      return (*opened)->Open(TensorId{static_cast<std::uint32_t>(i)});
    };
    ASSERT_TRUE(ckpt::testing::Committed(WriteNpz, folder / "a.npz", model, {}).has_value());
    std::ifstream file(source, std::ios::binary);
    const std::string numpy{std::istreambuf_iterator<char>(file), {}};
    EXPECT_TRUE(folder.Read("a.npz") == numpy);
  }
}

TEST(NpzWriter, RefusesWhatTheFormatCannotHoldAndWritesNothing) {
  struct Case {
    std::string name;
    Dtype dtype;
    std::vector<std::int64_t> dims;
    std::size_t bytes;
    std::string message;
  };
  const std::vector<Case> cases = {
      {"b", Dtype::kBF16, {1}, 2, "bfloat16"},
      {"f8", Dtype::kF8E4M3FN, {1}, 1, "float8"},
      {"s", Dtype::kString, {1}, 9, "string"},
      {"q", Dtype::kQI8, {1}, 1, "qint8"},
      {"lost", Dtype::kVoid, {}, 0, "void"},
      {"size", Dtype::kF32, {3}, 8, "8 bytes"},
      {std::string("n\0l", 3), Dtype::kU8, {1}, 1, "NUL"},
      {"\xFF", Dtype::kU8, {1}, 1, "UTF-8"},
      {std::string(65532, 'n'), Dtype::kU8, {1}, 1, "65532"},
  };
  const TemporaryFolder folder;
  for (const Case& unfit : cases) {
    SCOPED_TRACE(unfit.name.substr(0, 20));
    RawTensors tensors;
    tensors.Add("fits", Dtype::kF32, {1}, "abcd");
    tensors.Add(unfit.name, unfit.dtype, unfit.dims, std::string(unfit.bytes, 'x'));
    const auto written = ckpt::testing::Committed(WriteNpz, folder / "a.npz", tensors.Model(), {});
    ASSERT_FALSE(written.has_value());
    EXPECT_EQ(written.error().code, ErrorCode::kUnsupported);
    EXPECT_EQ(written.error().tensor, unfit.name);
    EXPECT_THAT(written.error().message, HasSubstr(unfit.message));
    EXPECT_THAT(folder.Names(), IsEmpty());
  }
}

TEST(NpzWriter, LeavesAnExistingFileAloneUnlessToldToReplaceIt) {
  const TemporaryFolder folder;
  folder.Write("a.npz", "precious");
  RawTensors tensors;
  tensors.Add("w", Dtype::kU8, {1}, "x");
  const OutputModel model = tensors.Model();
  EXPECT_EQ(ckpt::testing::Committed(WriteNpz, folder / "a.npz", model, {}).error().code,
            ErrorCode::kAlreadyExists);
  EXPECT_EQ(folder.Read("a.npz"), "precious");
  ASSERT_TRUE(
      ckpt::testing::Committed(WriteNpz, folder / "a.npz", model, {.replace = true}).has_value());
  EXPECT_TRUE(OpenNpz(SystemFiles(), folder / "a.npz", {}).has_value());
}

TEST(NpzWriter, LeavesNothingBehindWhenASourceFails) {
  const TemporaryFolder folder;
  RawTensors tensors;
  tensors.Add("a", Dtype::kU8, {1}, "x").Add("b", Dtype::kU8, {1}, "y");
  OutputModel model = tensors.Model();
  model.open = [open = model.open](std::size_t i) -> Result<std::unique_ptr<TensorStream>> {
    if (i == 0) return open(i);
    return Fail(Error{ErrorCode::kCorrupt, "damaged", "source", 7, "b"});
  };
  const auto written = ckpt::testing::Committed(WriteNpz, folder / "a.npz", model, {});
  ASSERT_FALSE(written.has_value());
  EXPECT_EQ(written.error().tensor, "b");
  EXPECT_THAT(folder.Names(), IsEmpty());
}

}  // namespace
}  // namespace ckpt::formats::npz_writer_test
