#include "formats/onnx/dead_identities.h"

#include "formats/onnx/node_order.h"

namespace ckpt::formats::onnx {
namespace {

using onnx_proto::GraphProto;
using onnx_proto::NodeProto;

// Names by which a graph has tensors that are gone, and all that it defines.
struct GoneNames {
  const GoneNames* outer = nullptr;
  std::set<std::string> gone = {}, own = {};
  bool Has(const std::string& name) const {
    for (const GoneNames* at = this; at != nullptr; at = at->outer) {
      if (at->gone.contains(name)) return true;
      if (at->own.contains(name)) return false;
    }
    return false;
  }
};

bool PassesOn(const NodeProto& node) {
  return node.op_type() == "Identity" && node.input_size() == 1 && node.output_size() == 1;
}

void DropUnread(const GoneNames& names, GraphProto& graph) {
  std::map<std::string, int> readers = CountReaders(graph);
  std::set<int> dead;
  for (int i = graph.node_size() - 1; i >= 0; --i) {
    const NodeProto& node = graph.node(i);
    if (!PassesOn(node) || !names.Has(node.input(0)) || readers[node.output(0)] != 0) continue;
    --readers[node.input(0)];
    dead.insert(i);
  }
  if (dead.empty()) return;
  google::protobuf::RepeatedPtrField<NodeProto> nodes;
  for (int i = 0; i < graph.node_size(); ++i) {
    if (!dead.contains(i)) nodes.Add()->Swap(graph.mutable_node(i));
  }
  graph.mutable_node()->Swap(&nodes);
}

void Drop(GoneNames& names, GraphProto& graph);

void DropWithin(const GoneNames& outer, GraphProto& graph) {
  GoneNames names;
  names.outer = &outer;
  names.own = DefinedNames(graph);
  Drop(names, graph);
}

void Drop(GoneNames& names, GraphProto& graph) {
  bool any = false;
  for (NodeProto& node : *graph.mutable_node()) {
    if (PassesOn(node) && names.Has(node.input(0))) {
      names.gone.insert(node.output(0));
      any = true;
    }
    for (auto& attribute : *node.mutable_attribute()) {
      if (attribute.has_g()) DropWithin(names, *attribute.mutable_g());
      for (auto& inner : *attribute.mutable_graphs()) DropWithin(names, inner);
    }
  }
  if (any) DropUnread(names, graph);
}

}  // namespace

std::map<std::string, int> CountReaders(const GraphProto& graph) {
  std::map<std::string, int> readers;
  for (const auto& output : graph.output()) ++readers[output.name()];
  for (const NodeProto& node : graph.node()) {
    for (const auto& input : node.input()) ++readers[input];
    for (const auto& name : CapturedNames(node)) ++readers[name];
  }
  return readers;
}

void DropDeadIdentities(const std::set<std::string>& gone, GraphProto& graph) {
  GoneNames names;
  names.gone = gone;
  Drop(names, graph);
}

}  // namespace ckpt::formats::onnx
