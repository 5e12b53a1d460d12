#include "calibration/network_stages.h"

#include <algorithm>
#include <utility>

namespace ckpt {

using network::kNoValue;
using network::Network;
using network::Operation;
using network::OperationId;

Result<NetworkStages> NetworkStages::Divide(const Network& network,
                                            std::vector<MeasuredValue> measured) {
  NetworkStages stages(network, std::move(measured));
  CKPT_RETURN_IF_ERROR(stages.FindStages());
  stages.FindNeeded();
  stages.FindLastReaders();
  return stages;
}

std::size_t NetworkStages::StageOfOperation(const Operation& operation) const {
  std::size_t stage = 0;
  for (const network::ValueId id : operation.operands) {
    if (id != kNoValue) stage = std::max(stage, stage_[id.index]);
  }
  return stage;
}

bool NetworkStages::ReadsData(const Operation& operation) const {
  return std::any_of(operation.operands.begin(), operation.operands.end(),
                     [&](network::ValueId id) { return id != kNoValue && of_data_[id.index]; });
}

// One pass; true where a stage moved.
bool NetworkStages::Raise() {
  bool moved = false;
  const auto raise = [&](network::ValueId id, std::size_t stage) {
    if (id == kNoValue || stage_[id.index] >= stage) return;
    stage_[id.index] = stage;
    moved = true;
  };
  for (const Operation& operation : network_->operations) {
    const std::size_t stage = StageOfOperation(operation);
    for (const network::ValueId id : operation.results) raise(id, stage);
  }
  for (const MeasuredValue& one : measured_) {
    for (const network::ValueId id : one.statistics) raise(id, stage_[one.input.index] + 1);
  }
  return moved;
}

Status NetworkStages::FindStages() {
  stage_.assign(network_->values.size(), 0);
  of_data_.assign(network_->values.size(), false);
  for (const network::Port& input : network_->inputs) of_data_[input.value.index] = true;
  for (const Operation& operation : network_->operations) {
    if (!ReadsData(operation)) continue;
    for (const network::ValueId id : operation.results) {
      if (id != kNoValue) of_data_[id.index] = true;
    }
  }
  // A pass settles one measured value at least, with all that lies before the next.
  for (std::size_t pass = 0; pass <= measured_.size() + 1; ++pass) {
    if (!Raise()) return {};
  }
  return Fail(ErrorCode::kUnfit, "what a batch norm reads depends on its own statistics");
}

void NetworkStages::FindNeeded() {
  runs_.assign(network_->operations.size(), false);
  std::vector<bool> needed(network_->values.size(), false);
  for (const MeasuredValue& one : measured_) needed[one.input.index] = true;
  for (std::size_t i = network_->operations.size(); i-- > 0;) {
    const Operation& operation = network_->operations[i];
    runs_[i] = std::any_of(operation.results.begin(), operation.results.end(),
                           [&](network::ValueId id) { return id != kNoValue && needed[id.index]; });
    if (!runs_[i]) continue;
    for (const network::ValueId id : operation.operands) {
      if (id != kNoValue) needed[id.index] = true;
    }
  }
}

void NetworkStages::FindLastReaders() {
  last_read_.assign(network_->values.size(), 0);
  for (std::size_t i = 0; i < network_->operations.size(); ++i) {
    const Operation& operation = network_->operations[i];
    if (!runs_[i] || !ReadsData(operation)) continue;
    const std::size_t stage = StageOfOperation(operation);
    for (const network::ValueId id : operation.operands) {
      if (id != kNoValue) last_read_[id.index] = std::max(last_read_[id.index], stage);
    }
  }
  for (const MeasuredValue& one : measured_) {
    count_ = std::max(count_, stage_[one.input.index] + 1);
  }
}

std::vector<network::ValueId> NetworkStages::KeptAfter(std::size_t stage) const {
  std::vector<network::ValueId> kept;
  for (std::uint32_t i = 0; i < last_read_.size(); ++i) {
    if (of_data_[i] && stage_[i] <= stage && stage < last_read_[i])
      kept.push_back(network::ValueId{i});
  }
  return kept;
}

NetworkStages::Part NetworkStages::Between(std::optional<std::size_t> after,
                                           std::size_t last) const {
  Part part;
  part.network.origin = network_->origin;
  part.network.values = network_->values;
  part.network.layers = network_->layers;
  part.network.inputs = network_->inputs;
  if (after) {
    part.network.inputs.clear();
    for (const network::ValueId id : KeptAfter(*after)) {
      network::Value& value = part.network.values[id.index];
      part.network.inputs.push_back({value.name, id});
      value.shape.reset();  // what a file records of values in between is not binding
    }
  }
  // What no data decide is in every part, and run where it is wanted.
  const auto stage_of = [&](std::uint32_t i) {
    return ReadsData(network_->operations[i]) ? StageOfOperation(network_->operations[i]) + 1 : 0;
  };
  for (std::uint32_t i = 0; i < network_->operations.size(); ++i) {
    const std::size_t stage = stage_of(i);
    if (!runs_[i] || stage > last + 1 || (after && stage > 0 && stage <= *after + 1)) continue;
    part.original.push_back(OperationId{i});
  }
  std::stable_sort(part.original.begin(), part.original.end(), [&](OperationId a, OperationId b) {
    return stage_of(a.index) < stage_of(b.index);
  });
  for (const OperationId id : part.original) {
    part.network.operations.push_back(network_->operation(id));
  }
  return part;
}

std::vector<network::ValueId> NetworkStages::Last() const {
  std::vector<bool> read(network_->values.size(), false);
  for (std::size_t i = 0; i < runs_.size(); ++i) {
    if (!runs_[i]) continue;
    for (const network::ValueId id : network_->operations[i].operands) {
      if (id != kNoValue) read[id.index] = true;
    }
  }
  std::vector<network::ValueId> last;
  for (const MeasuredValue& one : measured_) {
    if (!read[one.input.index]) last.push_back(one.input);
  }
  return last;
}

}  // namespace ckpt
