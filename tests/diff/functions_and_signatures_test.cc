// Batch norms as functions, and the names given to what happened.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <random>

#include "tests/diff/two_checkpoints.h"

namespace ckpt::testing::functions_and_signatures_test {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

using Vector = std::vector<double>;

Vector Random(std::size_t count, double low, double high, unsigned seed) {
  std::mt19937 random(seed);
  std::uniform_real_distribution<double> uniform(low, high);
  Vector values(count);
  for (double& value : values) value = uniform(random);
  return values;
}

struct Norm {
  Vector gamma = Random(16, -2, 2, 1), beta = Random(16, -1, 1, 2), mean = Random(16, -3, 3, 3),
         variance = Random(16, 0.01, 4, 4);
};

void AddNorm(MemoryCheckpoint& to, const std::string& scope, const Norm& norm) {
  const auto size = static_cast<std::int64_t>(norm.mean.size());
  to.Add(scope + "/gamma", {size}, norm.gamma);
  to.Add(scope + "/beta", {size}, norm.beta);
  to.Add(scope + "/moving_mean", {size}, norm.mean);
  to.Add(scope + "/moving_variance", {size}, norm.variance);
}

TwoCheckpoints TwoNorms(const Norm& a, const Norm& b, std::optional<double> epsilon = 1e-3) {
  TwoCheckpoints two;
  two.analysis.epsilon = epsilon;
  AddNorm(two.a, "bn", a);
  AddNorm(two.b, "bn", b);
  return two;
}

BatchNormDiff OnlyNorm(const CheckpointDiff& diff) {
  EXPECT_EQ(diff.batch_norms.size(), 1u);
  return diff.batch_norms.empty() ? BatchNormDiff{} : diff.batch_norms[0];
}

// The same function in other numbers: gamma doubled, variance + epsilon times four.
Norm Rescaled(const Norm& norm, double epsilon) {
  Norm other = norm;
  for (double& gamma : other.gamma) gamma *= 2;
  for (double& variance : other.variance) variance = 4 * (variance + epsilon) - epsilon;
  return other;
}

TEST(Functions, AreEqualWhereOtherNumbersComputeTheSame) {
  const Norm norm;
  TwoCheckpoints two = TwoNorms(norm, Rescaled(norm, 1e-3));
  const CheckpointDiff diff = two.Compare();
  EXPECT_TRUE(OnlyNorm(diff).equal_as_function);
  EXPECT_EQ(OnlyNorm(diff).note, "");
  EXPECT_FALSE(diff.within_tolerance);  // equality as functions does not change the verdict
}

TEST(Functions, DifferByWhatTheFormulaSays) {
  const Norm a;
  Norm b = a;
  b.variance[5] += 0.5;
  b.beta[2] += 0.25;
  TwoCheckpoints two = TwoNorms(a, b);
  const BatchNormDiff diff = OnlyNorm(two.Compare());
  EXPECT_FALSE(diff.equal_as_function);
  const double scale_a = a.gamma[5] / std::sqrt(a.variance[5] + 1e-3);
  const double scale_b = b.gamma[5] / std::sqrt(b.variance[5] + 1e-3);
  EXPECT_NEAR(diff.max_scale_diff, std::fabs(scale_a - scale_b), 1e-6);
  EXPECT_NEAR(diff.max_shift_diff, std::max(0.25, std::fabs(a.mean[5] * (scale_a - scale_b))),
              1e-6);
}

TEST(Functions, OfTwoEpsilonsMayBeEqual) {
  const Norm a;
  Norm b = a;
  for (double& variance : b.variance) variance += 1e-3 - 1e-5;
  TwoCheckpoints two = TwoNorms(a, b);
  two.a.Seal();
  two.b.Seal();
  const auto diff = Diff(two.a, Analyse(two.a.manifest(), {1e-3, {}}), two.b,
                         Analyse(two.b.manifest(), {1e-5, {}}), {});
  ASSERT_TRUE(diff);
  EXPECT_TRUE(OnlyNorm(*diff).equal_as_function);
  EXPECT_EQ(OnlyNorm(*diff).note, "epsilon 0.001 against 1e-05");
}

// A Keras config says 0.001, a TensorFlow operation and ONNX hold the float32 next to it.
TEST(Functions, OfADecimalAndItsFloatHaveOneEpsilon) {
  TwoCheckpoints two = TwoNorms({}, {});
  two.a.Seal();
  two.b.Seal();
  const auto diff = Diff(two.a, Analyse(two.a.manifest(), {1e-3, {}}), two.b,
                         Analyse(two.b.manifest(), {double{1e-3F}, {}}), {});
  ASSERT_TRUE(diff);
  EXPECT_TRUE(OnlyNorm(*diff).equal_as_function);
  EXPECT_EQ(OnlyNorm(*diff).note, "");
}

TEST(Functions, OfEqualTensorsAndTwoEpsilonsDiffer) {
  TwoCheckpoints two = TwoNorms({}, {});
  two.a.Seal();
  two.b.Seal();
  const auto diff = Diff(two.a, Analyse(two.a.manifest(), {1e-3, {}}), two.b,
                         Analyse(two.b.manifest(), {1e-1, {}}), {});
  ASSERT_TRUE(diff);
  EXPECT_EQ(diff->identical, Identical::kYes);
  EXPECT_FALSE(OnlyNorm(*diff).equal_as_function);
  EXPECT_GT(OnlyNorm(*diff).max_scale_diff, 0.01);
}

TEST(Functions, NeedNoEpsilonWhereTensorsAreEqual) {
  TwoCheckpoints two = TwoNorms({}, {}, std::nullopt);
  const BatchNormDiff diff = OnlyNorm(two.Compare());
  EXPECT_TRUE(diff.equal_as_function);
  EXPECT_THAT(diff.note, HasSubstr("epsilon is recorded in neither"));
}

TEST(Functions, AreNotComparedWithoutEpsilonOrStatistics) {
  Norm other;
  other.beta[0] += 1;
  TwoCheckpoints no_epsilon = TwoNorms({}, other, std::nullopt);
  EXPECT_EQ(OnlyNorm(no_epsilon.Compare()).note, "not compared: epsilon is recorded in neither");
  TwoCheckpoints no_statistics;
  AddNorm(no_statistics.a, "bn", {});
  no_statistics.b.Add("bn/gamma", {16}, Norm().gamma);
  EXPECT_EQ(OnlyNorm(no_statistics.Compare()).note, "not compared: statistics missing in B");
}

TEST(Functions, AreNotComparedWhereTheVarianceIsNegative) {
  Norm other;
  other.variance[3] = -1;
  TwoCheckpoints two = TwoNorms({}, other);
  const BatchNormDiff diff = OnlyNorm(two.Compare());
  EXPECT_FALSE(diff.equal_as_function);
  EXPECT_EQ(diff.note, "not compared: variance + epsilon is not positive in B");
}

TEST(Functions, OfALayerThatOneSideLacks) {
  TwoCheckpoints two;
  AddNorm(two.a, "bn", {});
  two.AddBoth("w", {1}, {1});
  EXPECT_EQ(OnlyNorm(two.Compare()).note, "not compared: not in B");
}

TEST(Functions, KeepLayersInOrderAndLeaveOutWhatIsNotSelected) {
  TwoCheckpoints two;
  for (const char* scope : {"bn10", "bn2", "bn1"}) {
    AddNorm(two.a, scope, {});
    AddNorm(two.b, scope, {});
  }
  std::vector<std::string> scopes;
  for (const BatchNormDiff& norm : two.Compare().batch_norms) scopes.push_back(norm.scope_a);
  EXPECT_THAT(scopes, ElementsAre("bn1", "bn2", "bn10"));
  EXPECT_EQ(two.Again({.only = {"bn2/*"}})->batch_norms.size(), 1u);
}

std::vector<std::string> Ids(const CheckpointDiff& diff) {
  std::vector<std::string> ids;
  for (const Signature& signature : diff.signatures) ids.push_back(signature.id);
  return ids;
}

// Two layers with a kernel each; `change` edits B's norms.
template <class Change>
TwoCheckpoints Network(Change change, bool train_kernels = true) {
  TwoCheckpoints two;
  for (const char* block : {"block1", "block2"}) {
    Norm norm;
    if (std::string(block) == "block2") norm.variance = Random(16, 0.02, 3, 9);
    AddNorm(two.a, std::string(block) + "/bn", norm);
    change(norm);
    AddNorm(two.b, std::string(block) + "/bn", norm);
    const Vector kernel = Random(32, -1, 1, 7);
    Vector moved = kernel;
    if (train_kernels) moved[0] += 0.5;
    two.a.Add(std::string(block) + "/conv/kernel", {2, 16}, kernel);
    two.b.Add(std::string(block) + "/conv/kernel", {2, 16}, moved);
  }
  return two;
}

TEST(Signatures, NameBesselsCorrection) {
  TwoCheckpoints two = Network([](Norm& norm) {
    for (double& variance : norm.variance) variance *= 98.0 / 97.0;
  });
  const CheckpointDiff diff = two.Compare();
  ASSERT_THAT(Ids(diff), ElementsAre("bessel"));
  EXPECT_THAT(diff.signatures[0].message, HasSubstr("N = 98:"));
  EXPECT_THAT(diff.signatures[0].message, HasSubstr("larger in B"));
  EXPECT_THAT(diff.signatures[0].subjects, ElementsAre("block1/bn", "block2/bn"));
}

TEST(Signatures, NameBesselsCorrectionTheOtherWayRound) {
  TwoCheckpoints two = Network([](Norm& norm) {
    for (double& variance : norm.variance) variance *= 7.0 / 8.0;
  });
  const CheckpointDiff diff = two.Compare();
  ASSERT_THAT(Ids(diff), ElementsAre("bessel"));
  EXPECT_THAT(diff.signatures[0].message, HasSubstr("larger in A by N/(N-1), N = 8:"));
}

TEST(Signatures, DoNotTakeAnyFactorForBessels) {
  TwoCheckpoints two = Network([](Norm& norm) {
    for (double& variance : norm.variance) variance *= 1.37;  // N = 3.70
  });
  EXPECT_THAT(Ids(two.Compare()), ElementsAre());
  TwoCheckpoints large = Network([](Norm& norm) {
    for (double& variance : norm.variance) variance *= 3;  // N = 1.5
  });
  EXPECT_THAT(Ids(large.Compare()), ElementsAre());
}

TEST(Signatures, NameAnEpsilonTakenFromTheVariance) {
  TwoCheckpoints two = Network([](Norm& norm) {
    for (double& variance : norm.variance) variance -= 1e-3;
  });
  const CheckpointDiff diff = two.Compare();
  ASSERT_THAT(Ids(diff), ElementsAre("epsilon-offset"));
  EXPECT_THAT(diff.signatures[0].message, HasSubstr("0.001 smaller in B"));
}

TEST(Signatures, AreNoneForVariancesThatMovedAnyhow) {
  TwoCheckpoints two = Network([](Norm& norm) {
    for (std::size_t c = 0; c < 16; ++c) norm.variance[c] *= 1 + 0.01 * static_cast<double>(c);
    norm.gamma[0] += 1;
  });
  EXPECT_THAT(Ids(two.Compare()), IsEmpty());
}

TEST(Signatures, NameStatisticsThatWereReset) {
  const auto reset = [](Norm& norm) {
    norm.mean.assign(16, 0);
    norm.variance.assign(16, 1);
  };
  TwoCheckpoints two = Network(reset, false);
  EXPECT_THAT(Ids(two.Compare()), ElementsAre("statistics-reset"));
  // With other weights it is another network.
  TwoCheckpoints trained = Network(
      [&](Norm& norm) {
        reset(norm);
        norm.gamma[0] += 1;
      },
      true);
  EXPECT_THAT(Ids(trained.Compare()), IsEmpty());
}

TEST(Signatures, NameFrozenLayersWhoseStatisticsMoved) {
  TwoCheckpoints two = Network(
      [](Norm& norm) {
        for (double& mean : norm.mean) mean = 0.9 * mean + 0.1;
        for (double& variance : norm.variance) variance = 0.9 * variance + 0.3;
      },
      false);
  two.Add("head/kernel", {1, 2}, {3, 4});
  const CheckpointDiff diff = two.Compare();
  ASSERT_THAT(Ids(diff), ElementsAre("frozen-drift"));
  EXPECT_THAT(diff.signatures[0].subjects, ElementsAre("block1/bn", "block2/bn"));
}

TEST(Signatures, DoNotCallALayerFrozenWhoseKernelMoved) {
  TwoCheckpoints two = Network([](Norm& norm) {
    for (double& mean : norm.mean) mean = 0.9 * mean + 0.1;
  });
  EXPECT_THAT(Ids(two.Compare()), IsEmpty());
}

TEST(Signatures, AreNoneWhereAllIsEqual) {
  TwoCheckpoints two = Network([](Norm&) {}, false);
  const CheckpointDiff diff = two.Compare();
  EXPECT_EQ(diff.identical, Identical::kYes);
  EXPECT_THAT(Ids(diff), IsEmpty());
}

}  // namespace
}  // namespace ckpt::testing::functions_and_signatures_test
