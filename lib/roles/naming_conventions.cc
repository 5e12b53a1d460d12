#include "roles/naming_conventions.h"

#include <algorithm>
#include <array>
#include <cctype>
#include <string>
#include <unordered_map>

namespace ckpt {
namespace {

using Words = std::string_view;

constexpr std::array<Words, 2> kGammaOrScale = {"gamma", "scale"};
constexpr std::array<Words, 3> kBetaOrOffset = {"beta", "offset", "shift"};
constexpr std::array<Words, 3> kWeightOrGamma = {"weight", "gamma", "scale"};
constexpr std::array<Words, 4> kBiasOrBeta = {"bias", "beta", "offset", "shift"};
constexpr std::array<Words, 1> kScale = {"scale"}, kScales = {"scales"}, kBiases = {"biases"};
constexpr std::array<Words, 2> kBiasOrOffset = {"bias", "offset"};

constexpr auto kTf = Framework::kTensorFlow;
constexpr auto kTorch = Framework::kPyTorch;
using Hold = ConventionDefaults::Hold;

constexpr BatchNormConvention kConventions[] = {
    {"tf.layers, slim and Keras", "moving_mean", "moving_variance", kGammaOrScale, kBetaOrOffset,
     true, kTf},
    {"PyTorch", "running_mean", "running_var", kWeightOrGamma, kBiasOrBeta, true, kTorch,
     ConventionDefaults{1e-5, 0.9, "PyTorch", Hold::kBesideABatchCounter}},
    {"Keras 1", "running_mean", "running_std", kGammaOrScale, kBetaOrOffset, true,
     Framework::kKeras},
    {"tensorpack", "mean/EMA", "variance/EMA", kGammaOrScale, kBetaOrOffset, true, kTf,
     ConventionDefaults{1e-5, 0.9, "tensorpack"}},
    {"an average of tf.nn.moments", "moments/Squeeze/ExponentialMovingAverage",
     "moments/Squeeze_1/ExponentialMovingAverage", kGammaOrScale, kBetaOrOffset, true, kTf},
    {"an average of tf.nn.moments", "moments/mean/ExponentialMovingAverage",
     "moments/variance/ExponentialMovingAverage", kGammaOrScale, kBetaOrOffset, true, kTf},
    {"an average of tf.nn.moments", "moments/normalize/mean/ExponentialMovingAverage",
     "moments/normalize/variance/ExponentialMovingAverage", kGammaOrScale, kBetaOrOffset, true,
     kTf},
    {"written by hand", "pop_mean", "pop_var", kGammaOrScale, kBetaOrOffset, true, {}},
    {"written by hand", "pop_mean", "pop_variance", kGammaOrScale, kBetaOrOffset, true, {}},
    {"written by hand",
     "population_mean",
     "population_variance",
     kGammaOrScale,
     kBetaOrOffset,
     true,
     {}},
    {"written by hand",
     "population_mean",
     "population_var",
     kGammaOrScale,
     kBetaOrOffset,
     true,
     {}},
    {"written by hand", "running_mean", "running_variance", kGammaOrScale, kBetaOrOffset, true, {}},
    {"MXNet", "moving_mean", "moving_var", kGammaOrScale, kBetaOrOffset, true, Framework::kMxNet},
    {"Darknet", "rolling_mean", "rolling_variance", kScales, kBiases, true, Framework::kDarknet,
     ConventionDefaults{1e-5, 0.99, "Darknet"}},
    {"Chainer", "avg_mean", "avg_var", kGammaOrScale, kBetaOrOffset, true, Framework::kChainer,
     ConventionDefaults{2e-5, 0.9, "Chainer"}},
    {"Paddle",
     "_mean",
     "_variance",
     kWeightOrGamma,
     kBiasOrBeta,
     true,
     {},
     ConventionDefaults{1e-5, 0.9, "Paddle"}},
    {"Haiku",
     "mean_ema/average",
     "var_ema/average",
     kGammaOrScale,
     kBetaOrOffset,
     true,
     {},
     ConventionDefaults{1e-5, std::nullopt, "Haiku"}},
    {"Flax", "mean", "var", kScale, kBiasOrOffset, false, Framework::kFlax,
     ConventionDefaults{1e-5, 0.99, "Flax", Hold::kInFlaxCollections}},
    {"written by hand", "mean", "variance", kGammaOrScale, kBetaOrOffset, false, {}},
    {"written by hand", "mean", "var", kGammaOrScale, kBetaOrOffset, false, {}},
    {"written by hand", "mu", "sigma", kGammaOrScale, kBetaOrOffset, false, {}},
    {"written by hand", "mu", "var", kGammaOrScale, kBetaOrOffset, false, {}},
};

constexpr Leaf kLeaves[] = {
    {"gamma", Part::kGamma, true},
    {"scale", Part::kGamma, false},
    {"scales", Part::kGamma, false},
    {"beta", Part::kBeta, true},
    {"offset", Part::kBeta, false},
    {"shift", Part::kBeta, false},
    {"moving_mean", Part::kMean, true},
    {"moving_variance", Part::kVariance, true},
    {"moving_var", Part::kVariance, true},
    {"running_mean", Part::kMean, true},
    {"running_var", Part::kVariance, true},
    {"running_variance", Part::kVariance, true},
    {"running_std", Part::kVariance, true},
    {"mean/EMA", Part::kMean, false},
    {"variance/EMA", Part::kVariance, false},
    {"moments/Squeeze/ExponentialMovingAverage", Part::kMean, false},
    {"moments/Squeeze_1/ExponentialMovingAverage", Part::kVariance, false},
    {"moments/mean/ExponentialMovingAverage", Part::kMean, false},
    {"moments/variance/ExponentialMovingAverage", Part::kVariance, false},
    {"moments/normalize/mean/ExponentialMovingAverage", Part::kMean, false},
    {"moments/normalize/variance/ExponentialMovingAverage", Part::kVariance, false},
    {"pop_mean", Part::kMean, true},
    {"pop_var", Part::kVariance, true},
    {"pop_variance", Part::kVariance, true},
    {"population_mean", Part::kMean, true},
    {"population_var", Part::kVariance, true},
    {"population_variance", Part::kVariance, true},
    {"rolling_mean", Part::kMean, true},
    {"rolling_variance", Part::kVariance, true},
    {"avg_mean", Part::kMean, true},
    {"avg_var", Part::kVariance, true},
    {"_mean", Part::kMean, false},
    {"_variance", Part::kVariance, false},
    {"mean_ema/average", Part::kMean, false},
    {"var_ema/average", Part::kVariance, false},
    {"mean", Part::kMean, false},
    {"mu", Part::kMean, false},
    {"var", Part::kVariance, false},
    {"variance", Part::kVariance, false},
    {"sigma", Part::kVariance, false},
    {"renorm_mean", Part::kExtra, true},
    {"renorm_mean_weight", Part::kExtra, true},
    {"renorm_stddev", Part::kExtra, true},
    {"renorm_stddev_weight", Part::kExtra, true},
    {"moving_stddev", Part::kExtra, true},
    {"mean_ema/hidden", Part::kExtra, false},
    {"mean_ema/counter", Part::kExtra, false},
    {"var_ema/hidden", Part::kExtra, false},
    {"var_ema/counter", Part::kExtra, false},
    {"N", Part::kExtra, false},  // Chainer's count of batches while it fine-tunes statistics
    {"num_batches_tracked", Part::kCounter, true},
    {"weight", Part::kKernel, false},
    {"weights", Part::kKernel, false},
    {"kernel", Part::kKernel, true},
    {"depthwise_kernel", Part::kKernel, true},
    {"pointwise_kernel", Part::kKernel, true},
    {"recurrent_kernel", Part::kKernel, true},
    {"depthwise_weights", Part::kKernel, true},
    {"pointwise_weights", Part::kKernel, true},
    {"DW", Part::kKernel, false},  // the founding TensorFlow ResNet and its many descendants
    {"W", Part::kKernel, true},    // Keras 1, tensorpack, Theano, Chainer
    {"w", Part::kKernel, false},
    {"filters", Part::kKernel, false},
    {"filter", Part::kKernel, false},
    {"bias", Part::kBias, true},
    {"biases", Part::kBias, true},
    {"b", Part::kBias, true},
};

bool OneOf(std::span<const Words> table, std::string_view word) noexcept {
  return std::find(table.begin(), table.end(), word) != table.end();
}

std::string Lower(std::string_view text) {
  std::string lower(text);
  for (char& c : lower) c = static_cast<char>(std::tolower(static_cast<unsigned char>(c)));
  return lower;
}

}  // namespace

std::span<const BatchNormConvention> BatchNormConventions() noexcept { return kConventions; }

std::span<const Leaf> Leaves() noexcept { return kLeaves; }

const Leaf* FindLeaf(std::string_view leaf) noexcept {
  static const auto* const table = [] {
    auto* rows = new std::unordered_map<std::string_view, const Leaf*>;
    for (const Leaf& row : kLeaves) rows->emplace(row.leaf, &row);
    return rows;
  }();
  const auto found = table->find(leaf);
  return found == table->end() ? nullptr : found->second;
}

bool IsSlotSuffix(std::string_view word) noexcept {
  static constexpr Words kWords[] = {"Momentum",
                                     "Adam",
                                     "AdaMax",
                                     "Adamax",
                                     "Nadam",
                                     "AdamW",
                                     "LazyAdam",
                                     "RMSProp",
                                     "Adagrad",
                                     "ProximalAdagrad",
                                     "Ftrl",
                                     "Adadelta",
                                     "AdagradDA",
                                     "GradientDescent",
                                     "LARSOptimizer",
                                     "adam_m",
                                     "adam_v",
                                     "gradient_accumulator",
                                     "GradientAccumulator",
                                     "gradient_squared_accumulator"};
  return OneOf(kWords, word);
}

bool IsOptimizerName(std::string_view word) noexcept {
  static constexpr Words kWords[] = {"adam",     "sgd",   "rmsprop", "adagrad",   "adadelta",
                                     "adamax",   "nadam", "ftrl",    "adamw",     "lion",
                                     "momentum", "lamb",  "lars",    "adafactor", "radam"};
  return OneOf(kWords, Lower(word));
}

bool IsKerasSlotName(std::string_view word) noexcept {
  static constexpr Words kWords[] = {"m",          "v",         "vhat",        "momentum",
                                     "velocity",   "rms",       "mg",          "accumulator",
                                     "accum_grad", "accum_var", "linear",      "average",
                                     "v_hat",      "moms",      "accumulators"};
  return OneOf(kWords, word);
}

bool IsTorchSlotKey(std::string_view word) noexcept {
  static constexpr Words kWords[] = {"exp_avg",         "exp_avg_sq", "max_exp_avg_sq",
                                     "momentum_buffer", "square_avg", "grad_avg",
                                     "acc_delta",       "exp_inf"};
  return OneOf(kWords, word);
}

bool IsOptimizerScalar(std::string_view word) noexcept {
  static constexpr Words kWords[] = {"beta1_power", "beta2_power", "beta_1_power", "beta_2_power"};
  return OneOf(kWords, word);
}

bool IsShadowSuffix(std::string_view word) noexcept {
  static constexpr Words kWords[] = {"ExponentialMovingAverage", "EMA", "ema"};
  return OneOf(kWords, word);
}

int StepNameRank(std::string_view word) noexcept {
  static constexpr Words kWords[] = {"step", "iter", "iteration", "iterations", "global_step"};
  const auto* found = std::find(std::begin(kWords), std::end(kWords), word);
  return found == std::end(kWords) ? 0 : static_cast<int>(found - std::begin(kWords)) + 1;
}

}  // namespace ckpt
