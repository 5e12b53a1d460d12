#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>
#include <limits>
#include <string>

#include "formats/tf_bundle/tf_bundle.h"
#include "tests/support/committed.h"
#include "tests/support/expected_tensors.h"
#include "tests/support/paths.h"
#include "tests/support/raw_tensors.h"
#include "tests/support/temporary_folder.h"

namespace ckpt::formats::writer_test {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

const std::string kTestdata = ckpt::testing::TestData();

std::string ReadFile(const std::filesystem::path& path) {
  std::ifstream file(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(file), {}};
}

// Everything in `checkpoint`, under the names it has.
OutputModel ModelOf(const Checkpoint& checkpoint) {
  OutputModel model;
  model.tensors = checkpoint.manifest().tensors;
  model.open = [&checkpoint](std::size_t i) {
    return checkpoint.Open(TensorId{static_cast<std::uint32_t>(i)});
  };
  return model;
}

// The four parts of a stream of strings.
std::string StringsStream(const std::vector<std::string>& strings) {
  std::string out;
  for (const std::string& string : strings) {
    for (int i = 0; i < 8; ++i) out += static_cast<char>(string.size() >> (8 * i) & 0xff);
    out += string;
  }
  return out;
}

class RewrittenBundle : public ::testing::TestWithParam<std::string> {};

// TensorFlow wrote the fixtures; the same tensors must give the same two files.
TEST_P(RewrittenBundle, HasTheBytesThatTensorFlowWrote) {
  const testing::TemporaryFolder folder;
  const std::string source = kTestdata + "/" + GetParam();
  const auto opened = OpenTfBundle(SystemFiles(), source, {});
  ASSERT_TRUE(opened.has_value()) << ToString(opened.error());
  const auto written =
      ckpt::testing::Committed(WriteTfBundle, folder / "copy", ModelOf(**opened), {});
  ASSERT_TRUE(written.has_value()) << ToString(written.error());
  EXPECT_EQ(folder.Read("copy.data-00000-of-00001"), ReadFile(source + ".data-00000-of-00001"));
  EXPECT_EQ(folder.Read("copy.index"), ReadFile(source + ".index"));
  EXPECT_THAT(written->files,
              ElementsAre(folder / "copy.data-00000-of-00001", folder / "copy.index"));
  EXPECT_EQ(written->bytes, std::filesystem::file_size(source + ".index") +
                                std::filesystem::file_size(source + ".data-00000-of-00001"));
}

INSTANTIATE_TEST_SUITE_P(, RewrittenBundle,
                         ::testing::Values("tf1/resnet/correct/model.ckpt-200",
                                           "tf1/mnist/correct/model.ckpt-700",
                                           "tf/slim/ema/model.ckpt-300",
                                           "tf/cases/renorm/model.ckpt-150",
                                           "tf/bundles/partitioned/whole/model.ckpt-1"),
                         [](const auto& instance) { return std::to_string(instance.index); });

class RewrittenValues : public ::testing::TestWithParam<std::string> {};

// Where the order in the data file differs, the values must still be those that TensorFlow read.
TEST_P(RewrittenValues, AreThoseOfTheSource) {
  const testing::TemporaryFolder folder;
  const std::string source = kTestdata + "/" + GetParam();
  const auto opened = OpenTfBundle(SystemFiles(), source, {});
  ASSERT_TRUE(opened.has_value()) << ToString(opened.error());
  const auto written =
      ckpt::testing::Committed(WriteTfBundle, folder / "copy.index", ModelOf(**opened), {});
  ASSERT_TRUE(written.has_value()) << ToString(written.error());
  const auto copy = OpenTfBundle(SystemFiles(), folder / "copy", {});
  ASSERT_TRUE(copy.has_value()) << ToString(copy.error());
  testing::ExpectTensors(**copy, testing::ReadExpected(source + ".expected.json"));
}

INSTANTIATE_TEST_SUITE_P(, RewrittenValues,
                         ::testing::Values("tf/bundles/strings/model.ckpt",
                                           "tf/bundles/shapes/model.ckpt",
                                           "tf/bundles/slice_grid/model.ckpt",
                                           "tf/bundles/sharded/model.ckpt-1",
                                           "tf/rewritten/big_endian_dtypes/model.ckpt"),
                         [](const auto& instance) { return std::to_string(instance.index); });

TEST(BundleWriter, StoresFourBitsAsTensorFlowDoes) {
  const testing::TemporaryFolder folder;
  testing::RawTensors tensors;
  // 0, 1, -1, 7, -8, 5: the nibbles that TensorFlow stored one to a byte in numeric_dtypes.
  tensors.Add("int4", Dtype::kI4, {2, 3}, std::string("\x10\x7f\x58", 3));
  tensors.Add("odd", Dtype::kU4, {3}, std::string("\x21\x03", 2));
  ASSERT_TRUE(ckpt::testing::Committed(WriteTfBundle, folder / "m", tensors.Model(), {}));
  EXPECT_EQ(folder.Read("m.data-00000-of-00001"),
            std::string("\x00\x01\x0f\x07\x08\x05\x01\x02\x03", 9));
  const auto opened = OpenTfBundle(SystemFiles(), folder / "m", {});
  ASSERT_TRUE(opened.has_value());
  for (std::uint32_t i = 0; i < 2; ++i) {
    const auto bytes = testing::AllBytes(**opened, TensorId{i});
    EXPECT_EQ(std::string(reinterpret_cast<const char*>(bytes.data()), bytes.size()),
              tensors.BytesOf((*opened)->manifest().tensors[i].name));
  }
}

TEST(BundleWriter, RoundTripsOddShapesAndLargeStrings) {
  const testing::TemporaryFolder folder;
  testing::RawTensors tensors;
  tensors.Add("scalar", Dtype::kF64, {}, std::string(8, '\x01'));
  tensors.Add("empty", Dtype::kF32, {3, 0, 2}, "");
  tensors.Add("rank5", Dtype::kU16, {1, 2, 1, 3, 2}, std::string(24, '\x02'));
  tensors.Add("strings/none", Dtype::kString, {0}, "");
  tensors.Add("strings/long", Dtype::kString, {2},
              StringsStream({std::string(3'000'000, 'x'), std::string(127, 'y')}));
  ASSERT_TRUE(ckpt::testing::Committed(WriteTfBundle, folder / "m", tensors.Model(), {}));
  const auto opened = OpenTfBundle(SystemFiles(), folder / "m", {});
  ASSERT_TRUE(opened.has_value()) << ToString(opened.error());
  const auto& infos = (*opened)->manifest().tensors;
  ASSERT_EQ(infos.size(), 5U);
  for (std::uint32_t i = 0; i < infos.size(); ++i) {
    const auto bytes = testing::AllBytes(**opened, TensorId{i});
    EXPECT_EQ(infos[i].byte_size, bytes.size());
    EXPECT_TRUE(std::string_view(reinterpret_cast<const char*>(bytes.data()), bytes.size()) ==
                tensors.BytesOf(infos[i].name))
        << infos[i].name;
  }
}

TEST(BundleWriter, WritesTheSameBytesAgain) {
  const testing::TemporaryFolder folder;
  testing::RawTensors tensors;
  for (int i = 0; i < 20000; ++i) {
    tensors.Add("scope_" + std::to_string(i) + "/kernel", Dtype::kF32, {1}, std::string(4, 'k'));
  }
  ASSERT_TRUE(ckpt::testing::Committed(WriteTfBundle, folder / "a", tensors.Model(), {}));
  ASSERT_TRUE(ckpt::testing::Committed(WriteTfBundle, folder / "b", tensors.Model(), {}));
  EXPECT_TRUE(folder.Read("a.index") == folder.Read("b.index"));
  EXPECT_TRUE(folder.Read("a.data-00000-of-00001") == folder.Read("b.data-00000-of-00001"));
  EXPECT_GT(folder.Read("a.index").size(), 2U * (256U << 10U)) << "several blocks are meant";
  const auto opened = OpenTfBundle(SystemFiles(), folder / "a", {});
  ASSERT_TRUE(opened.has_value()) << ToString(opened.error());
  EXPECT_EQ((*opened)->manifest().tensors.size(), 20000U);
}

TEST(BundleWriter, ReplacesOnlyWhenAskedAndLeavesNoStaleShard) {
  const testing::TemporaryFolder folder;
  folder.Write("m.index", "old");
  folder.Write("m.data-00000-of-00002", "old");
  folder.Write("m.data-00001-of-00002", "old");
  folder.Write("m2.data-00000-of-00002", "of another checkpoint");
  testing::RawTensors tensors;
  tensors.Add("a", Dtype::kU8, {2}, "ab");
  const auto refused = ckpt::testing::Committed(WriteTfBundle, folder / "m", tensors.Model(), {});
  ASSERT_FALSE(refused.has_value());
  EXPECT_EQ(refused.error().code, ErrorCode::kAlreadyExists);
  EXPECT_EQ(refused.error().file, folder / "m.index");
  EXPECT_EQ(folder.Read("m.index"), "old");

  ckpt::testing::CommittedOptions replace;
  replace.replace = true;
  ASSERT_TRUE(ckpt::testing::Committed(WriteTfBundle, folder / "m", tensors.Model(), replace));
  EXPECT_THAT(folder.Names(),
              ElementsAre("m.data-00000-of-00001", "m.index", "m2.data-00000-of-00002"));
}

TEST(BundleWriter, LeavesTheStateFileToTheTrainingRun) {
  const testing::TemporaryFolder folder;
  folder.Write("checkpoint", "model_checkpoint_path: \"older\"\n");
  testing::RawTensors tensors;
  ASSERT_TRUE(ckpt::testing::Committed(WriteTfBundle, folder / "m", tensors.Model(), {}));
  EXPECT_EQ(folder.Read("checkpoint"), "model_checkpoint_path: \"older\"\n");
}

TEST(BundleWriter, LeavesNothingBehindWhenATensorCannotBeRead) {
  const testing::TemporaryFolder folder;
  testing::RawTensors tensors;
  tensors.Add("a", Dtype::kU8, {2}, "ab").Add("b", Dtype::kU8, {2}, "cd");
  OutputModel model = tensors.Model();
  const auto open = model.open;
  model.open = [&](std::size_t i) -> Result<std::unique_ptr<TensorStream>> {
    if (i == 1) return Fail(Error{ErrorCode::kIo, "no luck", "f", {}, "b"});
    return open(i);
  };
  const auto written = ckpt::testing::Committed(WriteTfBundle, folder / "m", model, {});
  ASSERT_FALSE(written.has_value());
  EXPECT_EQ(written.error().code, ErrorCode::kIo);
  EXPECT_EQ(written.error().tensor, "b");
  EXPECT_TRUE(folder.Names().empty());
}

TEST(BundleWriter, NoticesSourcesThatYieldTheWrongAmount) {
  const testing::TemporaryFolder folder;
  const auto error_of = [&](Dtype dtype, const std::string& bytes) {
    testing::RawTensors tensors;
    tensors.Add("t", dtype, {2}, bytes);
    const auto written = ckpt::testing::Committed(WriteTfBundle, folder / "m", tensors.Model(), {});
    return written ? Error{} : written.error();
  };
  for (const Error& error : {error_of(Dtype::kF32, "1234"), error_of(Dtype::kF32, "123456789abc"),
                             error_of(Dtype::kString, StringsStream({"one"})),
                             error_of(Dtype::kString, StringsStream({"one", "two", "three"})),
                             error_of(Dtype::kString, StringsStream({"one", "two"}) + "x")}) {
    EXPECT_EQ(error.code, ErrorCode::kInternal);
    EXPECT_EQ(error.tensor, "t");
    EXPECT_FALSE(error.message.empty());
  }
  EXPECT_TRUE(folder.Names().empty());
}

TEST(BundleCanHold, RefusesWhatTensorFlowLacks) {
  const auto code = [](std::string name, Dtype dtype) {
    TensorInfo info;
    info.name = std::move(name);
    info.dtype = dtype;
    const Status held = TfBundleCanHold(info);
    EXPECT_TRUE(held || held.error().tensor == info.name);
    return held ? std::optional<ErrorCode>() : held.error().code;
  };
  for (const Dtype dtype : {Dtype::kVariant, Dtype::kResource, Dtype::kVoid, Dtype::kF8E8M0,
                            Dtype::kF6E2M3, Dtype::kF6E3M2}) {
    EXPECT_EQ(code("t", dtype), ErrorCode::kUnsupported) << Name(dtype);
  }
  for (const Dtype dtype : {Dtype::kF32, Dtype::kString, Dtype::kI4, Dtype::kF8E4M3FN}) {
    EXPECT_EQ(code("t", dtype), std::nullopt) << Name(dtype);
  }
  EXPECT_EQ(code("", Dtype::kF32), ErrorCode::kUnsupported);
  EXPECT_EQ(code(std::string("\0t", 2), Dtype::kF32), ErrorCode::kUnsupported);
}

}  // namespace
}  // namespace ckpt::formats::writer_test
