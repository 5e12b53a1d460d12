#include "layers/layer_calls.h"

#include <algorithm>
#include <set>
#include <span>
#include <utility>

#include "ckpt/layer_computation.h"

namespace ckpt {
namespace {

using network::kNoValue;
using network::Operation;
using network::OperationId;

class Caller {
 public:
  Caller(const ValueUses& uses, const OperationsOfLayers& operations, ModelGraph& graph)
      : network_(uses.network()), uses_(uses), operations_(operations), graph_(graph) {
    graph_.values.resize(network_.values.size());
  }

  void CallInputs() {
    for (std::size_t i = 0; i < network_.inputs.size(); ++i) {
      Call(static_cast<LayerId>(network_.layers.size() + i), {}, network_.inputs[i].value.index);
    }
  }

  void CallWhole(std::uint32_t layer, const CallOfOperations& call) {
    const NodeId node = Call(layer, {call.data.index}, call.output.index);
    for (const network::ValueId result : network_.operation(call.last).results) {
      if (result == kNoValue) continue;
      graph_.values[result.index].producer = node;
      if (result != call.output && IsReadOutside(layer, result)) {
        graph_.nodes[node].others.push_back(result.index);
      }
    }
  }

  // Reads what its operations read of others, and yields what others read of them.
  void CallOwn(std::uint32_t layer) {
    std::set<std::uint32_t> made;
    std::vector<ValueId> inputs, outputs;
    for (const OperationId id : operations_[layer]) {
      const Operation& operation = network_.operation(id);
      const std::vector<ValueId> before = inputs;
      for (const network::ValueId operand : DataOf(layer, operation)) {
        const bool known = std::find(before.begin(), before.end(), operand.index) != before.end();
        if (!known && operand != kNoValue && !made.contains(operand.index) &&
            !network_.value(operand).constant) {
          inputs.push_back(operand.index);
        }
      }
      for (const network::ValueId result : operation.results) {
        if (result == kNoValue) continue;
        made.insert(result.index);
        if (IsReadOutside(layer, result)) outputs.push_back(result.index);
      }
    }
    if (made.empty()) return;
    if (outputs.empty()) outputs.push_back(*made.begin());
    const NodeId node = Call(layer, std::move(inputs), outputs.front());
    for (const std::uint32_t value : made) graph_.values[value].producer = node;
    if (outputs.size() > 1) graph_.nodes[node].others.assign(outputs.begin() + 1, outputs.end());
  }

  void FinishValues() {
    for (std::uint32_t i = 0; i < network_.values.size(); ++i) {
      Value& value = graph_.values[i];
      const network::PartialShape& shape = network_.values[i].shape;
      value.shape = shape;
      if (shape) value.rank = static_cast<std::int64_t>(shape->size());
      value.is_model_output = uses_.IsOutput({i}) || !value.producer;
    }
  }

 private:
  // Of a shape that is computed beside, what the layer computes knows as much as is known. What
  // asks for sizes reads no elements.
  std::span<const network::ValueId> DataOf(std::uint32_t layer, const Operation& operation) const {
    const std::span<const network::ValueId> all = operation.operands;
    if (std::holds_alternative<network::ShapeOf>(operation.computation)) return {};
    const bool knows_shape = std::holds_alternative<network::Reshape>(operation.computation) &&
                             !IsUnknown(graph_.layers[layer]);
    return knows_shape ? all.first(1) : all;
  }

  bool IsReadOutside(std::uint32_t layer, network::ValueId id) const {
    const auto& readers = uses_.ReadersOf(id);
    return uses_.IsOutput(id) ||
           std::any_of(readers.begin(), readers.end(), [&](const OperandPlace& reader) {
             return network_.operation(reader.operation).layer != layer;
           });
  }

  NodeId Call(LayerId layer, std::vector<ValueId> inputs, ValueId output) {
    const auto node = static_cast<NodeId>(graph_.nodes.size());
    for (const ValueId input : inputs) graph_.values[input].consumers.push_back(node);
    graph_.values[output].producer = node;
    graph_.nodes.push_back({layer, std::move(inputs), output, {}});
    return node;
  }

  const network::Network& network_;
  const ValueUses& uses_;
  const OperationsOfLayers& operations_;
  ModelGraph& graph_;
};

}  // namespace

void AddCalls(const ValueUses& uses, const OperationsOfLayers& operations,
              const std::vector<bool>& absorbed,
              const std::map<std::uint32_t, CallOfOperations>& whole, ModelGraph& graph) {
  Caller caller(uses, operations, graph);
  caller.CallInputs();
  // A layer stands where its last operation does: behind all that it reads.
  std::map<std::uint32_t, std::uint32_t> layer_at;  // by operation
  for (std::uint32_t i = 0; i < operations.size(); ++i) {
    if (absorbed[i] || operations[i].empty()) continue;
    const auto known = whole.find(i);
    layer_at.emplace((known == whole.end() ? operations[i].back() : known->second.last).index, i);
  }
  for (const auto& [operation, layer] : layer_at) {
    const auto known = whole.find(layer);
    if (known == whole.end()) {
      caller.CallOwn(layer);
    } else {
      caller.CallWhole(layer, known->second);
    }
  }
  caller.FinishValues();
}

}  // namespace ckpt
