#include "formats/onnx/flat_model.h"

#include <algorithm>
#include <set>
#include <utility>
#include <vector>

#include "formats/onnx/constant_tensors.h"
#include "formats/onnx/function_choice.h"
#include "formats/onnx/graph_values.h"
#include "formats/onnx/inner_graphs.h"
#include "formats/onnx/layer_facts.h"
#include "formats/onnx/network_scope.h"
#include "formats/onnx/node_order.h"
#include "formats/onnx/tensor_places.h"

namespace ckpt::formats::onnx {
namespace {

using onnx_proto::AttributeProto;
using onnx_proto::FunctionProto;
using onnx_proto::GraphProto;
using onnx_proto::ModelProto;
using onnx_proto::NodeProto;
using onnx_proto::TensorProto;
using onnx_proto::ValueInfoProto;

constexpr std::int64_t kFreeInitializers = 4;  // from this IR version on they are no inputs

// The names of a graph or function on their way into the flat model.
struct FlatScope {
  const FlatScope* outer = nullptr;
  std::map<std::string, std::string> names = {};
  std::set<std::string> hoisted = {};  // own names of constants that are the main graph's now
  std::string path = {};               // of calls
  Arguments arguments = {};
  bool in_function = false;  // its values get new names
  bool hoists = false;       // its constants become initializers of the main graph
};

class Flattener {
 public:
  Flattener(ModelProto& model, const FunctionChoice& choice, const TensorNames& names,
            std::set<std::string> taken)
      : model_(model),
        choice_(choice),
        names_(names),
        values_(taken),
        taken_(std::move(taken)),
        functions_(model),
        constants_(model.graph()) {
    for (const auto& [tensor, name] : names_) taken_.insert(name);
  }

  ModelProto Flatten() {
    flat_ = model_;
    FlatScope main;
    for (const NodeProto& node : model_.graph().node()) node_names_.insert(node.name());
    flat_.mutable_graph()->clear_node();
    WriteNodes(model_.graph().node(), main, *flat_.mutable_graph()->mutable_node());
    flat_.clear_functions();
    for (const FunctionProto& function : model_.functions()) {
      if (!choice_.written_out.contains(&function)) *flat_.add_functions() = function;
    }
    for (const auto& [domain, version] : choice_.imported) {
      auto& opset = *flat_.add_opset_import();
      opset.set_domain(domain);
      opset.set_version(version);
    }
    return std::move(flat_);
  }

 private:
  const FunctionProto* WrittenOut(const NodeProto& node) const {
    const FunctionProto* const called = functions_.CalledBy(node);
    return called != nullptr && choice_.written_out.contains(called) ? called : nullptr;
  }

  // Null where no scope on the way out has it.
  static const std::string* Renamed(const FlatScope& scope, const std::string& name) {
    for (const FlatScope* at = &scope; at != nullptr; at = at->outer) {
      if (const auto found = at->names.find(name); found != at->names.end()) return &found->second;
    }
    return nullptr;
  }
  static std::string NameIn(const FlatScope& scope, const std::string& name) {
    const std::string* const renamed = Renamed(scope, name);
    return renamed == nullptr ? name : *renamed;
  }
  // What a node reads: where constants are taken out, under the name that they have there.
  std::string ReadIn(const FlatScope& scope, const std::string& name) const {
    if (const std::string* const renamed = Renamed(scope, name)) return *renamed;
    if (!scope.hoists || constants_.Find(name) == nullptr) return name;
    const std::string& own = constants_.NameOf(name);
    // There it is hidden by another value of that name.
    return Renamed(scope, own) == nullptr ? own : name;
  }

  std::string Hoist(const TensorProto& tensor) {
    const std::string& name = names_.at(&tensor);
    if (hoisted_.insert(name).second) {
      TensorProto& initializer = *flat_.mutable_graph()->add_initializer();
      initializer = tensor;
      initializer.set_name(name);
    }
    return name;
  }

