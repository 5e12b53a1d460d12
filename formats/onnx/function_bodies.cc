// Whether a function or a graph can be written with other names.
#include <utility>

#include "formats/onnx/function_choice.h"
#include "formats/onnx/node_order.h"
#include "formats/onnx/tensor_places.h"

namespace ckpt::formats::onnx {
namespace {

using onnx_proto::AttributeProto;
using onnx_proto::FunctionProto;
using onnx_proto::GraphProto;
using onnx_proto::NodeProto;
using onnx_proto::TensorProto;

struct BodyScope {
  const BodyScope* outer = nullptr;
  std::set<std::string> names = {};

  bool Has(const std::string& name) const {
    for (const BodyScope* at = this; at != nullptr; at = at->outer) {
      if (at->names.contains(name)) return true;
    }
    return false;
  }
};

class BodyCheck {
 public:
  // `closed`: a function, which reads nothing but its own values.
  BodyCheck(const TensorNames& names, const std::set<std::string>& taken, bool closed)
      : names_(names), taken_(taken), closed_(closed) {}

  std::string Function(const FunctionProto& function) {
    BodyScope scope;
    for (const std::string& input : function.input()) Define(input, scope);
    Nodes(function.node(), scope);
    for (const std::string& output : function.output()) Read(output, scope);
    return std::move(why_);
  }

  std::string OfGraph(const GraphProto& graph) {
    const BodyScope outside;
    Graph(graph, outside);
    return std::move(why_);
  }

 private:
  void Refuse(std::string why) {
    if (why_.empty()) why_ = std::move(why);
  }
  void Define(const std::string& name, BodyScope& scope) {
    if (!name.empty() && !scope.names.insert(name).second) {
      Refuse("two of its values are called \"" + name + '"');
    }
  }
  void Read(const std::string& name, const BodyScope& scope) {
    if (closed_ && !name.empty() && !scope.Has(name)) {
      Refuse("it reads \"" + name + "\", which nothing in it yields");
    }
  }
  void Constant(const TensorProto& tensor) {
    const auto name = names_.find(&tensor);
    if (!tensor.has_data_place() || name == names_.end()) {
      Refuse("it has a constant that is no tensor of the file");
    } else if (taken_.contains(name->second)) {
      Refuse("a value of the model is called \"" + name->second + "\", as its tensor is");
    }
  }

  void Nodes(const onnx::Nodes& nodes, BodyScope& scope) {
    for (const NodeProto& node : nodes) {
      for (const std::string& output : node.output()) Define(output, scope);
    }
    for (const NodeProto& node : nodes) {
      for (const std::string& input : node.input()) Read(input, scope);
      // Only looked at: the cast spares a second copy of ConstantValue.
      if (const auto* value = ConstantValue(const_cast<NodeProto&>(node))) {
        Constant(*value);
        continue;
      }
      for (const AttributeProto& attribute : node.attribute()) Attribute(attribute, scope);
    }
  }

  void Attribute(const AttributeProto& attribute, const BodyScope& scope) {
    if (HoldsTensor(attribute))
      Refuse("an attribute \"" + attribute.name() + "\" in it is a large tensor");
    if (attribute.has_g()) Graph(attribute.g(), scope);
    for (const GraphProto& graph : attribute.graphs()) Graph(graph, scope);
  }

  void Graph(const GraphProto& graph, const BodyScope& outer) {
    BodyScope scope;
    scope.outer = &outer;
    if (graph.sparse_initializer_size() != 0) Refuse("it has sparse initializers");
    for (const auto& input : graph.input()) Define(input.name(), scope);
    for (const TensorProto& tensor : graph.initializer()) {
      Define(tensor.name(), scope);
      Constant(tensor);
    }
    Nodes(graph.node(), scope);
    for (const auto& output : graph.output()) Read(output.name(), scope);
  }

  const TensorNames& names_;
  const std::set<std::string>& taken_;
  const bool closed_;
  std::string why_ = {};
};

}  // namespace

std::string WhyNotWrittenOut(const FunctionProto& function, const TensorNames& names,
                             const std::set<std::string>& taken) {
  return BodyCheck(names, taken, true).Function(function);
}

std::string WhyNotHoisted(const GraphProto& graph, const TensorNames& names,
                          const std::set<std::string>& taken) {
  return BodyCheck(names, taken, false).OfGraph(graph);
}

}  // namespace ckpt::formats::onnx
