// Archives and weights that are written: the same tensors, the same bytes each time, or a refusal.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <filesystem>

#include "ckpt/formats/format.h"
#include "tests/keras3/keras3_files.h"
#include "tests/support/committed.h"
#include "tests/support/temporary_folder.h"

namespace ckpt::formats::keras3_writer_test {
namespace {

using ckpt::testing::FileBytes;
using ckpt::testing::Keras3Path;
using ckpt::testing::OpenArchive;
using ckpt::testing::TemporaryFolder;
using ::testing::HasSubstr;
using ::testing::Not;

OutputModel ModelOf(const Checkpoint& source) {
  OutputModel model;
  model.tensors = source.manifest().tensors;
  model.open = [&source](std::size_t i) {
    return source.Open(TensorId{static_cast<std::uint32_t>(i)});
  };
  model.documents = source.manifest().documents;
  return model;
}

// Without the tensors that `drop` names.
OutputModel Without(const Checkpoint& source, const std::function<bool(const TensorInfo&)>& drop) {
  OutputModel model = ModelOf(source);
  std::vector<TensorId> kept;
  model.tensors.clear();
  for (std::uint32_t i = 0; i < source.manifest().tensors.size(); ++i) {
    if (drop(source.manifest().tensors[i])) continue;
    kept.push_back({i});
    model.tensors.push_back(source.manifest().tensors[i]);
  }
  model.open = [&source, kept](std::size_t i) { return source.Open(kept[i]); };
  return model;
}

void ExpectSame(const Checkpoint& a, const Checkpoint& b) {
  const auto& tensors = a.manifest().tensors;
  ASSERT_EQ(tensors.size(), b.manifest().tensors.size());
  for (std::uint32_t i = 0; i < tensors.size(); ++i) {
    EXPECT_EQ(tensors[i].name, b.manifest().tensors[i].name);
    EXPECT_EQ(tensors[i].shape, b.manifest().tensors[i].shape);
    EXPECT_EQ(ReadBytes(a, {i}, 1 << 20).value(), ReadBytes(b, {i}, 1 << 20).value());
  }
}

class Keras3Writer : public ::testing::TestWithParam<std::string> {};

TEST_P(Keras3Writer, AnArchiveComesBackAsItWas) {
  const TemporaryFolder folder;
  const auto source = OpenArchive(GetParam());
  for (const char* name : {"a.keras", "b.keras"}) {
    const auto written =
        ckpt::testing::Committed(WriteKerasArchive, folder / name, ModelOf(*source), {});
    ASSERT_TRUE(written.has_value()) << ToString(written.error());
    EXPECT_EQ(written->bytes, std::filesystem::file_size(folder / name));
  }
  EXPECT_EQ(FileBytes((folder / "a.keras").string()), FileBytes((folder / "b.keras").string()));
  const auto again = OpenCheckpoint((folder / "a.keras").string());
  ASSERT_TRUE(again.has_value()) << ToString(again.error());
  EXPECT_EQ((*again)->format(), "keras");
  ExpectSame(*source, **again);
  for (std::size_t i = 0; i < source->manifest().tensors.size(); ++i) {
    EXPECT_EQ(source->manifest().tensors[i].stored_as, (*again)->manifest().tensors[i].stored_as);
  }
  EXPECT_EQ(std::distance(std::filesystem::directory_iterator(folder.path()), {}), 2);
}

TEST_P(Keras3Writer, WeightsAloneKeepTheNamesOfAnArchive) {
  const TemporaryFolder folder;
  const auto source = OpenArchive(GetParam());
  const auto path = folder / "a.weights.h5";
  const auto written = ckpt::testing::Committed(WriteKerasWeights, path, ModelOf(*source), {});
  ASSERT_TRUE(written.has_value()) << ToString(written.error());
  const auto again = OpenCheckpoint(path.string());
  ASSERT_TRUE(again.has_value()) << ToString(again.error());
  EXPECT_EQ((*again)->format(), "keras-weights");
  ExpectSame(*source, **again);
}

INSTANTIATE_TEST_SUITE_P(Fixtures, Keras3Writer,
                         ::testing::Values("k3_functional.keras", "k3_nested.keras",
                                           "k3_trained.keras", "k3_wrappers.keras",
                                           "k3_custom.keras", "k3_subclass.keras",
                                           "k2_trained.keras", "k2_nested.keras"));

TEST(Keras3WriterTest, WithoutTheOptimizerTheConfigCompilesNothing) {
  const TemporaryFolder folder;
  const auto source = OpenArchive("k3_trained.keras");
  const auto model =
      Without(*source, [](const TensorInfo& info) { return info.section == Section::kOptimizer; });
  ASSERT_TRUE(
      ckpt::testing::Committed(WriteKerasArchive, folder / "a.keras", model, {}).has_value());
  const auto again = OpenCheckpoint((folder / "a.keras").string());
  ASSERT_TRUE(again.has_value());
  for (const Document& document : (*again)->manifest().documents) {
    EXPECT_THAT(document.text, Not(HasSubstr("compile_config"))) << document.name;
  }
}

TEST(Keras3WriterTest, ALayerIsWrittenWholeOrNotAtAll) {
  const TemporaryFolder folder;
  const auto source = OpenArchive("k3_trained.keras");
  const auto model =
      Without(*source, [](const TensorInfo& info) { return info.name == "bn/moving_mean"; });
  for (const bool whole : {true, false}) {
    const auto written =
        whole ? ckpt::testing::Committed(WriteKerasArchive, folder / "a.keras", model, {})
              : ckpt::testing::Committed(WriteKerasWeights, folder / "a.weights.h5", model, {});
    ASSERT_FALSE(written.has_value());
    EXPECT_EQ(written.error().code, ErrorCode::kUnfit);
    EXPECT_EQ(written.error().tensor, "bn/moving_mean");
  }
  EXPECT_TRUE(std::filesystem::is_empty(folder.path()));
}

// As a fold without a graph leaves it: the batch norms behind it would have other numbers.
TEST(Keras3WriterTest, WeightsWithoutALayerAreRefused) {
  const TemporaryFolder folder;
  const auto source = OpenArchive("k3_sequential.keras");
  const auto model =
      Without(*source, [](const TensorInfo& info) { return info.name.starts_with("bn/"); });
  const auto written =
      ckpt::testing::Committed(WriteKerasWeights, folder / "a.weights.h5", model, {});
  ASSERT_FALSE(written.has_value());
  EXPECT_EQ(written.error().code, ErrorCode::kUnfit);
  EXPECT_THAT(written.error().tensor, ::testing::StartsWith("bn/"));
}

TEST(Keras3WriterTest, ATensorWithoutALayerIsRefused) {
  const TemporaryFolder folder;
  const auto source = OpenArchive("k3_trained.keras");
  OutputModel model = ModelOf(*source);
  model.tensors[0].name = "!elsewhere";
  const auto written =
      ckpt::testing::Committed(WriteKerasWeights, folder / "a.weights.h5", model, {});
  ASSERT_FALSE(written.has_value());
  EXPECT_EQ(written.error().code, ErrorCode::kUnfit);
}

TEST(Keras3WriterTest, WithoutALayoutThereIsNothingToGoBy) {
  const TemporaryFolder folder;
  const auto source = OpenArchive("k3_trained.keras");
  OutputModel model = ModelOf(*source);
  model.documents.clear();
  EXPECT_EQ(ckpt::testing::Committed(WriteKerasArchive, folder / "a.keras", model, {}).error().code,
            ErrorCode::kUnfit);
  EXPECT_EQ(
      ckpt::testing::Committed(WriteKerasWeights, folder / "a.weights.h5", model, {}).error().code,
      ErrorCode::kUnfit);
}

TEST(Keras3WriterTest, AnExistingFileIsKept) {
  const TemporaryFolder folder;
  folder.Write("a.keras", "mine");
  const auto source = OpenArchive("k3_trained.keras");
  EXPECT_EQ(ckpt::testing::Committed(WriteKerasArchive, folder / "a.keras", ModelOf(*source), {})
                .error()
                .code,
            ErrorCode::kAlreadyExists);
  EXPECT_EQ(FileBytes((folder / "a.keras").string()), "mine");
}

TEST(Keras3WriterTest, TheLongestSuffixDecides) {
  EXPECT_EQ(FormatForOutput("m.weights.h5")->name, "keras-weights");
  EXPECT_EQ(FormatForOutput("m.h5")->name, "keras-h5");
  EXPECT_EQ(FormatForOutput("m.keras")->name, "keras");
}

std::vector<std::string> FilesIn(const TemporaryFolder& folder) {
  std::vector<std::string> names;
  for (const auto& entry : std::filesystem::directory_iterator(folder / "")) {
    names.push_back(entry.path().filename().string());
  }
  std::sort(names.begin(), names.end());
  return names;
}

TEST(Keras3Set, IsSplitBetweenVariablesAndComesBack) {
  const TemporaryFolder folder;
  const auto source = OpenArchive("k3_functional.keras");
  const OutputModel model = ModelOf(*source);
  ckpt::testing::CommittedOptions options;
  options.shard_bytes = 600;
  const auto written =
      ckpt::testing::Committed(WriteKerasWeights, folder / "m.weights.json", model, options);
  ASSERT_TRUE(written) << ToString(written.error());
  const std::vector<std::string> files = FilesIn(folder);
  ASSERT_GT(files.size(), 3U);
  EXPECT_EQ(files.front(), "m.weights.json");
  EXPECT_EQ(files[1], "m_00000.weights.h5");
  EXPECT_EQ(written->files.size(), files.size());
  const auto back = OpenCheckpoint((folder / "m.weights.json").string());
  ASSERT_TRUE(back) << ToString(back.error());
  EXPECT_EQ((*back)->format(), "keras-weights");
  std::map<std::string, std::uint64_t> bytes;
  for (const TensorInfo& info : (*back)->manifest().tensors)
    bytes[info.data_file] += info.byte_size;
  EXPECT_EQ(bytes.size(), files.size() - 1);
  for (const auto& [file, size] : bytes) EXPECT_LE(size, 2600U) << file;  // the largest alone
  const auto one = OpenCheckpoint((folder / "m.weights.json").string());
  ASSERT_TRUE(ckpt::testing::Committed(WriteKerasWeights, folder / "one.weights.h5", model, {}));
  const auto whole = OpenCheckpoint((folder / "one.weights.h5").string());
  ASSERT_TRUE(whole);
  ExpectSame(**whole, **back);
}

TEST(Keras3Set, ASmallerOneLeavesNoShardBehind) {
  const TemporaryFolder folder;
  const auto source = OpenArchive("k3_functional.keras");
  ckpt::testing::CommittedOptions options;
  options.shard_bytes = 600;
  ASSERT_TRUE(ckpt::testing::Committed(WriteKerasWeights, folder / "m.weights.json",
                                       ModelOf(*source), options));
  EXPECT_FALSE(ckpt::testing::Committed(WriteKerasWeights, folder / "m.weights.json",
                                        ModelOf(*source), options));
  options = {};
  options.replace = true;
  ASSERT_TRUE(ckpt::testing::Committed(WriteKerasWeights, folder / "m.weights.json",
                                       ModelOf(*source), options));
  EXPECT_EQ(FilesIn(folder), (std::vector<std::string>{"m.weights.json", "m_00000.weights.h5"}));
}

}  // namespace
}  // namespace ckpt::formats::keras3_writer_test
