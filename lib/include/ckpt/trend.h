// Follows the batch norms of a run over its checkpoints: where their statistics moved, stopped,
// were reset or broke. Returns values, prints nothing.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "ckpt/audit.h"
#include "ckpt/batch_norm.h"

namespace ckpt {

// What became of a tensor, or of several, since the checkpoint before.
enum class Movement : std::uint8_t {
  kUnknown,  // the first checkpoint; not there before, or not comparable
  kSame,     // every value
  kMoved,
};
std::string_view Name(Movement movement) noexcept;  // "unknown", "same", "moved"

// One batch norm in one checkpoint of a run.
struct NormAtStep {
  bool present = false;  // with a moving mean and variance that could be read
  Movement statistics = Movement::kUnknown;
  // Of gamma and beta; where the layer has none, of any weight of the model.
  Movement weights = Movement::kUnknown;
  // Of the kernels and biases beside it, where `weights` are the same; else not looked at.
  Movement kernels = Movement::kUnknown;
  // Some weight of the model moved; looked at where the statistics moved and the layer's weights
  // did not.
  bool model_moved = false;
  // How far the mean is from that of the checkpoint before, in the standard deviations of then: the
  // root of the mean square over channels. Absent where nothing finite can be compared.
  std::optional<double> mean_shift = {};
  // The variance over that of the checkpoint before: the geometric mean over channels.
  std::optional<double> variance_ratio = {};
  // What the values from before the first update still weigh in the statistics, decay^updates; 1
  // where they are nothing else. Absent: nothing in the file says.
  std::optional<double> initial_share = {};
  bool initial = false;          // mean 0 and variance 1 in every channel
  std::uint64_t non_finite = 0;  // elements of its four vectors that are NaN or infinite
};

struct NormTrend {
  std::string scope;  // in the last checkpoint that has it
  std::optional<std::uint64_t> channels = {};
  // Its place in Analysis::batch_norms of the last checkpoint; absent: that has it no more.
  std::optional<std::size_t> layer = {};
  std::vector<NormAtStep> steps;  // one for each checkpoint of the run
  // Indices of checkpoints. From `still_since` on neither statistics nor weights moved: frozen, or
  // training ended. `stopped_since`: the statistics did not move any more and the weights did.
  std::optional<std::size_t> still_since = {}, stopped_since = {};
  std::optional<std::size_t> reset_at = {}, non_finite_since = {};
};

// Of the run as a whole: the gravest that holds of a layer.
enum class TrendVerdict : std::uint8_t {
  kCannotTell,    // no batch norm with statistics in two checkpoints
  kMoving,        // nothing is wrong
  kFrozenDrift,   // statistics of frozen layers moved
  kStopped,       // statistics stopped while the weights moved
  kReset,         // statistics are initial again and stayed so
  kNeverUpdated,  // statistics are initial in every checkpoint while the weights moved
  kNonFinite,
};
std::string_view Name(TrendVerdict verdict) noexcept;  // "cannot-tell", "moving", "frozen-drift"...

struct RunTrend {
  std::vector<std::optional<double>> recorded_steps;  // the global step of each checkpoint
  std::vector<NormTrend> norms;  // in the order of the last checkpoint, then those that it lacks
  // In the words of the audit's rules; `Finding::layers` are indices into the last checkpoint's
  // Analysis::batch_norms, and tensors are of it.
  std::vector<Finding> findings;
  TrendVerdict verdict = TrendVerdict::kCannotTell;
};

// Takes the checkpoints of a run one after the other, and holds two of them open at most.
class TrendBuilder {
 public:
  TrendBuilder();
  ~TrendBuilder();
  TrendBuilder(TrendBuilder&&) noexcept;
  TrendBuilder& operator=(TrendBuilder&&) noexcept;

  // The next checkpoint; `name` is what messages call it ("epoch_3.pt"). Its layers are those of
  // the checkpoint before by their names, a prefix and numbers that Keras gave anew apart.
  void Add(std::string name, std::unique_ptr<Checkpoint> checkpoint, Analysis analysis);
  // REQUIRES: a checkpoint was added.
  RunTrend Finish() &&;

 private:
  class Run;
  std::unique_ptr<Run> run_;
};

}  // namespace ckpt
