#include "formats/onnx/inner_graphs.h"

#include <algorithm>
#include <utility>

#include "formats/onnx/graph_values.h"
#include "formats/onnx/layer_facts.h"
#include "formats/onnx/node_order.h"
#include "formats/onnx/tensor_places.h"

namespace ckpt::formats::onnx {
namespace {

using onnx_proto::AttributeProto;
using onnx_proto::GraphProto;
using onnx_proto::ModelProto;
using onnx_proto::NodeProto;
using onnx_proto::TensorProto;
using onnx_proto::ValueInfoProto;

bool HasTensors(const GraphProto& graph);

bool HasTensors(const AttributeProto& attribute) {
  return HoldsTensor(attribute) || (attribute.has_g() && HasTensors(attribute.g())) ||
         std::any_of(attribute.graphs().begin(), attribute.graphs().end(),
                     [](const GraphProto& graph) { return HasTensors(graph); });
}

bool HasTensors(const GraphProto& graph) {
  if (graph.initializer_size() != 0 || graph.sparse_initializer_size() != 0) return true;
  return std::any_of(graph.node().begin(), graph.node().end(), [](const NodeProto& node) {
    return std::any_of(node.attribute().begin(), node.attribute().end(),
                       [](const AttributeProto& attribute) { return HasTensors(attribute); });
  });
}

struct Surroundings {
  std::string path = {};
  std::size_t parent = kMainGraph;
  std::vector<InnerGraph::Names> graphs = {};  // around it, the main graph aside
  std::size_t between = 0;                     // of those, the first one within the parent
};

class InnerGraphFinder {
 public:
  std::vector<InnerGraph> Find(GraphProto& main) {
    VisitNodes(main, {});
    return std::move(found_);
  }

 private:
  void VisitNodes(GraphProto& graph, const Surroundings& around) {
    for (NodeProto& node : *graph.mutable_node()) {
      for (AttributeProto& attribute : *node.mutable_attribute()) {
        if (!attribute.has_g() && attribute.graphs_size() == 0) continue;
        Surroundings within = around;
        within.path += NameOf(node) + "/" + attribute.name() + "/";
        if (attribute.has_g()) Visit(*attribute.mutable_g(), within);
        for (GraphProto& inner : *attribute.mutable_graphs()) Visit(inner, within);
      }
    }
  }

  void Visit(GraphProto& graph, Surroundings around) {
    if (HasLayers(graph)) {
      found_.push_back({&graph, around.path, around.parent, around.graphs, around.between});
      around.parent = found_.size() - 1;
      around.between = around.graphs.size() + 1;
    }
    around.graphs.push_back(std::make_shared<const std::set<std::string>>(DefinedNames(graph)));
    VisitNodes(graph, around);
  }

  std::vector<InnerGraph> found_;
};

}  // namespace

bool IsBatchNormNode(const NodeProto& node) {
  return node.op_type() == "BatchNormalization" && IsOnnxOperator(node);
}

bool HasLayers(const GraphProto& graph) {
  return std::any_of(graph.node().begin(), graph.node().end(), IsBatchNormNode) &&
         !HasTensors(graph);
}

std::vector<InnerGraph> InnerGraphsOf(ModelProto& model) {
  return InnerGraphFinder().Find(*model.mutable_graph());
}

InnerGraphViews::InnerGraphViews(const ModelProto& model)
    : model_(model), constants_(model.graph()), functions_(model) {}

ModelProto InnerGraphViews::ViewOf(const InnerGraph& inner, const Describe& describe) const {
  ModelProto view;
  view.set_ir_version(model_.ir_version());
  view.add_opset_import()->set_version(OpsetOf(model_));
  GraphProto& graph = *view.mutable_graph();
  graph = *inner.graph;
  for (const std::string& name : FreeNames(*inner.graph)) {
    const TensorProto* const constant =
        inner.IsDefinedAround(name) ? nullptr : constants_.Find(name);
    if (constant != nullptr && constants_.NameOf(name) == name) {
      TensorProto& tensor = *graph.add_initializer();
      tensor = *constant;
      tensor.set_name(name);
    } else if (inner.IsDefinedAround(name, inner.between)) {
      graph.add_input()->set_name(name);  // no value of its parent, by whatever name
    } else {
      *graph.add_input() = describe(name);
    }
  }
  AddCalledFunctions(*inner.graph, view);
  return view;
}

// By name alone: that they are called is enough to know.
void InnerGraphViews::AddCalledFunctions(const GraphProto& graph, ModelProto& view) const {
  std::set<const onnx_proto::FunctionProto*> called;
  for (const NodeProto& node : graph.node()) {
    const auto* function = functions_.CalledBy(node);
    if (function == nullptr || !called.insert(function).second) continue;
    auto& stub = *view.add_functions();
    stub.set_name(function->name());
    stub.set_domain(function->domain());
    stub.set_overload(function->overload());
  }
}

bool IsOfOuterGraph(const InnerGraph& inner, const std::string& input) {
  return std::none_of(inner.graph->input().begin(), inner.graph->input().end(),
                      [&](const ValueInfoProto& own) { return own.name() == input; });
}

}  // namespace ckpt::formats::onnx
