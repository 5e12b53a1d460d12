// What pickled modules, TorchScript and state dicts record of their modules, against what PyTorch
// itself says of them (testdata/torch_modules/expected.json).
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>

#include "ckpt/batch_norm.h"
#include "ckpt/convert.h"
#include "formats/torch/script_source.h"
#include "tests/support/expected_tensors.h"
#include "tests/support/paths.h"
#include "tests/torch/torch_files.h"

namespace ckpt::formats::recorded_modules_test {
namespace {

using ckpt::testing::ReadExpected;
using ::testing::ElementsAreArray;
using ::testing::HasSubstr;

std::string ModuleFile(std::string_view name) {
  return ckpt::testing::TestData() + "/torch_modules/" + std::string(name);
}

std::unique_ptr<Checkpoint> OpenModules(std::string_view name) {
  auto opened = OpenTorch(SystemFiles(), ModuleFile(name), {});
  if (!opened) ADD_FAILURE() << name << ": " << ToString(opened.error());
  return opened ? *std::move(opened) : nullptr;
}

nlohmann::json ExpectedOf(const std::string& name) {
  return ReadExpected(ModuleFile("expected.json"))[name];
}

std::vector<std::string> StateInStoredOrder(const Manifest& manifest) {
  std::vector<std::string> names;
  for (const TensorId id : manifest.stored_order) {
    const TensorInfo& info = manifest.tensors[id.index];
    if (info.section == Section::kModel) names.push_back(info.name);
  }
  return names;
}

class ModuleFiles : public ::testing::TestWithParam<const char*> {};

TEST_P(ModuleFiles, HaveTheStateDictOfTheModuleInItsOrder) {
  const auto opened = OpenModules(GetParam());
  ASSERT_NE(opened, nullptr);
  const auto expected = ExpectedOf(GetParam())["state_dict"].get<std::vector<std::string>>();
  EXPECT_THAT(StateInStoredOrder(opened->manifest()), ElementsAreArray(expected));
}

TEST_P(ModuleFiles, RecordClassAndModeOfEachModule) {
  const auto opened = OpenModules(GetParam());
  ASSERT_NE(opened, nullptr);
  const ModuleIndex modules(opened->manifest());
  const nlohmann::json recorded = ExpectedOf(GetParam())["modules"];
  for (const auto& [scope, expected] : recorded.items()) {
    SCOPED_TRACE(scope);
    const RecordedModule* const module = modules.Find(scope);
    ASSERT_NE(module, nullptr);
    EXPECT_EQ(module->class_name, expected["class"].get<std::string>());
    const RecordedValue* const training = module->Attribute("training");
    ASSERT_NE(training, nullptr);
    EXPECT_EQ(AsBool(*training), expected["training"].get<bool>());
  }
  EXPECT_EQ(opened->manifest().modules.size(), recorded.size());
}

TEST_P(ModuleFiles, GiveEpsilonAndMomentumOfEachBatchNorm) {
  const auto opened = OpenModules(GetParam());
  ASSERT_NE(opened, nullptr);
  const Analysis analysis = Analyse(opened->manifest());
  std::size_t batch_norms = 0;
  const nlohmann::json recorded = ExpectedOf(GetParam())["modules"];
  for (const auto& [name, expected] : recorded.items()) {
    const std::string& scope = name;  // clang 14 captures no structured binding
    if (!expected.contains("eps")) continue;
    ++batch_norms;
    const auto found = std::find_if(analysis.batch_norms.begin(), analysis.batch_norms.end(),
                                    [&](const BatchNorm& norm) { return norm.scope == scope; });
    ASSERT_NE(found, analysis.batch_norms.end()) << scope;
    ASSERT_TRUE(found->epsilon.has_value());
    EXPECT_EQ(found->epsilon->value, expected["eps"].get<double>());
    EXPECT_EQ(found->epsilon->evidence.source, EvidenceSource::kFrameworkRecord);
    if (expected["momentum"].is_null()) {
      EXPECT_TRUE(found->cumulative.has_value());
      continue;
    }
    ASSERT_TRUE(found->momentum.has_value());
    EXPECT_DOUBLE_EQ(found->momentum->value, 1 - expected["momentum"].get<double>());
    EXPECT_EQ(found->momentum->evidence.source, EvidenceSource::kFrameworkRecord);
  }
  EXPECT_EQ(analysis.batch_norms.size(), batch_norms);
}

INSTANTIATE_TEST_SUITE_P(All, ModuleFiles,
                         ::testing::Values("detector.pt", "detector_legacy.pt", "cumulative.pt",
                                           "slow.pt", "group_norm.pt", "scripted.pt", "traced.pt"),
                         [](const auto& file) {
                           std::string name = file.param;
                           std::replace(name.begin(), name.end(), '.', '_');
                           return name;
                         });

TEST(RecordedModules, AttributesThatAreNoStateAreNotWritten) {
  const auto opened = OpenModules("detector.pt");
  ASSERT_NE(opened, nullptr);
  const Manifest& manifest = opened->manifest();
  for (const char* name : {"stride", "grid"}) {
    const auto id = FindTensor(manifest, name);
    ASSERT_TRUE(id.has_value()) << name;
    EXPECT_EQ(manifest.tensors[id->index].section, Section::kTransient) << name;
  }
  const Analysis analysis = Analyse(manifest);
  const auto plan = PlanConversion(*opened, analysis, Audit(*opened, analysis), {});
  ASSERT_TRUE(plan) << ToString(plan.error());
  std::vector<std::string> written;
  for (const FoldedTensor& tensor : plan->tensors) written.push_back(tensor.info.name);
  EXPECT_THAT(written,
              ::testing::UnorderedElementsAreArray(
                  ExpectedOf("detector.pt")["state_dict"].get<std::vector<std::string>>()));
}

TEST(RecordedModules, PlainAttributesHaveTheirValues) {
  const auto opened = OpenModules("detector.pt");
  ASSERT_NE(opened, nullptr);
  const ModuleIndex modules(opened->manifest());
  const RecordedModule* const up = modules.Find("up");
  ASSERT_NE(up, nullptr);
  EXPECT_EQ(*up->Attribute("transposed"), RecordedValue(true));
  EXPECT_EQ(*up->Attribute("groups"), RecordedValue(std::int64_t{1}));
  EXPECT_EQ(*up->Attribute("stride"), RecordedValue(std::vector<std::int64_t>{2, 2}));
  EXPECT_EQ(*up->Attribute("padding_mode"), RecordedValue(std::string("zeros")));
  EXPECT_EQ(up->Attribute("_parameters"), nullptr);
  EXPECT_EQ(up->record, ModuleRecord::kPickled);
}

TEST(RecordedModules, AGroupNormThatIsCalledBn1IsNoBatchNormWithoutStatistics) {
  for (const char* name : {"group_norm.pt", "group_norm_state.pt"}) {
    const auto opened = OpenModules(name);
    ASSERT_NE(opened, nullptr);
    EXPECT_TRUE(Analyse(opened->manifest()).batch_norms.empty()) << name;
  }
  const auto opened = OpenModules("untracked_state.pt");  // version 2
  ASSERT_NE(opened, nullptr);
  const Analysis analysis = Analyse(opened->manifest());
  ASSERT_EQ(analysis.batch_norms.size(), 1U);
  EXPECT_TRUE(analysis.batch_norms[0].certain);
}

TEST(RecordedModules, AStateDictRecordsTheVersionOfEachModuleInOrder) {
  const auto opened = OpenModules("untracked_state.pt");
  ASSERT_NE(opened, nullptr);
  const std::vector<RecordedModule>& modules = opened->manifest().modules;
  ASSERT_EQ(modules.size(), 3U);
  EXPECT_EQ(modules[0].scope, "");
  EXPECT_EQ(modules[1].scope, "conv1");
  EXPECT_EQ(modules[2].scope, "bn1");
  EXPECT_EQ(modules[2].version, 2);
  EXPECT_EQ(modules[2].record, ModuleRecord::kStateDict);
}

TEST(RecordedModules, WhatWasTracedInTrainingModeSaysSo) {
  const auto opened = OpenModules("traced_in_training.pt");
  ASSERT_NE(opened, nullptr);
  const Analysis analysis = Analyse(opened->manifest());
  ASSERT_EQ(analysis.batch_norms.size(), 1U);
  EXPECT_THAT(analysis.batch_norms[0].training_mode, HasSubstr("torch.batch_norm"));
  EXPECT_EQ(analysis.batch_norms[0].epsilon->value, 1e-3);
  const auto evaluating = OpenModules("traced.pt");
  ASSERT_NE(evaluating, nullptr);
  EXPECT_EQ(Analyse(evaluating->manifest()).batch_norms.at(0).training_mode, "");
}

TEST(RecordedModules, TheConstantsOfTorchScriptAreNoParameters) {
  const auto opened = OpenModules("traced_in_training.pt");
  ASSERT_NE(opened, nullptr);
  const auto id = FindTensor(opened->manifest(), "constants.0");
  ASSERT_TRUE(id.has_value());
  EXPECT_EQ(opened->manifest().tensors[id->index].section, Section::kConstant);
}

TEST(RecordedModules, AnOrderThatIsThatOfTheNamesIsNone) {
  using namespace ckpt::testing::pickle;  // NOLINT: opcodes, so that a pickle reads like a listing
  const auto order_of = [](const char* first, const char* second) {
    const auto opened = ckpt::testing::OpenBytes(ckpt::testing::TorchArchive(
        kStart + "}" + Text(first) + Vector() + "s" + Text(second) + Vector() + "s.",
        {ckpt::testing::kFourFloats}));
    return (*opened)->manifest().stored_order;
  };
  EXPECT_TRUE(order_of("a", "b").empty());
  EXPECT_EQ(order_of("b", "a"), (std::vector<TensorId>{{1}, {0}}));
}

TEST(RandomState, IsNotWrittenNorAreCurvesBesideTheModel) {
  const auto opened = OpenModules("with_rng.pt");
  ASSERT_NE(opened, nullptr);
  EXPECT_THAT(
      StateInStoredOrder(opened->manifest()),
      ElementsAreArray(ExpectedOf("with_rng.pt")["state_dict"].get<std::vector<std::string>>()));
}

TEST(NumpyArrays, AreTensorsInEveryOrderAndProtocol) {
  for (const char* name : {"arrays.pt", "arrays_protocol5.pt"}) {
    const auto opened = OpenModules(name);
    ASSERT_NE(opened, nullptr);
    const nlohmann::json values = ExpectedOf("arrays.pt")["values"];
    EXPECT_EQ(opened->manifest().tensors.size(), values.size());
    for (const auto& [tensor, expected] : values.items()) {
      SCOPED_TRACE(tensor);
      const auto id = FindTensor(opened->manifest(), tensor);
      ASSERT_TRUE(id.has_value());
      const auto read = ReadDoubles(*opened, *id, 1000);
      ASSERT_TRUE(read) << ToString(read.error());
      EXPECT_EQ(*read, expected.get<std::vector<double>>());
    }
  }
}

TEST(DistributedTensors, AreReadWhereOneRankHoldsAllAndNamedElsewhere) {
  const auto opened = OpenModules("dtensor.pt");
  ASSERT_NE(opened, nullptr);
  const auto whole = ReadDoubles(*opened, *FindTensor(opened->manifest(), "whole"), 100);
  ASSERT_TRUE(whole) << ToString(whole.error());
  EXPECT_EQ(*whole, (std::vector<double>{0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11}));
  const auto part = ReadDoubles(*opened, *FindTensor(opened->manifest(), "part"), 100);
  ASSERT_FALSE(part);
  EXPECT_EQ(part.error().code, ErrorCode::kUnsupported);
  EXPECT_THAT(part.error().message, HasSubstr("one rank's part, [2, 3], of a DTensor of [4, 3]"));
}

TEST(ScriptSource, ConstantsNamesAndCallsAreRead) {
  const ScriptClasses classes = ReadScriptClasses(
      "class A(Module):\n  __parameters__ = [\"weight\", ]\n  __buffers__ = []\n"
      "  weight : Tensor\n  eps : Final[float] = 0.001\n  size : Final[Tuple[int, int]] = (3, -1)\n"
      "  mode : Final[str] = \"a\\\"]b\"\n  momentum : Final[NoneType] = None\n"
      "  def forward(self: __torch__.A,\n    x: Tensor) -> Tensor:\n"
      "    return torch.relu(torch.batch_norm(x, None, \"(,\", [1, 2], True, 1e-05, f(x, 3), ))\n"
      "def g(x):\n  return torch.add(x, 1)\n"
      "class B(Module):\n  n : Final[int] = 7\n");
  ASSERT_EQ(classes.size(), 2U);
  const ScriptClass& a = classes.find("A")->second;
  EXPECT_EQ(a.constants.at("eps"), RecordedValue(0.001));
  EXPECT_EQ(a.constants.at("size"), RecordedValue(std::vector<std::int64_t>{3, -1}));
  EXPECT_EQ(a.constants.at("mode"), RecordedValue(std::string("a\"]b")));
  EXPECT_EQ(a.constants.at("momentum"), RecordedValue());
  EXPECT_TRUE(a.parameters.contains("weight"));
  ASSERT_EQ(a.calls.size(), 1U);
  EXPECT_EQ(a.calls[0].op, "torch.batch_norm");
  const auto& arguments = a.calls[0].arguments;
  ASSERT_EQ(arguments.size(), 7U);
  EXPECT_FALSE(arguments[0].has_value());
  EXPECT_EQ(arguments[1], RecordedValue());
  EXPECT_EQ(arguments[2], RecordedValue(std::string("(,")));
  EXPECT_EQ(arguments[3], RecordedValue(std::vector<std::int64_t>{1, 2}));
  EXPECT_EQ(arguments[4], RecordedValue(true));
  EXPECT_EQ(arguments[5], RecordedValue(1e-5));
  EXPECT_FALSE(arguments[6].has_value());
  EXPECT_EQ(classes.find("B")->second.constants.at("n"), RecordedValue(std::int64_t{7}));
}

}  // namespace
}  // namespace ckpt::formats::recorded_modules_test
