#include "formats/onnx/graph_edits.h"

#include <algorithm>
#include <map>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "ckpt/layer_computation.h"
#include "formats/onnx/constant_tensors.h"
#include "formats/onnx/graph_values.h"
#include "formats/onnx/node_attributes.h"

namespace ckpt::formats::onnx {
namespace {

using onnx_proto::AttributeProto;
using onnx_proto::GraphProto;
using onnx_proto::NodeProto;

constexpr std::int32_t kIntAttribute = 2;  // AttributeProto.INT of onnx.proto

class Editor {
 public:
  Editor(const Manifest& manifest, const GraphEdits& edits, const EditedGraph& edited,
         std::set<std::string>& taken)
      : manifest_(manifest),
        layers_(manifest.graph->layers),
        edits_(edits),
        graph_(*edited.graph),
        first_(edited.first),
        constants_(*edited.view),
        values_(*edited.view),
        opset_(edited.opset),
        taken_(taken),
        fate_(static_cast<std::size_t>(graph_.node_size())) {}

  Status Apply() {
    for (const Rebound& rebound : edits_.rebound) CKPT_RETURN_IF_ERROR(Rebind(rebound));
    for (const LayerId id : edits_.gained_bias) SetBiasFactor(NodeOf(id));
    for (const LayerId id : edits_.to_inference) CKPT_RETURN_IF_ERROR(MakeInference(id));
    for (const LayerId id : edits_.to_affine) CKPT_RETURN_IF_ERROR(MakeAffine(id));
    for (const LayerId id : edits_.removed) CKPT_RETURN_IF_ERROR(Remove(id));
    RebuildNodes();
    DropStaleTypes();
    return {};
  }

 private:
  struct Fate {
    bool removed = false;
    std::vector<NodeProto> after = {};  // nodes to be inserted behind it
  };

  Status CheckNode(LayerId id) const {
    if (id >= first_ && id - first_ < static_cast<LayerId>(graph_.node_size())) return {};
    return Fail(ErrorCode::kInternal, "an edit names a layer that is no node of the graph");
  }
  NodeProto& NodeOf(LayerId id) { return *graph_.mutable_node(static_cast<int>(id - first_)); }
  Fate& FateOf(LayerId id) { return fate_[id - first_]; }

  bool IsAffine(LayerId id) const {
    return std::binary_search(edits_.to_affine.begin(), edits_.to_affine.end(), id) &&
           layers_[id].axes_behind_channels.has_value();
  }

  static void SetInput(NodeProto& node, int index, const std::string& name) {
    while (node.input_size() <= index) node.add_input();
    node.set_input(index, name);
  }

  Status Rebind(const Rebound& rebound) {
    NodeProto& node = NodeOf(rebound.layer);
    const Layer& layer = layers_[rebound.layer];
    const bool norm = IsBatchNorm(layer);
    if (norm && IsAffine(rebound.layer)) return {};  // see MakeAffine
    if (const auto at = layer.read_by.find(rebound.local_name); at != layer.read_by.end()) {
      return RebindAt(at->second, rebound);
    }
    if (norm) {
      const std::map<std::string, int> inputs = {
          {"gamma", 1}, {"beta", 2}, {"moving_mean", 3}, {"moving_variance", 4}};
      const auto input = inputs.find(rebound.local_name);
      if (input == inputs.end()) return Misfit(rebound);
      SetInput(node, input->second, rebound.tensor);
      return {};
    }
    if (rebound.local_name == "kernel") {
      SetInput(node, 1, rebound.tensor);
    } else if (rebound.local_name != "bias") {
      return Misfit(rebound);
    } else if (node.op_type() == "MatMul") {
      AddBehind(rebound.layer, rebound.tensor);
    } else {
      SetInput(node, 2, rebound.tensor);
    }
    return {};
  }

  // The input of that node that is the tensor.
  Status RebindAt(std::uint32_t index, const Rebound& rebound) {
    const auto tensor = layers_[rebound.layer].tensors.find(rebound.local_name);
    if (tensor == layers_[rebound.layer].tensors.end()) return Misfit(rebound);
    CKPT_RETURN_IF_ERROR(CheckNode(index));
    const std::string& name = manifest_.tensors[tensor->second.index].name;
    for (std::string& input : *NodeOf(index).mutable_input()) {
      if (constants_.Find(input) == nullptr || constants_.NameOf(input) != name) continue;
      input = rebound.tensor;
      return {};
    }
    return Misfit(rebound);
  }

