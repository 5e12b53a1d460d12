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
#include <set>
#include <string>
#include <vector>

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

struct CalibrateOptions {
  // Batch norms of the network whose statistics are computed; empty: none.
  std::set<network::OperationId> layers = {};
  VarianceRule variance = VarianceRule::kBiased;
  std::uint64_t batch = 0;  // examples at a time; 0: as many as the budget allows
  execution::Budget budget = {};
};

struct CalibratedLayer {
  network::OperationId operation;
  std::string layer;
  TensorId mean, variance;
  std::uint64_t examples = 0;
  std::uint64_t elements = 0;    // n: of each channel, over all examples
  execution::Statistics stored;  // in the type of the tensors
  double mean_shift = 0;         // the largest |new - old mean| over the new deviation
};

// In the network's order. kUnfit, naming the layer, where a batch norm has fewer than two elements
// a channel, is called several times, reads statistics that are no stored tensors, or uses those of
// its batch; kLimitExceeded where one example does not fit the budget.
Result<std::vector<CalibratedLayer>> CalibrateStatistics(const network::Network& network,
                                                         const Checkpoint& weights,
                                                         const ExampleSource& examples,
                                                         const CalibrateOptions& options);

// `checkpoint` with other values in the tensors of calibrated layers; must not outlive it.
std::unique_ptr<Checkpoint> WithStatistics(const Checkpoint& checkpoint,
                                           const std::vector<CalibratedLayer>& layers);

}  // namespace ckpt
