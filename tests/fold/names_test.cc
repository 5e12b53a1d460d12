// Files without a graph: what nesting fixes, what the user says, what names and order suggest.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <functional>

#include "ckpt/fold.h"
#include "fold/kernel_layout.h"
#include "tests/fold/reference_ops.h"
#include "tests/support/memory_checkpoint.h"

namespace ckpt::names_test {
namespace {

using ::testing::AllOf;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using testing::Index;
using ::testing::IsEmpty;
using testing::MemoryCheckpoint;
using ::testing::SizeIs;

// Kernels whose elements are their flat index + 1, and batch norms with scale c + 2 in channel c
// and shift 100 * (c + 1): gamma = scale, mean 0, variance 1, epsilon 0.
class Names {
 public:
  explicit Names(Framework framework) { checkpoint_.mutable_manifest().framework = framework; }

  Names& Kernel(const std::string& name, const Index& shape) {
    testing::Array array(shape);
    for (std::size_t e = 0; e < array.data.size(); ++e) array.data[e] = static_cast<double>(e + 1);
    checkpoint_.Add(name, shape, array.data);
    return *this;
  }
  Names& Bias(const std::string& name, std::vector<double> values) {
    checkpoint_.Add(name, {static_cast<std::int64_t>(values.size())}, values);
    return *this;
  }
  // `mean`: of channel c in so many; 0 in all where there is none.
  Names& BatchNorm(
      const std::string& scope, std::int64_t channels,
      const std::function<double(std::size_t)>& mean = [](std::size_t) { return 0.0; }) {
    const bool torch = checkpoint_.manifest().framework == Framework::kPyTorch;
    const std::string prefix = scope + (torch ? "." : "/");
    std::vector<double> scale, shift;
    for (std::int64_t c = 0; c < channels; ++c) {
      scale.push_back(static_cast<double>(c + 2));
      shift.push_back(100.0 * static_cast<double>(c + 1));
    }
    const auto n = static_cast<std::size_t>(channels);
    checkpoint_.Add(prefix + (torch ? "weight" : "gamma"), {channels}, scale);
    checkpoint_.Add(prefix + (torch ? "bias" : "beta"), {channels}, shift);
    std::vector<double> means;
    for (std::size_t c = 0; c < n; ++c) means.push_back(mean(c));
    checkpoint_.Add(prefix + (torch ? "running_mean" : "moving_mean"), {channels}, means);
    checkpoint_.Add(prefix + (torch ? "running_var" : "moving_variance"), {channels},
                    std::vector<double>(n, 1.0));
    return *this;
  }

  // The file keeps the order in which the layers were added here.
  Names& InOrder() {
    std::vector<std::string> names;
    for (const TensorInfo& info : checkpoint_.manifest().tensors) names.push_back(info.name);
    Manifest& manifest = Sealed().mutable_manifest();
    for (const std::string& name : names) {
      manifest.stored_order.push_back(*FindTensor(manifest, name));
    }
    return *this;
  }
  Result<FoldPlan> Plan(FoldOptions options = {}) {
    options.fold = true;
    return PlanFold(Sealed(), Analyse(Sealed().manifest(), {.epsilon = 0.0}), options);
  }
  MemoryCheckpoint& Sealed() {
    if (!sealed_) checkpoint_.Seal();
    sealed_ = true;
    return checkpoint_;
  }