  // A value that the scope yields itself.
  void Define(const std::string& name, FlatScope& scope) {
    if (name.empty() || scope.names.contains(name)) return;
    scope.names.emplace(name, scope.in_function ? FreshName(scope.path + name, taken_) : name);
  }
  void DefineNodes(const Nodes& nodes, FlatScope& scope) {
    for (const NodeProto& node : nodes) {
      // Only looked at: the cast spares a second copy of ConstantValue.
      const TensorProto* const value = ConstantValue(const_cast<NodeProto&>(node));
      if (scope.hoists && value != nullptr) DefineConstant(node.output(0), *value, scope);
    }
    for (const NodeProto& node : nodes) {
      for (const std::string& output : node.output()) Define(output, scope);
    }
  }
  void DefineConstant(const std::string& name, const TensorProto& tensor, FlatScope& scope) {
    scope.names[name] = Hoist(tensor);
    scope.hoisted.insert(name);
  }

  void WriteNodes(const Nodes& nodes, const FlatScope& scope, Nodes& out) {
    for (const NodeProto& node : nodes) {
      const bool hoisted = ConstantValue(const_cast<NodeProto&>(node)) != nullptr &&
                           scope.hoisted.contains(node.output(0));
      if (hoisted) continue;
      if (const FunctionProto* const function = WrittenOut(node)) {
        WriteCall(node, *function, scope, out);
      } else {
        WriteNode(node, scope, *out.Add());
      }
    }
  }

  void WriteNode(const NodeProto& node, const FlatScope& scope, NodeProto& out) {
    out = node;
    // Runtimes refuse two nodes of one name; names of values are others.
    if (scope.in_function) out.set_name(FreshName(scope.path + NameOf(node), node_names_));
    for (std::string& input : *out.mutable_input()) input = ReadIn(scope, input);
    for (std::string& output : *out.mutable_output()) output = NameIn(scope, output);
    out.clear_attribute();
    for (const AttributeProto& attribute : node.attribute()) {
      const AttributeProto* from = &attribute;
      if (scope.in_function && !attribute.ref_attr_name().empty()) {
        const auto given = scope.arguments.find(attribute.ref_attr_name());
        if (given == scope.arguments.end()) continue;  // then it has its default
        from = given->second;
      }
      AttributeProto& to = *out.add_attribute();
      to = *from;
      to.set_name(attribute.name());
      if (to.has_g()) WriteGraph(from->g(), scope, *to.mutable_g());
      for (int i = 0; i < to.graphs_size(); ++i) {
        WriteGraph(from->graphs(i), scope, *to.mutable_graphs(i));
      }
    }
  }

  bool HoldsBatchNorm(const GraphProto& graph) const {
    return std::any_of(graph.node().begin(), graph.node().end(), [&](const NodeProto& node) {
      return WrittenOut(node) != nullptr || IsBatchNormNode(node);
    });
  }

  // `to` is a copy of `from`.
  void WriteGraph(const GraphProto& from, const FlatScope& outer, GraphProto& to) {
    FlatScope scope;
    scope.outer = &outer;
    scope.path = outer.path;
    scope.arguments = outer.arguments;
    scope.in_function = outer.in_function;
    scope.hoists =
        outer.hoists || (model_.ir_version() >= kFreeInitializers && HoldsBatchNorm(from) &&
                         WhyNotHoisted(from, names_, values_).empty());
    for (const ValueInfoProto& input : from.input()) Define(input.name(), scope);
    for (const auto& sparse : from.sparse_initializer()) Define(sparse.values().name(), scope);
    to.clear_initializer();
    for (const TensorProto& tensor : from.initializer()) {
      if (scope.hoists) {
        DefineConstant(tensor.name(), tensor, scope);
      } else {
        Define(tensor.name(), scope);
        *to.add_initializer() = tensor;
      }
    }
    DefineNodes(from.node(), scope);
    to.clear_node();
    WriteNodes(from.node(), scope, *to.mutable_node());
    RenameTypes(from, scope, to);
  }

