// Each naming convention, as the framework writes it, becomes one batch norm with its four tensors.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/roles/names.h"

namespace ckpt::testing::conventions_test {
namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;

struct Case {
  const char* what;
  std::vector<NamedTensor> tensors;
  std::string layer;  // as in Named::Layers
};

void PrintTo(const Case& value, std::ostream* out) { *out << value.what; }

class Convention : public ::testing::TestWithParam<Case> {};

TEST_P(Convention, FormsOneLayer) {
  const Named named(GetParam().tensors);
  EXPECT_THAT(named.Layers(), ElementsAre(GetParam().layer));
  ASSERT_EQ(named.analysis.batch_norms.size(), 1u);
  EXPECT_TRUE(named.analysis.batch_norms[0].certain);
  EXPECT_EQ(named.analysis.batch_norms[0].channels, 4u);
}

INSTANTIATE_TEST_SUITE_P(
    All, Convention,
    ::testing::Values(
        Case{"TfLayers",
             {"bn/gamma",
              "bn/beta",
              "bn/moving_mean",
              "bn/moving_variance",
              {"conv/kernel", {3, 3, 2, 4}}},
             "bn: bn/gamma bn/beta bn/moving_mean bn/moving_variance"},
        Case{"SlimWithoutGamma",
             {{"Conv/weights", {3, 3, 2, 4}},
              "Conv/BatchNorm/beta",
              "Conv/BatchNorm/moving_mean",
              "Conv/BatchNorm/moving_variance"},
             "Conv/BatchNorm: - Conv/BatchNorm/beta Conv/BatchNorm/moving_mean "
             "Conv/BatchNorm/moving_variance"},
        Case{"Tensorpack",
             {"conv0/bn/gamma",
              "conv0/bn/beta",
              "conv0/bn/mean/EMA",
              "conv0/bn/variance/EMA",
              {"conv0/W", {3, 3, 2, 4}}},
             "conv0/bn: conv0/bn/gamma conv0/bn/beta conv0/bn/mean/EMA conv0/bn/variance/EMA"},
        Case{"PopMean",
             {"l1/scale", "l1/beta", "l1/pop_mean", "l1/pop_var"},
             "l1: l1/scale l1/beta l1/pop_mean l1/pop_var"},
        Case{"PopulationMean",
             {"l1/gamma", "l1/offset", "l1/population_mean", "l1/population_variance"},
             "l1: l1/gamma l1/offset l1/population_mean l1/population_variance"},
        Case{"MuSigma",
             {"bn1/scale", "bn1/offset", "bn1/mu", "bn1/sigma"},
             "bn1: bn1/scale bn1/offset bn1/mu bn1/sigma"},
        Case{"BareMeanVariance",
             {"layer1/gamma", "layer1/beta", "layer1/mean", "layer1/variance"},
             "layer1: layer1/gamma layer1/beta layer1/mean layer1/variance"},
        Case{"KerasOne",
             {"bn_a_gamma", "bn_a_beta", "bn_a_running_mean", "bn_a_running_std"},
             "bn_a: bn_a_gamma bn_a_beta bn_a_running_mean bn_a_running_std"},
        Case{"PyTorch",
             {"layer1.0.bn1.weight",
              "layer1.0.bn1.bias",
              "layer1.0.bn1.running_mean",
              "layer1.0.bn1.running_var",
              {"layer1.0.bn1.num_batches_tracked", {}, Dtype::kI64}},
             "layer1.0.bn1: layer1.0.bn1.weight layer1.0.bn1.bias layer1.0.bn1.running_mean "
             "layer1.0.bn1.running_var"},
        Case{"PyTorchDataParallelCompiled",
             {"module._orig_mod.bn.weight", "module._orig_mod.bn.bias",
              "module._orig_mod.bn.running_mean", "module._orig_mod.bn.running_var"},
             "module._orig_mod.bn: module._orig_mod.bn.weight module._orig_mod.bn.bias "
             "module._orig_mod.bn.running_mean module._orig_mod.bn.running_var"},
        Case{"PyTorchWithoutAffine",
             {"bn.running_mean", "bn.running_var"},
             "bn: - - bn.running_mean bn.running_var"},
        Case{"Flax",
             {"params/stem/BatchNorm_0/scale", "params/stem/BatchNorm_0/bias",
              "batch_stats/stem/BatchNorm_0/mean", "batch_stats/stem/BatchNorm_0/var"},
             "stem/BatchNorm_0: params/stem/BatchNorm_0/scale params/stem/BatchNorm_0/bias "
             "batch_stats/stem/BatchNorm_0/mean batch_stats/stem/BatchNorm_0/var"},
        Case{"Haiku",
             {"net/batch_norm/scale", "net/batch_norm/offset", "net/batch_norm/~/mean_ema/average",
              "net/batch_norm/~/mean_ema/hidden", "net/batch_norm/~/var_ema/average",
              "net/batch_norm/~/var_ema/hidden"},
             "net/batch_norm: net/batch_norm/scale net/batch_norm/offset "
             "net/batch_norm/~/mean_ema/average net/batch_norm/~/var_ema/average"},
        Case{"Chainer",
             {"bn1/gamma", "bn1/beta", "bn1/avg_mean", "bn1/avg_var"},
             "bn1: bn1/gamma bn1/beta bn1/avg_mean bn1/avg_var"},
        Case{"Paddle",
             {"bn1.weight", "bn1.bias", "bn1._mean", "bn1._variance"},
             "bn1: bn1.weight bn1.bias bn1._mean bn1._variance"},
        Case{"MxnetMovingVar",
             {"bn0_gamma", "bn0_beta", "bn0_moving_mean", "bn0_moving_var"},
             "bn0: bn0_gamma bn0_beta bn0_moving_mean bn0_moving_var"},
        Case{
            "AveragedMoments",
            {"conv1/bn/beta", "conv1/bn/gamma", "conv1/bn/moments/Squeeze/ExponentialMovingAverage",
             "conv1/bn/moments/Squeeze_1/ExponentialMovingAverage"},
            "conv1/bn: conv1/bn/gamma conv1/bn/beta "
            "conv1/bn/moments/Squeeze/ExponentialMovingAverage "
            "conv1/bn/moments/Squeeze_1/ExponentialMovingAverage"},
        Case{"AveragedMomentsInRepeatedScope",
             {"conv1/bn/beta", "conv1/bn/gamma",
              "conv1/bn/conv1/bn_1/moments/Squeeze/ExponentialMovingAverage",
              "conv1/bn/conv1/bn_1/moments/Squeeze_1/ExponentialMovingAverage"},
             "conv1/bn: conv1/bn/gamma conv1/bn/beta "
             "conv1/bn/conv1/bn_1/moments/Squeeze/ExponentialMovingAverage "
             "conv1/bn/conv1/bn_1/moments/Squeeze_1/ExponentialMovingAverage"},
        Case{"OldMoments",
             {"bn/beta", "bn/gamma", "bn/moments/normalize/mean/ExponentialMovingAverage",
              "bn/moments/normalize/variance/ExponentialMovingAverage"},
             "bn: bn/gamma bn/beta bn/moments/normalize/mean/ExponentialMovingAverage "
             "bn/moments/normalize/variance/ExponentialMovingAverage"},
        Case{"VirtualBatch",
             {{"bn/gamma", {1, 1, 1, 1, 4}},
              {"bn/beta", {1, 1, 1, 1, 4}},
              {"bn/moving_mean", {1, 1, 1, 1, 4}},
              {"bn/moving_variance", {1, 1, 1, 1, 4}}},
             "bn: bn/gamma bn/beta bn/moving_mean bn/moving_variance"},
        Case{"OnePartition",
             {"bn/gamma/part_0", "bn/beta/part_0", "bn/moving_mean", "bn/moving_variance"},
             "bn: bn/gamma/part_0 bn/beta/part_0 bn/moving_mean bn/moving_variance"}),
    [](const auto& param) { return param.param.what; });

TEST(BatchNormLayers, StandInNaturalOrder) {
  const Named named({"b/bn10/moving_mean", "b/bn10/moving_variance", "b/bn2/moving_mean",
                     "b/bn2/moving_variance", "b/bn/moving_mean", "b/bn/moving_variance"});
  EXPECT_THAT(named.Scopes(), ElementsAre("b/bn", "b/bn2", "b/bn10"));
}

TEST(BatchNormLayers, OfOtherNormsAreNone) {
  const Named named({"bert/encoder/LayerNorm/gamma",
                     "bert/encoder/LayerNorm/beta",
                     {"model/h0/ln_1/g"},
                     {"model/h0/ln_1/b"},
                     "stage_0_block_0_layernorm/gamma",
                     "stage_0_block_0_layernorm/beta",
                     "h.0.ln_1.weight",
                     "h.0.ln_1.bias",
                     "enc/group_normalization/gamma",
                     "enc/group_normalization/beta",
                     "gen/instance_norm/gamma",
                     "gen/instance_norm/beta"});
  EXPECT_THAT(named.Layers(), IsEmpty());
}

TEST(BatchNormLayers, NormalizationOfInputsIsNone) {
  const Named named(
      {"normalization/mean", "normalization/variance", {"normalization/count", {}, Dtype::kI64}});
  EXPECT_THAT(named.Layers(), IsEmpty());
}

}  // namespace
}  // namespace ckpt::testing::conventions_test
