#include "serving/computed_operations.h"

#include <algorithm>

#include "layers/settled_operation.h"

namespace ckpt {

using network::Operation;
using network::OperationId;

ComputedOperations::ComputedOperations(const PlacedNetwork& placed)
    : placed_(placed),
      uses_(placed.network),
      elements_([this](network::ValueId id) -> std::optional<std::vector<double>> {
        if (id == network::kNoValue) return std::nullopt;
        const auto& constant = placed_.network.value(id).constant;
        const auto* here = constant ? std::get_if<network::InlineConstant>(&*constant) : nullptr;
        if (here == nullptr) return std::nullopt;
        return here->elements;
      }),
      operations_(placed.network.layers.size()) {
  for (std::uint32_t i = 0; i < placed.network.operations.size(); ++i) {
    operations_[placed.network.operations[i].layer].push_back({i});
  }
}

const network::PartialShape& ComputedOperations::ShapeOf(const OpEdge& edge) const {
  static const network::PartialShape kNotKnown;
  const auto value = placed_.values.find({edge.op, edge.output});
  return value == placed_.values.end() ? kNotKnown : placed_.network.value(value->second).shape;
}

std::optional<std::int64_t> ComputedOperations::RankOf(const OpEdge& edge) const {
  const network::PartialShape& shape = ShapeOf(edge);
  if (!shape) return std::nullopt;
  return static_cast<std::int64_t>(shape->size());
}

bool ComputedOperations::ReadsSizesAlone(OpId id) const {
  const Operation* const operation = OnlyOperationOf(id);
  return operation != nullptr && std::holds_alternative<network::ShapeOf>(operation->computation);
}

network::Computation ComputedOperations::ComputationOf(OpId id) const {
  const Operation* const operation = OnlyOperationOf(id);
  return operation == nullptr ? network::Unknown{} : Settled(*operation);
}

network::Computation ComputedOperations::Settled(const Operation& operation) const {
  const bool reshapes = std::holds_alternative<network::Reshape>(operation.computation);
  if (reshapes && operation.operands.size() > 1 && operation.results.size() == 1) {
    // A shape that is computed says itself what is known of the result's.
    const network::PartialShape& shape = placed_.network.value(operation.results[0]).shape;
    if (shape && std::count(shape->begin(), shape->end(), network::kUnknownSize) <= 1) {
      return network::Reshape{*shape};
    }
  }
  return SettledOperation(uses_, operation, elements_);
}

void ComputedOperations::Describe(OpId id, Layer& layer) const {
  const Operation* const operation = OnlyOperationOf(id);
  if (operation == nullptr) return;
  layer.computation = Settled(*operation);
  DescribeOperation(uses_, *operation, elements_, layer);
}

const Operation* ComputedOperations::OnlyOperationOf(OpId id) const {
  const std::optional<std::uint32_t>& layer = placed_.layers[id];
  if (!layer) return nullptr;
  const Operation* only = nullptr;
  for (const OperationId one : operations_[*layer]) {
    const Operation& operation = placed_.network.operation(one);
    const bool reads_data =
        std::any_of(operation.operands.begin(), operation.operands.end(),
                    [this](network::ValueId operand) { return !uses_.IsFixed(operand); });
    if (!reads_data) continue;
    if (only != nullptr) return nullptr;
    only = &operation;
  }
  // What the rules say of operand 0 is said of the data.
  if (only == nullptr || uses_.IsFixed(only->operands.front())) return nullptr;
  return only;
}

}  // namespace ckpt
