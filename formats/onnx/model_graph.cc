#include "formats/onnx/model_graph.h"

#include <algorithm>
#include <map>
#include <memory>
#include <set>
#include <utility>

#include "ckpt/find_layers.h"
#include "ckpt/layer_computation.h"
#include "formats/onnx/constant_tensors.h"
#include "formats/onnx/graph_values.h"
#include "formats/onnx/inner_graphs.h"
#include "formats/onnx/joined_graphs.h"
#include "formats/onnx/layer_facts.h"
#include "formats/onnx/network.h"
#include "formats/onnx/node_order.h"
#include "formats/onnx/tensor_places.h"
#include "formats/onnx/written_norms.h"

namespace ckpt::formats::onnx {
namespace {

using onnx_proto::NodeProto;

// The number of such a type in TensorProto.DataType.
std::int32_t ElementTypeOf(network::ElementKind kind) {
  switch (kind) {
    case network::ElementKind::kInteger:
      return 7;
    case network::ElementKind::kBoolean:
      return 9;
    default:
      return 1;
  }
}

class Builder {
 public:
  Builder(onnx_proto::ModelProto& model, const Checkpoint& weights, const TensorLookup& tensors)
      : model_(model),
        proto_(model.graph()),
        tensors_(tensors),
        constants_(proto_),
        values_(proto_),
        opset_(OpsetOf(model)),
        of_nodes_(MakeNodeNetwork(model, weights)) {}

  ModelGraph Build() {
    FindFunctions();
    PlaceLayers();
    FindWrittenNorms();
    for (int i = 0; i < proto_.node_size(); ++i) AddRecorded(i);
    AddOutputs();
    for (const std::string& name : values_.names()) {
      graph_.taken_names.insert(name);
      const auto value = of_nodes_.values.find(name);
      if (value != of_nodes_.values.end() && values_.UseOf(name).captured) {
        MarkCaptured(value->second.index);
      }
    }
    return std::move(graph_);
  }

  // What is known of a value, for a graph that reads it from within.
  onnx_proto::ValueInfoProto Describe(const std::string& name) const {
    onnx_proto::ValueInfoProto info;
    info.set_name(name);
    const auto found = of_nodes_.values.find(name);
    if (found == of_nodes_.values.end()) return info;
    const network::Value& value = of_nodes_.network.value(found->second);
    auto& type = *info.mutable_type()->mutable_tensor_type();
    if (value.kind) type.set_elem_type(ElementTypeOf(*value.kind));
    if (!value.shape) return info;
    auto& shape = *type.mutable_shape();
    for (const std::int64_t size : *value.shape) {
      auto& dim = *shape.add_dim();
      if (size >= 0) dim.set_dim_value(size);
    }
    return info;
  }

 private:
  // What a graph within a node reads is read as it is.
  void MarkCaptured(ValueId id) {
    Value& value = graph_.values[id];
    value.is_model_output = true;
    if (!value.producer) return;
    Node& node = graph_.nodes[*value.producer];
    const bool known = node.output == id ||
                       std::find(node.others.begin(), node.others.end(), id) != node.others.end();
    if (!known) node.others.push_back(id);
  }

  // A function of the model may stand in the place of an operator.
  void FindFunctions() {
    for (const auto& function : model_.functions()) {
      functions_.insert({function.domain() == "ai.onnx" ? "" : function.domain(), function.name()});
    }
  }
  bool IsFunction(const NodeProto& node) const {
    return functions_.contains({node.domain() == "ai.onnx" ? "" : node.domain(), node.op_type()});
  }

  // The layers that the operations make, by node.
  void PlaceLayers() {
    LayerFacts facts;
    facts.elements = [this](network::ValueId id) { return ElementsOf(id); };
    facts.can_rebind = facts.can_gain_bias = true;
    graph_ = FindLayers(of_nodes_.network, facts).graph;
    graph_.origin = GraphOrigin::kOnnxGraph;
    graph_.source = "ONNX graph";
    const auto count = static_cast<LayerId>(proto_.node_size());
    std::vector<LayerId> places(graph_.layers.size());
    auto next = count;
    for (std::size_t i = 0; i < places.size(); ++i) {
      const bool of_node = i < of_nodes_.nodes.size() && of_nodes_.nodes[i] != kNoNode;
      places[i] = of_node ? static_cast<LayerId>(of_nodes_.nodes[i]) : next++;
    }
    for (Layer& layer : graph_.layers) MoveOperations(places, layer);
    MoveLayers(places, next);
    called_.resize(next, false);
    for (Node& node : graph_.nodes) {
      node.layer = places[node.layer];
      called_[node.layer] = true;
    }
  }
  // Layer i becomes layer places[i] of `count`, in place: a layer is large, and there may be one
  // for each node of a large graph.
  void MoveLayers(std::vector<LayerId> places, LayerId count) {
    constexpr auto kEmpty = static_cast<LayerId>(-1);  // nothing is left there that has to move
    std::vector<Layer>& layers = graph_.layers;
    layers.reserve(count + 1);  // AddOutputs
    layers.resize(count);
    for (LayerId i = 0; i < places.size(); ++i) {
      while (places[i] != i && places[i] != kEmpty) {
        const LayerId to = places[i];
        std::swap(layers[i], layers[to]);
        if (to < places.size()) {
          std::swap(places[i], places[to]);
        } else {
          places[i] = kEmpty;
        }
      }
    }
  }
  static void MoveOperations(const std::vector<LayerId>& places, Layer& layer) {
    for (auto& [name, operation] : layer.read_by) operation = places[operation];
    for (auto* operations : {&layer.path, &layer.beside}) {
      for (std::uint32_t& operation : *operations) operation = places[operation];
    }
  }

