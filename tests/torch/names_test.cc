// Names, sections and slots of training checkpoints, and what is said of what is not read.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/support/expected_tensors.h"
#include "tests/torch/torch_files.h"

namespace ckpt::formats::names_test {
namespace {

using ckpt::testing::OpenBytes;
using ckpt::testing::OpenFixture;
using ckpt::testing::TorchArchive;
using ckpt::testing::TorchFile;
using ::testing::HasSubstr;
using ::testing::Not;
namespace pickle = ckpt::testing::pickle;

TEST(TorchNames, AdamsSlotsBelongToTheParametersInTheOrderOfTheModule) {
  const auto opened = OpenFixture("parallel_adam.pth");
  ASSERT_TRUE(opened) << ToString(opened.error());
  const Manifest& manifest = (*opened)->manifest();
  const auto parameters =
      ckpt::testing::ReadExpected(TorchFile("parallel_adam.pth.expected.json"))["parameters"];
  ASSERT_EQ(parameters.size(), 9U);
  for (std::size_t i = 0; i < parameters.size(); ++i) {
    for (const char* slot : {"exp_avg", "exp_avg_sq", "step"}) {
      const std::string name = "optimizer.state." + std::to_string(i) + "." + slot;
      const auto id = FindTensor(manifest, name);
      ASSERT_TRUE(id) << name;
      const TensorInfo& info = manifest.tensors[id->index];
      EXPECT_EQ(info.section, Section::kOptimizer);
      EXPECT_EQ(info.slot_name, slot);
      ASSERT_TRUE(info.slot_of) << name;
      EXPECT_EQ(manifest.tensors[info.slot_of->index].name, parameters[i].get<std::string>());
    }
  }
  EXPECT_EQ(manifest.metadata.at("epoch"), "12");
  EXPECT_EQ(manifest.metadata.at("arch"), "net");
  EXPECT_THAT(manifest.note, HasSubstr("\"state_dict\""));
}

TEST(TorchNames, SeveralParameterGroupsSayNothingOfTheOrder) {
  const auto opened = OpenFixture("two_groups.pth");
  ASSERT_TRUE(opened) << ToString(opened.error());
  const Manifest& manifest = (*opened)->manifest();
  const auto id = FindTensor(manifest, "optimizer.state.0.momentum_buffer");
  ASSERT_TRUE(id);
  EXPECT_EQ(manifest.tensors[id->index].section, Section::kOptimizer);
  EXPECT_FALSE(manifest.tensors[id->index].slot_of);
}

TEST(TorchNames, LightningsClassesAreNamedAndNotRun) {
  const auto opened = OpenFixture("lightning.ckpt");
  ASSERT_TRUE(opened) << ToString(opened.error());
  const Manifest& manifest = (*opened)->manifest();
  EXPECT_THAT(manifest.note, HasSubstr("argparse.Namespace"));
  EXPECT_THAT(manifest.note, HasSubstr("pathlib"));
  EXPECT_EQ(manifest.metadata.at("pytorch-lightning_version"), "2.4.0");
  const auto id = FindTensor(manifest, "optimizer_states.0.state.0.exp_avg");
  ASSERT_TRUE(id);
  EXPECT_EQ(manifest.tensors[id->index].section, Section::kOptimizer);
}

TEST(TorchNames, APlainStateDictNeedsNoNote) {
  const auto opened = OpenFixture("state_dict.pt");
  ASSERT_TRUE(opened) << ToString(opened.error());
  EXPECT_EQ((*opened)->manifest().note, "");
  EXPECT_THAT((*opened)->manifest().metadata.at("_metadata"),
              HasSubstr("\"bn1\": {\"version\": 2}"));
}

TEST(TorchNames, TheClassesOfAWholeModuleAreNamed) {
  const auto opened = OpenFixture("whole_module.pt");
  ASSERT_TRUE(opened) << ToString(opened.error());
  EXPECT_THAT((*opened)->manifest().note, HasSubstr("torch.nn.modules.conv.Conv2d"));
}

TEST(TorchNames, CompressedStoragesAreReported) {
  const auto opened = OpenFixture("deflated.pt");
  ASSERT_TRUE(opened) << ToString(opened.error());
  EXPECT_THAT((*opened)->manifest().note, HasSubstr("mmap=True"));
}

std::string Entry(std::string_view key, const std::string& value) {
  return pickle::Text(key) + value + "s";
}

Result<std::unique_ptr<Checkpoint>> OpenPickle(const std::string& root) {
  return OpenBytes(TorchArchive(pickle::kStart + root + ".", {ckpt::testing::kFourFloats}));
}

std::vector<std::string> Names(const Manifest& manifest) {
  std::vector<std::string> names;
  for (const TensorInfo& info : manifest.tensors) names.push_back(info.name);
  return names;
}

TEST(TorchNames, APrefixThatOnlySomeNamesHaveStays) {
  const auto opened =
      OpenPickle("}" + Entry("module.a", pickle::Vector()) + Entry("b", pickle::Vector()));
  ASSERT_TRUE(opened) << ToString(opened.error());
  EXPECT_EQ(Names((*opened)->manifest()), (std::vector<std::string>{"b", "module.a"}));
}

TEST(TorchNames, NamesThatWouldFallTogetherStayAsTheyAre) {
  const auto opened =
      OpenPickle("}" + Entry("_orig_mod.a", pickle::Vector()) + Entry("a", pickle::Vector()));
  ASSERT_TRUE(opened) << ToString(opened.error());
  EXPECT_EQ(Names((*opened)->manifest()), (std::vector<std::string>{"_orig_mod.a", "a"}));
}

TEST(TorchNames, TwoTensorsOfOnePathAreRefused) {
  const auto opened = OpenPickle("}" + Entry("a.b", pickle::Vector()) +
                                 Entry("a", "}" + Entry("b", pickle::Vector())));
  ASSERT_FALSE(opened);
  EXPECT_EQ(opened.error().code, ErrorCode::kCorrupt);
  EXPECT_EQ(opened.error().tensor, "a.b");
}

TEST(TorchNames, AnAverageAloneIsTheModel) {
  const auto opened = OpenPickle("}" + Entry("params_ema", "}" + Entry("w", pickle::Vector())));
  ASSERT_TRUE(opened) << ToString(opened.error());
  EXPECT_EQ(Names((*opened)->manifest()), (std::vector<std::string>{"w"}));
  EXPECT_EQ((*opened)->manifest().tensors[0].stored_as, "params_ema.w");
}

TEST(TorchNames, ListsAndNumbersArePartsOfPaths) {
  const auto opened = OpenPickle(
      "}" + Entry("nets", "]" + pickle::Vector() + "a" + "}K\x05" + pickle::Vector() + "sa"));
  ASSERT_TRUE(opened) << ToString(opened.error());
  EXPECT_EQ(Names((*opened)->manifest()), (std::vector<std::string>{"nets.0", "nets.1.5"}));
}

TEST(TorchNames, AnOrderedDictOfPython2) {
  const std::string pair = "](" + std::string("U\x01w") + pickle::Vector() + "e";
  const auto opened =
      OpenPickle(pickle::Global("collections", "OrderedDict") + "](" + pair + "e\x85R");
  ASSERT_TRUE(opened) << ToString(opened.error());
  EXPECT_EQ(Names((*opened)->manifest()), (std::vector<std::string>{"w"}));
}

}  // namespace
}  // namespace ckpt::formats::names_test
