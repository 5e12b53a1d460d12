#include "execution/schedule.h"

#include <utility>

#include "ckpt/network/operation_table.h"

namespace ckpt::execution {
namespace {

using network::Network;
using network::Operation;
using network::ValueId;

Error Broken(const char* message) { return {ErrorCode::kInternal, message}; }

// Every id is that of a value, and no value is read before it is made.
Status CheckOrder(const Network& network) {
  std::vector<bool> made(network.values.size(), false);
  const auto is_there = [&](ValueId id) { return id.index < network.values.size(); };
  for (std::size_t i = 0; i < network.values.size(); ++i) {
    made[i] = network.values[i].constant.has_value();
  }
  for (const network::Port& input : network.inputs) {
    if (!is_there(input.value)) return Fail(Broken("an input that is no value"));
    made[input.value.index] = true;
  }
  for (const Operation& operation : network.operations) {
    for (const ValueId id : operation.operands) {
      if (id == network::kNoValue) continue;
      if (!is_there(id)) return Fail(Broken("an operand that is no value"));
      if (!made[id.index]) {
        return Fail(ErrorCode::kCorrupt,
                    "\"" + network.values[id.index].name + "\" is read before it is made");
      }
    }
    for (const ValueId id : operation.results) {
      if (id == network::kNoValue) continue;
      if (!is_there(id) || made[id.index]) return Fail(Broken("a result that is made twice"));
      made[id.index] = true;
    }
  }
  return {};
}

}  // namespace

Error AtOperation(const Network& network, std::size_t operation, Error error) {
  const Operation& at = network.operations[operation];
  std::string layer;
  if (at.layer < network.layers.size()) layer = network.layers[at.layer].name;
  std::string where = '"' + layer + "\": ";
  // What is unknown says itself what it is.
  if (!std::holds_alternative<network::Unknown>(at.computation)) {
    where += std::string(network::Name(at.computation)) + ": ";
  }
  error.message = where + error.message;
  return error;
}

Result<Schedule> MakeSchedule(const Network& network, const std::vector<ValueId>& wanted) {
  CKPT_RETURN_IF_ERROR(CheckOrder(network));
  Schedule schedule;
  schedule.wanted = wanted;
  if (wanted.empty()) {
    for (const network::Port& output : network.outputs) schedule.wanted.push_back(output.value);
  }
  schedule.runs.assign(network.operations.size(), false);
  schedule.needed.assign(network.values.size(), false);
  schedule.last_read.assign(network.values.size(), 0);
  for (const ValueId id : schedule.wanted) {
    if (id.index >= network.values.size()) return Fail(Broken("no such value is there"));
    schedule.needed[id.index] = true;
  }
  for (std::size_t i = network.operations.size(); i-- > 0;) {
    const Operation& operation = network.operations[i];
    for (const ValueId id : operation.results) {
      if (id != network::kNoValue && schedule.needed[id.index]) schedule.runs[i] = true;
    }
    if (!schedule.runs[i]) continue;
    for (const ValueId id : operation.operands) {
      if (id == network::kNoValue) continue;
      if (!schedule.needed[id.index]) {
        schedule.last_read[id.index] = static_cast<std::uint32_t>(i);
      }
      schedule.needed[id.index] = true;
    }
    // A result that nothing reads goes at once.
    for (const ValueId id : operation.results) {
      if (id != network::kNoValue && !schedule.needed[id.index]) {
        schedule.last_read[id.index] = static_cast<std::uint32_t>(i);
      }
    }
  }
  for (const ValueId id : schedule.wanted) schedule.last_read[id.index] = Schedule::kNever;
  return schedule;
}

}  // namespace ckpt::execution
