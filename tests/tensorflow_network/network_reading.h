// Reads a network in tests.
#pragma once

#include <algorithm>
#include <string>
#include <variant>
#include <vector>

#include "ckpt/network/network.h"
#include "ckpt/network/operation_table.h"

namespace ckpt::testing {

// By operation: whether an output of the network needs it.
inline std::vector<bool> OnThePath(const network::Network& net) {
  std::vector<bool> needed(net.operations.size(), false);
  std::vector<network::ValueId> pending;
  for (const network::Port& port : net.outputs) pending.push_back(port.value);
  while (!pending.empty()) {
    const auto producer = net.value(pending.back()).producer;
    pending.pop_back();
    if (!producer || needed[producer->index]) continue;
    needed[producer->index] = true;
    for (const network::ValueId operand : net.operation(*producer).operands) {
      if (operand != network::kNoValue) pending.push_back(operand);
    }
  }
  return needed;
}

// The framework's words ("DecodeWav"), in the order of the operations.
inline std::vector<std::string> UnknownOnThePath(const network::Network& net) {
  std::vector<std::string> unknown;
  const std::vector<bool> needed = OnThePath(net);
  for (std::size_t i = 0; i < net.operations.size(); ++i) {
    const auto* what = std::get_if<network::Unknown>(&net.operations[i].computation);
    if (what != nullptr && needed[i]) unknown.push_back(what->what);
  }
  return unknown;
}

inline const network::Value* FindValue(const network::Network& net, const std::string& name) {
  const auto found = std::find_if(net.values.begin(), net.values.end(),
                                  [&](const network::Value& value) { return value.name == name; });
  return found == net.values.end() ? nullptr : &*found;
}

}  // namespace ckpt::testing
