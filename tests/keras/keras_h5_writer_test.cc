// What is written, read back by this program; that Keras reads it is tested in
// tests/interop/test_keras_h5.py.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <filesystem>

#include "formats/hdf5/hdf5_file.h"
#include "formats/keras/h5/keras_h5.h"
#include "formats/keras/model/weight_order.h"
#include "tests/support/committed.h"
#include "tests/support/memory_checkpoint.h"
#include "tests/support/paths.h"
#include "tests/support/temporary_folder.h"

namespace ckpt::formats::keras_h5_writer_test {
namespace {

using ::ckpt::testing::MemoryCheckpoint;
using ::ckpt::testing::TemporaryFolder;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::Pair;

std::unique_ptr<Checkpoint> OpenOrFail(const std::filesystem::path& path) {
  auto checkpoint = OpenKerasH5(SystemFiles(), path, Limits{});
  if (!checkpoint) ADD_FAILURE() << ToString(checkpoint.error());
  return checkpoint ? *std::move(checkpoint) : nullptr;
}

std::unique_ptr<Checkpoint> OpenFixture(const std::string& name) {
  return OpenOrFail(ckpt::testing::TestData() + "/keras_h5/" + name + ".h5");
}

// Everything but the optimizer's state, unless that is wanted.
OutputModel ModelOf(const Checkpoint& checkpoint, bool with_optimizer = false) {
  OutputModel model;
  std::vector<TensorId> ids;
  const Manifest& manifest = checkpoint.manifest();
  for (std::uint32_t i = 0; i < manifest.tensors.size(); ++i) {
    if (manifest.tensors[i].section == Section::kOptimizer && !with_optimizer) continue;
    model.tensors.push_back(manifest.tensors[i]);
    ids.push_back(TensorId{i});
  }
  model.open = [&checkpoint, ids](std::size_t i) { return checkpoint.Open(ids[i]); };
  model.metadata = manifest.metadata;
  model.documents = manifest.documents;
  model.framework = manifest.framework;
  return model;
}

// Without what the source was: as from another format.
OutputModel ForeignModel(const MemoryCheckpoint& checkpoint, std::optional<Framework> framework) {
  OutputModel model = ModelOf(checkpoint);
  model.framework = framework;
  return model;
}

std::map<std::string, std::vector<std::byte>> Contents(const Checkpoint& checkpoint) {
  std::map<std::string, std::vector<std::byte>> contents;
  for (std::uint32_t i = 0; i < checkpoint.manifest().tensors.size(); ++i) {
    auto bytes = ReadBytes(checkpoint, TensorId{i}, 1 << 20);
    EXPECT_TRUE(bytes.has_value());
    contents[checkpoint.manifest().tensors[i].stored_as] = *bytes;
  }
  return contents;
}

std::vector<std::pair<std::string, std::vector<std::string>>> LayersOf(const Checkpoint& file) {
  std::vector<std::pair<std::string, std::vector<std::string>>> layers;
  for (const Document& document : file.manifest().documents) {
    if (document.name != keras::kWeightOrderDocument) continue;
    const keras::WeightOrder order = keras::ParseWeightOrder(document.text).value();
    for (const auto& group : order.groups) {
      layers.emplace_back(group.layer, std::vector<std::string>());
      for (const auto& weight : group.weights) layers.back().second.push_back(weight.stored);
    }
  }
  return layers;
}

std::optional<std::string> RootText(const std::filesystem::path& path, std::string_view name,
                                    const std::string& object = "/") {
  const auto file = Hdf5File::Open(*SystemFiles().Open(path), Limits{});
  EXPECT_TRUE(file.has_value());
  const Hdf5Object* found = (*file)->Find(object);
  const Hdf5Attribute* attribute = found ? found->FindAttribute(name) : nullptr;
  return attribute && attribute->text() ? std::optional(*attribute->text()) : std::nullopt;
}

class KerasH5RoundTripTest : public ::testing::TestWithParam<const char*> {};

TEST_P(KerasH5RoundTripTest, EveryByteNameAndPlaceIsKept) {
  const TemporaryFolder folder;
  const auto source = OpenFixture(GetParam());
  const auto written = ckpt::testing::Committed(WriteKerasH5, folder / "copy.h5",
                                                ModelOf(*source, /*with_optimizer=*/true), {});
  ASSERT_TRUE(written.has_value()) << ToString(written.error());
  EXPECT_THAT(folder.Names(), ElementsAre("copy.h5"));
  EXPECT_EQ(written->bytes, std::filesystem::file_size(folder / "copy.h5"));
  const auto copy = OpenOrFail(folder / "copy.h5");
  EXPECT_EQ(Contents(*copy), Contents(*source));
  EXPECT_EQ(copy->manifest().metadata, source->manifest().metadata);
  EXPECT_EQ(LayersOf(*copy), LayersOf(*source));
  ASSERT_EQ(copy->manifest().documents.size(), source->manifest().documents.size());
  for (std::size_t i = 0; i < copy->manifest().documents.size(); ++i) {
    EXPECT_EQ(copy->manifest().documents[i].text, source->manifest().documents[i].text);
  }
}

INSTANTIATE_TEST_SUITE_P(Fixtures, KerasH5RoundTripTest,
                         ::testing::Values("nested_functional", "trained_functional_adam",
                                           "keras3_trained_sequential", "sequential_list_config",
                                           "conv2d_bn_float16", "lambda_layer",
                                           "weights_only_nested_functional",
                                           "weights_only_chunked_layer_names"),
                         [](const auto& test) { return std::string(test.param); });

TEST(KerasH5WriterTest, TrainingConfigGoesWithTheOptimizersState) {
  const TemporaryFolder folder;
  const auto source = OpenFixture("trained_functional_adam");
  ASSERT_TRUE(ckpt::testing::Committed(WriteKerasH5, folder / "without.h5", ModelOf(*source), {})
                  .has_value());
  ASSERT_TRUE(ckpt::testing::Committed(WriteKerasH5, folder / "with.h5", ModelOf(*source, true), {})
                  .has_value());
  EXPECT_EQ(RootText(folder / "without.h5", "training_config"), std::nullopt);
  EXPECT_NE(RootText(folder / "with.h5", "training_config"), std::nullopt);
}

TEST(KerasH5WriterTest, TheSameModelGivesTheSameBytes) {
  const TemporaryFolder folder;
  const auto source = OpenFixture("nested_functional");
  for (const char* name : {"a.h5", "b.h5"}) {
    ASSERT_TRUE(
        ckpt::testing::Committed(WriteKerasH5, folder / name, ModelOf(*source), {}).has_value());
  }
  EXPECT_EQ(folder.Read("a.h5"), folder.Read("b.h5"));
}

TEST(KerasH5WriterTest, AWholeModelNeedsEveryWeightOfItsConfig) {
  const TemporaryFolder folder;
  const auto source = OpenFixture("conv2d_bn");
  OutputModel model = ModelOf(*source);
  std::erase_if(model.tensors,
                [](const TensorInfo& info) { return info.name == "bn/moving_variance"; });
  const auto written = ckpt::testing::Committed(WriteKerasH5, folder / "out.h5", model, {});
  ASSERT_FALSE(written.has_value());
  EXPECT_EQ(written.error().code, ErrorCode::kUnfit);
  EXPECT_EQ(written.error().tensor, "bn/moving_variance");
  EXPECT_THAT(written.error().message, HasSubstr("\"bn\""));
  EXPECT_TRUE(folder.Names().empty());
}

TEST(KerasH5WriterTest, AWholeModelHasNoPlaceForOtherTensors) {
  const TemporaryFolder folder;
  const auto source = OpenFixture("conv2d_bn");
  OutputModel model = ModelOf(*source);
  model.tensors.push_back(model.tensors.back());
  model.tensors.back().name = "other/kernel";
  const auto written = ckpt::testing::Committed(WriteKerasH5, folder / "out.h5", model, {});
  ASSERT_FALSE(written.has_value());
  EXPECT_EQ(written.error().code, ErrorCode::kUnfit);
  EXPECT_EQ(written.error().tensor, "other/kernel");
}

// A fold by --pairs: no config, a batch norm consumed, a bias made.
TEST(KerasH5WriterTest, WeightsAloneKeepTheirOrderAndLoseEmptyLayers) {
  const TemporaryFolder folder;
  const auto source = OpenFixture("weights_only_conv2d_bn");
  OutputModel model = ModelOf(*source);
  std::vector<TensorInfo> kept;
  for (TensorInfo& info : model.tensors) {
    if (info.name == "conv/bias") info.name = "conv/another";
    if (!info.name.starts_with("bn/")) kept.push_back(info);
  }
  model.tensors = kept;
  const auto open = model.open;
  model.open = [open](std::size_t i) { return open(i + 4); };  // behind bn/...
  ASSERT_TRUE(ckpt::testing::Committed(WriteKerasH5, folder / "out.h5", model, {}).has_value());
  EXPECT_THAT(LayersOf(*OpenOrFail(folder / "out.h5")),
              ElementsAre(Pair("image", ElementsAre()),
                          Pair("conv", ElementsAre("conv/kernel:0", "conv/another")),
                          Pair("relu", ElementsAre()), Pair("", ElementsAre())));
}

MemoryCheckpoint FlatNames() {
  MemoryCheckpoint checkpoint;
  for (const char* name : {"bn/beta", "bn/gamma", "bn/moving_mean", "bn/moving_variance",
                           "deep/conv/bias", "deep/conv/kernel", "layer1.0.bn1.running_var"}) {
    checkpoint.Add(name, {2}, {1, 2});
  }
  checkpoint.Add("global_step", {}, {7}, Dtype::kI64);
  checkpoint.Seal();
  return checkpoint;
}

TEST(KerasH5WriterTest, NamesOfOtherFormatsAreKeptAndGroupedByLayer) {
  const TemporaryFolder folder;
  const MemoryCheckpoint source = FlatNames();
  ASSERT_TRUE(
      ckpt::testing::Committed(WriteKerasH5, folder / "out.h5", ForeignModel(source, {}), {})
          .has_value());
  const auto copy = OpenOrFail(folder / "out.h5");
  ASSERT_EQ(copy->manifest().tensors.size(), source.manifest().tensors.size());
  for (std::size_t i = 0; i < source.manifest().tensors.size(); ++i) {
    EXPECT_EQ(copy->manifest().tensors[i].name, source.manifest().tensors[i].name);
  }
  // In Keras' order within a layer, for load_weights with by_name.
  EXPECT_THAT(LayersOf(*copy),
              ElementsAre(Pair("bn", ElementsAre("bn/gamma", "bn/beta", "bn/moving_mean",
                                                 "bn/moving_variance")),
                          Pair("deep/conv", ElementsAre("deep/conv/kernel", "deep/conv/bias")),
                          Pair("", ElementsAre("global_step", "layer1.0.bn1.running_var"))));
}

TEST(KerasH5WriterTest, NamesOfOtherFrameworksDoNotPassForThoseOfKeras) {
  const TemporaryFolder folder;
  const MemoryCheckpoint source = FlatNames();
  struct Case {
    std::optional<Framework> framework, read_back;
  };
  for (const Case& c : {Case{{}, {}}, Case{Framework::kPyTorch, Framework::kPyTorch},
                        Case{Framework::kTensorFlow, Framework::kTensorFlow},
                        Case{Framework::kKeras, Framework::kKeras}}) {
    ASSERT_TRUE(ckpt::testing::Committed(WriteKerasH5, folder / "out.h5",
                                         ForeignModel(source, c.framework), {.replace = true})
                    .has_value());
    EXPECT_EQ(OpenOrFail(folder / "out.h5")->manifest().framework, c.read_back);
    // Without a version Keras takes a file for one of Keras 1 and transposes its kernels.
    EXPECT_NE(RootText(folder / "out.h5", "keras_version"), std::nullopt);
  }
}

TEST(KerasH5WriterTest, RefusesTwoTensorsThatNeedOnePath) {
  const TemporaryFolder folder;
  MemoryCheckpoint source;
  source.Add("a/b", {1}, {1});      // the dataset /a/a/b
  source.Add("a/a/b/c", {1}, {1});  // the group /a/a/b
  source.Seal();
  const auto written =
      ckpt::testing::Committed(WriteKerasH5, folder / "out.h5", ForeignModel(source, {}), {});
  ASSERT_FALSE(written.has_value());
  EXPECT_EQ(written.error().code, ErrorCode::kUnsupported);
  EXPECT_TRUE(folder.Names().empty());
}

TEST(KerasH5WriterTest, SplitsNamesThatAreTooLongForOneAttribute) {
  const TemporaryFolder folder;
  MemoryCheckpoint source;
  for (int i = 0; i < 41; ++i) {
    source.Add("layer" + std::to_string(100 + i) + std::string(1990, 'x') + "/kernel", {1}, {1});
  }
  source.Seal();
  ASSERT_TRUE(
      ckpt::testing::Committed(WriteKerasH5, folder / "out.h5", ForeignModel(source, {}), {})
          .has_value());
  EXPECT_EQ(LayersOf(*OpenOrFail(folder / "out.h5")).size(), 42);  // and the model's own
  const auto file = Hdf5File::Open(*SystemFiles().Open(folder / "out.h5"), Limits{});
  const Hdf5Object* root = (*file)->Find("/");
  // 41 names of 1998 bytes are 81918, above 64512: two parts, the first a name longer.
  EXPECT_EQ(root->FindAttribute("layer_names"), nullptr);
  EXPECT_EQ(root->FindAttribute("layer_names0")->texts()->size(), 21);
  EXPECT_EQ(root->FindAttribute("layer_names1")->texts()->size(), 20);
  EXPECT_EQ(root->FindAttribute("layer_names2"), nullptr);
}

TEST(KerasH5WriterTest, AnExistingFileStaysUnlessItMayBeReplaced) {
  const TemporaryFolder folder;
  folder.Write("out.h5", "mine");
  const MemoryCheckpoint source = FlatNames();
  const auto written =
      ckpt::testing::Committed(WriteKerasH5, folder / "out.h5", ForeignModel(source, {}), {});
  ASSERT_FALSE(written.has_value());
  EXPECT_EQ(written.error().code, ErrorCode::kAlreadyExists);
  EXPECT_EQ(folder.Read("out.h5"), "mine");
}

TEST(KerasH5WriterTest, AFailingTensorLeavesNothingBehind) {
  const TemporaryFolder folder;
  MemoryCheckpoint source = FlatNames();
  source.Break("deep/conv/kernel", Error{ErrorCode::kCorrupt, "broken"});
  const auto written =
      ckpt::testing::Committed(WriteKerasH5, folder / "out.h5", ForeignModel(source, {}), {});
  ASSERT_FALSE(written.has_value());
  EXPECT_EQ(written.error().code, ErrorCode::kCorrupt);
  EXPECT_TRUE(folder.Names().empty());
}

TEST(KerasH5WriterTest, SaysWhatItCannotHold) {
  TensorInfo info;
  info.name = "a/kernel";
  EXPECT_TRUE(CanHoldKerasH5(info).has_value());
  for (const char* name : {"", "/a", "a/", "a//b", "a/./b", "."}) {
    info.name = name;
    const Status held = CanHoldKerasH5(info);
    ASSERT_FALSE(held.has_value()) << name;
    EXPECT_EQ(held.error().code, ErrorCode::kUnsupported);
    EXPECT_EQ(held.error().tensor, name);
  }
  info.name = "a/kernel";
  info.dtype = Dtype::kVariant;
  EXPECT_FALSE(CanHoldKerasH5(info).has_value());
}

}  // namespace
}  // namespace ckpt::formats::keras_h5_writer_test
