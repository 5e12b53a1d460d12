#include "serving/layers.h"

#include <algorithm>
#include <set>
#include <utility>

#include "ckpt/find_layers.h"
#include "ckpt/network/channel_rules.h"
#include "serving/batch_norms.h"
#include "serving/op_facts.h"

namespace ckpt {
namespace {

using Rank = std::optional<std::int64_t>;

bool IsOfSimpleOperations(OpBatchNormForm form) {
  return form == OpBatchNormForm::kUnfused || form == OpBatchNormForm::kWrittenOut;
}

// "block1/conv/Conv2D" is the layer "block1/conv".
std::string LayerName(const std::string& op_name) {
  const std::size_t slash = op_name.rfind('/');
  return slash == std::string::npos ? op_name : op_name.substr(0, slash);
}

// The axis of the channels: of the data format, or that in which the vectors are wide.
void SetAxis(const ServingBatchNorm& norm, Rank rank, Layer& layer) {
  if (!IsOfSimpleOperations(norm.found.form)) {
    layer.axis = norm.found.channel_axis;
    layer.axes_behind_channels = 0;
    if (layer.axis == -1) return;
    layer.axes_behind_channels = norm.found.data_format == "NCDHW" ? 3 : 2;
    return;
  }
  layer.axis = -1;
  layer.axes_behind_channels = norm.axes_behind_channels;
  const auto least = static_cast<std::int64_t>(norm.rank);
  if (rank && *rank < least) {
    layer.not_affine = "its vectors have more axes than what it normalises";
  } else if (norm.axes_behind_channels != 0) {
    // Vectors of rank 3 and more are [1, C, 1...] where the rank of the input is not known.
    if (!rank) rank = least;
    layer.axis = *rank - 1 - static_cast<std::int64_t>(norm.axes_behind_channels);
  }
}

// Matrix products and convolutions; no other operation has a kernel.
bool HasKernel(const Op& op) {
  constexpr std::string_view kTypes[] = {"Conv2D", "DepthwiseConv2dNative", "Conv2DBackpropInput",
                                         "Conv3D", "Conv3DBackpropInputV2", "MatMul"};
  return IsOneOf(op.type, kTypes) && op.inputs.size() > 1;
}

class LayerPlacer {
 public:
  LayerPlacer(const OpGraph& graph, const std::vector<TensorInfo>& tensors,
              const std::vector<OpEdge>& outputs, const PlacedNetwork& placed)
      : graph_(graph),
        norms_(FindBatchNorms(OpBodies(graph))),
        outputs_(outputs),
        body_(graph.top, tensors, outputs, OpsOfBatchNorms(norms_)),
        placed_(placed),
        op_of_layer_(placed.network.layers.size()) {
    for (OpId id = 0; id < placed.layers.size(); ++id) {
      if (placed.layers[id]) op_of_layer_[*placed.layers[id]] = id;
    }
    result_.graph.source = graph.source;
    for (const Op& op : body_.ops()) result_.graph.taken_names.insert(op.name);
  }

  LayerGraph Run() {
    LayerFacts facts;
    facts.can_rebind = facts.can_gain_bias = facts.copies_ways = true;
    facts.batch_norms.emplace();
    for (ServingBatchNorm& norm : FindServingBatchNorms(norms_, body_)) {
      auto found = FoundOf(norm);
      if (!found) continue;
      facts.batch_norms->push_back(*std::move(found));
      serving_norms_.emplace(norm.found.output, std::move(norm));
    }
    FoundLayers found = ckpt::FindLayers(placed_.network, facts);
    TakeLayers(found);
    HoldWhatOthersRead();
    return std::move(result_);
  }

 private:
  std::optional<network::ValueId> ValueOf(const OpEdge& edge) const {
    const auto value = placed_.values.find({edge.op, edge.output});
    if (value == placed_.values.end() || value->second == network::kNoValue) return std::nullopt;
    return value->second;
  }
  Rank RankOf(const OpEdge& edge) const {
    const auto value = ValueOf(edge);
    if (!value || !placed_.network.value(*value).shape) return std::nullopt;
    return static_cast<std::int64_t>(placed_.network.value(*value).shape->size());
  }

