// Where epsilon and momentum come from, and what the second statistic holds.
#include <gtest/gtest.h>

#include "tests/roles/names.h"

namespace ckpt::testing::hyperparameters_test {
namespace {

struct Case {
  const char* what;
  std::vector<NamedTensor> tensors;
  std::optional<Framework> framework;
  const char* version;
  std::optional<double> epsilon, decay;
  const char* detail;
};
void PrintTo(const Case& value, std::ostream* out) { *out << value.what; }

class FrameworkDefault : public ::testing::TestWithParam<Case> {};

TEST_P(FrameworkDefault, IsAssumedWhereTheFrameworkIsBeyondDoubt) {
  Manifest manifest = ManifestOf(GetParam().tensors);
  manifest.framework = GetParam().framework;
  manifest.framework_version = GetParam().version;
  const Named named = Named::OfManifest(manifest);
  ASSERT_EQ(named.analysis.batch_norms.size(), 1u);
  const BatchNorm& norm = named.analysis.batch_norms[0];
  ASSERT_EQ(norm.epsilon.has_value(), GetParam().epsilon.has_value());
  ASSERT_EQ(norm.momentum.has_value(), GetParam().decay.has_value());
  if (norm.epsilon) {
    EXPECT_EQ(norm.epsilon->value, *GetParam().epsilon);
    EXPECT_EQ(norm.epsilon->evidence, (Evidence{EvidenceSource::kDefault, GetParam().detail}));
  }
  if (norm.momentum) {
    EXPECT_EQ(norm.momentum->value, *GetParam().decay);
    EXPECT_EQ(norm.momentum->evidence.source, EvidenceSource::kDefault);
  }
}

const std::vector<NamedTensor> kKerasTwo = {"bn/moving_mean", "bn/moving_variance"};
const std::vector<NamedTensor> kKerasOne = {"bn_running_mean", "bn_running_std"};
const std::vector<NamedTensor> kTorch = {"bn.running_mean", "bn.running_var"};

INSTANTIATE_TEST_SUITE_P(
    All, FrameworkDefault,
    ::testing::Values(
        Case{"Keras215", kKerasTwo, Framework::kKeras, "2.1.5", 1e-3, 0.99,
             "default of Keras 2.1.5"},
        Case{"Keras3", kKerasTwo, Framework::kKeras, "3.15.1", 1e-3, 0.99,
             "default of Keras 3.15.1"},
        Case{"KerasTfSuffix", kKerasTwo, Framework::kKeras, "2.2.4-tf", 1e-3, 0.99,
             "default of Keras 2.2.4-tf"},
        Case{"KerasWithoutVersion", kKerasTwo, Framework::kKeras, "", 1e-3, 0.99,
             "default of Keras 2"},
        Case{"Keras122", kKerasOne, Framework::kKeras, "1.2.2", 1e-3, 0.99,
             "default of Keras 1.2.2"},
        Case{"Keras112", kKerasOne, Framework::kKeras, "1.1.2", 1e-5, 0.99,
             "default of Keras 1.1.2"},
        Case{"Keras107", kKerasOne, Framework::kKeras, "1.0.7", 1e-6, 0.99,
             "default of Keras 1.0.7"},
        Case{"Keras106", kKerasOne, Framework::kKeras, "1.0.6", 1e-6, 0.9,
             "default of Keras 1.0.6"},
        Case{"Keras1WithoutVersion", kKerasOne, Framework::kKeras, "", {}, {}, ""},
        Case{"Keras1NamesAlone", kKerasOne, {}, "", {}, {}, ""},
        Case{"TfLayersOwnName",
             {"a/batch_normalization_2/moving_mean", "a/batch_normalization_2/moving_variance"},
             {},
             "",
             1e-3,
             0.99,
             "default of tf.layers and Keras"},
        Case{"SlimOwnName",
             {"Conv/BatchNorm/moving_mean", "Conv/BatchNorm/moving_variance"},
             {},
             "",
             1e-3,
             0.999,
             "default of slim"},
        Case{"AnyoneCanWriteTheseNames", kKerasTwo, {}, "", {}, {}, ""},
        Case{"TorchWithCounter",
             {"bn.running_mean", "bn.running_var", {"bn.num_batches_tracked", {}, Dtype::kI64}},
             {},
             "",
             1e-5,
             0.9,
             "default of PyTorch"},
        Case{"TorchFrozenHasNoCounter", kTorch, {}, "", {}, {}, ""},
        Case{"Tensorpack",
             {"bn/mean/EMA", "bn/variance/EMA"},
             {},
             "",
             1e-5,
             0.9,
             "default of tensorpack"},
        Case{"Chainer", {"bn/avg_mean", "bn/avg_var"}, {}, "", 2e-5, 0.9, "default of Chainer"},
        Case{"Flax",
             {"params/bn/scale", "params/bn/bias", "batch_stats/bn/mean", "batch_stats/bn/var"},
             {},
             "",
             1e-5,
             0.99,
             "default of Flax"},
        Case{"MeanAndVarOutsideATreeOfFlax",
             {"bn/scale", "bn/bias", "bn/mean", "bn/var"},
             {},
             "",
             {},
             {},
             ""},
        Case{"Haiku",
             {"bn/~/mean_ema/average", "bn/~/var_ema/average"},
             {},
             "",
             1e-5,
             {},
             "default of Haiku"}),
    [](const auto& param) { return param.param.what; });

TEST(Epsilon, GivenByTheUserWinsOverADefaultOnly) {
  const AnalysisOptions options{0.25, 0.75};
  const Named named({"Conv/BatchNorm/moving_mean", "Conv/BatchNorm/moving_variance"}, options);
  const BatchNorm& norm = named.analysis.batch_norms.at(0);
  EXPECT_EQ(norm.epsilon->value, 0.25);
  EXPECT_EQ(norm.epsilon->evidence.source, EvidenceSource::kUser);
  EXPECT_EQ(norm.momentum->value, 0.75);
  EXPECT_EQ(norm.momentum->evidence.source, EvidenceSource::kUser);
}

SpreadKind SpreadOf(const char* version) {
  Manifest manifest = ManifestOf(kKerasOne);
  manifest.framework = Framework::kKeras;
  manifest.framework_version = version;
  return Named::OfManifest(manifest).analysis.batch_norms.at(0).spread;
}

TEST(RunningStd, IsADeviationUpToKeras105AndAVarianceAfter) {
  EXPECT_EQ(SpreadOf("0.3.3"), SpreadKind::kStandardDeviation);
  EXPECT_EQ(SpreadOf("1.0.5"), SpreadKind::kStandardDeviation);
  EXPECT_EQ(SpreadOf("1.0.6"), SpreadKind::kVariance);
  EXPECT_EQ(SpreadOf("1.2.2"), SpreadKind::kVariance);
  EXPECT_EQ(SpreadOf(""), SpreadKind::kVariance);
}

TEST(FrameworkOfNames, IsThatOfAllLayersOrUnknown) {
  EXPECT_EQ(Named(kTorch).analysis.framework, Framework::kPyTorch);
  EXPECT_EQ(Named(kKerasTwo).analysis.framework, Framework::kTensorFlow);
  EXPECT_EQ(Named({"bn/moving_mean", "bn/moving_variance", "b.running_mean", "b.running_var"})
                .analysis.framework,
            std::nullopt);
  EXPECT_EQ(Named({"l/pop_mean", "l/pop_var"}).analysis.framework, std::nullopt);
}

}  // namespace
}  // namespace ckpt::testing::hyperparameters_test
