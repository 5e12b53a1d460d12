// How often the statistics of a layer were updated, by the counters in the file.
#pragma once

#include <optional>
#include <string>

#include "audit/rules.h"

namespace ckpt::audit {

// The global step of the file, if one tensor is clearly it and could be read.
std::optional<double> StepOf(const Subject& subject);

// The update counter that TensorFlow's zero-debiased moving averages keep
// (".../moving_mean/local_step"); the larger of the two that a layer may have.
std::optional<double> LocalStep(const Subject& subject, const BatchNorm& layer);

// A zero-debiased average has no weight on its initial value. True if neither statistic has.
bool FullyDebiased(const Subject& subject, const BatchNorm& layer);

struct UpdateCount {
  double updates;
  std::string source;  // "num_batches_tracked", "local_step", "global_step": the counter's name
  bool of_file;        // one counter for the whole file: the step
};
// Does training leave the statistics as they were loaded, by the config?
inline bool KeepsStatistics(const BatchNorm& layer) noexcept {
  return layer.frozen || layer.inference_only;
}

// By the layer's own counter, else the step. Nothing if there is none, or it is not above 0.
std::optional<UpdateCount> UpdatesOf(const Subject& subject, const BatchNorm& layer);

}  // namespace ckpt::audit
