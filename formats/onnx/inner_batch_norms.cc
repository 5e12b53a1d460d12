#include "formats/onnx/inner_batch_norms.h"

#include <algorithm>
#include <array>
#include <map>
#include <set>
#include <unordered_map>
#include <utility>

#include "ckpt/layer_computation.h"
#include "formats/onnx/graph_values.h"
#include "formats/onnx/inner_graphs.h"
#include "formats/onnx/layer_facts.h"
#include "formats/onnx/model_functions.h"
#include "formats/onnx/network_scope.h"
#include "formats/onnx/node_attributes.h"
#include "formats/onnx/tensor_places.h"

namespace ckpt::formats::onnx {
namespace {

using onnx_proto::FunctionProto;
using onnx_proto::GraphProto;
using onnx_proto::NodeProto;
using onnx_proto::TensorProto;
using NodeList = google::protobuf::RepeatedPtrField<NodeProto>;

// Functions call one another: a small file may describe a large walk.
constexpr std::size_t kMostVisits = std::size_t{1} << 20;
constexpr std::size_t kMostLayers = std::size_t{1} << 16;
constexpr std::size_t kMostFunctionCalls = 64;  // of one within another

// Those of graphs whose nodes are layers aside, which no function has.
void CountIn(const NodeList& nodes, bool in_function, bool are_layers, std::size_t& count) {
  for (const NodeProto& node : nodes) {
    if (!are_layers && IsBatchNormNode(node)) ++count;
    const auto count_in = [&](const GraphProto& graph) {
      CountIn(graph.node(), in_function, !in_function && HasLayers(graph), count);
    };
    for (const auto& attribute : node.attribute()) {
      if (attribute.has_g()) count_in(attribute.g());
      for (const GraphProto& graph : attribute.graphs()) count_in(graph);
    }
  }
}

std::size_t CountInner(const onnx_proto::ModelProto& model) {
  std::size_t count = 0;
  CountIn(model.graph().node(), false, true, count);
  for (const FunctionProto& function : model.functions()) {
    CountIn(function.node(), true, false, count);
  }
  return count;
}

// The constants that nodes may read by name.
struct ConstantScope {
  const ConstantScope* outer = nullptr;
  std::map<std::string, const TensorProto*> constants = {};
  std::set<std::string> inputs = {};  // of a function
  std::int64_t opset = 1;
  std::string path = {};    // in front of the names of its layers
  std::string place = {};   // in words
  std::string stays = {};   // why it stays as it is
  bool in_main = true;      // in no function
  bool are_layers = false;  // its nodes: the main graph, and graphs with HasLayers

  const TensorProto* Find(const std::string& name) const {
    for (const ConstantScope* at = this; at != nullptr; at = at->outer) {
      const auto found = at->constants.find(name);
      if (found != at->constants.end()) return found->second;
    }
    return nullptr;
  }
  bool IsInput(const std::string& name) const {
    for (const ConstantScope* at = this; at != nullptr; at = at->outer) {
      if (at->inputs.contains(name)) return true;
    }
    return false;
  }
};

class InnerFinder {
 public:
  InnerFinder(onnx_proto::ModelProto& model, const TensorLookup& tensors,
              const std::map<FunctionKey, std::string>& kept)
      : model_(model), tensors_(tensors), kept_(kept), functions_(model) {}

  InnerBatchNorms Find() {
    const std::size_t count = CountInner(model_);
    if (count == 0) return {};
    const auto places = TensorPlacesOf(model_);
    if (!places) return {{}, count};
    for (const TensorPlace& place : *places) names_.emplace(place.tensor, place.name);
    ConstantScope main;
    main.are_layers = true;
    main.opset = OpsetOf(model_);
    VisitGraph(model_.graph(), main);
    found_.unreached = count - reached_.size();
    return std::move(found_);
  }

 private:
  void VisitGraph(const GraphProto& graph, ConstantScope& scope) {
    for (const TensorProto& tensor : graph.initializer()) {
      scope.constants.emplace(tensor.name(), &tensor);
    }
    VisitNodes(graph.node(), scope);
  }

  void VisitNodes(const NodeList& nodes, ConstantScope& scope) {
    for (const NodeProto& node : nodes) {
      if (++visits_ > kMostVisits) return;
      if (const FunctionProto* const function = functions_.CalledBy(node); function != nullptr) {
        VisitCall(node, *function, scope);
      } else if (IsBatchNormNode(node)) {
        if (!scope.are_layers) Add(node, scope);
      } else {
        TakeConstant(node, scope);
      }
      VisitWithin(node, scope);
    }
  }

  static void TakeConstant(const NodeProto& node, ConstantScope& scope) {
    if (node.output_size() != 1) return;
    // Only looked at: the cast spares a second copy of ConstantValue.
    const TensorProto* value = ConstantValue(const_cast<NodeProto&>(node));
    if (value == nullptr && node.op_type() == "Identity" && IsOnnxOperator(node) &&
        node.input_size() == 1) {
      value = scope.Find(node.input(0));
    }
    if (value != nullptr) scope.constants.emplace(node.output(0), value);
  }