 private:
  MemoryCheckpoint checkpoint_;
  bool sealed_ = false;
};

const FoldedTensor* Find(const FoldPlan& plan, const std::string& name) {
  for (const FoldedTensor& tensor : plan.tensors) {
    if (tensor.info.name == name) return &tensor;
  }
  return nullptr;
}
// What the fold multiplies element e of the kernel with.
double FactorOf(const FoldPlan& plan, const std::string& kernel, std::uint64_t e) {
  const FoldedTensor* tensor = Find(plan, kernel);
  if (tensor == nullptr) return 0;
  const auto& scaled = std::get<ScaledKernel>(tensor->content);
  double factor = 1;
  if (!scaled.out_factors.empty()) factor *= scaled.out_factors[scaled.out_view.ChannelOf(e)];
  if (!scaled.in_factors.empty()) factor *= scaled.in_factors[scaled.in_view.ChannelOf(e)];
  return factor;
}
std::vector<double> ConstantOf(const FoldPlan& plan, const std::string& name) {
  const FoldedTensor* tensor = Find(plan, name);
  return tensor == nullptr ? std::vector<double>() : std::get<Constant>(tensor->content).values;
}
// "bn -> kernel, ..." in order, or the reason of the first batch norm that stays.
std::string Pairs(const Result<FoldPlan>& plan) {
  if (!plan) return "error: " + plan.error().message;
  if (!plan->kept.empty()) return "kept " + plan->kept[0].batch_norm + ": " + plan->kept[0].reason;
  std::string text;
  for (const Folded& folded : plan->folded) {
    text += (text.empty() ? "" : ", ") + folded.batch_norm + " -> " + folded.into[0];
  }
  return text;
}

constexpr auto kTensorFlow = Framework::kTensorFlow;
constexpr auto kKeras = Framework::kKeras;
constexpr auto kPyTorch = Framework::kPyTorch;

// --- tf_slim's nesting.

TEST(NestingTest, FixesWhatFeedsTheBatchNorm) {
  Names names(kTensorFlow);
  names.Kernel("net/Conv/weights", {3, 2, 2, 3}).BatchNorm("net/Conv/BatchNorm", 3);
  const auto plan = names.Plan();
  ASSERT_EQ(Pairs(plan), "net/Conv/BatchNorm -> net/Conv/weights");
  EXPECT_EQ(plan->folded[0].evidence[0].source, EvidenceSource::kNaming);
  for (std::uint64_t e = 0; e < 36; ++e) {
    EXPECT_EQ(FactorOf(*plan, "net/Conv/weights", e), static_cast<double>(e % 3 + 2));
  }
  // tf_slim gives such a layer no bias; the fold makes one, called as tf_slim would.
  EXPECT_THAT(ConstantOf(*plan, "net/Conv/biases"), ElementsAre(100, 200, 300));
  EXPECT_EQ(Find(*plan, "net/Conv/biases")->info.dtype, Dtype::kF32);
  EXPECT_THAT(plan->edits.gained_bias, IsEmpty());
  EXPECT_THAT(plan->consumed, SizeIs(4));
}

TEST(NestingTest, DepthwiseSeparableAndDense) {
  Names names(kTensorFlow);
  names.Kernel("dw/depthwise_weights", {3, 3, 2, 2}).BatchNorm("dw/BatchNorm", 4);
  names.Kernel("fc/weights", {4, 3}).BatchNorm("fc/BatchNorm", 3);
  names.Kernel("sep/depthwise_weights", {3, 3, 2, 2})
      .Kernel("sep/pointwise_weights", {1, 1, 4, 5})
      .BatchNorm("sep/BatchNorm", 5);
  const auto plan = names.Plan();
  ASSERT_EQ(Pairs(plan),
            "dw/BatchNorm -> dw/depthwise_weights, fc/BatchNorm -> fc/weights, "
            "sep/BatchNorm -> sep/pointwise_weights");
  for (std::uint64_t e = 0; e < 36; ++e) {
    EXPECT_EQ(FactorOf(*plan, "dw/depthwise_weights", e), static_cast<double>(e % 4 + 2));
  }
}

TEST(NestingTest, BiasesBesideItProveTheOpposite) {
  Names names(kTensorFlow);
  names.Kernel("conv/weights", {3, 3, 2, 3})
      .Bias("conv/biases", {1, 2, 3})
      .BatchNorm("conv/BatchNorm", 3);
  EXPECT_THAT(Pairs(names.Plan()), HasSubstr("the nesting proves nothing here"));
}

TEST(NestingTest, AnotherNestingIsNoProof) {
  for (const char* scope : {"conv/bn", "conv/BatchNorm_1", "BatchNorm", "conv/x/BatchNorm"}) {
    Names names(kTensorFlow);
    names.Kernel("conv/weights", {3, 3, 2, 3}).BatchNorm(scope, 3);
    const auto plan = names.Plan();
    EXPECT_THAT(Pairs(plan), HasSubstr("nothing in the file proves")) << scope;
    EXPECT_EQ(plan->kept.at(0).remedy, Remedy::kAllowPairing) << scope;
  }
}

// [K, K, out, in]: only the transposed reading fits, or the name says it.
TEST(NestingTest, TransposedConvolutionsNeedALayout) {
  Names fits(kTensorFlow);
  fits.Kernel("up/weights", {2, 2, 3, 5}).BatchNorm("up/BatchNorm", 3);
  EXPECT_THAT(Pairs(fits.Plan()), HasSubstr("(layout HWOI): its 3 channels fit only so"));
  const auto given = fits.Plan({.pairs = {{.batch_norm = "up/BatchNorm",
                                           .into = "up/weights",
                                           .layout = KernelLayout::kSpatialOutIn}}});
  ASSERT_EQ(Pairs(given), "up/BatchNorm -> up/weights");
  EXPECT_EQ(FactorOf(*given, "up/weights", 0), 2);
  EXPECT_EQ(FactorOf(*given, "up/weights", 5), 3);

  Names named(kTensorFlow);
  named.Kernel("Conv2d_transpose/weights", {2, 2, 3, 3}).BatchNorm("Conv2d_transpose/BatchNorm", 3);
  EXPECT_THAT(Pairs(named.Plan()), HasSubstr("speaks of a transposed convolution"));
}

TEST(NestingTest, ASquareKernelIsAmbiguousWhereTheFileHasTransposedConvolutions) {
  Names names(kTensorFlow);
  names.Kernel("a/weights", {3, 3, 3, 3}).BatchNorm("a/BatchNorm", 3);
  names.Kernel("b/weights", {2, 2, 3, 5}).BatchNorm("b/BatchNorm", 3);
  EXPECT_THAT(Pairs(names.Plan()), AllOf(HasSubstr("kept a/BatchNorm"),
                                         HasSubstr("the file has such, \"b/weights\" for one")));
}

TEST(NestingTest, ChannelsThatDoNotAgree) {
  Names names(kTensorFlow);
  names.Kernel("conv/weights", {3, 3, 2, 4}).BatchNorm("conv/BatchNorm", 3);
  EXPECT_THAT(Pairs(names.Plan()), HasSubstr("has 4 out channels, and the batch norm has 3"));
}

// --- The user's pairs.

UserPair PairOf(const std::string& bn, const std::string& kernel) {
  return {.batch_norm = bn, .into = kernel};
}

TEST(UserPairTest, BackwardWithABias) {
  Names names(kPyTorch);
  names.Kernel("a.weight", {3, 2, 2, 2}).Bias("a.bias", {1, 2, 3}).BatchNorm("b", 3);
  UserPair pair = PairOf("b", "a.weight");
  pair.bias = "a.bias";
  const auto plan = names.Plan({.pairs = {pair}});
  ASSERT_EQ(Pairs(plan), "b -> a.weight");
  EXPECT_EQ(plan->folded[0].evidence[0].source, EvidenceSource::kUser);
  for (std::uint64_t e = 0; e < 24; ++e) {
    EXPECT_EQ(FactorOf(*plan, "a.weight", e), static_cast<double>(e / 8 + 2));
  }
  EXPECT_THAT(ConstantOf(*plan, "a.bias"), ElementsAre(102, 206, 312));
}

TEST(UserPairTest, ACommonPrefixNamesTheBatchNorm) {
  for (const char* prefix : {"net/bn", "net/bn/", "net/b"}) {
    Names names(kKeras);
    names.Kernel("conv/kernel", {1, 1, 2, 3}).BatchNorm("net/bn", 3);
    EXPECT_EQ(Pairs(names.Plan({.pairs = {PairOf(prefix, "conv/kernel")}})),
              "net/bn -> conv/kernel");
  }
}

TEST(UserPairTest, ForwardIntoEveryReader) {
  Names names(kKeras);
  names.BatchNorm("bn", 2)
      .Kernel("x/kernel", {2, 3})
      .Kernel("y/kernel", {1, 1, 2, 2})
      .Bias("y/bias", {1, 1});
  UserPair x = PairOf("bn", "x/kernel"), y = PairOf("bn", "y/kernel");
  x.forward = y.forward = true;
  y.bias = "y/bias";
  const auto plan = names.Plan({.pairs = {x, y}});
  ASSERT_EQ(Pairs(plan), "bn -> x/kernel");
  EXPECT_THAT(plan->folded[0].into, ElementsAre("x/kernel", "y/kernel"));
  EXPECT_EQ(FactorOf(*plan, "x/kernel", 0), 2);
  EXPECT_EQ(FactorOf(*plan, "x/kernel", 3), 3);
  // Shift {100, 200} through {{1, 2, 3}, {4, 5, 6}} and {{1, 2}, {3, 4}}.
  EXPECT_THAT(ConstantOf(*plan, "x/bias"), ElementsAre(900, 1200, 1500));
  EXPECT_THAT(ConstantOf(*plan, "y/bias"), ElementsAre(701, 1001));
}

TEST(UserPairTest, ForwardIntoAKernelThatMayBePaddedNeedsNoShift) {
  Names names(kKeras);
  names.BatchNorm("bn", 2).Kernel("x/kernel", {3, 3, 2, 4});
  UserPair pair = PairOf("bn", "x/kernel");
  pair.forward = true;
  EXPECT_THAT(Pairs(names.Plan({.pairs = {pair}})), HasSubstr("applied without padding"));
}

TEST(UserPairTest, AnEpsilonOfThePairCounts) {
  Names names(kKeras);
  names.Kernel("conv/kernel", {1, 1, 2, 3}).BatchNorm("bn", 3);
  UserPair pair = PairOf("bn", "conv/kernel");
  pair.epsilon = 3;  // sqrt(1 + 3) = 2
  const auto plan = names.Plan({.pairs = {pair}});
  ASSERT_EQ(Pairs(plan), "bn -> conv/kernel");
  EXPECT_EQ(plan->folded[0].epsilon.value, 3);
  EXPECT_EQ(plan->folded[0].epsilon.evidence.source, EvidenceSource::kUser);
  EXPECT_EQ(FactorOf(*plan, "conv/kernel", 0), 1);
}

TEST(UserPairTest, ALayoutThatNothingSettlesIsAskedFor) {
  Names names(kKeras);
  names.Kernel("conv/w", {3, 2, 2, 3}).BatchNorm("bn", 3);
  names.Sealed().mutable_manifest().framework.reset();
  Analysis analysis = Analyse(names.Sealed().manifest(), {.epsilon = 0.0});
  analysis.framework.reset();
  FoldOptions options{.fold = true, .pairs = {PairOf("bn", "conv/w")}};
  const auto unknown = PlanFold(names.Sealed(), analysis, options);
  EXPECT_THAT(Pairs(unknown), HasSubstr("layout of \"conv/w\" is not known"));
  options.pairs[0].layout = KernelLayout::kOutInSpatial;
  EXPECT_EQ(Pairs(PlanFold(names.Sealed(), analysis, options)), "bn -> conv/w");
}

TEST(UserPairTest, ABiasThatExistsAndIsNotNamedStopsIt) {
  Names names(kKeras);
  names.Kernel("conv/kernel", {1, 1, 2, 3}).Bias("conv/bias", {1, 2, 3}).BatchNorm("bn", 3);
  EXPECT_THAT(Pairs(names.Plan({.pairs = {PairOf("bn", "conv/kernel")}})),
              HasSubstr("would be called \"conv/bias\", and another tensor has that name"));
}

TEST(UserPairTest, TensorsThatDoNotFitKeepTheBatchNorm) {
  Names names(kKeras);
  names.Kernel("conv/kernel", {1, 1, 2, 4}).Bias("conv/bias", {1, 2, 3}).BatchNorm("bn", 3);
  EXPECT_THAT(Pairs(names.Plan({.pairs = {PairOf("bn", "conv/kernel")}})), HasSubstr("kept bn"));
  UserPair pair = PairOf("bn", "conv/kernel");
  pair.bias = "conv/bias";
  EXPECT_THAT(Pairs(names.Plan({.pairs = {pair}})), HasSubstr("has 4 out channels"));
  pair.layout = KernelLayout::kSpatialInOut;
  EXPECT_THAT(Pairs(names.Plan({.pairs = {pair}})), HasSubstr("\"conv/bias\" has shape [3]"));
  EXPECT_THAT(Pairs(names.Plan({.pairs = {PairOf("bn", "bn/gamma")}})), HasSubstr("no kernel"));
}

TEST(UserPairTest, ContradictionsAreUsageErrors) {
  Names names(kKeras);
  names.Kernel("a/kernel", {1, 1, 2, 3}).Kernel("b/kernel", {1, 1, 2, 3});
  names.BatchNorm("bn1", 3).BatchNorm("bn2", 3);
  const auto fails = [&](std::vector<UserPair> pairs, const std::string& why) {
    const auto plan = names.Plan({.pairs = std::move(pairs)});
    ASSERT_FALSE(plan) << why;
    EXPECT_EQ(plan.error().code, ErrorCode::kInvalidArgument) << why;
    EXPECT_THAT(plan.error().message, HasSubstr(why));
  };
  fails({PairOf("bn3", "a/kernel")}, "no such batch norm");
  fails({PairOf("bn", "a/kernel")}, "several batch norms begin so");
  fails({PairOf("", "a/kernel")}, "no such batch norm");
  fails({PairOf("bn1", "c/kernel")}, "no tensor \"c/kernel\"");
  UserPair with_bias = PairOf("bn1", "a/kernel");
  with_bias.bias = "a/bias";
  fails({with_bias}, "no tensor \"a/bias\"");
  fails({PairOf("bn1", "a/kernel"), PairOf("bn1", "b/kernel")}, "settles this batch norm already");
  fails({PairOf("bn1", "a/kernel"), PairOf("bn2", "a/kernel")}, "folds into this kernel already");
  UserPair negative = PairOf("bn1", "a/kernel");
  negative.epsilon = -1;
  fails({negative}, "epsilon is -1");
}

TEST(UserPairTest, ARecordedEpsilonIsNotOverruled) {
  Names names(kKeras);
  names.Kernel("a/kernel", {1, 1, 2, 3}).BatchNorm("bn", 3);
  Analysis analysis = Analyse(names.Sealed().manifest());
  analysis.batch_norms[0].epsilon = {1e-3, {EvidenceSource::kFrameworkRecord, "config"}};
  FoldOptions options{.fold = true, .pairs = {PairOf("bn", "a/kernel")}};
  options.pairs[0].epsilon = 1e-5;
  const auto plan = PlanFold(names.Sealed(), analysis, options);
  ASSERT_FALSE(plan);
  EXPECT_EQ(plan.error().code, ErrorCode::kInvalidArgument);
  options.pairs[0].epsilon = 1e-3;
  EXPECT_EQ(Pairs(PlanFold(names.Sealed(), analysis, options)), "bn -> a/kernel");
  // The decimal of what an operation holds as float32 is the same one.
  analysis.batch_norms[0].epsilon->value = double{1e-3F};
  const auto of_float = PlanFold(names.Sealed(), analysis, options);
  ASSERT_TRUE(of_float);
  EXPECT_EQ(of_float->folded[0].epsilon.value, double{1e-3F});
}

TEST(UserPairTest, AKernelTakesOneBatchNormBackward) {
  Names names(kTensorFlow);
  names.Kernel("conv/weights", {1, 1, 2, 3}).BatchNorm("conv/BatchNorm", 3).BatchNorm("bn", 3);
  const auto plan = names.Plan({.pairs = {PairOf("bn", "conv/weights")}});
  ASSERT_TRUE(plan);
  EXPECT_EQ(plan->folded.size(), 1U);
  EXPECT_THAT(Pairs(plan), HasSubstr("another batch norm is folded into \"conv/weights\""));
}

// --- By name.

struct NamePair {
  Framework framework;
  const char* kernel;
  const char* batch_norm;
};
class PairByNameTest : public ::testing::TestWithParam<NamePair> {};

TEST_P(PairByNameTest, FindsThePair) {
  const auto& [framework, kernel, batch_norm] = GetParam();
  Names names(framework);
  const bool torch = framework == kPyTorch;
  names.Kernel(kernel, torch ? Index{3, 2, 1, 1} : Index{1, 1, 2, 3}).BatchNorm(batch_norm, 3);
  // Not the only layer of the file.
  names.Kernel(torch ? "head.weight" : "head/kernel", torch ? Index{3, 7} : Index{7, 3});
  EXPECT_THAT(Pairs(names.Plan()), HasSubstr("kept"));
  const auto plan = names.Plan({.pair_by_name = true});
  EXPECT_EQ(Pairs(plan), std::string(batch_norm) + " -> " + kernel);
  ASSERT_TRUE(plan);
  EXPECT_THAT(plan->notes, ElementsAre(HasSubstr("cannot see an activation")));
  EXPECT_EQ(plan->proof, torch ? Remedy::kProveByExport : Remedy::kProveByGraph);
}

INSTANTIATE_TEST_SUITE_P(
    Conventions, PairByNameTest,
    ::testing::Values(NamePair{kPyTorch, "conv1.weight", "bn1"},
                      NamePair{kPyTorch, "layer1.0.conv1.weight", "layer1.0.bn1"},
                      NamePair{kPyTorch, "block.conv.weight", "block.bn"},
                      NamePair{kKeras, "conv2d/kernel", "batch_normalization"},
                      NamePair{kKeras, "conv2d_3/kernel", "batch_normalization_3"},
                      NamePair{kKeras, "conv1_conv/kernel", "conv1_bn"},
                      NamePair{kKeras, "Conv1/kernel", "bn_Conv1"},
                      NamePair{kKeras, "block_1_expand/kernel", "block_1_expand_BN"},
                      NamePair{kKeras, "conv_a/kernel", "bn_a"},
                      NamePair{kTensorFlow, "x/conv/kernel", "x/bn"},
                      NamePair{kTensorFlow, "unit/dense/kernel", "unit/batch_norm"}));

TEST(PairByNameTest, AmbiguousNamesStay) {
  Names names(kKeras);
  names.Kernel("conv2d_1/kernel", {1, 1, 2, 3}).Kernel("dense_1/kernel", {2, 3});
  names.BatchNorm("batch_normalization_1", 3);
  EXPECT_THAT(Pairs(names.Plan({.pair_by_name = true})),
              HasSubstr("not the only one that goes with \"conv2d_1/kernel\", \"dense_1/kernel\""));

  Names twice(kKeras);
  twice.Kernel("conv1/kernel", {1, 1, 2, 3}).BatchNorm("bn1", 3).BatchNorm("batch_norm1", 3);
  EXPECT_THAT(Pairs(twice.Plan({.pair_by_name = true})), HasSubstr("not the only one"));
}

TEST(PairByNameTest, ChannelsMustAgree) {
  Names names(kKeras);
  names.Kernel("conv1/kernel", {1, 1, 3, 4}).BatchNorm("bn1", 3);
  EXPECT_THAT(Pairs(names.Plan({.pair_by_name = true})), HasSubstr("kept bn1"));
}

TEST(PairByNameTest, TheBiasBesideTheKernelIsUsed) {
  Names names(kPyTorch);
  names.Kernel("conv1.weight", {2, 3, 1, 1}).Bias("conv1.bias", {1, 2}).BatchNorm("bn1", 2);
  const auto plan = names.Plan({.pair_by_name = true});
  ASSERT_EQ(Pairs(plan), "bn1 -> conv1.weight");
  EXPECT_THAT(ConstantOf(*plan, "conv1.bias"), ElementsAre(102, 206));
}

// [3, 3, K, K] of a transposed convolution looks the same.
TEST(PairByNameTest, AKernelThatMayBeTransposedNeedsALayout) {
  const auto of = [](const std::string& kernel, Index shape) {
    Names names(kPyTorch);
    names.Kernel(kernel + ".weight", std::move(shape)).BatchNorm(kernel + "_bn", 4);
    return Pairs(names.InOrder().Plan({.pair_by_name = true}));
  };
  EXPECT_EQ(of("mid", {4, 4, 3, 3}), "mid_bn -> mid.weight");
  EXPECT_EQ(of("mid", {4, 3, 2, 2}), "mid_bn -> mid.weight");
  EXPECT_EQ(of("up", {4, 3, 3, 3}), "up_bn -> up.weight");
  EXPECT_EQ(of("up", {4, 1, 4, 4}), "up_bn -> up.weight");  // depthwise: the same either way
  EXPECT_THAT(of("mid", {4, 4, 2, 2}), HasSubstr("its size is even"));
  EXPECT_THAT(of("mid", {4, 2, 4, 4}), HasSubstr("its size is even"));  // of two groups
  EXPECT_THAT(of("up", {4, 4, 3, 3}), HasSubstr("its name hints at one"));
  EXPECT_THAT(of("de_conv2", {4, 4, 3, 3}), HasSubstr("its name hints at one"));
}

TEST(PairByNameTest, AFamilyWhoseShapesSayNothingStays) {
  Names equal(kPyTorch);
  equal.Kernel("a.conv1.weight", {4, 4, 3, 3}).BatchNorm("a.bn1", 4);
  EXPECT_THAT(Pairs(equal.Plan({.pair_by_name = true})), HasSubstr("the widths are equal"));
  // One member that can only follow its kernel settles the other.
  Names settled(kPyTorch);
  settled.Kernel("a.conv1.weight", {4, 3, 3, 3}).BatchNorm("a.bn1", 4);
  settled.Kernel("b.0.conv1.weight", {4, 5, 3, 3}).BatchNorm("b.0.bn1", 4);
  settled.Kernel("b.1.conv1.weight", {4, 4, 3, 3}).BatchNorm("b.1.bn1", 4);
  EXPECT_EQ(Pairs(settled.Plan({.pair_by_name = true})),
            "a.bn1 -> a.conv1.weight, b.0.bn1 -> b.0.conv1.weight, b.1.bn1 -> b.1.conv1.weight");
}

TEST(PairByNameTest, AMemberThatDoesNotFitRefutesItsFamily) {
  Names names(kPyTorch);  // batch norms that precede their kernels
  names.BatchNorm("b.0.bn1", 4).Kernel("b.0.conv1.weight", {4, 4, 3, 3});
  names.BatchNorm("b.1.bn1", 4).Kernel("b.1.conv1.weight", {6, 4, 3, 3});
  EXPECT_THAT(Pairs(names.Plan({.pair_by_name = true})),
              HasSubstr("\"b.1.bn1\" does not fit \"b.1.conv1\": its name is no evidence"));
}

TEST(PairByNameTest, NeverAgainstTheStoredOrder) {
  Names names(kPyTorch);
  names.BatchNorm("bn1", 4).Kernel("conv1.weight", {4, 3, 3, 3});
  EXPECT_EQ(Pairs(names.Plan({.pair_by_name = true})), "bn1 -> conv1.weight");
  EXPECT_THAT(Pairs(names.InOrder().Plan({.pair_by_name = true})),
              HasSubstr("stored before its kernel"));
}

TEST(PairByNameTest, NumbersThatMayRunApartNeedShapes) {
  const auto of = [](std::int64_t last) {
    Names names(kPyTorch);
    names.Kernel("conv1.weight", {4, 3, 3, 3}).Kernel("conv2.weight", {4, 4, 3, 3});
    names.Kernel("conv3.weight", {last, 4, 3, 3});
    names.BatchNorm("bn1", 4).BatchNorm("bn2", 4);
    return Pairs(names.Plan({.pair_by_name = true}));
  };
  EXPECT_EQ(of(5), "bn1 -> conv1.weight, bn2 -> conv2.weight");
  EXPECT_THAT(of(4), HasSubstr("their numbers run apart"));
}

TEST(PairByNameTest, WhatStandsBesideAKernelKeepsTheBatchNorm) {
  Names names(kTensorFlow);
  names.Kernel("Conv/weights", {3, 3, 3, 4}).BatchNorm("Conv/BatchNorm", 4);
  names.Kernel("Conv/u", {1, 4});
  EXPECT_THAT(Pairs(names.Plan()), HasSubstr("\"Conv/u\" stands beside \"Conv/weights\""));
  Names norm(kPyTorch);
  norm.Kernel("conv1.weight", {4, 3, 3, 3}).BatchNorm("bn1", 4).Bias("bn1.mean_weight", {1, 2, 3});
  EXPECT_THAT(Pairs(norm.Plan({.pair_by_name = true})), HasSubstr("stand among its own"));
}

// --- By order.

TEST(PairByOrderTest, TheLayerStoredDirectlyBefore) {
  const auto of = [](bool ordered) {
    Names names(kPyTorch);
    names.Kernel("b.conv_pw.weight", {4, 4, 1, 1}).BatchNorm("b.bn1", 4);
    names.Kernel("b.conv_dw.weight", {4, 1, 3, 3}).BatchNorm("b.bn2", 4);
    names.Kernel("b.conv_pwl.weight", {4, 5, 1, 1}).BatchNorm("b.bn3", 4);
    if (ordered) names.InOrder();
    return Pairs(names.Plan({.pair_by_order = true}));
  };
  EXPECT_THAT(of(false), HasSubstr("keeps no order"));
  EXPECT_EQ(of(true),
            "b.bn1 -> b.conv_pw.weight, b.bn2 -> b.conv_dw.weight, b.bn3 -> b.conv_pwl.weight");
}

TEST(PairByOrderTest, AnotherLayerOrModuleBetween) {
  Names other(kPyTorch);
  other.Kernel("conv.weight", {4, 3, 3, 3}).Bias("act.alpha", {1}).BatchNorm("bn", 4);
  EXPECT_THAT(Pairs(other.InOrder().Plan({.pair_by_order = true})),
              HasSubstr("\"act\", has no kernel"));
  Names inside(kPyTorch);
  inside.Kernel("block.conv.weight", {4, 3, 3, 3}).BatchNorm("bn", 4);
  EXPECT_THAT(Pairs(inside.InOrder().Plan({.pair_by_order = true})),
              HasSubstr("belongs to another module"));
}

TEST(PairByOrderTest, ARecordedModuleBetweenIsSeen) {
  Names names(kPyTorch);
  names.Kernel("conv.weight", {4, 3, 3, 3}).BatchNorm("bn", 4).InOrder();
  auto& modules = names.Sealed().mutable_manifest().modules;
  modules.resize(4);
  modules[1].scope = "conv";
  modules[2].scope = "bn";
  modules[3].scope = "relu";
  EXPECT_EQ(Pairs(names.Plan({.pair_by_order = true})), "bn -> conv.weight");
  std::swap(modules[2], modules[3]);
  EXPECT_THAT(Pairs(names.Plan({.pair_by_order = true})),
              HasSubstr("between it and \"conv\": \"relu\""));
}

TEST(PairByOrderTest, ARecordedClassSaysTheLayout) {
  Names names(kPyTorch);
  names.Kernel("0.weight", {4, 2, 4, 4}).BatchNorm("1", 4).InOrder();
  auto& modules = names.Sealed().mutable_manifest().modules;
  modules.resize(1);
  modules.back().scope = "0";
  modules.back().class_name = "torch.nn.modules.conv.ConvTranspose2d";
  modules.back().attributes["groups"] = std::int64_t{2};
  const auto plan = names.Plan({.pair_by_order = true});
  ASSERT_EQ(Pairs(plan), "1 -> 0.weight");
  // [I, O/G, K, K]: the second two rows belong to the second group.
  EXPECT_EQ(FactorOf(*plan, "0.weight", 0), 2);
  EXPECT_EQ(FactorOf(*plan, "0.weight", 16), 3);
  EXPECT_EQ(FactorOf(*plan, "0.weight", 64), 4);
  modules.back().class_name = "net.StandardisedConv";
  EXPECT_THAT(Pairs(names.Plan({.pair_by_order = true})), HasSubstr("a net.StandardisedConv"));
}

TEST(PairByOrderTest, DefinitionsGroupedByKindProveNothing) {
  Names names(kPyTorch);
  names.Kernel("a.weight", {4, 3, 3, 3}).Kernel("b.weight", {4, 4, 3, 3});
  names.BatchNorm("x", 4).BatchNorm("y", 4);
  EXPECT_THAT(Pairs(names.InOrder().Plan({.pair_by_order = true})), HasSubstr("no evidence there"));
  Names reversed(kPyTorch);
  reversed.BatchNorm("x", 4).Kernel("a.weight", {4, 3, 3, 3});
  reversed.BatchNorm("y", 4).Kernel("b.weight", {4, 4, 3, 3});
  const auto plan = reversed.InOrder().Plan({.pair_by_order = true});
  ASSERT_TRUE(plan);
  EXPECT_THAT(plan->folded, IsEmpty());
}

TEST(PairByOrderTest, NumbersMustNotContradict) {
  Names names(kPyTorch);
  names.Kernel("conv1.weight", {4, 3, 3, 3}).BatchNorm("bn2", 4);
  EXPECT_THAT(Pairs(names.InOrder().Plan({.pair_by_order = true})),
              HasSubstr("its number is not that of"));
  Names one(kPyTorch);
  one.Kernel("conv1.weight", {4, 3, 3, 3}).BatchNorm("bn", 4).Kernel("conv2.weight", {5, 4, 3, 3});
  EXPECT_THAT(Pairs(one.InOrder().Plan({.pair_by_order = true})), HasSubstr("it has no number"));
}

// RepViT: bn(conv(x) + conv1(x) + x), where "conv" is a convolution with a batch norm of its own.
TEST(PairByOrderTest, ABatchNormWithoutANumberMayFollowASumOfBranches) {
  Names names(kPyTorch);
  names.Kernel("m.conv.c.weight", {4, 1, 3, 3}).BatchNorm("m.conv.bn", 4);
  names.Kernel("m.conv1.weight", {4, 1, 1, 1}).BatchNorm("m.bn", 4);
  const auto plan = names.InOrder().Plan({.pair_by_order = true});
  ASSERT_TRUE(plan);
  EXPECT_EQ(plan->folded.size(), 1U);
  EXPECT_THAT(Pairs(plan), HasSubstr("there are several layers like \"m.conv1\""));
}

TEST(PairByOrderTest, ABiasAmongKernelsWithoutOneIsADoubt) {
  const auto plan_with = [](const char* norm) {
    Names names(kPyTorch);
    names.Kernel("a.conv.weight", {4, 3, 3, 3}).BatchNorm("a.bn", 4);
    names.Kernel("b.conv.weight", {5, 4, 3, 3}).BatchNorm("b.bn", 5);
    names.Kernel("c.point.weight", {4, 5, 1, 1})
        .Bias("c.point.bias", {1, 2, 3, 4})
        .BatchNorm(norm, 4);
    return names.InOrder().Plan({.pair_by_order = true});
  };
  EXPECT_THAT(Pairs(plan_with("c.bn")), HasSubstr("\"c.point\" has a bias"));
  const auto named = plan_with("c.point_bn");  // its name says whose it is
  ASSERT_TRUE(named);
  EXPECT_EQ(named->folded.size(), 3U);
}

TEST(PairByOrderTest, NumberedNeighboursNeedNoStoredOrder) {
  Names names(kPyTorch);
  names.Kernel("f.0.weight", {4, 3, 3, 3}).BatchNorm("f.1", 4);
  names.Kernel("f.9.weight", {6, 4, 3, 3}).BatchNorm("f.10", 6);
  names.Kernel("f.11.weight", {5, 6});
  const auto plan = names.Plan({.pair_by_order = true});
  EXPECT_EQ(Pairs(plan), "f.1 -> f.0.weight, f.10 -> f.9.weight");
  ASSERT_TRUE(plan);
  EXPECT_THAT(plan->notes, SizeIs(1));
  EXPECT_EQ(Pairs(names.Plan({.pair_by_name = true})), "f.1 -> f.0.weight, f.10 -> f.9.weight");
}

// A block that normalises first: batch norm 0 has no kernel before it, and is not in front of one.
TEST(PairByOrderTest, AKernelBehindIsNone) {
  Names names(kPyTorch);
  names.BatchNorm("f.0", 4).Kernel("f.1.weight", {4, 4, 3, 3});
  names.BatchNorm("f.2", 4).Kernel("f.3.weight", {4, 4, 3, 3});
  EXPECT_THAT(Pairs(names.Plan({.pair_by_order = true})), HasSubstr("kept f.0"));
}

// Sequential(Conv, ReLU, BatchNorm): number 1 has no tensors.
TEST(PairByOrderTest, AModuleBetweenIsNoticed) {
  Names names(kPyTorch);
  names.Kernel("f.0.weight", {4, 3, 3, 3}).BatchNorm("f.2", 4);
  names.Kernel("f.3.weight", {6, 4, 3, 3}).BatchNorm("f.4", 6);
  for (const bool ordered : {false, true}) {
    if (ordered) names.InOrder();
    const auto plan = names.Plan({.pair_by_order = true});
    ASSERT_TRUE(plan);
    ASSERT_THAT(plan->folded, SizeIs(1));
    EXPECT_EQ(plan->folded[0].batch_norm, "f.4");
    ASSERT_THAT(plan->kept, SizeIs(1));
    EXPECT_THAT(plan->kept[0].reason, HasSubstr(ordered ? "another module stands between"
                                                        : "no layer with tensors stands directly"));
  }
}

TEST(PairByOrderTest, ChannelsThatDoNotAgreeStay) {
  Names names(kPyTorch);
  names.Kernel("f.0.weight", {4, 3, 3, 3}).BatchNorm("f.1", 4);
  names.Kernel("f.2.weight", {6, 4, 3, 3}).BatchNorm("f.3", 5);
  const auto plan = names.Plan({.pair_by_order = true});
  ASSERT_TRUE(plan);
  EXPECT_THAT(plan->folded, SizeIs(1));
  EXPECT_THAT(Pairs(plan), HasSubstr("has 6 out channels, and the batch norm has 5"));
}

TEST(PairByOrderTest, WhatIsPairedOtherwiseIsLeftOut) {
  Names names(kTensorFlow);
  names.Kernel("a/weights", {1, 1, 2, 3}).BatchNorm("a/BatchNorm", 3);
  names.Kernel("b/kernel", {1, 1, 3, 3}).BatchNorm("b_norm", 3);
  EXPECT_EQ(Pairs(names.InOrder().Plan({.pair_by_order = true})),
            "a/BatchNorm -> a/weights, b_norm -> b/kernel");
}

// --- What speaks against a pair.

TEST(PairDoubtTest, MeansWithoutANegativeOneLookLikeThoseOfARelu) {
  const auto of = [](std::int64_t channels, const std::function<double(std::size_t)>& mean) {
    Names names(kPyTorch);
    names.Kernel("f.0.weight", {channels, 3, 3, 3}).BatchNorm("f.1", channels, mean);
    return Pairs(names.Plan({.pair_by_order = true}));
  };
  EXPECT_THAT(of(8, [](std::size_t) { return 0.5; }), HasSubstr("none of the 8 moving means"));
  EXPECT_EQ(of(7, [](std::size_t) { return 0.5; }), "f.1 -> f.0.weight");
  EXPECT_EQ(of(8, [](std::size_t c) { return c == 0 ? -0.5 : 0.5; }), "f.1 -> f.0.weight");
  // A leaky one leaves few.
  EXPECT_THAT(of(64, [](std::size_t c) { return c % 8 == 0 ? -0.1 : 0.5; }),
              HasSubstr("only 8 of the 64 moving means"));
}

TEST(PairDoubtTest, EqualKernelsAreSharedAsItSeems) {
  Names names(kPyTorch);
  names.Kernel("a.0.weight", {4, 3, 3, 3}).BatchNorm("a.1", 4);
  names.Kernel("b.0.weight", {4, 3, 3, 3}).BatchNorm("b.1", 4);
  EXPECT_THAT(Pairs(names.Plan({.pair_by_order = true})), HasSubstr("equal bit for bit"));
}

TEST(PairDoubtTest, AnotherNameThatSafetensorsRecordsMeansShared) {
  Names names(kPyTorch);
  names.Kernel("a.0.weight", {4, 3, 3, 3}).BatchNorm("a.1", 4);
  names.Sealed().mutable_manifest().metadata["b.0.weight"] = "a.0.weight";
  EXPECT_THAT(Pairs(names.Plan({.pair_by_order = true})),
              HasSubstr("\"a.0.weight\" is shared with another layer"));
}

TEST(PairDoubtTest, ABetaWithoutAGammaWasNotUnderstood) {
  Names names(kPyTorch);
  names.Kernel("f.0.weight", {4, 3, 3, 3}).BatchNorm("f.1", 4);
  Analysis analysis = Analyse(names.Sealed().manifest(), {.epsilon = 0.0});
  analysis.batch_norms[0].gamma.reset();
  for (const bool given : {false, true}) {
    FoldOptions options{.fold = true, .pair_by_order = !given};
    if (given) options.pairs = {PairOf("f.1", "f.0.weight")};
    EXPECT_THAT(Pairs(PlanFold(names.Sealed(), analysis, options)), HasSubstr("no gamma"));
  }
}

// --- Layouts by convention.

TEST(LayoutTest, FollowsTheFramework) {
  Names names(kKeras);
  names.Kernel("c/kernel", {3, 3, 2, 4}).Kernel("d/depthwise_kernel", {3, 3, 2, 2});
  names.Kernel("Conv2DTranspose_1/kernel", {3, 3, 4, 2}).BatchNorm("bn", 4);
  const Manifest& manifest = names.Sealed().manifest();
  const auto layout = [&](Framework framework, const char* name) {
    return ConventionalLayout(manifest, framework, *FindTensor(manifest, name));
  };
  EXPECT_EQ(layout(kKeras, "c/kernel").value(), KernelLayout::kSpatialInOut);
  EXPECT_EQ(layout(kTensorFlow, "c/kernel").value(), KernelLayout::kSpatialInOut);
  EXPECT_EQ(layout(kPyTorch, "c/kernel").value(), KernelLayout::kOutInSpatial);
  EXPECT_EQ(layout(kKeras, "d/depthwise_kernel").value(), KernelLayout::kSpatialInMultiplier);
  EXPECT_FALSE(layout(kKeras, "Conv2DTranspose_1/kernel"));
}

TEST(LayoutTest, NamesOfLayouts) {
  EXPECT_EQ(KernelLayoutFromName("HWIO"), KernelLayout::kSpatialInOut);
  EXPECT_EQ(KernelLayoutFromName("DHWIO"), KernelLayout::kSpatialInOut);
  EXPECT_EQ(KernelLayoutFromName("WIO"), KernelLayout::kSpatialInOut);
  EXPECT_EQ(KernelLayoutFromName("HWOI"), KernelLayout::kSpatialOutIn);
  EXPECT_EQ(KernelLayoutFromName("HWIM"), KernelLayout::kSpatialInMultiplier);
  EXPECT_EQ(KernelLayoutFromName("OIHW"), KernelLayout::kOutInSpatial);
  EXPECT_EQ(KernelLayoutFromName("IOHW"), KernelLayout::kInOutSpatial);
  EXPECT_EQ(KernelLayoutFromName("IO"), KernelLayout::kSpatialInOut);
  EXPECT_EQ(KernelLayoutFromName("OI"), KernelLayout::kOutInSpatial);
  for (const char* bad : {"", "HW", "HIOW", "IOO", "HWXO", "MIHW", "hwio"}) {
    EXPECT_EQ(KernelLayoutFromName(bad), std::nullopt) << bad;
  }
}

}  // namespace
}  // namespace ckpt::names_test
