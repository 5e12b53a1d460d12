#include "layers/value_uses.h"

#include <algorithm>

namespace ckpt {

using network::ValueId;

ValueUses::ValueUses(const network::Network& network)
    : network_(network),
      readers_(network.values.size()),
      is_output_(network.values.size(), false),
      is_fixed_(network.values.size(), false) {
  for (const network::Port& output : network.outputs) is_output_[output.value.index] = true;
  for (std::size_t i = 0; i < network.values.size(); ++i) {
    is_fixed_[i] = network.values[i].constant.has_value();
  }
  for (std::uint32_t i = 0; i < network.operations.size(); ++i) {
    const network::Operation& operation = network.operations[i];
    for (std::size_t k = 0; k < operation.operands.size(); ++k) {
      if (operation.operands[k] == network::kNoValue) continue;
      readers_[operation.operands[k].index].push_back({{i}, k});
    }
    const bool fixed = !operation.operands.empty() &&
                       !std::holds_alternative<network::Unknown>(operation.computation) &&
                       std::all_of(operation.operands.begin(), operation.operands.end(),
                                   [this](ValueId id) { return IsFixed(id); });
    for (const ValueId result : operation.results) {
      if (fixed && result != network::kNoValue) is_fixed_[result.index] = true;
    }
  }
}

std::optional<OperandPlace> ValueUses::OnlyReaderOf(ValueId id) const {
  if (readers_[id.index].size() != 1 || is_output_[id.index]) return std::nullopt;
  return readers_[id.index].front();
}

std::optional<OperandPlace> ValueUses::OnlyReaderOfElements(ValueId id) const {
  if (is_output_[id.index]) return std::nullopt;
  std::optional<OperandPlace> only;
  for (const OperandPlace& reader : readers_[id.index]) {
    const network::Operation& operation = network_.operation(reader.operation);
    if (std::holds_alternative<network::ShapeOf>(operation.computation)) continue;
    if (only) return std::nullopt;
    only = reader;
  }
  return only;
}

const network::Operation* ValueUses::ProducerOf(ValueId id) const {
  const auto producer = network_.value(id).producer;
  return producer ? &network_.operation(*producer) : nullptr;
}

}  // namespace ckpt