  // Absent where no output needs it.
  std::optional<FoundBatchNorm> FoundOf(const ServingBatchNorm& norm) const {
    const auto data = ValueOf(norm.found.input);
    const auto output = ValueOf({norm.found.output, 0, {}});
    if (!data || !output) return std::nullopt;
    FoundBatchNorm found{LayerOf(norm), {}, *data, *output};
    for (const OpId id : norm.found.path) {
      if (!placed_.layers[id]) return std::nullopt;
      found.path.push_back(*placed_.layers[id]);
    }
    return found;
  }

  Layer LayerOf(const ServingBatchNorm& norm) const {
    const OpBatchNorm& found = norm.found;
    const Op& op = body_.op(found.output);
    const bool unfused = IsOfSimpleOperations(found.form);
    Layer layer;
    layer.name = LayerName(op.name);
    layer.op_type = unfused ? "batch normalization (" + Types(found.path) + ")" : op.type;
    layer.epsilon = found.epsilon;
    for (const auto& [name, weight] : norm.weights) layer.tensors[name] = weight.tensor;
    layer.has_scale = layer.tensors.contains("gamma");
    layer.has_center = layer.tensors.contains("beta");
    layer.can_rebind = norm.own_operations;
    SetAxis(norm, RankOf(found.input), layer);
    layer.computation =
        network::BatchNormalization{layer.axis.value_or(-1), layer.epsilon.value_or(0)};
    return layer;
  }

  std::string Types(const std::vector<OpId>& path) const {
    std::string types;
    for (const OpId id : path) types += (types.empty() ? "" : ", ") + body_.op(id).type;
    return types;
  }

  // Those that compute with data, in the order of their calls.
  void TakeLayers(FoundLayers& found) {
    ModelGraph& graph = result_.graph;
    graph.values = std::move(found.graph.values);
    for (Value& value : graph.values) {
      value.producer.reset();
      value.consumers.clear();
    }
    for (Node& node : found.graph.nodes) {
      const bool is_input = node.layer >= op_of_layer_.size();
      if (!is_input && body_.IsConstant(op_of_layer_[node.layer])) continue;
      const auto place = found.places.find(node.layer);
      AddLayer(std::move(found.graph.layers[node.layer]), node,
               place == found.places.end() ? nullptr : &place->second);
    }
  }

  void AddLayer(Layer layer, const Node& call, const LayerPlace* place) {
    ModelGraph& graph = result_.graph;
    const auto id = static_cast<NodeId>(graph.nodes.size());
    for (const ValueId input : call.inputs) graph.values[input].consumers.push_back(id);
    graph.values[call.output].producer = id;
    for (const ValueId other : call.others) graph.values[other].producer = id;
    graph.nodes.push_back(
        {static_cast<LayerId>(graph.layers.size()), call.inputs, call.output, call.others});
    LayerOps ops;
    if (call.layer >= op_of_layer_.size()) {
      if (const auto op = graph_.top.Find(layer.name)) layer.op_type = body_.op(*op).type;
    } else {
      Complete(op_of_layer_[call.layer], place, layer, ops);
    }
    for (const auto& [name, input] : ops.places) claimed_.insert(input);
    graph.layers.push_back(std::move(layer));
    result_.ops.push_back(std::move(ops));
  }

  void Complete(OpId id, const LayerPlace* place, Layer& layer, LayerOps& ops) {
    if (const auto norm = serving_norms_.find(id); norm != serving_norms_.end()) {
      ops = OpsOf(norm->second, layer);
      claimed_.insert(norm->second.operands.begin(), norm->second.operands.end());
    } else if (place != nullptr) {
      layer.name = LayerName(body_.op(id).name);
      ops = OpsOf(*place, layer);
    } else if (HasKernel(body_.op(id)) && !body_.WeightOf(body_.op(id).inputs[1])) {
      const Op& kernel = body_.op(body_.op(id).inputs[1].op);
      Layer computed;
      computed.name = std::move(layer.name);
      computed.op_type = std::move(layer.op_type);
      computed.fed_tensors.emplace("kernel",
                                   "computed by \"" + kernel.name + "\" (" + kernel.type + ")");
      layer = std::move(computed);
    }
  }

