#include "execution/schedule.h"

#include <utility>

#include "ckpt/network/operation_table.h"

namespace ckpt::execution {

using network::kNoValue;
using network::Network;
using network::ValueId;

Result<Schedule> Schedule::Of(const Network& network, std::size_t inputs,
                              const std::vector<ValueId>& wanted) {
  if (inputs != network.inputs.size()) {
    return Fail(ErrorCode::kInvalidArgument, std::to_string(inputs) + " values for " +
                                                 std::to_string(network.inputs.size()) + " inputs");
  }
  Schedule schedule;
  schedule.wanted_ = wanted;
  if (wanted.empty()) {
    for (const network::Port& port : network.outputs) schedule.wanted_.push_back(port.value);
  }
  schedule.needed_.assign(network.values.size(), false);
  std::vector<bool> kept(network.values.size(), false);
  for (const ValueId id : schedule.wanted_) {
    if (id.index >= network.values.size()) {
      return Fail(ErrorCode::kInvalidArgument, "a value that the network does not have");
    }
    schedule.needed_[id.index] = kept[id.index] = true;
  }
  // Back from what is wanted: the last operation that reads a value comes first.
  std::vector<std::uint32_t> backwards;
  std::vector<std::vector<ValueId>> dying;
  std::vector<bool> seen(network.values.size(), false);
  for (auto i = static_cast<std::uint32_t>(network.operations.size()); i-- > 0;) {
    const network::Operation& op = network.operations[i];
    bool needed = false;
    for (const ValueId result : op.results) {
      needed = needed || (result != kNoValue && schedule.needed_[result.index]);
    }
    if (!needed) continue;
    backwards.push_back(i);
    std::vector<ValueId>& ends = dying.emplace_back();
    for (const ValueId id : op.results) {
      if (id != kNoValue && !schedule.needed_[id.index]) ends.push_back(id);
    }
    for (const ValueId id : op.operands) {
      if (id == kNoValue) continue;
      schedule.needed_[id.index] = true;
      if (!seen[id.index] && !kept[id.index]) ends.push_back(id);
      seen[id.index] = true;
    }
  }
  schedule.operations_.assign(backwards.rbegin(), backwards.rend());
  schedule.dying_.assign(std::make_move_iterator(dying.rbegin()),
                         std::make_move_iterator(dying.rend()));
  return schedule;
}

Error Within(const Network& network, std::uint32_t operation, Error error) {
  const network::Operation& op = network.operations[operation];
  const std::string& layer = network.layers[op.layer].name;
  error.message =
      "\"" + layer + "\" (" + std::string(network::Name(op.computation)) + "): " + error.message;
  return error;
}

}  // namespace ckpt::execution
