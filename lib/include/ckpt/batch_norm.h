// Roles of tensors and the batch-norm layers that they form, each with its evidence.
//
// At inference a batch norm is y = gamma * (x - mean) / sqrt(variance + epsilon) + beta per channel
// (Ioffe and Szegedy, arXiv 1502.03167, algorithm 2).
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "ckpt/checkpoint.h"
#include "ckpt/evidence.h"

namespace ckpt {

struct OpAnalysis;  // see op_analysis.h

enum class Role : std::uint8_t {
  kKernel,
  kBias,
  kGamma,
  kBeta,
  kMovingMean,
  kMovingVariance,
  kBnExtra,       // renorm and debias helpers of a batch norm
  kBatchCounter,  // PyTorch's num_batches_tracked
  kOptimizerSlot,
  kEmaShadow,
  kStep,
  kOther,
};
std::string_view Name(Role role) noexcept;  // "moving_mean", ...: spelled as in docs/cli.md

struct TensorRole {
  Role role = Role::kOther;
  // Is the tensor a trainable variable? nullopt: nothing says so. A moving statistic is never
  // trainable; a frozen layer's kernel still is (see Layer::trainable).
  std::optional<bool> trainable = {};
  std::vector<Evidence> evidence = {};
  std::optional<TensorId> of = {};  // slots and shadows: the variable they belong to, if present
  // Belongs to the training and not to the model, though its role is none of those that say so: a
  // random state, a count of averages, the weights of another moment. The evidence says which.
  bool of_training = false;
};

// What the second statistic of a layer holds.
enum class SpreadKind : std::uint8_t {
  kVariance,
  kStandardDeviation,  // Keras up to 1.0.5: y = gamma * (x - mean) / (std + epsilon) + beta
};

struct BatchNorm {
  std::string scope;  // "stem/bn", "layer1.0.bn1": the common prefix of its tensors
  std::optional<std::uint64_t> channels = {};  // absent if its tensors disagree
  std::optional<TensorId> gamma = {}, beta = {}, moving_mean = {}, moving_variance = {};
  std::vector<TensorId> extras = {};  // kBnExtra
  std::optional<TensorId> batch_counter = {};
  SpreadKind spread = SpreadKind::kVariance;
  std::optional<SourcedNumber> epsilon = {};  // absent: nothing says
  // The decay: weight of the old value in an update (Keras' and TensorFlow's momentum,
  // 1 - PyTorch's). Absent: nothing says.
  std::optional<SourcedNumber> momentum = {};
  // The statistics are the plain average over all updates, so that there is no decay and the
  // initial values have no weight (PyTorch's momentum None). Where that is recorded: the evidence.
  std::optional<Evidence> cumulative = {};
  // The file is served as it is and was saved in training mode, which whoever loads it can switch
  // off (TorchScript without eval()).
  bool saved_in_training = false;
  // Batch norm for sure, by the rule of docs/cli.md (graph or config, a token of the scope,
  // sibling layers that have statistics, statistics of its own). Otherwise gamma and beta may
  // belong to another norm, which has no statistics to lose. What a name or config calls a layer,
  // group or instance norm is not listed at all.
  bool certain = false;
  std::optional<LayerId> layer = {};  // in Manifest::graph
  bool frozen = false;  // not trained: the config says so, or the optimizer keeps nothing for it
  bool inference_only = false;  // see Layer::inference_only
  bool vouched = false;         // the user pairs it although its class is unproved
  // Why it normalises with the statistics of its batch wherever the file is served ("training_mode
  // is 1", "\"bn/FusedBatchNormV3\" is in training mode"); empty: nothing says that it does.
  std::string training_mode = {};
  // Whoever loads the file calls it for inference all the same (predict() of Keras 3).
  bool training_mode_overridden = false;
  std::vector<Evidence> evidence = {};
};

// Roles and layers of one manifest; all indices are into that manifest.
struct Analysis {
  std::vector<TensorRole> roles;       // one per tensor, same order
  std::vector<BatchNorm> batch_norms;  // in model order where a graph gives one, else natural order
  std::optional<Framework> framework;  // recorded, or identified by naming beyond doubt
  std::optional<TensorId> step;        // the global step, if one variable is clearly it
  // Why the model's own weights are averages over time; absent where nothing says so.
  std::optional<Evidence> averaged = {};
  // Of the manifest's operation graph; null where it has none.
  std::shared_ptr<const OpAnalysis> ops = {};
};

struct AnalysisOptions {
  std::optional<double> epsilon = {};   // --epsilon: settles what nothing else does
  std::optional<double> momentum = {};  // --momentum: a decay
};

// Decides on names, shapes, recorded facts and the graph alone; reads no tensor bytes.
Analysis Analyse(const Manifest& manifest, const AnalysisOptions& options = {});

// The four vectors of a batch norm in double. gamma = 1 and beta = 0 where the layer has none.
struct BatchNormValues {
  std::vector<double> gamma, beta, mean, variance;  // channels each
  double epsilon = 0;
};
// REQUIRES: mean and variance exist. Fails with kUnfit where epsilon is unknown or sizes disagree;
// passes on read errors. A standard deviation (SpreadKind) is returned as the variance
// (std + epsilon)^2 - epsilon, which gives the same function.
Result<BatchNormValues> ReadValues(const Checkpoint& checkpoint, const BatchNorm& batch_norm);

// y = scale * x + shift per channel, in double: scale = gamma / sqrt(variance + epsilon),
// shift = beta - mean * scale. REQUIRES: variance + epsilon > 0 in every channel.
struct ScaleShift {
  std::vector<double> scale, shift;
};
ScaleShift EffectiveScaleShift(const BatchNormValues& values);

}  // namespace ckpt