  void RenameTypes(const GraphProto& from, const FlatScope& scope, GraphProto& to) {
    for (ValueInfoProto& input : *to.mutable_input()) input.set_name(NameIn(scope, input.name()));
    to.clear_value_info();
    for (const ValueInfoProto& info : from.value_info()) {
      if (scope.hoisted.contains(info.name())) continue;
      ValueInfoProto& renamed = *to.add_value_info();
      renamed = info;
      renamed.set_name(NameIn(scope, info.name()));
    }
    // What a graph yields it has to compute itself.
    for (ValueInfoProto& output : *to.mutable_output()) {
      const std::string name = output.name();
      output.set_name(NameIn(scope, name));
      if (!scope.hoisted.contains(name)) continue;
      const std::string constant = output.name();
      output.set_name(scope.in_function ? FreshName(scope.path + name, taken_) : name);
      AddIdentity(constant, output.name(), *to.mutable_node());
    }
  }

  static void AddIdentity(const std::string& from, const std::string& to, Nodes& nodes) {
    NodeProto& node = *nodes.Add();
    node.set_op_type("Identity");
    node.add_input(from);
    node.add_output(to);
  }

  void WriteCall(const NodeProto& node, const FunctionProto& function, const FlatScope& scope,
                 Nodes& out) {
    FlatScope inner;
    inner.in_function = inner.hoists = true;
    inner.path = scope.path + NameOf(node) + "/";
    inner.arguments = ArgumentsOf(node, function, scope.arguments);
    for (int i = 0; i < function.input_size(); ++i) {
      if (function.input(i).empty()) continue;  // "" is what a node leaves out
      inner.names[function.input(i)] =
          i < node.input_size() ? ReadIn(scope, node.input(i)) : std::string();
    }
    const std::set<std::string> computed = ComputedIn(function);
    std::vector<std::pair<std::string, std::string>> copies;  // within, outside
    for (int i = 0; i < node.output_size(); ++i) {
      if (node.output(i).empty()) continue;
      const std::string outside = NameIn(scope, node.output(i));
      const std::string& within = function.output(i);
      if (!computed.contains(within) || !inner.names.emplace(within, outside).second) {
        copies.emplace_back(within, outside);
      }
    }
    DefineNodes(function.node(), inner);
    WriteNodes(function.node(), inner, out);
    for (const auto& [within, outside] : copies) AddIdentity(NameIn(inner, within), outside, out);
  }

  static std::set<std::string> ComputedIn(const FunctionProto& function) {
    std::set<std::string> names;
    for (const NodeProto& node : function.node()) {
      if (ConstantValue(const_cast<NodeProto&>(node)) != nullptr) continue;
      names.insert(node.output().begin(), node.output().end());
    }
    return names;
  }

  ModelProto& model_;
  const FunctionChoice& choice_;
  const TensorNames& names_;
  const std::set<std::string> values_;  // names of the model's
  std::set<std::string> taken_, node_names_ = {};
  const ModelFunctions functions_;
  const ConstantTensors constants_;
  ModelProto flat_;
  std::set<std::string> hoisted_ = {};
};

bool AnyBatchNormWithin(const Nodes& nodes) {
  const auto holds = [](const GraphProto& graph) {
    return std::any_of(graph.node().begin(), graph.node().end(), IsBatchNormNode) ||
           AnyBatchNormWithin(graph.node());
  };
  for (const NodeProto& node : nodes) {
    for (const AttributeProto& attribute : node.attribute()) {
      if (attribute.has_g() && holds(attribute.g())) return true;
      if (std::any_of(attribute.graphs().begin(), attribute.graphs().end(), holds)) return true;
    }
  }
  return false;
}

}  // namespace

FlatModel FlattenModel(ModelProto& model) {
  const bool within = AnyBatchNormWithin(model.graph().node());
  if (!within && model.functions_size() == 0) return {};
  const auto places = TensorPlacesOf(model);
  if (!places) return {};
  TensorNames names;
  for (const TensorPlace& place : *places) names.emplace(place.tensor, place.name);
  std::set<std::string> taken = GraphValues(model.graph()).names();
  const FunctionChoice choice = ChooseFunctions(model, names, taken);
  FlatModel flat;
  flat.kept = choice.kept;
  if (within || !choice.written_out.empty()) {
    flat.model = Flattener(model, choice, names, std::move(taken)).Flatten();
  }
  return flat;
}

}  // namespace ckpt::formats::onnx
