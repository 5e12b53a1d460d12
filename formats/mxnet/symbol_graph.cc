#include "formats/mxnet/symbol_graph.h"

#include <optional>
#include <set>
#include <string>
#include <utility>

#include "ckpt/find_layers.h"
#include "ckpt/layer_computation.h"
#include "formats/keras/model/config_json.h"
#include "formats/mxnet/inference_network.h"

namespace ckpt::formats {
namespace {

using keras::Find;
using keras::Json;

std::string Text(const Json* json) {
  return json != nullptr && json->is_string() ? json->get<std::string>() : std::string();
}

std::optional<std::vector<std::pair<std::size_t, std::size_t>>> ReadEntries(const Json* json,
                                                                            std::size_t before) {
  std::vector<std::pair<std::size_t, std::size_t>> entries;
  if (json == nullptr || !json->is_array()) return std::nullopt;
  for (const Json& entry : *json) {
    if (!entry.is_array() || entry.size() < 2) return std::nullopt;
    if (!entry[0].is_number_unsigned() || !entry[1].is_number_unsigned()) return std::nullopt;
    const auto node = entry[0].get<std::size_t>();
    if (node >= before) return std::nullopt;
    entries.emplace_back(node, entry[1].get<std::size_t>());
  }
  return entries;
}

std::string Attribute(const SymbolNode& node, const char* key) {
  const auto found = node.attributes.find(key);
  return found == node.attributes.end() ? std::string() : found->second;
}

bool IsBatchNorm(const SymbolNode& node) {
  return node.op == "BatchNorm" || node.op == "BatchNorm_v1";
}

// What the inputs from the second on are to the layer.
std::vector<const char*> ParametersOf(const SymbolNode& node) {
  if (IsBatchNorm(node)) return {"gamma", "beta", "moving_mean", "moving_variance"};
  const bool linear =
      node.op == "Convolution" || node.op == "Deconvolution" || node.op == "FullyConnected";
  return linear ? std::vector<const char*>{"kernel", "bias"} : std::vector<const char*>{};
}

// Parameters that the symbol names and the file lacks are no inputs of the model.
void FindMissing(const Symbol& symbol, const SymbolNode& node, const Manifest& manifest,
                 Layer& layer) {
  std::size_t input = 1;
  for (const char* name : ParametersOf(node)) {
    if (input >= node.inputs.size()) return;
    const SymbolNode& variable = symbol.nodes[node.inputs[input++].first];
    if (variable.op != "null" || FindTensor(manifest, variable.name)) continue;
    layer.missing_tensors.emplace_back(name);
    layer.fed_tensors.erase(name);
  }
}

// Nodes that yield more than their first output to someone.
std::set<std::size_t> NodesOfFurtherOutputs(const Symbol& symbol) {
  std::set<std::size_t> nodes;
  const auto add = [&](const auto& entries) {
    for (const auto& [node, output] : entries) {
      if (output != 0) nodes.insert(node);
    }
  };
  for (const SymbolNode& node : symbol.nodes) add(node.inputs);
  add(symbol.heads);
  return nodes;
}

}  // namespace

Result<Symbol> ReadSymbolNodes(std::string_view text) {
  CKPT_ASSIGN_OR_RETURN(const Json json, keras::ParseConfigJson(text));
  const Json* list = Find(json, "nodes");
  if (list == nullptr || !list->is_array()) {
    return Fail(ErrorCode::kCorrupt, "is not an MXNet symbol: it has no nodes");
  }
  std::vector<SymbolNode> nodes;
  for (const Json& item : *list) {
    SymbolNode node{Text(Find(item, "op")), Text(Find(item, "name")), {}, {}};
    for (const char* key : {"param", "attr", "attrs"}) {
      const Json* attributes = Find(item, key);
      if (attributes == nullptr || !attributes->is_object()) continue;
      for (const auto& [name, value] : attributes->items()) {
        if (value.is_string()) node.attributes[name] = value.get<std::string>();
      }
    }
    auto inputs = ReadEntries(Find(item, "inputs"), nodes.size());
    if (!inputs) {
      return Fail(ErrorCode::kCorrupt, "is not an MXNet symbol: node " +
                                           std::to_string(nodes.size()) +
                                           " reads what does not come before it");
    }
    node.inputs = *std::move(inputs);
    nodes.push_back(std::move(node));
  }
  auto heads = ReadEntries(Find(json, "heads"), nodes.size());
  if (!heads) return Fail(ErrorCode::kCorrupt, "is not an MXNet symbol: it has no heads");
  return Symbol{std::move(nodes), *std::move(heads)};
}

ModelGraph GraphOfSymbol(const Symbol& symbol, const Manifest& manifest) {
  const MxnetNetwork net =
      TranslateMxnet(symbol, manifest, network::NetworkBuilder::Contradictions::kUnknown);
  LayerFacts facts;
  facts.can_gain_bias = true;
  ModelGraph graph = FindLayers(*net.network, facts).graph;
  graph.origin = GraphOrigin::kMxnetSymbol;
  graph.source = "MXNet symbol";
  const std::set<std::size_t> further = NodesOfFurtherOutputs(symbol);
  for (LayerId id = 0; id < net.nodes.size(); ++id) {
    if (net.nodes[id] == kNoSymbolNode) continue;
    const SymbolNode& node = symbol.nodes[net.nodes[id]];
    Layer& layer = graph.layers[id];
    FindMissing(symbol, node, manifest, layer);
    if (IsBatchNorm(node) && further.contains(net.nodes[id])) {
      layer.not_affine = "its other outputs are read";
    }
    const std::string function = Attribute(node, "act_type");
    if (IsActivation(layer) && !function.empty()) layer.activation = function;
  }
  return graph;
}

std::vector<TensorId> FixedGammas(const Symbol& symbol, const Manifest& manifest) {
  std::vector<TensorId> fixed;
  for (const SymbolNode& node : symbol.nodes) {
    if (!IsBatchNorm(node) || node.inputs.size() < 2) continue;
    const std::string fix = Attribute(node, "fix_gamma");
    if (!fix.empty() && fix != "True" && fix != "true" && fix != "1") continue;
    const auto gamma = FindTensor(manifest, symbol.nodes[node.inputs[1].first].name);
    if (gamma) fixed.push_back(*gamma);
  }
  return fixed;
}

}  // namespace ckpt::formats
