// A network divided where statistics of all examples are wanted before anything behind is run.
#pragma once

#include <cstddef>
#include <optional>
#include <span>
#include <vector>

#include "ckpt/network/network.h"

namespace ckpt {

// `input`: what is measured. `statistics`: constants that are known once all of it was.
struct MeasuredValue {
  network::ValueId input;
  std::vector<network::ValueId> statistics = {};
};

// Operations of one stage and of those before need no statistics but those of earlier stages. A
// stage is as early as that allows, so that branches beside one another are measured together.
class NetworkStages {
 public:
  // kUnfit where what is measured depends on its own statistics. `network` must outlive it.
  static Result<NetworkStages> Divide(const network::Network& network,
                                      std::vector<MeasuredValue> measured);

  std::size_t count() const noexcept { return count_; }  // 0: nothing is measured
  // In which stage the measured value is made, by place in what was given.
  std::size_t StageOf(std::size_t measured) const {
    return stage_[measured_[measured].input.index];
  }
  network::ValueId InputOf(std::size_t measured) const { return measured_[measured].input; }
  std::size_t measured() const noexcept { return measured_.size(); }
  // Values of the data, made in `stage` or before, that later stages read.
  std::vector<network::ValueId> KeptAfter(std::size_t stage) const;

  // The operations behind stage `after` (absent: all from the inputs on) up to the end of `last`.
  struct Part {
    network::Network network;  // its inputs are KeptAfter(after); value ids are the whole's
    std::vector<network::OperationId> original = {};  // by operation: its id in the whole
  };
  Part Between(std::optional<std::size_t> after, std::size_t last) const;
  // Measured values that no other one needs: a run up to them runs all stages.
  std::vector<network::ValueId> Last() const;

 private:
  NetworkStages(const network::Network& network, std::vector<MeasuredValue> measured)
      : network_(&network), measured_(std::move(measured)) {}

  Status FindStages();
  bool Raise();
  void FindNeeded();
  void FindLastReaders();
  std::size_t StageOfOperation(const network::Operation& operation) const;
  bool ReadsData(const network::Operation& operation) const;

  const network::Network* network_;
  std::vector<MeasuredValue> measured_;
  std::vector<std::size_t> stage_ = {};      // by value
  std::vector<bool> of_data_ = {};           // by value: the inputs decide it
  std::vector<bool> runs_ = {};              // by operation: a measured value needs it
  std::vector<std::size_t> last_read_ = {};  // by value: the last stage that reads it
  std::size_t count_ = 0;
};

}  // namespace ckpt
