#include "formats/mxnet/symbol_graph.h"

#include <algorithm>
#include <charconv>
#include <map>
#include <optional>
#include <string>
#include <utility>

#include "formats/keras/config_json.h"

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

bool IsTrue(const std::string& text) { return text == "True" || text == "true" || text == "1"; }

double Number(const std::string& text, double otherwise) {
  double number = otherwise;
  const auto [end, failed] = std::from_chars(text.data(), text.data() + text.size(), number);
  return failed == std::errc() && end == text.data() + text.size() ? number : otherwise;
}

std::int64_t Integer(const std::string& text, std::int64_t otherwise) {
  std::int64_t number = otherwise;
  const auto [end, failed] = std::from_chars(text.data(), text.data() + text.size(), number);
  return failed == std::errc() && end == text.data() + text.size() ? number : otherwise;
}

// The numbers of "(2, 2)".
std::vector<std::int64_t> Tuple(const std::string& text) {
  std::vector<std::int64_t> numbers;
  for (const char *at = text.data(), *end = at + text.size(); at < end; ++at) {
    std::int64_t number = 0;
    const auto [stopped, failed] = std::from_chars(at, end, number);
    if (failed != std::errc()) continue;
    numbers.push_back(number);
    at = stopped;
    if (at >= end) break;
  }
  return numbers;
}

bool AllAre(const std::vector<std::int64_t>& numbers, std::int64_t value) {
  return std::all_of(numbers.begin(), numbers.end(), [&](auto n) { return n == value; });
}

class GraphBuilder {
 public:
  GraphBuilder(std::vector<SymbolNode> nodes, const Manifest& manifest)
      : nodes_(std::move(nodes)), manifest_(manifest), values_(nodes_.size()) {
    symbol_.graph.origin = GraphOrigin::kMxnetSymbol;
    symbol_.graph.source = "MXNet symbol";
  }

  SymbolGraph Build(const std::vector<std::pair<std::size_t, std::size_t>>& heads) {
    for (std::size_t i = 0; i < nodes_.size(); ++i) AddNode(i);
    for (const auto& [node, output] : heads) {
      if (values_[node]) symbol_.graph.values[*values_[node]].is_model_output = true;
    }
    return std::move(symbol_);
  }

 private:
  const std::string& Attribute(const SymbolNode& node, const char* key) const {
    static const std::string kNone;
    const auto found = node.attributes.find(key);
    return found == node.attributes.end() ? kNone : found->second;
  }

  void AddNode(std::size_t i) {
    const SymbolNode& node = nodes_[i];
    if (node.op == "null" && FindTensor(manifest_, node.name)) return;  // a parameter
    Layer layer;
    layer.name = node.name;
    layer.op_type = node.op;
    std::size_t data_inputs = node.inputs.size();
    Describe(node, layer, data_inputs);
    std::vector<ValueId> inputs;
    for (std::size_t k = 0; k < data_inputs; ++k) {
      const auto& [from, output] = node.inputs[k];
      if (!values_[from]) continue;
      inputs.push_back(*values_[from]);
      // Only the first output of a node is followed; one that is read otherwise is not understood.
      if (output != 0) symbol_.graph.values[inputs.back()].is_model_output = true;
    }
    // A dense layer flattens what it reads unless told not to: nothing is folded through that, and
    // the last axis of what it yields is the first behind the examples.
    std::optional<std::int64_t> rank;
    const std::string& flatten = Attribute(node, "flatten");
    if (layer.kind == OpKind::kDense && flatten != "False") {
      inputs = {symbol_.graph.AddCall({node.name + "/flatten", "flatten"}, std::move(inputs))};
      if (flatten.empty() || IsTrue(flatten)) rank = 2;
    }
    values_[i] = symbol_.graph.AddCall(std::move(layer), std::move(inputs), rank);
  }

