#include "formats/onnx/inner_batch_norms.h"

#include <algorithm>
#include <array>
#include <map>
#include <set>
#include <unordered_map>
#include <utility>

#include "ckpt/layer_computation.h"
#include "formats/onnx/graph_values.h"
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

bool IsBatchNorm(const NodeProto& node) {
  return node.op_type() == "BatchNormalization" && IsOnnxOperator(node);
}

void CountWithin(const NodeProto& node, std::size_t& count);

void CountIn(const NodeList& nodes, std::size_t& count) {
  for (const NodeProto& node : nodes) {
    if (IsBatchNorm(node)) ++count;
    CountWithin(node, count);
  }
}

void CountWithin(const NodeProto& node, std::size_t& count) {
  for (const auto& attribute : node.attribute()) {
    if (attribute.has_g()) CountIn(attribute.g().node(), count);
    for (const GraphProto& graph : attribute.graphs()) CountIn(graph.node(), count);
  }
}

std::size_t CountInner(const onnx_proto::ModelProto& model) {
  std::size_t count = 0;
  for (const NodeProto& node : model.graph().node()) CountWithin(node, count);
  for (const FunctionProto& function : model.functions()) CountIn(function.node(), count);
  return count;
}

// The constants that nodes may read by name.
struct ConstantScope {
  const ConstantScope* outer = nullptr;
  std::map<std::string, const TensorProto*> constants = {};
  std::set<std::string> inputs = {};  // of a function
  std::int64_t opset = 1;
  std::string path = {};   // in front of the names of its layers
  std::string place = {};  // in words; empty: the main graph

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
  InnerFinder(onnx_proto::ModelProto& model, const TensorLookup& tensors)
      : model_(model), tensors_(tensors), functions_(model) {}

  InnerBatchNorms Find() {
    const std::size_t count = CountInner(model_);
    if (count == 0) return {};
    const auto places = TensorPlacesOf(model_);
    if (!places) return {{}, count};
    for (const TensorPlace& place : *places) names_.emplace(place.tensor, place.name);
    ConstantScope main;
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
      } else if (IsBatchNorm(node)) {
        if (!scope.place.empty()) Add(node, scope);
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
      inner.path = scope.path + NameOf(node) + "/" + attribute + "/";
      inner.place =
          "the " + attribute + " of \"" + scope.path + NameOf(node) + "\" (" + node.op_type() + ")";
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
    for (int i = 0; i < function.input_size(); ++i) {
      const TensorProto* given = i < node.input_size() ? scope.Find(node.input(i)) : nullptr;
      if (given != nullptr) {
        inner.constants.emplace(function.input(i), given);
      } else {
        inner.inputs.insert(function.input(i));
      }
    }
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
    layer.not_affine = "it is in " + scope.place + ", and a fold changes the main graph alone";
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
  const ModelFunctions functions_;
  std::unordered_map<const TensorProto*, std::string> names_;  // in the manifest
  std::set<const FunctionProto*> calls_;                       // that are being walked
  std::set<const NodeProto*> reached_;
  std::set<std::pair<const NodeProto*, std::map<std::string, TensorId>>> known_;
  std::size_t visits_ = 0;
  InnerBatchNorms found_;
};

std::string Counted(std::size_t count) {
  return std::to_string(count) + (count == 1 ? " batch norm" : " batch norms");
}

}  // namespace

InnerBatchNorms FindInnerBatchNorms(onnx_proto::ModelProto& model, const TensorLookup& tensors) {
  return InnerFinder(model, tensors).Find();
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