  void VisitWithin(const NodeProto& node, const ConstantScope& scope) {
    const auto visit = [&](const GraphProto& graph, const std::string& attribute) {
      ConstantScope inner;
      inner.outer = &scope;
      inner.opset = scope.opset;
      inner.in_main = scope.in_main;
      inner.path = scope.path + NameOf(node) + "/" + attribute + "/";
      inner.place =
          "the " + attribute + " of \"" + scope.path + NameOf(node) + "\" (" + node.op_type() + ")";
      inner.stays = scope.stays.empty() ? "its tensors cannot be taken out of it" : scope.stays;
      inner.are_layers = scope.in_main && HasLayers(graph);
      VisitGraph(graph, inner);
    };
    for (const auto& attribute : node.attribute()) {
      if (attribute.has_g()) visit(attribute.g(), attribute.name());
      for (const GraphProto& graph : attribute.graphs()) visit(graph, attribute.name());
    }
  }

  // What a call gives is known within.
  void VisitCall(const NodeProto& node, const FunctionProto& function, const ConstantScope& scope) {
    if (calls_.contains(&function) || calls_.size() >= kMostFunctionCalls) return;
    ConstantScope inner;
    inner.opset = OpsetOfFunction(function, scope.opset);
    inner.path = scope.path + NameOf(node) + "/";
    inner.place = "the function \"" + function.name() + "\"";
    const auto kept = kept_.find(KeyOf(function));
    inner.stays = kept == kept_.end() ? "it is not written out" : kept->second;
    inner.in_main = false;
    std::vector<const TensorProto*> all_given;
    for (int i = 0; i < function.input_size(); ++i) {
      const TensorProto* given = i < node.input_size() ? scope.Find(node.input(i)) : nullptr;
      all_given.push_back(given);
      if (given != nullptr) {
        inner.constants.emplace(function.input(i), given);
      } else {
        inner.inputs.insert(function.input(i));
      }
    }
    // With the same constants it has the same batch norms.
    if (!visited_.emplace(&function, std::move(all_given)).second) return;
    calls_.insert(&function);
    VisitNodes(function.node(), inner);
    calls_.erase(&function);
  }

  void Add(const NodeProto& node, const ConstantScope& scope) {
    if (found_.layers.size() == kMostLayers) return;
    reached_.insert(&node);
    Layer layer;
    layer.name = scope.path + NameOf(node);
    layer.op_type = node.op_type();
    layer.computation = network::BatchNormalization{1};
    layer.axis = 1;
    // What the attributes of a call say is not looked up.
    if (!HasReferences(node)) {
      layer.epsilon = FloatAttribute(node, "epsilon", 1e-5F);
      layer.momentum = FloatAttribute(node, "momentum", 0.9F);
      layer.training_mode = TrainingModeOf(node, scope.opset);
    }
    layer.not_affine = "it is in " + scope.place + ", which stays as it is: " + scope.stays;
    layer.not_inference = layer.not_affine;
    static constexpr std::array<const char*, 4> kParts = {"gamma", "beta", "moving_mean",
                                                          "moving_variance"};
    for (std::size_t i = 0; i < kParts.size(); ++i) {
      Bind(kParts[i], static_cast<int>(i) + 1, node, scope, layer);
    }
    if (known_.emplace(&node, layer.tensors).second) found_.layers.push_back(std::move(layer));
  }

  void Bind(const char* part, int input, const NodeProto& node, const ConstantScope& scope,
            Layer& layer) const {
    const std::string name = input < node.input_size() ? node.input(input) : std::string();
    if (name.empty()) {
      layer.missing_tensors.emplace_back(part);
      return;
    }
    const TensorProto* const constant = scope.Find(name);
    const auto place = constant == nullptr ? names_.end() : names_.find(constant);
    const auto tensor = place == names_.end() ? std::nullopt : tensors_.find(place->second);
    if (tensor) {
      layer.tensors.emplace(part, *tensor);
    } else {
      layer.fed_tensors.emplace(part, scope.IsInput(name) ? "given by the calls of " + scope.place
                                                          : "no stored constant of " + scope.place);
    }
  }

  onnx_proto::ModelProto& model_;
  const TensorLookup& tensors_;
  const std::map<FunctionKey, std::string>& kept_;
  const ModelFunctions functions_;
  std::unordered_map<const TensorProto*, std::string> names_;  // in the manifest
  std::set<std::pair<const FunctionProto*, std::vector<const TensorProto*>>> visited_;
  std::set<const FunctionProto*> calls_;  // that are being walked
  std::set<const NodeProto*> reached_;
  std::set<std::pair<const NodeProto*, std::map<std::string, TensorId>>> known_;
  std::size_t visits_ = 0;
  InnerBatchNorms found_;
};

std::string Counted(std::size_t count) {
  return std::to_string(count) + (count == 1 ? " batch norm" : " batch norms");
}

}  // namespace

InnerBatchNorms FindInnerBatchNorms(onnx_proto::ModelProto& model, const TensorLookup& tensors,
                                    const std::map<FunctionKey, std::string>& kept) {
  return InnerFinder(model, tensors, kept).Find();
}

std::string NoteOn(const InnerBatchNorms& inner) {
  std::string note;
  if (!inner.layers.empty()) {
    note = Counted(inner.layers.size()) +
           " in graphs inside of nodes or in functions: judged, and not folded";
  }
  if (inner.unreached != 0) {
    note += (note.empty() ? "" : "; ") + Counted(inner.unreached) +
            " in functions that nothing calls, or called too often to list: not judged";
  }
  return note;
}

}  // namespace ckpt::formats::onnx
