#include "formats/onnx/joined_graphs.h"

namespace ckpt::formats::onnx {
namespace {

void MoveOperations(const std::vector<LayerId>& places, Layer& layer) {
  for (auto& [name, operation] : layer.read_by) operation = places[operation];
  for (auto* operations : {&layer.path, &layer.beside}) {
    for (std::uint32_t& operation : *operations) operation = places[operation];
  }
}

void Append(ModelGraph part, const std::vector<LayerId>& places, ModelGraph& whole) {
  const auto nodes = static_cast<NodeId>(whole.nodes.size());
  const auto values = static_cast<ValueId>(whole.values.size());
  for (std::size_t i = 0; i < part.layers.size(); ++i) {
    MoveOperations(places, part.layers[i]);
    whole.layers[places[i]] = std::move(part.layers[i]);
  }
  for (Node& node : part.nodes) {
    node.layer = places[node.layer];
    for (ValueId& input : node.inputs) input += values;
    node.output += values;
    for (ValueId& other : node.others) other += values;
    whole.nodes.push_back(std::move(node));
  }
  for (Value& value : part.values) {
    if (value.producer) *value.producer += nodes;
    for (NodeId& consumer : value.consumers) consumer += nodes;
    whole.values.push_back(std::move(value));
  }
  whole.taken_names.merge(part.taken_names);
}

}  // namespace

ModelGraph GraphJoiner::Joined() && {
  ModelGraph whole;
  whole.origin = graphs_.front().graph.origin;
  whole.source = graphs_.front().graph.source;
  LayerId node = 0, other = 0, count = 0;
  for (const Part& part : graphs_) {
    other += part.nodes;
    count += static_cast<LayerId>(part.graph.layers.size());
  }
  whole.layers.resize(count);
  for (Part& part : graphs_) {
    std::vector<LayerId> places(part.graph.layers.size());
    for (LayerId i = 0; i < places.size(); ++i) places[i] = i < part.nodes ? node++ : other++;
    Append(std::move(part.graph), places, whole);
  }
  return whole;
}

}  // namespace ckpt::formats::onnx
