// What a serving-ready file holds, and what stops it from being made.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>

#include "tests/convert/planned.h"

namespace ckpt::plan_conversion_test {
namespace {

using ::testing::AllOf;
using ::testing::Contains;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::Key;
using testing::MemoryCheckpoint;
using testing::NamesOf;
using ::testing::Not;
using ::testing::Pair;
using testing::PlanOf;
using testing::Reasons;
using ::testing::SizeIs;
using testing::ValuesOf;

// A layer as tf_slim writes it, with what training leaves beside it. The fold doubles the weights
// and adds {10, 20}.
MemoryCheckpoint SlimCheckpoint() {
  MemoryCheckpoint checkpoint;
  checkpoint.mutable_manifest().framework = Framework::kTensorFlow;
  checkpoint.Add("conv/weights", {1, 1, 1, 2}, {1, 2});
  checkpoint.Add("conv/weights/Momentum", {1, 1, 1, 2}, {7, 7});
  checkpoint.Add("conv/weights/ExponentialMovingAverage", {1, 1, 1, 2}, {1.5, 2.5});
  checkpoint.Add("conv/BatchNorm/gamma", {2}, {2, 2});
  checkpoint.Add("conv/BatchNorm/gamma/Momentum", {2}, {7, 7});
  checkpoint.Add("conv/BatchNorm/beta", {2}, {10, 20});
  checkpoint.Add("conv/BatchNorm/moving_mean", {2}, {0, 0});
  checkpoint.Add("conv/BatchNorm/moving_variance", {2}, {1, 1});
  checkpoint.Add("global_step", {}, {1000}, Dtype::kI64);
  checkpoint.Seal();
  return checkpoint;
}
const ConvertOptions kFold = {.fold = {.fold = true}};

TEST(TrainingStateTest, IsDroppedWithItsReason) {
  const auto checkpoint = SlimCheckpoint();
  const auto plan = PlanOf(checkpoint, {});
  ASSERT_TRUE(plan) << ToString(plan.error());
  EXPECT_THAT(NamesOf(*plan), ElementsAre("conv/BatchNorm/beta", "conv/BatchNorm/gamma",
                                          "conv/BatchNorm/moving_mean",
                                          "conv/BatchNorm/moving_variance", "conv/weights"));
  const auto reasons = Reasons(*plan);
  EXPECT_THAT(reasons, SizeIs(4));
  EXPECT_EQ(reasons.at("conv/weights/Momentum"), "optimizer state of \"conv/weights\"");
  EXPECT_EQ(reasons.at("conv/weights/ExponentialMovingAverage"),
            "moving average of \"conv/weights\"");
  EXPECT_EQ(reasons.at("global_step"), "training step");
  EXPECT_THAT(plan->kept, SizeIs(1));
}

TEST(TrainingStateTest, IsKeptWhenAskedFor) {
  const auto checkpoint = SlimCheckpoint();
  const auto plan = PlanOf(checkpoint, {.fold = {}, .keep_training_state = true});
  ASSERT_TRUE(plan);
  EXPECT_THAT(plan->tensors, SizeIs(checkpoint.manifest().tensors.size()));
  EXPECT_THAT(plan->dropped, IsEmpty());
}

TEST(TrainingStateTest, SlotsOfWhatIsFoldedGoWithIt) {
  const auto checkpoint = SlimCheckpoint();
  const auto plan = PlanOf(checkpoint, {.fold = {.fold = true}, .keep_training_state = true});
  ASSERT_TRUE(plan);
  EXPECT_THAT(NamesOf(*plan), AllOf(Contains("conv/weights/Momentum"), Contains("global_step"),
                                    Not(Contains("conv/BatchNorm/gamma/Momentum"))));
  EXPECT_THAT(Reasons(*plan),
              ElementsAre(Pair("conv/BatchNorm/gamma/Momentum", HasSubstr("which was folded"))));
}

TEST(TrainingStateTest, SectionsThatTheFileRecords) {
  MemoryCheckpoint checkpoint;
  checkpoint.Add("a", {1}, {1}).section = Section::kOptimizer;
  checkpoint.Add("b", {1}, {1}).section = Section::kBookkeeping;
  checkpoint.Add("graph", {}, {}, Dtype::kU8).section = Section::kBookkeeping;
  checkpoint.Add("w", {1}, {1});
  checkpoint.Seal();
  checkpoint.mutable_manifest().tensors[2].dtype = Dtype::kString;
  const auto plan = PlanOf(checkpoint, {});
  ASSERT_TRUE(plan);
  EXPECT_THAT(NamesOf(*plan), ElementsAre("w"));
  EXPECT_EQ(Reasons(*plan).at("a"), "optimizer state");
  EXPECT_EQ(Reasons(*plan).at("b"), "bookkeeping of the checkpoint");
  // An object graph describes the file that it stands in, never the new one.
  const auto kept = PlanOf(checkpoint, {.fold = {}, .keep_training_state = true});
  ASSERT_TRUE(kept);
  EXPECT_THAT(NamesOf(*kept), ElementsAre("a", "b", "w"));
  EXPECT_THAT(Reasons(*kept), ElementsAre(Pair("graph", "bookkeeping of the checkpoint")));
}

MemoryCheckpoint TorchCheckpoint() {
  MemoryCheckpoint checkpoint;
  checkpoint.mutable_manifest().framework = Framework::kPyTorch;
  checkpoint.Add("conv1.weight", {2, 1, 1, 1}, {1, 2});
  checkpoint.Add("bn1.weight", {2}, {2, 2});
  checkpoint.Add("bn1.bias", {2}, {10, 20});
  checkpoint.Add("bn1.running_mean", {2}, {0, 0});
  checkpoint.Add("bn1.running_var", {2}, {1, 1});
  checkpoint.Add("bn1.num_batches_tracked", {}, {9}, Dtype::kI64);
  checkpoint.Seal();
  Manifest& manifest = checkpoint.mutable_manifest();
  for (const char* name : {"conv1.weight", "bn1.weight", "bn1.bias", "bn1.running_mean",
                           "bn1.running_var", "bn1.num_batches_tracked"}) {
    manifest.stored_order.push_back(*FindTensor(manifest, name));
  }
  return checkpoint;
}

TEST(TrainingStateTest, TheBatchCounterStaysWithItsBatchNorm) {
  const auto checkpoint = TorchCheckpoint();
  const auto preserved = PlanOf(checkpoint, {});
  ASSERT_TRUE(preserved);
  EXPECT_THAT(NamesOf(*preserved), Contains("bn1.num_batches_tracked"));

  const auto folded = PlanOf(checkpoint, {.fold = {.fold = true, .pair_by_name = true}});
  ASSERT_TRUE(folded);
  EXPECT_THAT(NamesOf(*folded), ElementsAre("conv1.bias", "conv1.weight"));
  EXPECT_THAT(Reasons(*folded),
              ElementsAre(Pair("bn1.num_batches_tracked", "its batch norm was folded")));
  EXPECT_THAT(ValuesOf(checkpoint, *folded, "conv1.weight"), ElementsAre(2, 4));
  EXPECT_THAT(ValuesOf(checkpoint, *folded, "conv1.bias"), ElementsAre(10, 20));
}

TEST(FoldTest, EveryBatchNormIsAccountedFor) {
  const auto checkpoint = SlimCheckpoint();
  const auto plan = PlanOf(checkpoint, kFold);
  ASSERT_TRUE(plan);
  EXPECT_THAT(NamesOf(*plan), ElementsAre("conv/biases", "conv/weights"));
  EXPECT_THAT(plan->folded, SizeIs(1));
  EXPECT_THAT(plan->kept, IsEmpty());
  EXPECT_THAT(ValuesOf(checkpoint, *plan, "conv/weights"), ElementsAre(2, 4));
  EXPECT_THAT(ValuesOf(checkpoint, *plan, "conv/biases"), ElementsAre(10, 20));
}

TEST(FoldTest, StrictRefusesWhatIsKept) {
  const auto checkpoint = TorchCheckpoint();
  EXPECT_TRUE(PlanOf(checkpoint, kFold));
  const auto strict = PlanOf(checkpoint, {.fold = {.fold = true, .strict = true}});
  ASSERT_FALSE(strict);
  EXPECT_EQ(strict.error().code, ErrorCode::kUnfit);
  EXPECT_EQ(strict.error().setting, Setting::kStrict);
  EXPECT_THAT(strict.error().message, HasSubstr("\"bn1\""));
  // Nothing is asked to be folded, nothing is left unfolded.
  EXPECT_TRUE(PlanOf(checkpoint, {.fold = {.strict = true}}));
}

// --- Exponential moving averages.

TEST(EmaTest, ShadowsAreWrittenUnderTheNamesOfTheWeights) {
  auto checkpoint = SlimCheckpoint();
  checkpoint.mutable_manifest()
      .tensors[FindTensor(checkpoint.manifest(), "conv/weights")->index]
      .checksum = StoredChecksum{ChecksumKind::kCrc32c, 1};
  checkpoint.mutable_manifest()
      .tensors[FindTensor(checkpoint.manifest(), "conv/weights/ExponentialMovingAverage")->index]
      .checksum = StoredChecksum{ChecksumKind::kCrc32c, 2};
  const auto plan = PlanOf(checkpoint, {.fold = {}, .use_ema = true});
  ASSERT_TRUE(plan) << ToString(plan.error());
  EXPECT_THAT(ValuesOf(checkpoint, *plan, "conv/weights"), ElementsAre(1.5, 2.5));
  EXPECT_THAT(ValuesOf(checkpoint, *plan, "conv/BatchNorm/moving_variance"), ElementsAre(1, 1));
  EXPECT_THAT(NamesOf(*plan), Not(Contains("conv/weights/ExponentialMovingAverage")));
  // It is written, so that it is not dropped.
  EXPECT_FALSE(Reasons(*plan).contains("conv/weights/ExponentialMovingAverage"));
  EXPECT_EQ(plan->tensors.back().info.checksum->value, 2U);
  EXPECT_THAT(plan->notes,
              Contains(AllOf(HasSubstr("2 of 3 weights have no moving average"),
                             HasSubstr("\"conv/BatchNorm/beta\", \"conv/BatchNorm/gamma\""))));
}

TEST(EmaTest, FoldsTheShadows) {
  const auto checkpoint = SlimCheckpoint();
  const auto plan = PlanOf(checkpoint, {.fold = {.fold = true}, .use_ema = true});
  ASSERT_TRUE(plan);
  EXPECT_THAT(ValuesOf(checkpoint, *plan, "conv/weights"), ElementsAre(3, 5));
}

TEST(EmaTest, ShadowsOfAnotherTypeAreWrittenInTheirOwn) {
  ckpt::testing::MemoryCheckpoint checkpoint;
  checkpoint.Add("conv.weight", {2, 1}, {1, 2}, Dtype::kF16);
  checkpoint.Add("ema.conv.weight", {2, 1}, {1.5, 2.0009765625});
  checkpoint.Seal();
  const auto plan = PlanOf(checkpoint, {.fold = {}, .use_ema = true});
  ASSERT_TRUE(plan) << ToString(plan.error());
  ASSERT_EQ(plan->tensors.size(), 1U);
  EXPECT_EQ(plan->tensors[0].info.dtype, Dtype::kF32);
  EXPECT_THAT(ValuesOf(checkpoint, *plan, "conv.weight"), ElementsAre(1.5, 2.0009765625));
}

TEST(EmaTest, RawStatisticsBesideAveragedWeightsAreSaid) {
  ckpt::testing::MemoryCheckpoint checkpoint;
  for (const char* name : {"bn.weight", "bn.running_mean", "bn.running_var", "ema.bn.weight"}) {
    checkpoint.Add(name, {2}, {1.5, 2});
  }
  checkpoint.Seal();
  const auto plan = PlanOf(checkpoint, {.fold = {}, .use_ema = true});
  ASSERT_TRUE(plan) << ToString(plan.error());
  EXPECT_THAT(plan->notes, Contains(HasSubstr("moving statistics have no average")));
}

TEST(EmaTest, AModelThatIsItsOwnAverageIsWrittenAsItIs) {
  ckpt::testing::MemoryCheckpoint checkpoint;
  checkpoint.Add("conv.weight", {2, 1}, {1, 2});
  checkpoint.Add("n_averaged", {}, {20}, Dtype::kI64);
  checkpoint.Seal();
  const auto plan = PlanOf(checkpoint, {.fold = {}, .use_ema = true});
  ASSERT_TRUE(plan) << ToString(plan.error());
  EXPECT_THAT(NamesOf(*plan), ElementsAre("conv.weight"));
  EXPECT_THAT(plan->notes, Contains(HasSubstr("own weights are the averages")));
}

TEST(EmaTest, StopsWhereThereAreNoShadows) {
  const auto checkpoint = TorchCheckpoint();
  const auto plan = PlanOf(checkpoint, {.fold = {}, .use_ema = true});
  ASSERT_FALSE(plan);
  EXPECT_EQ(plan.error().code, ErrorCode::kUnfit);
}

TEST(EmaTest, StopsWhereAShadowHasAnotherShape) {
  auto checkpoint = SlimCheckpoint();
  Analysis analysis = Analyse(checkpoint.manifest());
  const TensorId shadow =
      *FindTensor(checkpoint.manifest(), "conv/weights/ExponentialMovingAverage");
  checkpoint.mutable_manifest().tensors[shadow.index].shape = *Shape::FromDims({2});
  const auto plan = PlanConversion(checkpoint, analysis, {}, {.fold = {}, .use_ema = true});
  ASSERT_FALSE(plan);
  EXPECT_EQ(plan.error().code, ErrorCode::kUnfit);
  EXPECT_EQ(plan.error().tensor, "conv/weights/ExponentialMovingAverage");
}

// --- Names.

TEST(RenameTest, ByEitherNameAndInSwaps) {
  auto checkpoint = TorchCheckpoint();
  checkpoint.mutable_manifest().tensors[0].stored_as = "file/key";  // bn1.bias
  const auto plan = PlanOf(checkpoint, {.fold = {},
                                        .rename = {{"file/key", "x"},
                                                   {"bn1.running_mean", "bn1.running_var"},
                                                   {"bn1.running_var", "bn1.running_mean"}}});
  ASSERT_TRUE(plan) << ToString(plan.error());
  EXPECT_THAT(NamesOf(*plan), ElementsAre("bn1.num_batches_tracked", "bn1.running_mean",
                                          "bn1.running_var", "bn1.weight", "conv1.weight", "x"));
  EXPECT_THAT(ValuesOf(checkpoint, *plan, "bn1.running_mean"), ElementsAre(1, 1));
  EXPECT_THAT(plan->renamed, Contains(Pair("bn1.bias", "x")));
  EXPECT_EQ(plan->tensors.back().info.stored_as, "x");
}

TEST(RenameTest, ABiasThatTheFoldCreates) {
  const auto checkpoint = SlimCheckpoint();
  const auto plan = PlanOf(checkpoint, {.fold = {.fold = true}, .rename = {{"conv/biases", "b"}}});
  ASSERT_TRUE(plan);
  EXPECT_THAT(NamesOf(*plan), ElementsAre("b", "conv/weights"));
}

TEST(RenameTest, WhatIsNotWrittenIsNoted) {
  const auto checkpoint = SlimCheckpoint();
  const auto plan = PlanOf(checkpoint, {.fold = {}, .rename = {{"global_step", "step"}}});
  ASSERT_TRUE(plan);
  EXPECT_THAT(plan->notes, ElementsAre("\"global_step\" has a new name, and is not written"));
  EXPECT_THAT(plan->renamed, IsEmpty());
}

TEST(RenameTest, ContradictionsAreUsageErrors) {
  const auto checkpoint = TorchCheckpoint();
  const auto code = [&](std::map<std::string, std::string> rename) {
    const auto plan = PlanOf(checkpoint, {.fold = {}, .rename = std::move(rename)});
    return plan ? std::optional<ErrorCode>() : plan.error().code;
  };
  EXPECT_EQ(code({{"no such tensor", "x"}}), ErrorCode::kInvalidArgument);
  EXPECT_EQ(code({{"bn1.bias", ""}}), ErrorCode::kInvalidArgument);
  EXPECT_EQ(code({{"bn1.bias", "bn1.weight"}}), ErrorCode::kInvalidArgument);
  EXPECT_EQ(code({{"bn1.bias", "x"}, {"bn1.weight", "x"}}), ErrorCode::kInvalidArgument);
  EXPECT_EQ(code({{"bn1.bias", "bn1.bias"}}), std::nullopt);
}

// --- Types.

TEST(CastTest, FloatingTensorsAlone) {
  const auto checkpoint = TorchCheckpoint();
  const auto plan = PlanOf(checkpoint, {.fold = {}, .cast = Dtype::kF16});
  ASSERT_TRUE(plan);
  for (const FoldedTensor& tensor : plan->tensors) {
    const bool counter = tensor.info.name == "bn1.num_batches_tracked";
    EXPECT_EQ(tensor.info.dtype, counter ? Dtype::kI64 : Dtype::kF16) << tensor.info.name;
  }
  EXPECT_THAT(ValuesOf(checkpoint, *plan, "bn1.bias"), ElementsAre(10, 20));
  EXPECT_THAT(ValuesOf(checkpoint, *plan, "bn1.num_batches_tracked"), ElementsAre(9));
}

TEST(CastTest, AFoldRoundsOnce) {
  MemoryCheckpoint checkpoint;
  checkpoint.mutable_manifest().framework = Framework::kTensorFlow;
  // 1 + 2^-11 + 2^-30 lies just above the middle of two float16 values; float32 would round it to
  // the middle, and float16 then down to even.
  const double exact = 1 + std::ldexp(1.0, -11) + std::ldexp(1.0, -30);
  checkpoint.Add("conv/weights", {2, 1}, {exact, 0}, Dtype::kF64);
  checkpoint.Add("conv/BatchNorm/beta", {1}, {exact}, Dtype::kF64);
  checkpoint.Add("conv/BatchNorm/moving_mean", {1}, {0}, Dtype::kF64);
  checkpoint.Add("conv/BatchNorm/moving_variance", {1}, {1}, Dtype::kF64);
  checkpoint.Seal();
  const auto plan = PlanOf(checkpoint, {.fold = {.fold = true}, .cast = Dtype::kF16});
  ASSERT_TRUE(plan);
  EXPECT_THAT(ValuesOf(checkpoint, *plan, "conv/weights"),
              ElementsAre(1 + std::ldexp(1.0, -10), 0));
  EXPECT_THAT(ValuesOf(checkpoint, *plan, "conv/biases"), ElementsAre(1 + std::ldexp(1.0, -10)));
}

TEST(CastTest, ValuesThatOverflowStopIt) {
  MemoryCheckpoint checkpoint;
  checkpoint.Add("a", {3}, {1, 65520, 2});
  checkpoint.Seal();
  const auto plan = PlanOf(checkpoint, {.fold = {}, .cast = Dtype::kF16});
  ASSERT_FALSE(plan);
  EXPECT_EQ(plan.error().code, ErrorCode::kUnfit);
  EXPECT_EQ(plan.error().tensor, "a");
  EXPECT_THAT(plan.error().message, HasSubstr("1 of 3 values exceed float16"));
  EXPECT_TRUE(PlanOf(checkpoint, {.fold = {}, .cast = Dtype::kBF16}));
}

TEST(CastTest, ValuesThatGoSubnormalAreNoted) {
  MemoryCheckpoint checkpoint;
  checkpoint.Add("a", {3}, {1, 1e-6, 0});
  checkpoint.Seal();
  const auto plan = PlanOf(checkpoint, {.fold = {}, .cast = Dtype::kF16});
  ASSERT_TRUE(plan);
  EXPECT_THAT(plan->notes, ElementsAre(HasSubstr("1 values of \"a\"")));
}

TEST(CastTest, ATypeThatIsNoFloatIsAUsageError) {
  const auto checkpoint = TorchCheckpoint();
  for (const Dtype dtype : {Dtype::kI8, Dtype::kBool, Dtype::kString, Dtype::kC64}) {
    const auto plan = PlanOf(checkpoint, {.fold = {}, .cast = dtype});
    ASSERT_FALSE(plan);
    EXPECT_EQ(plan.error().code, ErrorCode::kInvalidArgument);
  }
}

// --- What stops a conversion.

constexpr Rule kStops = {"BN900", "stops", Severity::kError, "", "", InConversion::kStops};
constexpr Rule kGoesOn = {"BN901", "goes-on", Severity::kError, "", "", InConversion::kPasses};

AuditResult Found(const Rule& rule, Severity severity, const std::string& subject,
                  std::vector<std::size_t> layers = {}) {
  AuditResult audit;
  audit.findings.push_back({&rule, severity, subject, {}, "", "", std::move(layers)});
  return audit;
}

TEST(FindingTest, AStoppingErrorStopsAndNamesTheLayer) {
  const auto checkpoint = SlimCheckpoint();
  // What a finding is called decides nothing.
  for (const char* subject : {"conv/BatchNorm", "1 of 1 batch norms", "model.ckpt"}) {
    const AuditResult audit = Found(kStops, Severity::kError, subject, {0});
    const auto plan = PlanOf(checkpoint, kFold, audit);
    ASSERT_FALSE(plan);
    EXPECT_EQ(plan.error().code, ErrorCode::kUnfit);
    EXPECT_THAT(plan.error().message, AllOf(HasSubstr("BN900 stops"), HasSubstr("conv/BatchNorm")));
    EXPECT_EQ(plan.error().remedy, Remedy::kAllowFindings);
  }
}

TEST(FindingTest, WhatIsAllowedIsKeptAndNeverFolded) {
  const auto checkpoint = SlimCheckpoint();
  ConvertOptions options = {.fold = {.fold = true, .leftover_affine = true}};
  options.allow_findings = true;
  const auto plan =
      PlanOf(checkpoint, options, Found(kStops, Severity::kError, "conv/BatchNorm", {0}));
  ASSERT_TRUE(plan);
  EXPECT_THAT(plan->folded, IsEmpty());
  ASSERT_THAT(plan->kept, SizeIs(1));
  EXPECT_EQ(plan->kept[0].reason, "BN900 stops");
  EXPECT_FALSE(plan->kept[0].affine);
  EXPECT_THAT(NamesOf(*plan), SizeIs(5));
}

TEST(FindingTest, MilderFindingsDoNotStop) {
  const auto checkpoint = SlimCheckpoint();
  EXPECT_TRUE(PlanOf(checkpoint, kFold, Found(kStops, Severity::kWarning, "conv/BatchNorm", {0})));
  EXPECT_TRUE(PlanOf(checkpoint, kFold, Found(kGoesOn, Severity::kError, "conv/BatchNorm", {0})));
  // What is a warning as a rule stops as one.
  constexpr Rule kWarns = {"BN902", "warns", Severity::kWarning, "", "", InConversion::kStops};
  EXPECT_FALSE(PlanOf(checkpoint, kFold, Found(kWarns, Severity::kWarning, "conv/BatchNorm", {0})));
}

TEST(FindingTest, AFindingAboutNoLayerStopsToo) {
  const auto plan = PlanOf(SlimCheckpoint(), {}, Found(kStops, Severity::kError, "conv/weights"));
  ASSERT_FALSE(plan);
  EXPECT_THAT(plan.error().message, HasSubstr("\"conv/weights\""));
}

TEST(FindingTest, DamageStopsAlways) {
  AuditResult audit;
  audit.error = Error{ErrorCode::kCorrupt, "checksum mismatch", "data", 12, "conv/weights"};
  ConvertOptions options;
  options.allow_findings = true;
  const auto plan = PlanOf(SlimCheckpoint(), options, audit);
  ASSERT_FALSE(plan);
  EXPECT_EQ(plan.error().code, ErrorCode::kCorrupt);
  EXPECT_EQ(plan.error().offset, 12U);
}

TEST(FindingTest, AnAbsentShardStopsAlways) {
  auto checkpoint = SlimCheckpoint();
  Manifest& manifest = checkpoint.mutable_manifest();
  const TensorId weights = *FindTensor(manifest, "conv/weights");
  manifest.tensors[weights.index].data_present = false;
  manifest.problems.push_back({{ErrorCode::kNotFound, "no such shard", "model.data-1"}, {weights}});
  ConvertOptions options;
  options.allow_findings = true;
  const auto absent = PlanOf(checkpoint, options);
  ASSERT_FALSE(absent);
  EXPECT_EQ(absent.error().code, ErrorCode::kUnfit);
  EXPECT_EQ(absent.error().file, "model.data-1");
  EXPECT_THAT(absent.error().message, HasSubstr("conv/weights"));

  manifest.problems[0].error.code = ErrorCode::kCorrupt;
  const auto truncated = PlanOf(checkpoint, options);
  ASSERT_FALSE(truncated);
  EXPECT_EQ(truncated.error().code, ErrorCode::kCorrupt);
}

// A graph of layers in which the batch norm of a Keras-like model is called with training=True.
MemoryCheckpoint AlwaysTraining(bool overridden = false) {
  MemoryCheckpoint checkpoint;
  Layer conv, norm;
  conv.name = "conv";
  conv.op_type = "Conv2D";
  conv.computation = network::Convolution{};
  conv.has_kernel = true;
  conv.tensors["kernel"] = TensorId{4};
  conv.axis = -1;
  conv.can_gain_bias = true;
  norm.name = "bn";
  norm.op_type = "BatchNormalization";
  norm.computation = network::BatchNormalization{};
  norm.axis = -1;
  norm.epsilon = 0.0;
  norm.training_mode = "called with training=True";
  norm.training_mode_overridden = overridden;
  std::uint32_t next = 0;
  for (const char* name : {"beta", "gamma", "moving_mean", "moving_variance"}) {  // sorted
    checkpoint.Add(std::string("bn/") + name, {2}, {4, 4});
    norm.tensors[name] = TensorId{next++};
  }
  checkpoint.Add("conv/kernel", {1, 1, 1, 2}, {1, 2});
  ModelGraph graph;
  graph.origin = GraphOrigin::kKerasConfig;
  graph.source = "Keras config";
  Layer input;
  input.name = "x";
  input.is_input = true;
  const ValueId x = graph.AddCall(std::move(input), {}, 4);
  const ValueId y = graph.AddCall(std::move(norm), {graph.AddCall(std::move(conv), {x}, 4)}, 4);
  graph.values[y].is_model_output = true;
  checkpoint.mutable_manifest().graph = std::move(graph);
  checkpoint.Seal();
  return checkpoint;
}

TEST(TrainingModeTest, AnOutputThatHoldsTheNetworkIsRefusedWithoutTheUsersWord) {
  const auto checkpoint = AlwaysTraining();
  for (const bool fold : {false, true}) {
    ConvertOptions options{.fold = {.fold = fold}};
    options.output_holds_network = true;
    const auto refused = PlanOf(checkpoint, options);
    ASSERT_FALSE(refused);
    EXPECT_EQ(refused.error().code, ErrorCode::kUnfit);
    EXPECT_THAT(refused.error().message, AllOf(HasSubstr("\"bn\""), HasSubstr("training=True")));
    EXPECT_EQ(refused.error().remedy, Remedy::kCloseTrainingMode);
    options.close_training_mode = true;
    const auto plan = PlanOf(checkpoint, options);
    ASSERT_TRUE(plan) << ToString(plan.error());
    ASSERT_THAT(plan->changed, SizeIs(1));
    EXPECT_EQ(plan->changed[0].batch_norm, "bn");
    EXPECT_THAT(plan->kept, IsEmpty());
    EXPECT_THAT(plan->folded, SizeIs(fold ? 1 : 0));
    EXPECT_THAT(plan->edits.to_inference, SizeIs(fold ? 0 : 1));
  }
}

TEST(TrainingModeTest, TensorsAloneAreWrittenAndAFoldOfThemIsNot) {
  const auto checkpoint = AlwaysTraining();
  const auto plan = PlanOf(checkpoint, {});
  ASSERT_TRUE(plan) << ToString(plan.error());
  EXPECT_THAT(NamesOf(*plan), SizeIs(5));
  EXPECT_THAT(plan->notes, Contains(HasSubstr("training mode in the input: \"bn\"")));
  EXPECT_THAT(plan->changed, IsEmpty());
  EXPECT_FALSE(PlanOf(checkpoint, kFold));
}

TEST(TrainingModeTest, ACallThatIsOverriddenStopsNothingAndIsNotFolded) {
  const auto checkpoint = AlwaysTraining(true);
  ConvertOptions options = kFold;
  options.output_holds_network = options.close_training_mode = true;
  const auto plan = PlanOf(checkpoint, options);
  ASSERT_TRUE(plan) << ToString(plan.error());
  EXPECT_THAT(plan->changed, IsEmpty());
  EXPECT_THAT(plan->edits.to_inference, IsEmpty());
  ASSERT_THAT(plan->kept, SizeIs(1));
  EXPECT_THAT(plan->kept[0].reason, HasSubstr("training=True"));
}

}  // namespace
}  // namespace ckpt::plan_conversion_test