  LayerOps OpsOf(const ServingBatchNorm& norm, const Layer& layer) const {
    LayerOps ops{norm.found.input, {norm.found.output, 0, {}}};
    ops.channels_first = layer.axis != -1;
    ops.places = norm.places;
    const auto* vectors = FindAttr<OpDtype>(body_.op(norm.found.output), "U");
    if (vectors != nullptr && !IsOfSimpleOperations(norm.found.form)) ops.vector_dtype = *vectors;
    return ops;
  }

  LayerOps OpsOf(const LayerPlace& place, const Layer& layer) const {
    LayerOps ops;
    ops.output = {OpOf(place.last), 0, {}};
    const OpId first = OpOf(place.first);
    if (const auto input = InputOf(first, place.data)) ops.input = body_.op(first).inputs[*input];
    for (const auto& [name, operand] : place.tensors) {
      if (const auto input = InputOf(operand)) ops.places.emplace(name, *input);
    }
    if (!layer.tensors.contains("bias")) ops.bias_after = OpOf(place.last);
    ops.channels_first = network::ParameterAxis(layer.computation) == 1;
    return ops;
  }

  OpId OpOf(network::OperationId id) const {
    return op_of_layer_[placed_.network.operation(id).layer];
  }
  // Which input of the graph's operation the value is.
  std::optional<std::size_t> InputOf(OpId id, network::ValueId value) const {
    const std::vector<OpEdge>& inputs = body_.op(id).inputs;
    for (std::size_t i = 0; i < inputs.size(); ++i) {
      if (ValueOf(inputs[i]) == value) return i;
    }
    return std::nullopt;
  }
  // What is read may be made of an input first, by operations of the same one of the graph.
  std::optional<OpInput> InputOf(const network::OperandPlace& place) const {
    const network::Network& network = placed_.network;
    const network::Operation& reader = network.operation(place.operation);
    network::ValueId value = reader.operands[place.operand];
    const OpId id = OpOf(place.operation);
    for (;;) {
      if (const auto input = InputOf(id, value)) return OpInput{id, *input};
      const auto producer = network.value(value).producer;
      if (!producer || network.operation(*producer).layer != reader.layer) return std::nullopt;
      value = network.operation(*producer).operands[0];
    }
  }

  // Walks from the outputs and leaves out what layers claim: whatever tensor is reached still is
  // read by something that expects its value as it is.
  void HoldWhatOthersRead() {
    std::vector<bool> seen(body_.ops().size(), false);
    std::vector<OpId> pending;
    for (const OpEdge& output : outputs_) pending.push_back(output.op);
    Layer others;
    others.name = "operations of no layer";
    while (!pending.empty()) {
      const OpId id = pending.back();
      pending.pop_back();
      if (seen[id]) continue;
      seen[id] = true;
      const Op& op = body_.op(id);
      if (op.tensor) others.tensors.emplace(op.name, *op.tensor);
      for (std::size_t i = 0; i < op.inputs.size(); ++i) {
        if (!claimed_.contains({id, i})) pending.push_back(op.inputs[i].op);
      }
    }
    if (others.tensors.empty()) return;
    result_.graph.layers.push_back(std::move(others));
    result_.ops.emplace_back();
  }

  const OpGraph& graph_;
  const OpBatchNorms norms_;
  const std::vector<OpEdge>& outputs_;
  const BodyView body_;
  const PlacedNetwork& placed_;
  std::vector<OpId> op_of_layer_;  // by layer of the network
  std::map<OpId, ServingBatchNorm> serving_norms_;
  std::set<OpInput> claimed_;
  LayerGraph result_;
};

}  // namespace

LayerGraph PlaceLayers(const OpGraph& graph, const std::vector<TensorInfo>& tensors,
                       const std::vector<OpEdge>& outputs, const PlacedNetwork& placed) {
  return LayerPlacer(graph, tensors, outputs, placed).Run();
}

}  // namespace ckpt
