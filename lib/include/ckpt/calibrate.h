// Statistics of batch norms, computed again from data.
//
// The result is the population's: mean and variance of what the layer reads over the whole set as
// one batch, in float64, layer after layer; a later layer reads what the earlier ones yield with
// their new statistics as they are stored. How many examples are run at a time decides nothing:
// moments are gathered example by example, in order, by the update of Chan, Golub and LeVeque
// (1983), "Algorithms for computing the sample variance".
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "ckpt/batch_norm.h"
#include "ckpt/checkpoint.h"
#include "ckpt/execution/run.h"
#include "ckpt/network/network.h"

namespace ckpt {

// The examples of one or several inputs, read in pieces.
class ExampleSource {
 public:
  virtual ~ExampleSource() = default;
  virtual std::uint64_t count() const noexcept = 0;
  // Examples [begin, begin + count) of each input of the network, by place in Network::inputs.
  virtual Result<std::vector<execution::Array>> Read(std::uint64_t begin,
                                                     std::uint64_t count) const = 0;
};

// Which variance is stored: over n, or over n - 1 (PyTorch; TensorFlow's fused kernel).
enum class VarianceRule : std::uint8_t { kBiased, kUnbiased };
std::string_view Name(VarianceRule rule) noexcept;

// Where a network normalises with statistics that tensors hold.
struct NormPlace {
  std::string layer;               // for messages; as the network calls it
  network::OperationId operation;  // the first one that reads `input` and a statistic
  // By several operations, as tf.nn.batch_normalization does, and not by a BatchNormalization.
  bool written_out = false;
  network::ValueId input;  // what is normalised
  std::int64_t axis = -1;  // of the channels; negative: from the end
  TensorId mean, variance;
  VarianceRule rule = VarianceRule::kBiased;
};
// The one that reads these. kUnfit, saying why, where there is none, where several read them (a
// layer that is called several times), where something else reads them too, or where the
// statistics of the batch are used instead.
Result<NormPlace> FindNorm(const network::Network& network, TensorId mean, TensorId variance);

struct CalibrateOptions {
  std::vector<NormPlace> layers = {};  // whose statistics are computed
  std::uint64_t batch = 0;             // examples at a time; 0: as many as the budget allows
  execution::Budget budget = {};
};

struct CalibratedLayer {
  std::string layer;  // NormPlace::layer
  TensorId mean, variance;
  VarianceRule rule = VarianceRule::kBiased;
  std::uint64_t examples = 0;
  std::uint64_t elements = 0;    // n: of each channel, over all examples
  execution::Statistics stored;  // in the type of the tensors
  // The largest |new - old mean| over the new deviation, of the channels that vary.
  double mean_shift = 0;
  std::uint64_t constant_channels = 0;  // one value in all elements: a variance of 0
};

// In the network's order. kUnfit, naming the layer, where a batch norm has fewer than two elements
// a channel; kLimitExceeded where one example does not fit the budget.
Result<std::vector<CalibratedLayer>> CalibrateStatistics(const network::Network& network,
                                                         const Checkpoint& weights,
                                                         const ExampleSource& examples,
                                                         const CalibrateOptions& options);

// The statistics that `other` has under the same names. kUnfit, naming the first tensor that is not
// equal, where anything that decides what a layer reads is another one there (the network is taken
// to be the same), or where they are initial there, too.
Result<std::vector<CalibratedLayer>> BorrowStatistics(const network::Network& network,
                                                      const Checkpoint& weights,
                                                      const Checkpoint& other,
                                                      const std::vector<NormPlace>& layers);

// `checkpoint` with other values in the tensors of calibrated layers, which are marked (see
// calibration_mark.h); must not outlive it.
std::unique_ptr<Checkpoint> WithStatistics(const Checkpoint& checkpoint,
                                           const std::vector<CalibratedLayer>& layers);

// A checkpoint beside its graph of TensorFlow operations, with the moving statistics that the graph
// declares and no saver saved: under the graph's names and types, 0 and 1. Null where none is
// missing. `added` are theirs in the new manifest; `checkpoint` must outlive it.
struct CompletedCheckpoint {
  std::unique_ptr<Checkpoint> checkpoint;
  std::vector<TensorId> added;
  // Savers of the graph that would not restore what was added: a saver of all variables does.
  std::vector<std::string> savers_without = {};
};
Result<CompletedCheckpoint> WithMissingStatistics(const Checkpoint& checkpoint,
                                                  const Analysis& analysis);

}  // namespace ckpt
