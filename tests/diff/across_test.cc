// Small extents of kernels are ints here.
#pragma GCC diagnostic ignored "-Wsign-conversion"

// Files of two frameworks: which tensor is which, and in which order of axes.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <random>

#include "tests/diff/two_checkpoints.h"

namespace ckpt::testing::across_test {
namespace {

using ::testing::HasSubstr;

class Random {
 public:
  std::vector<double> Values(std::size_t count) {
    std::vector<double> values(count);
    for (double& value : values) value = static_cast<float>(normal_(generator_));
    return values;
  }

 private:
  std::mt19937 generator_{7};
  std::normal_distribution<double> normal_;
};

// [H, W, I, O] as [O, I, H, W].
std::vector<double> ToOihw(const std::vector<double>& w, int h, int wi, int in, int out) {
  std::vector<double> result;
  for (int o = 0; o < out; ++o)
    for (int i = 0; i < in; ++i)
      for (int s = 0; s < h * wi; ++s)
        result.push_back(w[static_cast<std::size_t>((s * in + i) * out + o)]);
  return result;
}

// A network in TensorFlow's names in A and in PyTorch's in B.
struct Across : TwoCheckpoints {
  Random random;

  void Conv(const std::string& name_a, const std::string& name_b, int in, int out) {
    const auto kernel = random.Values(9 * in * out);
    a.Add(name_a + "/kernel", {3, 3, in, out}, kernel);
    b.Add(name_b + ".weight", {out, in, 3, 3}, ToOihw(kernel, 3, 3, in, out));
  }
  void BatchNorm(const std::string& name_a, const std::string& name_b, int channels) {
    const std::pair<const char*, const char*> parts[] = {{"/gamma", ".weight"},
                                                         {"/beta", ".bias"},
                                                         {"/moving_mean", ".running_mean"},
                                                         {"/moving_variance", ".running_var"}};
    for (const auto& [in_a, in_b] : parts) {
      auto values = random.Values(channels);
      for (double& value : values) value = std::fabs(value) + 0.5;
      a.Add(name_a + in_a, {channels}, values);
      b.Add(name_b + in_b, {channels}, values);
    }
    b.Add(name_b + ".num_batches_tracked", {}, {10}, Dtype::kI64);
  }
};

const TensorDiff* Find(const CheckpointDiff& diff, const std::string& name_a) {
  for (const TensorDiff& tensor : diff.tensors) {
    if (tensor.name_a == name_a) return &tensor;
  }
  return nullptr;
}

TEST(Across, NamesOfTwoConventions) {
  Across two;
  two.Conv("stem/conv", "stem.conv", 4, 4);  // a square kernel: shapes say nothing
  two.BatchNorm("stem/bn", "stem.bn", 4);
  const CheckpointDiff diff = two.Compare();
  EXPECT_TRUE(diff.across);
  EXPECT_TRUE(diff.within_tolerance);
  EXPECT_EQ(diff.equal, 5u);
  EXPECT_EQ(diff.added, 1u);  // the counter, which does not count
  EXPECT_EQ(diff.mapping, "conventions of naming (5); 1 in another order of axes");
  const TensorDiff* kernel = Find(diff, "stem/conv/kernel");
  ASSERT_NE(kernel, nullptr);
  EXPECT_EQ(kernel->name_b, "stem.conv.weight");
  EXPECT_EQ(kernel->reordered, "OIHW -> HWIO");
  EXPECT_EQ(kernel->matched_by, MatchedBy::kConvention);
  ASSERT_EQ(diff.batch_norms.size(), 1u);
  EXPECT_TRUE(diff.batch_norms[0].equal_as_function);
}

TEST(Across, AConstantOfAGraphAloneIsNoDifference) {
  Across two;
  two.Conv("one/conv", "features.0", 3, 4);
  two.BatchNorm("one/bn", "features.1", 4);
  two.a.Add("anchors", {2}, {1, 2}).section = Section::kConstant;
  two.b.Add("shape", {3}, {1, 2, 3}, Dtype::kI64).section = Section::kConstant;
  const CheckpointDiff diff = two.Compare();
  EXPECT_TRUE(diff.within_tolerance);
  EXPECT_EQ(diff.identical, Identical::kNo);
  const TensorDiff* anchors = Find(diff, "anchors");
  ASSERT_NE(anchors, nullptr);
  EXPECT_FALSE(anchors->counts);
  EXPECT_THAT(anchors->note, HasSubstr("a constant of the graph"));
}

TEST(Across, AConstantThatMayHaveBeenChangedCounts) {
  Across two;
  two.Conv("one/conv", "features.0", 3, 4);
  two.a.Add("anchors", {2}, {1, 2}).section = Section::kConstant;
  two.b.Add("prior", {2}, {1, 3}).section = Section::kConstant;
  EXPECT_FALSE(two.Compare().within_tolerance);
}

TEST(Across, AConstantIsPairedWithTheBufferOfTheSameContent) {
  Across two;
  two.Conv("one/conv", "features.0", 3, 4);
  two.a.Add("anchors", {2}, {1, 2}).section = Section::kConstant;
  two.b.Add("features.priors", {2}, {1, 2});
  const CheckpointDiff diff = two.Compare();
  EXPECT_TRUE(diff.within_tolerance);
  EXPECT_EQ(Find(diff, "anchors")->name_b, "features.priors");
}

TEST(Across, ABufferWithoutAConstantCounts) {
  Across two;
  two.Conv("one/conv", "features.0", 3, 4);
  two.a.Add("anchors", {2}, {1, 2}).section = Section::kConstant;
  two.b.Add("features.priors", {2}, {1, 3});
  EXPECT_FALSE(two.Compare().within_tolerance);
}

TEST(Across, ContentFindsWhatNamesDoNot) {
  Across two;
  two.Conv("one/conv", "features.0", 4, 4);
  two.BatchNorm("one/bn", "features.1", 4);
  two.Conv("two/conv", "features.3", 4, 4);
  two.BatchNorm("two/bn", "features.4", 4);
  const CheckpointDiff diff = two.Compare();
  EXPECT_TRUE(diff.within_tolerance);
  EXPECT_EQ(diff.equal, 10u);
  EXPECT_EQ(Find(diff, "two/conv/kernel")->name_b, "features.3.weight");
  EXPECT_EQ(Find(diff, "two/bn/moving_mean")->name_b, "features.4.running_mean");
  EXPECT_EQ(Find(diff, "two/bn/moving_mean")->matched_by, MatchedBy::kContent);
}

TEST(Across, AChangedTensorIsFoundByItsLayer) {
  Across two;
  two.Conv("one/conv", "features.0", 3, 4);
  two.BatchNorm("one/bn", "features.1", 4);
  two.a.Add("one/conv/bias", {4}, {1, 2, 3, 4});
  two.b.Add("features.0.bias", {4}, {1, 2, 3, 4.5});
  const CheckpointDiff diff = two.Compare();
  EXPECT_FALSE(diff.within_tolerance);
  const TensorDiff* bias = Find(diff, "one/conv/bias");
  EXPECT_EQ(bias->name_b, "features.0.bias");
  EXPECT_EQ(bias->matched_by, MatchedBy::kLayer);
  EXPECT_EQ(bias->differing, 1u);
  EXPECT_EQ(bias->max_abs, 0.5);
}

TEST(Across, EqualContentIsPairedInOrderAndSaid) {
  Across two;
  two.BatchNorm("bn", "norm", 3);
  for (int i = 1; i <= 10; ++i) {
    two.a.Add("layer" + std::to_string(i) + "/kernel", {2, 2}, {1, 1, 1, 1});
    two.b.Add("m." + std::to_string(i) + ".weight", {2, 2}, {1, 1, 1, 1});
  }
  const CheckpointDiff diff = two.Compare();
  EXPECT_TRUE(diff.within_tolerance);
  EXPECT_EQ(Find(diff, "layer10/kernel")->name_b, "m.10.weight");
  EXPECT_EQ(Find(diff, "layer2/kernel")->name_b, "m.2.weight");
  EXPECT_EQ(Find(diff, "layer2/kernel")->matched_by, MatchedBy::kOrder);
  EXPECT_THAT(Find(diff, "layer2/kernel")->note, HasSubstr("10 of A and 10 of B"));
}

TEST(Across, DenseKernels) {
  Across two;
  two.BatchNorm("bn", "bn", 3);
  const auto plain = two.random.Values(6 * 5), flattened = two.random.Values(24 * 5);
  std::vector<double> plain_b, flattened_b;
  for (int o = 0; o < 5; ++o) {
    for (int i = 0; i < 6; ++i) plain_b.push_back(plain[i * 5 + o]);
    for (int c = 0; c < 4; ++c)
      for (int s = 0; s < 6; ++s) flattened_b.push_back(flattened[(s * 4 + c) * 5 + o]);
  }
  two.a.Add("fc/kernel", {6, 5}, plain);
  two.b.Add("fc.weight", {5, 6}, plain_b);
  two.a.Add("fc1/kernel", {24, 5}, flattened);
  two.b.Add("fc1.weight", {5, 24}, flattened_b);
  const CheckpointDiff diff = two.Compare();
  EXPECT_TRUE(diff.within_tolerance);
  EXPECT_EQ(Find(diff, "fc/kernel")->reordered, "OI -> IO");
  EXPECT_THAT(Find(diff, "fc1/kernel")->reordered, HasSubstr("4 channels flattened"));
}

TEST(Across, DepthwiseAndTransposed) {
  Across two;
  two.BatchNorm("bn", "bn", 3);
  const auto depthwise = two.random.Values(9 * 4 * 2), transposed = two.random.Values(9 * 4 * 6);
  // [H, W, I, M] -> [I * M, 1, H, W] and [H, W, O, I] -> [I, O, H, W] reverse alike.
  std::vector<double> depthwise_b;
  for (int im = 0; im < 8; ++im)
    for (int s = 0; s < 9; ++s) depthwise_b.push_back(depthwise[s * 8 + im]);
  two.a.Add("dw/depthwise_kernel", {3, 3, 4, 2}, depthwise);
  two.b.Add("dw.weight", {8, 1, 3, 3}, depthwise_b);
  two.a.Add("conv2d_transpose/kernel", {3, 3, 4, 6}, transposed);
  two.b.Add("up.weight", {6, 4, 3, 3}, ToOihw(transposed, 3, 3, 4, 6));
  const CheckpointDiff diff = two.Compare();
  EXPECT_TRUE(diff.within_tolerance);
  EXPECT_EQ(Find(diff, "dw/depthwise_kernel")->reordered, "depthwise OIHW -> HWIM");
  EXPECT_EQ(Find(diff, "conv2d_transpose/kernel")->reordered, "IOHW -> HWOI");
}

TEST(Across, ADifferenceStays) {
  Across two;
  two.Conv("stem/conv", "stem.conv", 4, 4);
  two.BatchNorm("stem/bn", "stem.bn", 4);
  two.Conv("b/conv", "b.conv", 2, 3);
  two.a.Seal();
  two.b.Seal();
  const CheckpointDiff same = *two.Again();
  EXPECT_TRUE(same.within_tolerance);
  // The same file against one whose first kernel was drawn anew.
  Across other;
  other.random.Values(5);
  other.Conv("stem/conv", "stem.conv", 4, 4);
  other.b.Seal();
  other.b.mutable_manifest().framework = Framework::kPyTorch;
  const auto diff =
      Diff(two.a, Analyse(two.a.manifest()), other.b, Analyse(other.b.manifest()), {});
  ASSERT_TRUE(diff);
  EXPECT_FALSE(diff->within_tolerance);
  EXPECT_EQ(Find(*diff, "stem/conv/kernel")->status, TensorStatus::kChanged);
  EXPECT_EQ(Find(*diff, "b/conv/kernel")->status, TensorStatus::kRemoved);
}

// One framework: a square kernel that was turned is another kernel.
TEST(Orders, AreNotTurnedToMakeADifferenceSmaller) {
  TwoCheckpoints two;
  two.a.Add("a/kernel", {2, 2}, {1, 2, 3, 4});
  two.b.Add("a/kernel", {2, 2}, {1, 3, 2, 4});
  two.a.Add("one", {1}, {7});
  two.a.Add("two", {1}, {8});
  two.b.Add("three", {1}, {9});
  two.b.Add("four", {1}, {10});
  const CheckpointDiff diff = two.Compare();
  EXPECT_TRUE(diff.across);  // few names agree
  const TensorDiff* kernel = Find(diff, "a/kernel");
  ASSERT_NE(kernel, nullptr);
  EXPECT_EQ(kernel->status, TensorStatus::kChanged);
  EXPECT_EQ(kernel->reordered, "");
  EXPECT_EQ(kernel->differing, 2u);
}

// Numbered anew: equal names over other shapes yield to content.
TEST(Names, YieldToContentWhereShapesDisagree) {
  TwoCheckpoints two;
  Random random;
  const std::vector<std::vector<double>> values = {random.Values(4), random.Values(6),
                                                   random.Values(8), random.Values(10)};
  for (int i = 0; i < 4; ++i) {
    const auto& v = values[static_cast<std::size_t>(i)];
    const auto size = static_cast<std::int64_t>(v.size());
    two.a.Add("dense_" + std::to_string(i) + "/kernel", {size}, v);
    two.b.Add("dense_" + std::to_string(i + 1) + "/kernel", {size}, v);
  }
  const CheckpointDiff diff = two.Compare();
  EXPECT_EQ(diff.equal, 4u);
  EXPECT_EQ(Find(diff, "dense_1/kernel")->name_b, "dense_2/kernel");
}

TEST(Names, AgreeAcrossSeparatorsWhateverTheirPart) {
  Across two;
  two.Conv("stem/conv", "stem.conv", 4, 4);
  two.a.Add("encoder/pos_embed", {3}, {1, 2, 3});
  two.b.Add("encoder.pos_embed", {3}, {1, 2, 4});
  const CheckpointDiff diff = two.Compare();
  EXPECT_EQ(Find(diff, "encoder/pos_embed")->name_b, "encoder.pos_embed");
  EXPECT_EQ(Find(diff, "encoder/pos_embed")->matched_by, MatchedBy::kConvention);
}

// A batch norm folded into the kernel and bias before it, by the formula.
struct FoldedAway : Across {
  void Build(double shift_error = 0, bool names_agree = true) {
    const int in = 5, out = 4;
    const auto kernel = random.Values(9 * in * out), bias = random.Values(out);
    const auto gamma = random.Values(out), beta = random.Values(out), mean = random.Values(out);
    auto variance = random.Values(out);
    for (double& value : variance) value = std::fabs(value) + 0.1;
    a.Add("conv/kernel", {3, 3, in, out}, kernel);
    a.Add("conv/bias", {out}, bias);
    a.Add("bn/gamma", {out}, gamma);
    a.Add("bn/beta", {out}, beta);
    a.Add("bn/moving_mean", {out}, mean);
    a.Add("bn/moving_variance", {out}, variance);
    auto folded = kernel, shift = bias;
    for (int e = 0; e < 9 * in * out; ++e) {
      folded[e] *= gamma[e % out] / std::sqrt(variance[e % out] + 0.001);
    }
    for (int o = 0; o < out; ++o) {
      const double scale = gamma[o] / std::sqrt(variance[o] + 0.001);
      shift[o] = (bias[o] - mean[o]) * scale + beta[o] + (o == 2 ? shift_error : 0);
    }
    const std::string name = names_agree ? "conv" : "net.7";
    b.Add(name + ".weight", {out, in, 3, 3}, ToOihw(folded, 3, 3, in, out));
    b.Add(name + ".bias", {out}, shift);
    b.mutable_manifest().framework = Framework::kPyTorch;
    analysis.epsilon = 0.001;
  }
};

TEST(FoldedAway, IsTheSameFunctionAndSaid) {
  for (const bool names_agree : {true, false}) {
    FoldedAway two;
    two.Build(0, names_agree);
    const CheckpointDiff diff = two.Compare();
    ASSERT_EQ(diff.batch_norms.size(), 1u);
    EXPECT_TRUE(diff.batch_norms[0].equal_as_function) << diff.batch_norms[0].note;
    EXPECT_LT(diff.batch_norms[0].max_scale_diff, 1e-5);
    EXPECT_THAT(diff.batch_norms[0].note, HasSubstr("folded into"));
    EXPECT_FALSE(diff.within_tolerance);  // values differ, whatever they compute
    EXPECT_EQ(Find(diff, "conv/kernel")->matched_by,
              names_agree ? MatchedBy::kConvention : MatchedBy::kFactors);
  }
}

TEST(FoldedAway, AWrongShiftIsADifference) {
  FoldedAway two;
  two.Build(0.25);
  const CheckpointDiff diff = two.Compare();
  ASSERT_EQ(diff.batch_norms.size(), 1u);
  EXPECT_FALSE(diff.batch_norms[0].equal_as_function);
  EXPECT_NEAR(diff.batch_norms[0].max_shift_diff, 0.25, 1e-5);
}

TEST(FoldedAway, AnotherEpsilonIsNotFound) {
  FoldedAway two;
  two.Build();
  two.analysis.epsilon = 0.1;
  const CheckpointDiff diff = two.Compare();
  ASSERT_EQ(diff.batch_norms.size(), 1u);
  EXPECT_FALSE(diff.batch_norms[0].equal_as_function);
  EXPECT_EQ(diff.batch_norms[0].note, "not compared: not in B");
}

// Without batch norms no name of B says whose conventions it follows: the shape of one kernel does,
// for the square ones too; and a flattened kernel that took a scale is known by its channels.
TEST(FoldedAway, ConventionsAreKnownByTheShapesOfOtherKernels) {
  Across two;
  two.Conv("conv", "conv", 3, 4);
  const auto square = two.random.Values(25), flattened = two.random.Values(24 * 5);
  const auto gamma = two.random.Values(5);
  std::vector<double> square_b, flattened_b;
  for (std::size_t o = 0; o < 5; ++o) {
    for (std::size_t i = 0; i < 5; ++i) square_b.push_back(square[i * 5 + o]);
    for (std::size_t c = 0; c < 4; ++c)
      for (std::size_t s = 0; s < 6; ++s)
        flattened_b.push_back(flattened[(s * 4 + c) * 5 + o] * gamma[o]);
  }
  two.a.Add("fc/kernel", {24, 5}, flattened);
  two.b.Add("fc.weight", {5, 24}, flattened_b);
  two.a.Add("head/kernel", {5, 5}, square);
  two.b.Add("head.weight", {5, 5}, square_b);
  two.a.Add("fc_bn/gamma", {5}, gamma);
  two.a.Add("fc_bn/beta", {5}, std::vector<double>(5, 0));
  two.a.Add("fc_bn/moving_mean", {5}, std::vector<double>(5, 0));
  two.a.Add("fc_bn/moving_variance", {5}, std::vector<double>(5, 0.999));
  two.b.Add("fc.bias", {5}, std::vector<double>(5, 0));
  two.analysis.epsilon = 0.001;
  const CheckpointDiff diff = two.Compare();
  ASSERT_NE(Find(diff, "head/kernel"), nullptr);
  EXPECT_EQ(Find(diff, "head/kernel")->status, TensorStatus::kEqual);
  EXPECT_THAT(Find(diff, "fc/kernel")->reordered, HasSubstr("4 channels flattened"));
  ASSERT_EQ(diff.batch_norms.size(), 1u);
  EXPECT_TRUE(diff.batch_norms[0].equal_as_function) << diff.batch_norms[0].note;
}

// Programs that name no layer: which bias belongs to which kernel only values say.
TEST(FoldedAway, FindsTheBiasOfKernelsWithoutScopes) {
  TwoCheckpoints two;
  Random random;
  const auto kernel = random.Values(36), bias = random.Values(4), other = random.Values(4);
  const auto gamma = random.Values(4), beta = random.Values(4), mean = random.Values(4);
  std::vector<double> folded(kernel), shifted(bias);
  for (std::size_t e = 0; e < 36; ++e) folded[e] *= gamma[e % 4] / std::sqrt(1.001);
  for (std::size_t o = 0; o < 4; ++o)
    shifted[o] = (bias[o] - mean[o]) * gamma[o] / std::sqrt(1.001) + beta[o];
  two.a.Add("Variable", {3, 3, 1, 4}, kernel);
  two.b.Add("Variable", {3, 3, 1, 4}, folded);
  two.AddBoth("Variable_1", {4}, other);
  two.Add("Variable_2", bias, shifted);
  two.a.Add("bn/gamma", {4}, gamma);
  two.a.Add("bn/beta", {4}, beta);
  two.a.Add("bn/moving_mean", {4}, mean);
  two.a.Add("bn/moving_variance", {4}, {1, 1, 1, 1});
  two.analysis.epsilon = 0.001;
  const CheckpointDiff diff = two.Compare();
  ASSERT_EQ(diff.batch_norms.size(), 1u);
  EXPECT_TRUE(diff.batch_norms[0].equal_as_function) << diff.batch_norms[0].note;
  EXPECT_THAT(diff.batch_norms[0].note, HasSubstr("Variable_2"));
}

}  // namespace
}  // namespace ckpt::testing::across_test
