// How far the statistics that batch norms store are from those of given data.
//
// Twice, for the two answers differ: as served, where earlier batch norms use what the file stores,
// and alone, where they use the statistics of the data, so that a layer answers for its own record
// only. If the data are others than those of training, the first batch norms drift alone and those
// behind them do not; if the record is out of date, layers drift alone all over the network.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

#include "ckpt/audit.h"
#include "ckpt/calibrate.h"

namespace ckpt {

// Over the channels of a layer, of absolute values.
struct ChannelDistance {
  double typical = 0;       // the median
  double largest = 0;       // over all channels
  std::size_t channel = 0;  // where that is
  // What `typical` is to be held against: the median of the channels' standard errors, by the
  // jackknife over 32 groups of examples. Infinite for one example.
  double noise = 0;
};

struct Drift {
  // |mean of the data - stored mean| / sqrt(stored variance + epsilon)
  ChannelDistance mean_shift;
  // |log2((variance of the data + epsilon) / (stored variance + epsilon))|, variances over n
  ChannelDistance log2_variance;
  // How many independent elements would give the same standard error of the mean: the median over
  // the channels. Elements of one image are not independent.
  double effective_elements = 0;
};

struct LayerDrift {
  std::size_t layer = 0;       // in Analysis::batch_norms
  std::uint64_t elements = 0;  // of each channel
  bool first = false;          // no batch norm lies before it
  Drift as_served, alone;
};

// Batch norms with statistics that could not be measured.
struct LayerNotMeasured {
  std::size_t layer = 0;  // in Analysis::batch_norms
  std::string why;
};

struct DataDrift {
  std::uint64_t examples = 0;
  std::vector<LayerDrift> layers = {};  // in the network's order
  std::vector<LayerNotMeasured> left_out = {};
};

// Fewer examples are measured and not judged.
inline constexpr std::uint64_t kFewestJudgedExamples = 32;

// `analysis` is that of `weights`. kUnsupported, naming the operation, where the network cannot be
// run; kUnfit where there is nothing to measure or a layer reads what is not finite;
// kLimitExceeded where one example does not fit the budget.
Result<DataDrift> MeasureDrift(const network::Network& network, const Checkpoint& weights,
                               const Analysis& analysis, const ExampleSource& examples,
                               const execution::Budget& budget = {});

// Adds what the rules BN070 and BN071 find to the findings of `audited`, in their order. Obeys
// which rules were asked for.
void JudgeDrift(const Checkpoint& checkpoint, const Analysis& analysis, const DataDrift& drift,
                const AuditOptions& options, AuditResult& audited);

}  // namespace ckpt