  std::optional<std::vector<double>> ElementsOf(network::ValueId id) const {
    if (id == network::kNoValue) return std::nullopt;
    const auto derived = of_nodes_.elements.find(id.index);
    if (derived != of_nodes_.elements.end()) return derived->second;
    const auto& constant = of_nodes_.network.value(id).constant;
    if (!constant) return std::nullopt;
    if (const auto* here = std::get_if<network::InlineConstant>(&*constant)) return here->elements;
    return tensors_.elements(std::get<network::StoredConstant>(*constant).tensor);
  }

  std::optional<std::int64_t> RankOf(const std::string& name) const {
    if (const auto* tensor = constants_.Find(name)) return tensor->dims_size();
    const auto value = of_nodes_.values.find(name);
    if (value == of_nodes_.values.end()) return std::nullopt;
    const network::PartialShape& shape = of_nodes_.network.value(value->second).shape;
    return shape ? std::optional(static_cast<std::int64_t>(shape->size())) : std::nullopt;
  }

  void FindWrittenNorms() {
    const auto elements = [this](const std::string& name) -> std::optional<std::vector<double>> {
      if (constants_.Find(name) == nullptr) return std::nullopt;
      const auto tensor = tensors_.find(constants_.NameOf(name));
      return tensor ? tensors_.elements(*tensor) : std::nullopt;
    };
    const auto rank = [this](const std::string& name) { return RankOf(name); };
    norms_ = onnx::FindWrittenNorms({proto_, constants_, values_, elements, rank});
  }

  // The node that takes the root stands for the batch norm that is written out around it.
  void BindBatchNormOfBatch(int index, Layer& layer) {
    const auto norm =
        std::find_if(norms_.of_batch.begin(), norms_.of_batch.end(),
                     [&](const BatchNormOfBatch& it) { return it.deviation == index; });
    if (norm == norms_.of_batch.end()) return;
    const std::string source = "computed from its own input by " + norm->reduction;
    network::BatchNormalization computed{1};
    computed.of_batch = true;
    layer.computation = computed;
    layer.op_type = "batch norm in simple operations";
    layer.axis = 1;
    layer.training_mode = norm->reduction + " computes its statistics from its own input";
    layer.not_affine = layer.not_inference = "its statistics are " + source;
    layer.fed_tensors = {{"moving_mean", source}, {"moving_variance", source}};
    for (const auto& [part, value] : norm->stored) {
      const auto tensor = tensors_.find(constants_.NameOf(value));
      if (tensor) layer.tensors.emplace(part == NormPart::kScale ? "gamma" : "beta", *tensor);
    }
  }

  // What a norm reads that is written out in simple operations and is no batch norm.
  void BindWrittenNorm(const NodeProto& node, NormPart part, Layer& layer) {
    if (part == NormPart::kNone || !MayHandTensorsOn(layer)) return;
    layer.op_type = "Normalization";
    const std::string name = part == NormPart::kScale    ? "gamma"
                             : part == NormPart::kOffset ? "beta"
                                                         : "moving_statistic";
    for (const std::string& input : node.input()) {
      if (input.empty() || constants_.Find(input) == nullptr) continue;
      const auto tensor = tensors_.find(constants_.NameOf(input));
      if (tensor) layer.tensors.emplace(name, *tensor);
    }
  }

  NodeContext ContextOf(const NodeProto& node) {
    return NodeContext{node,
                       opset_,
                       constants_,
                       values_,
                       proto_,
                       tensors_.find,
                       tensors_.elements,
                       [this](const std::string& name) { return RankOf(name); }};
  }

