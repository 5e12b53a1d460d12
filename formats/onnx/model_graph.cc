#include "formats/onnx/model_graph.h"

#include <algorithm>
#include <map>
#include <set>
#include <utility>

#include "formats/onnx/constant_tensors.h"
#include "formats/onnx/graph_values.h"
#include "formats/onnx/layer_facts.h"
#include "formats/onnx/written_norms.h"

namespace ckpt::formats::onnx {
namespace {

using onnx_proto::NodeProto;
using onnx_proto::ValueInfoProto;

class Builder {
 public:
  Builder(const onnx_proto::ModelProto& model, const TensorLookup& tensors)
      : model_(model),
        proto_(model.graph()),
        tensors_(tensors),
        constants_(proto_),
        values_(proto_),
        opset_(OpsetOf(model)) {}

  ModelGraph Build() {
    graph_.origin = GraphOrigin::kOnnxGraph;
    graph_.source = "ONNX graph";
    FindFunctions();
    ReadDeclaredRanks();
    graph_.layers.resize(static_cast<std::size_t>(proto_.node_size()));
    AddInputs();
    FindBiases();
    FindWrittenNorms();
    for (int i = 0; i < proto_.node_size(); ++i) AddNode(i);
    AddOutputs();
    for (const std::string& name : values_.names()) graph_.taken_names.insert(name);
    for (Value& value : graph_.values) {
      if (!value.producer) value.is_model_output = true;
    }
    return std::move(graph_);
  }

 private:
  // A function of the model may stand in the place of an operator.
  void FindFunctions() {
    for (const auto& function : model_.functions()) {
      functions_.insert({function.domain() == "ai.onnx" ? "" : function.domain(), function.name()});
    }
  }
  bool IsFunction(const NodeProto& node) const {
    return functions_.contains({node.domain() == "ai.onnx" ? "" : node.domain(), node.op_type()});
  }

  void ReadDeclaredRanks() {
    for (const auto* declared : {&proto_.input(), &proto_.output(), &proto_.value_info()}) {
      for (const ValueInfoProto& info : *declared) {
        if (!info.type().has_tensor_type() || !info.type().tensor_type().has_shape()) continue;
        declared_ranks_[info.name()] = info.type().tensor_type().shape().dim_size();
      }
    }
  }

  std::optional<std::int64_t> RankOf(const std::string& name) const {
    if (const auto* tensor = constants_.Find(name)) return tensor->dims_size();
    if (const auto known = ids_.find(name); known != ids_.end()) {
      return graph_.values[known->second].rank;
    }
    const auto declared = declared_ranks_.find(name);
    return declared == declared_ranks_.end() ? std::nullopt : std::optional(declared->second);
  }

  ValueId IdOf(const std::string& name) {
    const auto [found, is_new] = ids_.emplace(name, static_cast<ValueId>(graph_.values.size()));
    if (is_new) {
      Value value;
      const ValueUse& use = values_.UseOf(name);
      value.is_model_output = use.is_output || use.captured;
      if (const auto declared = declared_ranks_.find(name); declared != declared_ranks_.end()) {
        value.rank = declared->second;
      }
      graph_.values.push_back(std::move(value));
    }
    return found->second;
  }

  NodeId Call(LayerId layer, std::vector<ValueId> inputs, const std::string& output) {
    const auto node = static_cast<NodeId>(graph_.nodes.size());
    for (const ValueId input : inputs) graph_.values[input].consumers.push_back(node);
    const ValueId value = IdOf(output);
    graph_.values[value].producer = node;
    graph_.nodes.push_back({layer, std::move(inputs), value});
    return node;
  }

  void AddInputs() {
    for (const ValueInfoProto& input : proto_.input()) {
      if (constants_.Find(input.name()) != nullptr) continue;
      Layer layer;
      layer.name = input.name();
      layer.op_type = "input";
      layer.kind = OpKind::kInput;
      graph_.layers.push_back(std::move(layer));
      Call(static_cast<LayerId>(graph_.layers.size() - 1), {}, input.name());
    }
  }

  void FindBiases() {
    for (int i = 0; i < proto_.node_size(); ++i) {
      const NodeProto& node = proto_.node(i);
      if ((node.op_type() != "MatMul" && node.op_type() != "Conv") || !node.domain().empty() ||
          IsFunction(node)) {
        continue;
      }
      if (const auto addition = FindBiasAddition(proto_, values_, constants_, opset_, i)) {
        biases_[i] = *addition;
      }
    }
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
    layer.kind = OpKind::kBatchNorm;
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
    const bool unnamed = layer.kind == OpKind::kOther || layer.kind == OpKind::kReshape;
    if (part == NormPart::kNone || !unnamed) return;
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

  void AddNode(int index) {
    const NodeProto& node = proto_.node(index);
    const auto id = static_cast<LayerId>(index);
    Layer& layer = graph_.layers[id];
    const NodeContext context = ContextOf(node);
    layer = DescribeNode(context);
    if (IsFunction(node)) {
      const std::string name = layer.name;
      layer = Layer{};
      layer.name = name;
      layer.op_type = "function " + node.op_type();
    }
    if (constants_.IsPassing(index) && IsResolved(node)) return;
    if (added_.contains(index)) return;
    BindWrittenNorm(node, norms_.parts[id], layer);
    BindBatchNormOfBatch(index, layer);
    BindOthers(index, node, layer);
    std::string output = node.output_size() > 0 ? node.output(0) : std::string();
    std::optional<std::int64_t> rank = OutputRank(context, layer);
    if (const auto bias = biases_.find(index);
        bias != biases_.end() && layer.kind != OpKind::kOther) {
      const NodeProto& add = proto_.node(bias->second.node);
      if (const auto tensor = tensors_.find(constants_.NameOf(add.input(bias->second.input)))) {
        layer.tensors["bias"] = *tensor;
        layer.can_gain_bias = false;
        added_.insert(bias->second.node);
        output = add.output(0);
      }
    }
    std::vector<ValueId> inputs;
    for (const std::string& input : node.input()) {
      if (!input.empty() && constants_.Find(input) == nullptr) inputs.push_back(IdOf(input));
    }
    const NodeId call = Call(id, std::move(inputs), output);
    if (rank) graph_.values[graph_.nodes[call].output].rank = rank;
    for (int i = 1; i < node.output_size(); ++i) {
      if (!node.output(i).empty()) graph_.values[IdOf(node.output(i))].producer = call;
    }
  }

  // Everything that reads it reads the constant instead.
  bool IsResolved(const NodeProto& node) const {
    const ValueUse& use = values_.UseOf(node.output(0));
    return !use.is_output && !use.captured;
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
  std::set<std::pair<std::string, std::string>> functions_;  // domain, name
  std::map<std::string, std::int64_t> declared_ranks_;
  std::map<std::string, ValueId> ids_;
  std::map<int, BiasAddition> biases_;  // by layer
  std::set<int> added_;                 // additions that belong to another layer
  WrittenNorms norms_;
  ModelGraph graph_;
};

}  // namespace

ModelGraph BuildModelGraph(const onnx_proto::ModelProto& model, const TensorLookup& tensors) {
  return Builder(model, tensors).Build();
}

}  // namespace ckpt::formats::onnx