  // Binds the inputs from the second on to the names, in order; a name that no tensor has is one of
  // the layer's missing tensors.
  void Bind(const SymbolNode& node, Layer& layer, std::initializer_list<const char*> names,
            std::size_t& data_inputs) {
    data_inputs = std::min<std::size_t>(1, node.inputs.size());
    std::size_t k = 1;
    for (const char* name : names) {
      if (k >= node.inputs.size()) return;
      const SymbolNode& variable = nodes_[node.inputs[k++].first];
      const auto id = FindTensor(manifest_, variable.name);
      if (id) layer.tensors.emplace(name, *id);
      if (!id) layer.missing_tensors.emplace_back(name);
    }
  }

  void Describe(const SymbolNode& node, Layer& layer, std::size_t& data_inputs) {
    const std::string& op = node.op;
    if (op == "null") {
      layer.kind = OpKind::kInput;
    } else if (op == "Convolution" || op == "Deconvolution") {
      const bool transposed = op == "Deconvolution";
      layer.kind = transposed ? OpKind::kConvTranspose : OpKind::kConv;
      layer.layout = transposed ? KernelLayout::kInOutSpatial : KernelLayout::kOutInSpatial;
      layer.groups = Integer(Attribute(node, "num_group"), 1);
      layer.padding = AllAre(Tuple(Attribute(node, "pad")), 0) ? Padding::kNone : Padding::kZeros;
      layer.unit_stride = AllAre(Tuple(Attribute(node, "stride")), 1);
      layer.axis = 1;
      const std::string& order = Attribute(node, "layout");
      if (!order.empty() && order != "None" && !order.starts_with("NC"))
        layer.kind = OpKind::kOther;
      layer.can_gain_bias = true;
      Bind(node, layer, {"kernel", "bias"}, data_inputs);
    } else if (op == "FullyConnected") {
      layer.kind = OpKind::kDense;
      layer.layout = KernelLayout::kOutInSpatial;
      layer.axis = -1;
      layer.can_gain_bias = true;
      Bind(node, layer, {"kernel", "bias"}, data_inputs);
    } else if (op == "BatchNorm" || op == "BatchNorm_v1") {
      DescribeBatchNorm(node, layer, data_inputs);
    } else if (op == "Activation" || op == "relu" || op == "LeakyReLU") {
      layer.kind = OpKind::kActivation;
      layer.activation = op == "relu" ? op : Attribute(node, "act_type");
    } else if (op == "Dropout" || op == "identity" || op == "_copy") {
      layer.kind = OpKind::kIdentity;
    } else if (op == "elemwise_add" || op == "_Plus" || op == "_plus") {
      layer.kind = OpKind::kAdd;
    } else if (op == "Concat" || op == "concat") {
      layer.kind = OpKind::kConcat;
      layer.axis = Integer(Attribute(node, "dim"), 1);
    }
  }

  void DescribeBatchNorm(const SymbolNode& node, Layer& layer, std::size_t& data_inputs) {
    layer.kind = OpKind::kBatchNorm;
    layer.axis = Integer(Attribute(node, "axis"), 1);
    layer.epsilon = Number(Attribute(node, "eps"), 1e-3);
    layer.momentum = Number(Attribute(node, "momentum"), 0.9);
    Bind(node, layer, {"gamma", "beta", "moving_mean", "moving_variance"}, data_inputs);
    const std::string& fix_gamma = Attribute(node, "fix_gamma");
    const auto gamma = layer.tensors.find("gamma");
    if ((fix_gamma.empty() || IsTrue(fix_gamma)) && gamma != layer.tensors.end()) {
      symbol_.fixed_gammas.push_back(gamma->second);
    }
  }

  std::vector<SymbolNode> nodes_;
  const Manifest& manifest_;
  std::vector<std::optional<ValueId>> values_;  // what a node yields; none for a parameter
  SymbolGraph symbol_;
};

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

SymbolGraph GraphOfSymbol(Symbol symbol, const Manifest& manifest) {
  return GraphBuilder(std::move(symbol.nodes), manifest).Build(symbol.heads);
}

}  // namespace ckpt::formats
