#include "formats/keras/model/call_computations.h"

#include <algorithm>

#include "ckpt/layer_computation.h"

namespace ckpt::formats::keras {
namespace {

using network::Computation;
using network::Operation;

template <class T>
bool Is(const Operation* operation) {
  return std::holds_alternative<T>(operation->computation);
}

// Along the axis that the graph has for the layer.
bool AgreesWith(const Computation& computation, const Layer& layer) {
  if (const auto* convolution = std::get_if<network::Convolution>(&computation)) {
    return layer.axis == convolution->channel_axis;
  }
  if (const auto* transposed = std::get_if<network::TransposedConvolution>(&computation)) {
    return layer.axis == transposed->channel_axis;
  }
  const auto* norm = std::get_if<network::BatchNormalization>(&computation);
  return norm == nullptr || layer.axis == norm->axis;
}

// The only one of a call's operations, its own activation and a dense layer's bias aside; null
// where there are others.
const Operation* OnlyOne(std::vector<const Operation*> operations, const Layer& layer) {
  const bool activated = !IsActivation(layer) && !IsLinearActivation(layer);
  if (activated && operations.size() > 1) operations.pop_back();
  const bool biased = IsDense(layer) && operations.size() == 2 &&
                      Is<network::MatrixProduct>(operations[0]) &&
                      Is<network::Binary>(operations[1]);
  if (biased) operations.pop_back();
  return operations.size() == 1 ? operations[0] : nullptr;
}

// Does it read what the node reads, and parameters of its own at most?
bool ReadsInputs(const Operation& operation, const TranslatedCall& call) {
  const std::size_t inputs = call.inputs.size();
  if (operation.operands.size() < inputs ||
      !std::equal(call.inputs.begin(), call.inputs.end(), operation.operands.begin())) {
    return false;
  }
  const bool has_parameters =
      Is<network::Convolution>(&operation) || Is<network::TransposedConvolution>(&operation) ||
      Is<network::MatrixProduct>(&operation) || Is<network::BatchNormalization>(&operation);
  return has_parameters ? inputs == 1 : operation.operands.size() == inputs;
}

// Nothing where it is no single operation.
std::optional<Computation> ComputationOf(const std::vector<const Operation*>& operations,
                                         const TranslatedCall& call, const Layer& layer) {
  const Operation* only = OnlyOne(operations, layer);
  const bool said = only != nullptr && call.outputs.size() == 1 && ReadsInputs(*only, call) &&
                    AgreesWith(only->computation, layer);
  if (!said) return std::nullopt;
  return only->computation;
}

void SaySizes(const network::Network& network, const TranslatedCall& call, Value& value) {
  if (call.outputs.size() != 1 || call.outputs[0] == network::kNoValue) return;
  const network::PartialShape& shape = network.value(call.outputs[0]).shape;
  if (!shape) return;
  const auto rank = static_cast<std::int64_t>(shape->size());
  if (value.rank && *value.rank != rank) return;
  value.rank = rank;
  value.shape = *shape;
}

}  // namespace

void SayComputations(const network::Network& network, const std::vector<TranslatedCall>& calls,
                     ModelGraph& graph) {
  std::vector<std::vector<const Operation*>> operations(network.layers.size());
  for (const Operation& operation : network.operations) {
    operations[operation.layer].push_back(&operation);
  }
  std::vector<std::optional<Computation>> said(graph.layers.size());
  std::vector<bool> called(graph.layers.size(), false);
  for (std::size_t i = 0; i < calls.size(); ++i) {
    const Node& node = graph.nodes[i];
    SaySizes(network, calls[i], graph.values[node.output]);
    auto one = ComputationOf(operations[calls[i].layer], calls[i], graph.layers[node.layer]);
    std::optional<Computation>& all = said[node.layer];
    const bool same = all && one && all->index() == one->index() && !calls[i].is_function;
    if (called[node.layer] && !same) one.reset();
    called[node.layer] = true;
    all = std::move(one);
  }
  for (std::size_t i = 0; i < said.size(); ++i) {
    const bool known = said[i] && !std::holds_alternative<network::Unknown>(*said[i]);
    if (known) graph.layers[i].computation = *std::move(said[i]);
  }
}

}  // namespace ckpt::formats::keras