  // What the node says beyond its operations.
  void AddRecorded(int index) {
    const NodeProto& node = proto_.node(index);
    const auto id = static_cast<LayerId>(index);
    Layer& layer = graph_.layers[id];
    if (!layer.path.empty()) return;
    layer.name = NameOf(node);
    layer.op_type = IsOnnxOperator(node) ? node.op_type() : node.domain() + "." + node.op_type();
    if (IsFunction(node)) {
      layer.op_type = "function " + node.op_type();
    } else {
      DescribeNode(ContextOf(node), layer);
    }
    if (!called_[id]) return;
    BindWrittenNorm(node, norms_.parts[id], layer);
    BindBatchNormOfBatch(index, layer);
    BindOthers(index, node, layer);
  }

  // Constants that the node reads without a name of their own, and those that graphs within it do.
  void BindOthers(int index, const NodeProto& node, Layer& layer) {
    std::set<TensorId> named;
    for (const auto& [name, tensor] : layer.tensors) named.insert(tensor);
    const auto bind = [&](const std::string& value, const std::string& name) {
      if (value.empty() || constants_.Find(value) == nullptr) return;
      const auto tensor = tensors_.find(constants_.NameOf(value));
      if (tensor && !named.contains(*tensor)) layer.tensors.emplace(name, *tensor);
    };
    for (int i = 0; i < node.input_size(); ++i) bind(node.input(i), "input_" + std::to_string(i));
    int count = 0;
    for (const std::string& value : values_.CapturedBy(index)) {
      bind(value, "captured_" + std::to_string(count++));
    }
    // Graphs whose nodes are layers bind what they read, and know it by its own name alone.
    for (const std::string& value : CapturedNames(node)) {
      if (constants_.Find(value) == nullptr || constants_.NameOf(value) == value) continue;
      bind(value, "captured_" + std::to_string(count++));
    }
  }

  void AddOutputs() {
    Layer layer;
    layer.name = "outputs";
    for (int i = 0; i < proto_.output_size(); ++i) {
      const std::string& name = proto_.output(i).name();
      if (constants_.Find(name) == nullptr) continue;
      if (const auto tensor = tensors_.find(constants_.NameOf(name))) {
        layer.tensors.emplace("output_" + std::to_string(i), *tensor);
      }
    }
    graph_.layers.push_back(std::move(layer));
  }

  const onnx_proto::ModelProto& model_;
  const onnx_proto::GraphProto& proto_;
  const TensorLookup& tensors_;
  const ConstantTensors constants_;
  const GraphValues values_;
  const std::int64_t opset_;
  const NodeNetwork of_nodes_;
  std::set<std::pair<std::string, std::string>> functions_;  // domain, name
  std::vector<bool> called_;                                 // by layer
  WrittenNorms norms_;
  ModelGraph graph_;
};

// Its layers, as the whole model's: the values that it reads from around it are nothing's here.
void NameLayers(const InnerGraph& inner, ModelGraph& graph) {
  for (Layer& layer : graph.layers) {
    if (layer.is_input && IsOfOuterGraph(inner, layer.name)) {
      layer.is_input = false;
      layer.op_type = "value from around the graph";
      layer.computation = network::Unknown{};
    } else {
      layer.name = inner.path + layer.name;
    }
  }
}

// The graphs inside of nodes behind the main one; what is known of values around is passed on.
ModelGraph JoinInnerGraphs(const onnx_proto::ModelProto& model,
                           const std::vector<InnerGraph>& inner, const Checkpoint& weights,
                           const TensorLookup& tensors, const Builder& main, ModelGraph of_main) {
  GraphJoiner joiner(std::move(of_main), static_cast<LayerId>(model.graph().node_size()));
  const InnerGraphViews maker(model);
  std::vector<std::unique_ptr<onnx_proto::ModelProto>> views;
  std::vector<std::unique_ptr<Builder>> builders;
  for (const InnerGraph& graph : inner) {
    const Builder& around = graph.parent == kMainGraph ? main : *builders[graph.parent];
    const auto describe = [&](const std::string& name) { return around.Describe(name); };
    views.push_back(std::make_unique<onnx_proto::ModelProto>(maker.ViewOf(graph, describe)));
    builders.push_back(std::make_unique<Builder>(*views.back(), weights, tensors));
    ModelGraph layers = builders.back()->Build();
    NameLayers(graph, layers);
    joiner.Add(std::move(layers), static_cast<LayerId>(graph.graph->node_size()));
  }
  return std::move(joiner).Joined();
}

}  // namespace

ModelGraph BuildModelGraph(onnx_proto::ModelProto& model, const Checkpoint& weights,
                           const TensorLookup& tensors) {
  Builder main(model, weights, tensors);
  ModelGraph graph = main.Build();
  const std::vector<InnerGraph> inner = InnerGraphsOf(model);
  if (inner.empty()) return graph;
  return JoinInnerGraphs(model, inner, weights, tensors, main, std::move(graph));
}

}  // namespace ckpt::formats::onnx
