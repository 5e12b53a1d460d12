// How frameworks and people name the variables of a checkpoint, as tables.
//
// Sources: the variable names that the frameworks' own layers create (tf.layers, tf_slim, Keras 1
// to 3, PyTorch, Flax linen, Haiku, Chainer, Paddle, MXNet Gluon, tensorpack), and those of
// programs that write batch norm by hand.
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string_view>

#include "ckpt/checkpoint.h"

namespace ckpt {

// What a variable is within its layer.
enum class Part : std::uint8_t {
  kGamma,
  kBeta,
  kMean,
  kVariance,
  kExtra,
  kCounter,
  kKernel,
  kBias
};

// Epsilon and decay that the framework of a convention uses where a program names none.
struct ConventionDefaults {
  // When the names leave no doubt that the framework's own layer stands behind them.
  enum class Hold : std::uint8_t {
    kAlways,
    kBesideABatchCounter,  // tells PyTorch's own layer from one written by hand or frozen
    kInFlaxCollections,    // recorded as Flax, or in its collection "batch_stats"
  };
  double epsilon;
  std::optional<double> decay;
  std::string_view whose;  // "PyTorch"
  Hold hold = Hold::kAlways;
};

// One way of naming a batch norm. A leaf is the trailing components of a name, joined by '/'
// whatever the separator of the file is.
struct BatchNormConvention {
  std::string_view name;  // for evidence: "tf.layers, slim and Keras"
  std::string_view mean, variance;
  std::span<const std::string_view> gammas, betas;  // in order of preference
  // The statistics alone say batch norm. Otherwise a gamma or beta has to stand beside them, or the
  // scope has to say it.
  bool statistics_suffice;
  std::optional<Framework> framework;  // whose layouts come with these names; absent: anyone's
  std::optional<ConventionDefaults> defaults = {};
};
// In order of preference where a scope matches several.
std::span<const BatchNormConvention> BatchNormConventions() noexcept;

struct Leaf {
  std::string_view leaf;
  Part part;
  // Distinctive enough to be recognised behind an underscore as well: "bn_a_gamma".
  bool joinable;
};
// Every leaf of the conventions, and the extras, counters, kernels and biases that have one name.
std::span<const Leaf> Leaves() noexcept;
// The row whose leaf is exactly this; null if there is none.
const Leaf* FindLeaf(std::string_view leaf) noexcept;

// The last component of a slot's name in TensorFlow 1, without a number: "Momentum", "adam_m".
bool IsSlotSuffix(std::string_view word) noexcept;
// "Adam", "sgd", ...: a component that Keras puts before the slots of an optimizer.
bool IsOptimizerName(std::string_view word) noexcept;
// "m", "v", "momentum", ...: what Keras calls a slot, before or behind the variable's name.
bool IsKerasSlotName(std::string_view word) noexcept;
// "exp_avg", "momentum_buffer", ...: PyTorch's keys in the state of an optimizer.
bool IsTorchSlotKey(std::string_view word) noexcept;
// "beta1_power", ...: a scalar that an optimizer keeps beside its slots.
bool IsOptimizerScalar(std::string_view word) noexcept;
// "ExponentialMovingAverage", "EMA", "ema": the last component of a shadow.
bool IsShadowSuffix(std::string_view word) noexcept;
// How surely this is the name of a step counter: 0 not at all, larger is surer.
int StepNameRank(std::string_view word) noexcept;

}  // namespace ckpt