  static Status Misfit(const Rebound& rebound) {
    return Fail(ErrorCode::kInternal, "the graph has no \"" + rebound.local_name + "\" to change");
  }

  // y = x + bias behind a node without a place for a bias.
  void AddBehind(LayerId id, const std::string& bias) {
    NodeProto& node = NodeOf(id);
    const std::string output = node.output(0);
    node.set_output(0, FreshName(output + "_unbiased", taken_));
    NodeProto add;
    if (!node.name().empty()) add.set_name(node.name() + "_bias");
    add.set_op_type("Add");
    add.add_input(node.output(0));
    add.add_input(bias);
    add.add_output(output);
    FateOf(id).after.push_back(std::move(add));
  }

  // The factor of a bias that was not there says nothing about the one that is there now.
  static void SetBiasFactor(NodeProto& node) {
    if (node.op_type() != "Gemm") return;
    for (AttributeProto& attribute : *node.mutable_attribute()) {
      if (attribute.name() == "beta") attribute.set_f(1);
    }
  }

  Result<std::string> AffineTensor(LayerId id, const std::string& name) const {
    for (const Rebound& rebound : edits_.rebound) {
      if (rebound.layer == id && rebound.local_name == name) return rebound.tensor;
    }
    const auto found = layers_[id].tensors.find(name);
    if (found == layers_[id].tensors.end()) {
      return Fail(ErrorCode::kInternal, "a batch norm has no " + name);
    }
    return manifest_.tensors[found->second.index].name;
  }

  // What a batch norm reads, whatever its nodes.
  const std::string& InputOf(LayerId id) {
    const Layer& layer = layers_[id];
    if (layer.path.empty()) return NodeOf(id).input(0);
    return NodeOf(layer.path.front()).input(static_cast<int>(layer.path_input));
  }
  // Nodes of a batch norm but its last one, whose place it has.
  void RemoveOthers(LayerId id) {
    for (const auto* nodes : {&layers_[id].path, &layers_[id].beside}) {
      for (const std::uint32_t node : *nodes) {
        if (node != id) FateOf(node).removed = true;
      }
    }
  }
  Status CheckNodes(LayerId id) {
    const Layer& layer = layers_[id];
    for (const auto* nodes : {&layer.path, &layer.beside}) {
      for (const std::uint32_t node : *nodes) CKPT_RETURN_IF_ERROR(CheckNode(node));
    }
    const NodeProto& first = NodeOf(layer.path.empty() ? id : layer.path.front());
    if (static_cast<std::uint32_t>(first.input_size()) > layer.path_input) return {};
    return Fail(ErrorCode::kInternal, "a batch norm reads nothing");
  }

  // y = x * gamma + beta; a batch norm whose rank is not known stays one.
  Status MakeAffine(LayerId id) {
    if (!IsAffine(id)) return {};
    CKPT_ASSIGN_OR_RETURN(const std::string scale, AffineTensor(id, "gamma"));
    CKPT_ASSIGN_OR_RETURN(const std::string offset, AffineTensor(id, "beta"));
    CKPT_RETURN_IF_ERROR(CheckNodes(id));
    NodeProto& node = NodeOf(id);
    const std::string x = InputOf(id), y = node.output(0), name = node.name();
    RemoveOthers(id);
    node.Clear();
    NodeProto add;
    if (!name.empty()) {
      node.set_name(name);
      add.set_name(name + "_offset");
    }
    node.set_op_type("Mul");
    node.add_input(x);
    node.add_input(scale);
    node.add_output(FreshName(y + "_scaled", taken_));
    add.set_op_type("Add");
    add.add_input(node.output(0));
    add.add_input(offset);
    add.add_output(y);
    FateOf(id).after.push_back(std::move(add));
    return {};
  }

