#include "ckpt/find_layers.h"
#include "layers/linear_operation.h"

namespace ckpt {
namespace {

using network::BinaryFunction;
using network::Operation;
using network::ValueId;

// Takes `value` to the result of what alone reads it, where that combines it with a vector of the
// file along `axis`.
bool Passes(const ValueUses& uses, BinaryFunction function, std::int64_t axis, ValueId& value) {
  const auto reader = uses.OnlyReaderOf(value);
  if (!reader) return false;
  const Operation& operation = uses.network().operation(reader->operation);
  const auto* binary = std::get_if<network::Binary>(&operation.computation);
  if (binary == nullptr || binary->function != function || operation.operands.size() != 2) {
    return false;
  }
  const network::PartialShape& data = uses.network().value(value).shape;
  const auto vector = FindStoredTensor(uses, operation.operands[1 - reader->operand]);
  if (!data || !vector || !vector->IsAlong(axis, data, vector->count()) || vector->count() < 2) {
    return false;
  }
  value = operation.results[0];
  return true;
}

}  // namespace

std::size_t CountScaledLayers(const network::Network& network) {
  const ValueUses uses(network);
  std::size_t count = 0;
  for (std::uint32_t i = 0; i < network.operations.size(); ++i) {
    const auto linear = FindLinearOperation(uses, {i});
    if (!linear || linear->layer.kind == OpKind::kOther || !linear->layer.axis) continue;
    network::ValueId value = linear->output;
    const std::int64_t axis = *linear->layer.axis;
    const bool scaled = Passes(uses, BinaryFunction::kMultiply, axis, value) &&
                        Passes(uses, BinaryFunction::kAdd, axis, value);
    if (scaled) ++count;
  }
  return count;
}

}  // namespace ckpt
