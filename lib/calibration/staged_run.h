// Examples run through a network stage by stage.
#pragma once

#include <functional>
#include <map>
#include <optional>
#include <vector>

#include "calibration/network_stages.h"
#include "ckpt/calibrate.h"

namespace ckpt {

// How many examples are run at a time: at most `most` (0: no limit), as many as the network says
// where it says a number, else what a quarter of the memory allows, and one at least.
Result<std::uint64_t> ExamplesAtATime(const network::Network& network, const Checkpoint& weights,
                                      const ExampleSource& examples,
                                      const std::vector<network::ValueId>& wanted,
                                      const execution::Budget& budget, std::uint64_t most);

// Between two stages it keeps what the later ones read of each batch of examples, as long as that
// and what a batch takes while it runs are within the budget: then each operation runs once for
// each example. Batches that find no room begin again where they were last kept, or with their
// data.
class StagedRun {
 public:
  // What is referred to must outlive it.
  static Result<StagedRun> Start(NetworkStages stages, const Checkpoint& weights,
                                 const ExampleSource& examples, const execution::Budget& budget,
                                 std::uint64_t most_at_a_time);

  const NetworkStages& stages() const noexcept { return stages_; }
  // Runs the next stage over all examples in their order. `weights` and `statistics` (as RunOptions
  // has them) are those of the stages before; `seen` gets each value that this one measures.
  using Seen = std::function<Status(std::size_t measured, const execution::Array& data)>;
  Status RunNext(const Checkpoint& weights, const execution::StatisticsOf& statistics,
                 const Seen& seen);

 private:
  struct Batch {
    std::uint64_t begin = 0, count = 0;
    std::optional<std::size_t> after = {};  // the stage whose values are kept
    std::vector<execution::Array> kept = {};
    std::uint64_t bytes = 0;
  };
  StagedRun(NetworkStages stages, const ExampleSource& examples, const execution::Budget& budget)
      : stages_(std::move(stages)), examples_(&examples), budget_(budget) {}

  using Values = std::map<network::ValueId, execution::Array>;
  const NetworkStages::Part& PartBehind(const Batch& batch);
  static std::vector<network::ValueId> MadeIn(const network::Network& part,
                                              std::vector<network::ValueId> ids);
  Result<Values> RunBatch(Batch& batch, const Checkpoint& weights,
                          const execution::StatisticsOf& statistics,
                          const std::vector<network::ValueId>& wanted);
  void Keep(Batch& batch, const std::vector<network::ValueId>& ids, Values values);
  void Forget(Batch& batch);

  NetworkStages stages_;
  const ExampleSource* examples_;
  execution::Budget budget_;
  std::uint64_t kept_bytes_ = 0, most_kept_bytes_ = 0;
  std::size_t next_ = 0;
  std::vector<Batch> batches_ = {};
  std::map<std::optional<std::size_t>, NetworkStages::Part> parts_ = {};  // up to `next_`
};

}  // namespace ckpt
