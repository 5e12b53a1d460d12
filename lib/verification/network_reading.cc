#include "verification/network_reading.h"

#include <algorithm>

namespace ckpt {

using network::kNoValue;
using network::Network;
using network::Operation;

std::vector<bool> NeededFor(const Network& net, const std::vector<network::ValueId>& wanted) {
  std::vector<bool> values(net.values.size(), false), operations(net.operations.size(), false);
  for (const network::ValueId id : wanted) values[id.index] = true;
  for (std::size_t i = net.operations.size(); i-- > 0;) {
    const Operation& op = net.operations[i];
    operations[i] = std::any_of(op.results.begin(), op.results.end(), [&](network::ValueId id) {
      return id != kNoValue && values[id.index];
    });
    if (!operations[i]) continue;
    for (const network::ValueId operand : op.operands) {
      if (operand != kNoValue) values[operand.index] = true;
    }
  }
  return operations;
}

const std::string& LayerOf(const Network& net, network::ValueId id) {
  const auto& producer = net.value(id).producer;
  return producer ? net.layers[net.operation(*producer).layer].name : net.value(id).name;
}

}  // namespace ckpt
