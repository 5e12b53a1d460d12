// What must not be folded, and the reason that is given for it.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <limits>
#include <string>

#include "tests/fold/test_net.h"

namespace ckpt::refusals_test {
namespace {

using ::testing::ElementsAre;
using testing::ExpectSameFunction;
using testing::FoldedScopes;
using ::testing::HasSubstr;
using testing::Index;
using ::testing::IsEmpty;
using testing::LayerKind;
using testing::ReasonOf;
using testing::TestNet;

// conv -> bn, with sizes that agree everywhere.
struct ConvNet : TestNet {
  ConvNet() {
    const auto x = Conv("conv", Input({3, 3, 3, 3}), {.out = 3, .kernel = {3, 3}});
    Output(BatchNorm("bn", x));
  }
};

std::string KeptBecause(TestNet& net, FoldOptions options = {}) {
  const auto plan = PlanFoldOf(net, std::move(options));
  EXPECT_TRUE(plan) << (plan ? "" : ToString(plan.error()));
  if (!plan) return {};
  EXPECT_THAT(plan->folded, IsEmpty());
  EXPECT_THAT(plan->tensors, IsEmpty());
  EXPECT_THAT(plan->consumed, IsEmpty());
  EXPECT_THAT(plan->edits.removed, IsEmpty());
  return ReasonOf(*plan, "bn");
}

TEST(RefusalTest, NothingIsFoldedUnlessAskedFor) {
  ConvNet net;
  const auto plan = PlanFold(net.Checkpoint(), Analyse(net.Checkpoint().manifest()), {});
  ASSERT_TRUE(plan);
  EXPECT_THAT(plan->folded, IsEmpty());
  EXPECT_EQ(plan->kept.size(), 1U);
}

TEST(RefusalTest, ASecondConsumer) {
  TestNet net;
  const auto conv = net.Conv("conv", net.Input({3, 3, 3, 3}), {.out = 3, .kernel = {1, 1}});
  const auto bn = net.BatchNorm("bn", conv);
  net.Output(net.Simple("add_1", LayerKind::kAdd, {conv, bn}, {}));
  EXPECT_THAT(KeptBecause(net), HasSubstr("2 consumers: \"add_1\", \"bn\""));
}

// Each of the readers has this reason: a list of all of them would grow with their square.
TEST(RefusalTest, AFanNamesItsFirstReaders) {
  TestNet net;
  const auto conv = net.Conv("conv", net.Input({3, 3, 3, 3}), {.out = 3, .kernel = {1, 1}});
  net.Output(net.BatchNorm("bn", conv));
  for (int i = 10; i < 21; ++i) net.Output(net.BatchNorm("bn" + std::to_string(i), conv));
  EXPECT_THAT(KeptBecause(net), HasSubstr("12 consumers: \"bn\", \"bn10\", \"bn11\", \"bn12\", "
                                          "\"bn13\", \"bn14\", \"bn15\", \"bn16\" and 4 more"));
}

TEST(RefusalTest, AnOutputOfTheModelBeforeTheBatchNorm) {
  TestNet net;
  const auto conv = net.Conv("conv", net.Input({3, 3, 3, 3}), {.out = 3, .kernel = {1, 1}});
  net.Output(conv);
  net.Output(net.BatchNorm("bn", conv));
  EXPECT_THAT(KeptBecause(net), HasSubstr("is an output of the model as well"));
}

TEST(RefusalTest, AnActivationBetween) {
  TestNet net;
  auto x =
      net.Conv("conv", net.Input({3, 3, 3, 3}), {.out = 3, .kernel = {1, 1}, .activation = "relu"});
  net.Output(net.BatchNorm("bn", x));
  EXPECT_THAT(KeptBecause(net), HasSubstr("the activation \"relu\" of \"conv\" lies between"));
}

TEST(RefusalTest, AnActivationLayerBetween) {
  TestNet net;
  auto x = net.Conv("conv", net.Input({3, 3, 3, 3}), {.out = 3, .kernel = {1, 1}});
  net.Output(net.BatchNorm("bn", net.Activation("act", x, "relu")));
  EXPECT_THAT(KeptBecause(net), HasSubstr("the activation \"relu\" of \"act\" lies between"));
}

TEST(RefusalTest, ALayerThatIsNotUnderstoodBetween) {
  TestNet net;
  auto x = net.Conv("conv", net.Input({3, 3, 3, 3}), {.out = 3, .kernel = {1, 1}});
  net.Output(net.BatchNorm("bn", net.Simple("lambda", LayerKind::kOther, {x}, {})));
  EXPECT_THAT(KeptBecause(net), HasSubstr("\"lambda\" lies between"));
}

// A shared layer: the other call would see the folded weights.
TEST(RefusalTest, ALayerCalledTwice) {
  TestNet net;
  const auto a = net.Input({3, 3, 3, 3}), b = net.Input({3, 3, 3, 3});
  const auto x = net.Conv("conv", a, {.out = 3, .kernel = {1, 1}});
  net.Output(net.Call(net.layer("conv"), {b}));
  net.Output(net.BatchNorm("bn", x));
  EXPECT_THAT(KeptBecause(net), HasSubstr("called 2 times, and only 1 of the calls meet"));
}

// A shared batch norm is exact to fold where every call can be: here each into its own layer.
TEST(SharedTest, ABatchNormCalledTwiceFoldsIntoBothLayers) {
  TestNet net;
  const auto input = net.Input({3, 3, 3, 3});
  const auto a = net.Conv("a", input, {.out = 4, .kernel = {1, 1}});
  const auto b = net.Conv("b", input, {.out = 4, .kernel = {1, 1}});
  const LayerId bn = net.BatchNormLayer("bn", 4);
  net.Output(net.Call(bn, {a}));
  net.Output(net.Call(bn, {b}));
  const FoldPlan plan = ExpectSameFunction(net);
  ASSERT_THAT(FoldedScopes(plan), ElementsAre("bn"));
  EXPECT_THAT(plan.folded[0].into, ElementsAre("a/kernel", "b/kernel"));
}

TEST(SharedTest, ABatchNormCalledTwiceStaysWhereOneCallCannotFold) {
  TestNet net;
  const auto input = net.Input({3, 3, 3, 4});
  const auto a = net.Conv("a", input, {.out = 4, .kernel = {1, 1}});
  const LayerId bn = net.BatchNormLayer("bn", 4);
  net.Output(net.Call(bn, {a}));
  net.Output(net.Call(bn, {net.Input({3, 3, 3, 4})}));
  EXPECT_THAT(KeptBecause(net), HasSubstr("input of the model"));
}

// A submodel that is applied to two inputs: both layers are called twice, in step.
TEST(SharedTest, AShareSubmodelFolds) {
  TestNet net;
  const auto a = net.Input({3, 3, 3, 3}), b = net.Input({3, 3, 3, 3});
  const auto x = net.Conv("conv", a, {.out = 4, .kernel = {1, 1}});
  const LayerId bn = net.BatchNormLayer("bn", 4);
  net.Output(net.Call(bn, {x}));
  net.Output(net.Call(bn, {net.Call(net.layer("conv"), {b})}));
  EXPECT_THAT(FoldedScopes(ExpectSameFunction(net)), ElementsAre("bn"));
}

TEST(SharedTest, ASharedLayerInBothSlicesOfAConcatenationStays) {
  TestNet net;
  const auto a = net.Input({3, 3, 3, 3}), b = net.Input({3, 3, 3, 3});
  const auto x = net.Conv("conv", a, {.out = 3, .kernel = {1, 1}});
  const auto y = net.Call(net.layer("conv"), {b});
  net.Output(net.BatchNorm("bn", net.Simple("join", LayerKind::kConcat, {x, y})));
  EXPECT_THAT(KeptBecause(net), HasSubstr("in different ways"));
}

TEST(SharedTest, AKernelThatIsAnAliasStays) {
  ConvNet net;
  auto& tensors = net.Checkpoint().mutable_manifest().tensors;
  const auto kernel = *FindTensor(net.Checkpoint().manifest(), "conv/kernel");
  const auto gamma = *FindTensor(net.Checkpoint().manifest(), "bn/gamma");
  tensors[kernel.index].alias_of = gamma;  // any other tensor
  EXPECT_THAT(KeptBecause(net), HasSubstr("\"conv/kernel\" is shared"));
}

TEST(SharedTest, AKernelOfTwoLayersStays) {
  TestNet net;
  const auto input = net.Input({3, 3, 3, 3});
  const auto x = net.Conv("conv", input, {.out = 3, .kernel = {1, 1}});
  net.Output(net.Conv("other", input, {.out = 3, .kernel = {1, 1}}));
  net.Output(net.BatchNorm("bn", x));
  auto& graph = *net.Checkpoint().mutable_manifest().graph;
  graph.layers[net.layer("other")].tensors["kernel"] =
      graph.layers[net.layer("conv")].tensors["kernel"];
  EXPECT_THAT(KeptBecause(net), HasSubstr("\"conv/kernel\" is shared"));
}

// One beta of two batch norms: reading it for one fold must not take it from the other.
TEST(SharedTest, ABetaSharedWithABatchNormThatStaysIsStillWritten) {
  TestNet net;
  const auto input = net.Input({3, 3, 3, 3});
  const auto x = net.Conv("conv", input, {.out = 3, .kernel = {1, 1}});
  net.Output(net.BatchNorm("bn", x));
  net.Output(net.BatchNorm("stays", net.Activation("act", input, "relu")));
  auto& graph = *net.Checkpoint().mutable_manifest().graph;
  const TensorId beta = graph.layers[net.layer("stays")].tensors["beta"];
  graph.layers[net.layer("bn")].tensors["beta"] = beta;
  const auto plan = PlanFoldOf(net);
  ASSERT_TRUE(plan);
  ASSERT_THAT(FoldedScopes(*plan), ElementsAre("bn"));
  EXPECT_THAT(plan->consumed, ::testing::Not(::testing::Contains(beta)));
}

// --- The axis.

// On [N, L, C] a dense layer acts on C; with L == C a batch norm over L has the right length.
TEST(AxisTest, DenseOnASequenceWithTheBatchNormOverTheSteps) {
  TestNet net;
  const auto x = net.Dense("dense", net.Input({2, 4, 4}), {.out = 4});
  net.Output(net.BatchNorm("bn", x, {.axis = 1}));
  EXPECT_THAT(KeptBecause(net), HasSubstr("different ones"));
}

TEST(AxisTest, DenseOfUnknownRankWithTheBatchNormOnAxisOne) {
  TestNet net;
  const auto x = net.Dense("dense", net.Input({2, 4}), {.out = 4});
  net.Output(net.BatchNorm("bn", x, {.axis = 1}));
  net.ForgetRanks();
  EXPECT_THAT(KeptBecause(net), HasSubstr("rank is not known"));
}

TEST(AxisTest, ConvolutionWithTheBatchNormOnAnotherAxis) {
  for (const std::int64_t axis : {1, 2, -2, -3}) {
    TestNet net;
    const auto x = net.Conv("conv", net.Input({3, 3, 3, 3}), {.out = 3, .kernel = {1, 1}});
    net.Output(net.BatchNorm("bn", x, {.axis = axis}));
    EXPECT_THAT(KeptBecause(net), HasSubstr("different ones")) << axis;
  }
}

TEST(AxisTest, ForwardIntoADenseLayerOverAnotherAxis) {
  TestNet net;
  const auto x = net.BatchNorm("bn", net.Input({4, 4, 4}), {.axis = 1});
  net.Output(net.Dense("dense", x, {.out = 4}));
  EXPECT_THAT(KeptBecause(net), HasSubstr("not into what reads it"));
}

TEST(AxisTest, ReshapeBetween) {
  TestNet net;
  const auto x = net.Dense("dense", net.Input({2, 4}), {.out = 4});
  net.Output(net.BatchNorm("bn", net.Simple("reshape", LayerKind::kOther, {x}, {})));
  EXPECT_THAT(KeptBecause(net), HasSubstr("\"reshape\" lies between"));
}

// --- What the record says of the batch norm.

TEST(RecordTest, ALayerThatIsNoAffineMap) {
  ConvNet net;
  net.graph().layers[net.layer("bn")].not_affine = "mode 2 normalises by the batch";
  EXPECT_EQ(KeptBecause(net), "mode 2 normalises by the batch");
}

TEST(RecordTest, MissingTensors) {
  for (const char* name : {"moving_mean", "moving_variance"}) {
    ConvNet net;
    net.Checkpoint();
    Layer& layer = net.Checkpoint().mutable_manifest().graph->layers[net.layer("bn")];
    layer.tensors.erase(name);
    layer.missing_tensors = {name};
    EXPECT_THAT(KeptBecause(net), HasSubstr("missing")) << name;
  }
  ConvNet net;
  net.graph().layers[net.layer("bn")].missing_tensors = {"gamma"};
  EXPECT_THAT(KeptBecause(net), HasSubstr("lacks its gamma"));
}

TEST(RecordTest, ABiasThatTheConfigCallsForAndTheFileLacks) {
  ConvNet net;
  net.graph().layers[net.layer("conv")].missing_tensors = {"bias"};
  EXPECT_THAT(KeptBecause(net), HasSubstr("the file lacks the bias of \"conv\""));
}

TEST(RecordTest, ALayerThatCannotGainABias) {
  TestNet net;
  const auto x =
      net.Conv("conv", net.Input({3, 3, 3, 3}), {.out = 3, .kernel = {1, 1}, .bias = false});
  net.Output(net.BatchNorm("bn", x));
  net.graph().layers[net.layer("conv")].can_gain_bias = false;
  EXPECT_THAT(KeptBecause(net), HasSubstr("has no bias and cannot be given one"));
}

TEST(RecordTest, AbsentData) {
  for (const char* name : {"bn/moving_mean", "conv/kernel", "conv/bias"}) {
    ConvNet net;
    auto& manifest = net.Checkpoint().mutable_manifest();
    manifest.tensors[FindTensor(manifest, name)->index].data_present = false;
    EXPECT_THAT(KeptBecause(net), HasSubstr("is absent")) << name;
  }
}

TEST(RecordTest, AnUnknownEpsilon) {
  ConvNet net;
  Analysis analysis = Analyse(net.Checkpoint().manifest());
  analysis.batch_norms[0].epsilon.reset();
  const auto plan = PlanFold(net.Checkpoint(), analysis, {.fold = true});
  ASSERT_TRUE(plan);
  EXPECT_THAT(ReasonOf(*plan, "bn"), HasSubstr("epsilon is not recorded"));
  EXPECT_EQ(plan->kept.at(0).remedy, Remedy::kGiveEpsilon);
}

TEST(RecordTest, AnAssumedEpsilonIsRefusedWhenStrict) {
  ConvNet net;
  Analysis analysis = Analyse(net.Checkpoint().manifest());
  analysis.batch_norms[0].epsilon = {1e-3, {EvidenceSource::kDefault, "Keras"}};
  const auto lenient = PlanFold(net.Checkpoint(), analysis, {.fold = true});
  ASSERT_TRUE(lenient);
  ASSERT_THAT(FoldedScopes(*lenient), ElementsAre("bn"));
  EXPECT_EQ(lenient->folded[0].epsilon.evidence.source, EvidenceSource::kDefault);
  const auto strict = PlanFold(net.Checkpoint(), analysis, {.fold = true, .strict = true});
  ASSERT_TRUE(strict);
  EXPECT_THAT(ReasonOf(*strict, "bn"), HasSubstr("0.001 is not to be assumed"));
}

TEST(RecordTest, ABatchNormThatIsToBeLeftAlone) {
  ConvNet net;
  FoldOptions options;
  options.keep[0] = "BN002";
  EXPECT_EQ(KeptBecause(net, options), "BN002");
}

TEST(RecordTest, AReadErrorIsNoRefusal) {
  for (const char* name : {"bn/moving_variance", "conv/kernel", "conv/bias"}) {
    ConvNet net;
    net.Checkpoint().Break(name, {ErrorCode::kCorrupt, "checksum", "file", 42, name});
    const auto plan = PlanFoldOf(net);
    ASSERT_FALSE(plan);
    EXPECT_EQ(plan.error().code, ErrorCode::kCorrupt);
    EXPECT_EQ(plan.error().offset, 42U);
  }
}

// --- The numbers.

constexpr double kNan = std::numeric_limits<double>::quiet_NaN();
constexpr double kInf = std::numeric_limits<double>::infinity();

TEST(NumbersTest, NotFinite) {
  for (const char* name : {"gamma", "beta", "moving_mean", "moving_variance"}) {
    for (const double value : {kNan, kInf, -kInf}) {
      ConvNet net;
      net.weights("bn/" + std::string(name))[1] = value;
      EXPECT_THAT(KeptBecause(net), HasSubstr("not finite in 1 of 3 channels (first: channel 1"))
          << name << " " << value;
    }
  }
}

TEST(NumbersTest, VariancePlusEpsilonNotPositive) {
  for (const double variance : {-1e-3, -0.5}) {  // epsilon is 1e-3
    ConvNet net;
    net.weights("bn/moving_variance")[2] = variance;
    EXPECT_THAT(KeptBecause(net), HasSubstr("variance + epsilon is not positive in 1 of 3"))
        << variance;
  }
}

TEST(NumbersTest, KernelAndBiasNotFinite) {
  for (const char* name : {"conv/kernel", "conv/bias"}) {
    ConvNet net;
    net.weights(name)[1] = kNan;
    EXPECT_THAT(KeptBecause(net), HasSubstr("\"" + std::string(name) + "\" holds NaN")) << name;
  }
}

// As in published files: variance -9.99989e-06 with epsilon 1e-5.
TEST(NumbersTest, NegativeVarianceWithAPositiveSumIsTakenAsItStands) {
  TestNet net;
  const auto x = net.Conv("conv", net.Input({2, 3, 3, 3}), {.out = 3, .kernel = {1, 1}});
  net.Output(net.BatchNorm("bn", x, {.epsilon = 1e-5}));
  net.weights("bn/moving_variance")[1] = -9.99989e-06;
  const FoldPlan plan = ExpectSameFunction(net);
  EXPECT_THAT(FoldedScopes(plan), ElementsAre("bn"));
  EXPECT_THAT(plan.notes, ElementsAre(HasSubstr("variance is negative in 1 of 3 channels")));
}

// Nobody's sign is repaired: negative and zero gammas fold as they are.
TEST(NumbersTest, NegativeAndZeroGammas) {
  TestNet net;
  auto x = net.Conv("conv", net.Input({2, 3, 3, 3}), {.out = 4, .kernel = {1, 1}});
  x = net.BatchNorm("bn", x);
  net.Output(net.Activation("act", x, "relu"));
  net.weights("bn/gamma") = {-1.5, 0, -1e-12, 0.5};
  const FoldPlan plan = ExpectSameFunction(net);
  EXPECT_THAT(FoldedScopes(plan), ElementsAre("bn"));
  EXPECT_THAT(plan.notes, ElementsAre(HasSubstr("gamma is 0 in 1 of 4 channels")));
}

TEST(NumbersTest, EpsilonOfZero) {
  TestNet net;
  const auto x = net.Conv("conv", net.Input({2, 3, 3, 3}), {.out = 3, .kernel = {1, 1}});
  net.Output(net.BatchNorm("bn", x, {.epsilon = 0}));
  const FoldPlan plan = ExpectSameFunction(net);
  ASSERT_THAT(FoldedScopes(plan), ElementsAre("bn"));
  EXPECT_EQ(plan.folded[0].epsilon.value, 0);
}

}  // namespace
}  // namespace ckpt::refusals_test