  // By the rules of each version, as TrainingModeOf in layer_facts.cc.
  Status MakeInference(LayerId id) {
    NodeProto& node = NodeOf(id);
    if (!IsBatchNorm(layers_[id]) || node.output_size() < 1) {
      return Fail(ErrorCode::kInternal, "what is to use its moving statistics is no batch norm");
    }
    node.mutable_output()->DeleteSubrange(1, node.output_size() - 1);
    auto& attributes = *node.mutable_attribute();
    attributes.erase(std::remove_if(attributes.begin(), attributes.end(),
                                    [](const AttributeProto& attribute) {
                                      return attribute.name() == "training_mode" ||
                                             attribute.name() == "is_test";
                                    }),
                     attributes.end());
    if (opset_ >= 7) return {};
    AttributeProto& mode = *node.add_attribute();
    mode.set_name("is_test");
    mode.set_type(kIntAttribute);
    mode.set_i(1);
    return {};
  }

  // The value that stands for `name` once the batch norms before it are gone.
  std::string Resolved(const std::string& name) const {
    std::string at = name;
    // No longer than every batch norm in a row: a broken graph may run in a circle.
    for (std::size_t steps = 0; steps < replaced_.size(); ++steps) {
      const auto found = replaced_.find(at);
      if (found == replaced_.end()) break;
      at = found->second;
    }
    return at;
  }

  Status Remove(LayerId id) {
    NodeProto& node = NodeOf(id);
    const bool is_one = IsBatchNorm(layers_[id]) || ScalesChannels(layers_[id]);
    if (!is_one || node.input_size() < 1 || node.output_size() < 1) {
      return Fail(ErrorCode::kInternal, "what is to be removed is no batch norm");
    }
    CKPT_RETURN_IF_ERROR(CheckNodes(id));
    const std::string x = Resolved(InputOf(id)), y = node.output(0);
    RemoveOthers(id);
    const ValueUse& use = values_.UseOf(y);
    if (!use.is_output && !use.captured) {
      replaced_[y] = x;
      FateOf(id).removed = true;
      return {};
    }
    const ValueUse& source = values_.UseOf(x);
    const bool can_rename = values_.ProducerOf(x) && constants_.Find(x) == nullptr &&
                            !source.is_output && !source.captured;
    if (can_rename && renamed_.emplace(x, y).second) {
      FateOf(id).removed = true;
      return {};
    }
    const std::string name = node.name();
    node.Clear();
    if (!name.empty()) node.set_name(name);
    node.set_op_type("Identity");
    node.add_input(x);
    node.add_output(y);
    return {};
  }

  void Rename(NodeProto& node) const {
    for (std::string& input : *node.mutable_input()) {
      input = Resolved(input);
      if (const auto found = renamed_.find(input); found != renamed_.end()) input = found->second;
    }
    for (std::string& output : *node.mutable_output()) {
      if (const auto found = renamed_.find(output); found != renamed_.end()) {
        output = found->second;
      }
    }
  }

  void RebuildNodes() {
    google::protobuf::RepeatedPtrField<NodeProto> nodes;
    for (int i = 0; i < graph_.node_size(); ++i) {
      Fate& fate = fate_[static_cast<std::size_t>(i)];
      if (!fate.removed) nodes.Add()->Swap(graph_.mutable_node(i));
      for (NodeProto& node : fate.after) nodes.Add()->Swap(&node);
    }
    graph_.mutable_node()->Swap(&nodes);
    for (NodeProto& node : *graph_.mutable_node()) Rename(node);
  }

  // Types that are recorded for values that are gone.
  void DropStaleTypes() {
    std::set<std::string> defined;
    for (const auto& input : graph_.input()) defined.insert(input.name());
    for (const auto& tensor : graph_.initializer()) defined.insert(tensor.name());
    for (const NodeProto& node : graph_.node()) {
      defined.insert(node.output().begin(), node.output().end());
    }
    auto& types = *graph_.mutable_value_info();
    types.erase(std::remove_if(types.begin(), types.end(),
                               [&](const auto& info) { return !defined.contains(info.name()); }),
                types.end());
  }

  const Manifest& manifest_;
  const std::vector<Layer>& layers_;
  const GraphEdits& edits_;
  GraphProto& graph_;
  const LayerId first_;
  const ConstantTensors constants_;
  const GraphValues values_;
  const std::int64_t opset_;
  std::set<std::string>& taken_;
  std::vector<Fate> fate_;
  std::map<std::string, std::string> replaced_, renamed_;
};

}  // namespace

Status EditNodes(const Manifest& manifest, const GraphEdits& edits, const EditedGraph& edited,
                 std::set<std::string>& taken) {
  return Editor(manifest, edits, edited, taken).Apply();
}

}  // namespace ckpt::formats::onnx
