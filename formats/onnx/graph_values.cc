#include "formats/onnx/graph_values.h"

#include <algorithm>

#include "formats/onnx/inner_graphs.h"

namespace ckpt::formats::onnx {
namespace {

using onnx_proto::GraphProto;
using onnx_proto::NodeProto;

// Everything that a graph inside of a node reads or yields. Names do not shadow one another in
// ONNX, so what it yields itself is told from what it captures by the main graph's names.
enum class InnerGraphs : std::uint8_t { kAll, kWithoutLayers };
void AddNamesWithin(const NodeProto& node, InnerGraphs which, std::set<std::string>& names);

void AddNamesOf(const GraphProto& graph, InnerGraphs which, std::set<std::string>& names) {
  const bool own = which == InnerGraphs::kAll || !HasLayers(graph);
  for (const auto& node : graph.node()) {
    if (own) names.insert(node.input().begin(), node.input().end());
    AddNamesWithin(node, which, names);
  }
  if (!own) return;
  for (const auto& output : graph.output()) names.insert(output.name());
}

void AddNamesWithin(const NodeProto& node, InnerGraphs which, std::set<std::string>& names) {
  for (const auto& attribute : node.attribute()) {
    if (attribute.has_g()) AddNamesOf(attribute.g(), which, names);
    for (const auto& graph : attribute.graphs()) AddNamesOf(graph, which, names);
  }
}

// Names that new values must keep away from: what inner graphs define, too.
void AddDefined(const GraphProto& graph, std::set<std::string>& names) {
  for (const auto& input : graph.input()) names.insert(input.name());
  for (const auto& tensor : graph.initializer()) names.insert(tensor.name());
  for (const auto& sparse : graph.sparse_initializer()) names.insert(sparse.values().name());
  for (const auto& node : graph.node()) {
    names.insert(node.input().begin(), node.input().end());
    names.insert(node.output().begin(), node.output().end());
    for (const auto& attribute : node.attribute()) {
      if (attribute.has_g()) AddDefined(attribute.g(), names);
      for (const auto& inner : attribute.graphs()) AddDefined(inner, names);
    }
  }
}

}  // namespace

GraphValues::GraphValues(const GraphProto& graph) {
  AddDefined(graph, names_);
  for (const auto& input : graph.input()) inputs_.insert(input.name());
  for (int i = 0; i < graph.node_size(); ++i) {
    for (const auto& output : graph.node(i).output()) {
      if (!output.empty()) producers_.emplace(output, i);
    }
  }
  std::set<std::string> outer = inputs_;
  for (const auto& tensor : graph.initializer()) outer.insert(tensor.name());
  for (const auto& [name, node] : producers_) outer.insert(name);
  for (int i = 0; i < graph.node_size(); ++i) {
    for (const auto& input : graph.node(i).input()) {
      if (!input.empty()) uses_[input].readers.push_back(i);
    }
    const auto captured = [&](InnerGraphs which) {
      std::set<std::string> within;
      AddNamesWithin(graph.node(i), which, within);
      std::erase_if(within, [&](const std::string& name) { return !outer.contains(name); });
      return within;
    };
    for (const std::string& name : captured(InnerGraphs::kAll)) uses_[name].captured = true;
    auto without_layers = captured(InnerGraphs::kWithoutLayers);
    if (!without_layers.empty()) captured_[i] = std::move(without_layers);
  }
  for (const auto& output : graph.output()) uses_[output.name()].is_output = true;
}

const ValueUse& GraphValues::UseOf(const std::string& value) const {
  static const ValueUse kNone;
  const auto found = uses_.find(value);
  return found == uses_.end() ? kNone : found->second;
}

std::optional<int> GraphValues::ProducerOf(const std::string& value) const {
  const auto found = producers_.find(value);
  return found == producers_.end() ? std::nullopt : std::optional(found->second);
}

const std::set<std::string>& GraphValues::CapturedBy(int node) const {
  static const std::set<std::string> kNone;
  const auto found = captured_.find(node);
  return found == captured_.end() ? kNone : found->second;
}

std::string FreshName(const std::string& base, std::set<std::string>& taken) {
  std::string name = base;
  for (int i = 1; !taken.insert(name).second; ++i) name = base + "_" + std::to_string(i);
  return name;
}

std::int64_t OpsetOf(const onnx_proto::ModelProto& model) {
  for (const auto& opset : model.opset_import()) {
    if (opset.domain().empty() || opset.domain() == "ai.onnx") return opset.version();
  }
  return 1;
}

}  // namespace ckpt::formats::onnx
